//! Whose fact it is: the names that find its entity, and the names to link once it is found.
//!
//! | header | scope of the name | found as |
//! |---|---|---|
//! | `order`, `payment`, `shipment`, `warehouse_order`, `tracker`, `rma` | the account that speaks | the same |
//! | `number` | the storefront; other accounts mean any storefront of the client | without a leading `#` |
//! | `store_order` | any storefront of the client | its id or its number of the order |
//! | `tracking`, and the numbers of parcels | the client | letters and digits only, in capitals |
//! | `our` | the client | our order id, or an intent's id |

use std::collections::BTreeSet;

use super::stock::stock_key;
use crate::canonical::fact::{Header, Package};
use crate::canonical::{AccountId, Body, ClientId, EntityId, ExternalRef};
use crate::config::model::Config;

/// Where a fact belongs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subject {
    /// The entity, where the fact itself tells it: it creates the order, or it is about stock.
    pub direct: Option<EntityId>,
    /// Names of which any that is linked tells the entity, strongest first. All that are linked must agree, else links
    /// contradict each other. When none is linked, the fact waits under them.
    pub candidates: Vec<ExternalRef>,
    /// The order that this fact creates if it does not exist yet (`order.placed` of a storefront).
    pub creates: Option<EntityId>,
    /// Names to link to the entity once it is known.
    pub links: Vec<ExternalRef>,
}

/// A tracking number as it is compared: carriers, stores and warehouses group and pad it as they like.
#[must_use]
pub fn plain_tracking(number: &str) -> String {
    number.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_uppercase).collect()
}

/// An order's number as it is compared: without blanks around it and without a leading `#`.
#[must_use]
pub fn plain_number(number: &str) -> &str {
    let number = number.trim();
    number.strip_prefix('#').unwrap_or(number)
}

/// Where the fact belongs that `account` told for `client` (known from the account or its links; without it, only what
/// the account alone names can be linked, and all clients that the account may serve are searched).
#[must_use]
pub fn subject(
    account: &AccountId,
    header: &Header,
    config: &Config,
    client: Option<&ClientId>,
    body: &Body,
) -> Subject {
    let clients = match client {
        Some(client) => vec![client],
        None => config.clients_of(account),
    };
    let only = if clients.len() == 1 { clients.first().copied() } else { None };
    if let Body::Level(_) | Body::StockAsk(_) = body {
        let key = only.and_then(|client| stock_key(account, body, client, config));
        return Subject { direct: key.map(|key| key.id()), ..Subject::default() };
    }
    let storefront = config.flow_of_storefront(account).is_some();
    let mut names = Names {
        account,
        config,
        clients: &clients,
        only,
        storefront,
        candidates: Vec::new(),
        links: Vec::new(),
    };
    names.of_account("order", header.order.as_deref());
    names.of_account("warehouse_order", header.warehouse_order.as_deref());
    names.of_account("payment", header.payment.as_deref());
    names.of_account("shipment", header.shipment.as_deref());
    names.of_account("return", header.rma.as_deref());
    names.of_account("tracker", header.tracker.as_deref());
    names.ours(header.our.as_deref());
    names.ours(header.store_order.as_deref().filter(|name| name.starts_with("ord_")));
    names.number(header.number.as_deref());
    names.store_order(header.store_order.as_deref());
    for tracking in trackings(header, body) {
        names.tracking(&tracking);
    }
    let mut subject = Subject { candidates: names.candidates, links: names.links, ..Subject::default() };
    if let (Body::Placed(_), Some(order), Some(client), true) =
        (body, header.order.as_deref().filter(|id| !id.is_empty()), only, storefront)
    {
        let id = EntityId::order(client, account, order);
        push(&mut subject.links, ExternalRef::of_client(client, "our", id.as_str()));
        subject.direct = Some(id.clone());
        subject.creates = Some(id);
    }
    subject
}

/// The tracking numbers that the fact names, plain.
fn trackings(header: &Header, body: &Body) -> BTreeSet<String> {
    let packages: &[Package] = match body {
        Body::Shipped(shipped) => &shipped.packages,
        Body::Recorded(recorded) => &recorded.packages,
        _ => &[],
    };
    packages
        .iter()
        .filter_map(|package| package.tracking.as_deref())
        .chain(header.tracking.as_deref())
        .map(plain_tracking)
        .filter(|number| !number.is_empty())
        .collect()
}

fn push(list: &mut Vec<ExternalRef>, name: ExternalRef) {
    if !list.contains(&name) {
        list.push(name);
    }
}

/// Collects names while the header is read.
struct Names<'a> {
    account: &'a AccountId,
    config: &'a Config,
    clients: &'a [&'a ClientId],
    only: Option<&'a ClientId>,
    storefront: bool,
    candidates: Vec<ExternalRef>,
    links: Vec<ExternalRef>,
}

impl<'a> Names<'a> {
    fn both(&mut self, name: ExternalRef) {
        push(&mut self.candidates, name.clone());
        push(&mut self.links, name);
    }

    /// A name that the account itself uses. What a storefront calls a payment is what the gateway calls it, where the
    /// storefront tells the gateway's id; so that name is linked too.
    fn of_account(&mut self, kind: &str, id: Option<&str>) {
        let Some(id) = id.filter(|id| !id.is_empty()) else { return };
        self.both(ExternalRef::of_account(self.account, kind, id));
        if kind == "payment"
            && self.storefront
            && let Some(gateway) = self.only.and_then(|client| self.config.flow_of(client)?.gateway.as_ref())
        {
            push(&mut self.links, ExternalRef::of_account(gateway, kind, id));
        }
    }

    fn ours(&mut self, id: Option<&str>) {
        let Some(id) = id.filter(|id| !id.is_empty()) else { return };
        for client in self.clients {
            push(&mut self.candidates, ExternalRef::of_client(client, "our", id));
        }
    }

    fn number(&mut self, number: Option<&str>) {
        let Some(number) = number.map(plain_number).filter(|number| !number.is_empty()) else { return };
        if self.storefront {
            self.both(ExternalRef::of_account(self.account, "number", number));
        } else {
            for storefront in self.storefronts() {
                push(&mut self.candidates, ExternalRef::of_account(storefront, "number", number));
            }
        }
    }

    fn store_order(&mut self, name: Option<&str>) {
        let Some(name) = name.map(str::trim).filter(|name| !name.is_empty()) else { return };
        for storefront in self.storefronts() {
            push(&mut self.candidates, ExternalRef::of_account(storefront, "order", name));
            push(&mut self.candidates, ExternalRef::of_account(storefront, "number", plain_number(name)));
        }
    }

    fn tracking(&mut self, number: &str) {
        for client in self.clients {
            push(&mut self.candidates, ExternalRef::of_client(client, "tracking", number));
        }
        if let Some(client) = self.only {
            push(&mut self.links, ExternalRef::of_client(client, "tracking", number));
        }
    }

    fn storefronts(&self) -> Vec<&'a AccountId> {
        self.clients
            .iter()
            .filter_map(|client| self.config.flow_of(client))
            .flat_map(|flow| &flow.storefronts)
            .collect()
    }
}
