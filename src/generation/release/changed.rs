//! What differs between two generations, as far as it can matter to what waits.

use std::collections::BTreeSet;

use crate::canonical::{AccountId, ClientId, Exception};
use crate::config::World;
use crate::config::model::{Flow, SkuTable};

/// What differs. Where the former generation is not known, everything does.
#[derive(Debug, Default)]
pub(super) struct Changed {
    all: bool,
    /// `shopify/order`: mappings of either direction, with their overlays.
    pub(super) mappings: BTreeSet<String>,
    /// Accounts that are read otherwise: they themselves, their connectors' manifests, whose they are.
    accounts: BTreeSet<AccountId>,
    /// Clients whose flows, or whose warehouses' calendars, differ in what decides about orders.
    pub(super) clients: BTreeSet<ClientId>,
    /// Clients whose stock is pushed otherwise.
    pub(super) stock: BTreeSet<ClientId>,
    /// SKUs whose rows differ, as the storefronts write them.
    pub(super) skus: BTreeSet<(ClientId, String)>,
}

/// Rows of SKUs beyond which all open orders of the client are planned again.
const MANY: usize = 200;

impl Changed {
    pub(super) fn between(from: Option<&World>, to: &World) -> Self {
        let Some(from) = from else {
            let clients: BTreeSet<ClientId> =
                to.config.flows.values().map(|flow| flow.client.clone()).collect();
            return Self { all: true, stock: clients.clone(), clients, ..Self::default() };
        };
        let mut changed = Self { mappings: mappings(from, to), ..Self::default() };
        let ids: BTreeSet<&AccountId> =
            from.config.accounts.keys().chain(to.config.accounts.keys()).collect();
        for id in ids {
            if reading(from, id) != reading(to, id) {
                changed.accounts.insert(id.clone());
            }
        }
        let clients = from.config.flows.values().chain(to.config.flows.values()).map(|flow| &flow.client);
        for client in clients.collect::<BTreeSet<_>>() {
            let (before, after) = (from.config.flow_of(client), to.config.flow_of(client));
            changed.flow(client, before, after);
            let works = |world: &World, id: &AccountId| world.config.accounts.get(id)?.calendar.clone();
            let warehouses = after.map(|flow| flow.warehouses.as_slice()).unwrap_or_default();
            if warehouses.iter().any(|id| works(from, id) != works(to, id)) {
                changed.clients.insert(client.clone());
            }
        }
        changed
    }

    fn flow(&mut self, client: &ClientId, from: Option<&Flow>, to: Option<&Flow>) {
        let (Some(from), Some(to)) = (from, to) else {
            self.clients.insert(client.clone());
            self.stock.insert(client.clone());
            return;
        };
        let without = |flow: &Flow| Flow { skus: SkuTable::default(), name: String::new(), ..flow.clone() };
        if without(from) != without(to) {
            self.clients.insert(client.clone());
            self.stock.insert(client.clone());
        }
        let skus = names(from, to);
        if skus.is_empty() {
            return;
        }
        self.stock.insert(client.clone());
        if skus.len() > MANY {
            self.clients.insert(client.clone());
        } else {
            self.skus.extend(skus.into_iter().map(|sku| (client.clone(), sku)));
        }
    }

    /// Whether a message of the account may be read otherwise than before.
    pub(super) fn reads(&self, world: &World, account: &AccountId) -> bool {
        self.all
            || self.accounts.contains(account)
            || self.connector(world, account, |name| self.mappings.contains(name))
    }

    /// Whether the account may be told otherwise than before.
    pub(super) fn tells(&self, world: &World, account: &AccountId) -> bool {
        self.reads(world, account)
    }

    fn connector(&self, world: &World, account: &AccountId, is: impl Fn(&str) -> bool) -> bool {
        let Some(known) = world.config.accounts.get(account) else { return false };
        let prefix = format!("{}/", known.connector);
        self.mappings.iter().any(|name| name.starts_with(&prefix) && is(name))
    }

    /// Whether a plan's exception may be over.
    pub(super) fn plans(&self, world: &World, exception: &Exception) -> bool {
        let Some(client) = &exception.client else { return self.all };
        let rows =
            self.all || self.clients.contains(client) || self.skus.iter().any(|(whose, _)| whose == client);
        if !rows {
            return false;
        }
        let Some(sku) = exception.cause.strip_prefix("sku:") else {
            return exception.kind == "unknown_sku" || self.all || self.clients.contains(client);
        };
        let Some((storefront, sku)) = sku.split_once(':') else { return true };
        let flow = world.config.flow_of(client);
        flow.is_some_and(|flow| crate::plan::knows_sku(flow, &AccountId::from(storefront), sku))
    }
}

/// Mappings whose versions differ, or that only one of the two has.
fn mappings(from: &World, to: &World) -> BTreeSet<String> {
    let (from, to) = (from.registry.versions(), to.registry.versions());
    let names: BTreeSet<&String> = from.keys().chain(to.keys()).collect();
    names.into_iter().filter(|name| from.get(*name) != to.get(*name)).cloned().collect()
}

/// How messages of the account are read, mappings aside. Secrets are not shown.
fn reading(world: &World, id: &AccountId) -> Option<String> {
    let account = world.config.accounts.get(id)?;
    let manifest = world.registry.get(&account.connector).map(|connector| &connector.manifest);
    Some(format!("{account:?} {manifest:?} {:?}", world.config.clients_of(id)))
}

/// What the storefronts call the goods whose rows differ.
fn names(from: &Flow, to: &Flow) -> BTreeSet<String> {
    let (before, after) = (&from.skus.rows, &to.skus.rows);
    let keys: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let differ = keys.into_iter().filter(|key| before.get(*key) != after.get(*key));
    let mut names = BTreeSet::new();
    // Whatever a warehouse calls them: what storefronts call the same goods.
    let mut ours: BTreeSet<&str> = BTreeSet::new();
    for key in differ {
        names.insert(key.1.clone());
        for row in [before.get(key), after.get(key)].into_iter().flatten() {
            ours.insert(&row.0);
        }
    }
    for ((_, theirs), (name, _)) in before.iter().chain(after) {
        if ours.contains(name.as_str()) {
            names.insert(theirs.clone());
        }
    }
    names.extend(ours.into_iter().map(str::to_owned));
    names
}
