//! `[flow.…]`.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use toml::de::DeValue;

use super::{Scope, skus};
use crate::canonical::{AccountId, ClientId};
use crate::config::model::{
    Account, CaptureRule, Condition, Flow, HoldRule, RefundRule, ReleaseRule, RouteRule, ShipMethod,
    SkuTable, StockRule, money_of,
};
use crate::diagnostic::Diagnostic;
use crate::tables::{Table, Value};

pub(super) type Accounts = BTreeMap<AccountId, Account>;

/// Words of the payment axis.
const PAYMENT: &[&str] = &[
    "none",
    "due_later",
    "pending",
    "failed",
    "voided",
    "authorised",
    "partly_paid",
    "paid",
    "partly_refunded",
    "refunded",
    "disputed",
];
/// Fields of an order on which a hold may look.
const FIELDS: &[&str] = &[
    "number",
    "channel",
    "currency",
    "total",
    "presentment_total",
    "subtotal",
    "tax",
    "discount",
    "terms",
    "test",
    "email",
    "phone",
    "note",
    "gift_note",
    "ship_to",
    "bill_to",
    "lines",
    "ship_method",
    "tags",
    "extra",
];
/// Those of them that are money.
const MONEY: &[&str] = &["total", "presentment_total", "subtotal", "tax", "discount"];
/// Fields of an address.
const ADDRESS: &[&str] =
    &["name", "company", "street", "city", "region", "postal_code", "country", "phone", "email"];

impl Scope<'_> {
    pub(super) fn flows(
        &self,
        root: &Table<'_>,
        accounts: &Accounts,
        lists: &mut Vec<Diagnostic>,
    ) -> BTreeMap<String, Flow> {
        // Accounts with problems of their own are named, too: one mistake, one message.
        let named: Vec<String> = root
            .get("account")
            .filter(Value::is_table)
            .and_then(|value| value.table())
            .map(|table| table.keys().iter().map(|key| key.text.to_owned()).collect())
            .unwrap_or_default();
        let mut all = BTreeMap::new();
        for (name, table) in root.tables("flow") {
            let parts = Parts { scope: self, table: &table, accounts, named: &named };
            if let Some(flow) = parts.flow(name.text, lists) {
                all.insert(name.text.to_owned(), flow);
            }
        }
        all
    }

    /// What only shows when all accounts and flows are known.
    pub(super) fn check_together(
        &self,
        root: &Table<'_>,
        accounts: &Accounts,
        flows: &BTreeMap<String, Flow>,
    ) {
        let mut clients: Vec<&str> = flows.values().map(|flow| flow.client.as_str()).collect();
        clients.sort_unstable();
        clients.dedup();
        let report = |path: &[&str], found: &dyn Fn(std::ops::Range<usize>) -> Diagnostic| {
            if let Some(span) = span_of(root, path) {
                root.file().report(found(span));
            }
        };
        let mut seen: Vec<(&str, &str)> = Vec::new();
        for flow in flows.values() {
            let error = |key: &str, message: String, help: &str| {
                report(&["flow", &flow.name, key], &|span| {
                    root.file().error(span, message.clone()).help(help)
                });
            };
            if let Some((_, other)) = seen.iter().find(|(client, _)| *client == flow.client.as_str()) {
                error(
                    "client",
                    format!("[flow.{other}] serves the client `{}` already", flow.client),
                    "a client has one flow: put both into one",
                );
            }
            seen.push((flow.client.as_str(), &flow.name));
            for other in flows.values().filter(|other| other.name < flow.name) {
                for account in flow.storefronts.iter().filter(|account| other.storefronts.contains(account)) {
                    error(
                        "storefronts",
                        format!("`{account}` is a storefront of [flow.{}] already", other.name),
                        "a storefront belongs to one flow",
                    );
                }
            }
            for (id, account) in accounts.iter().filter(|(id, _)| flow.uses(id)) {
                let stranger = account.client.as_ref().filter(|client| **client != flow.client);
                if let Some(client) = stranger {
                    error(
                        "client",
                        format!(
                            "the account `{id}` is the client `{client}`'s, and this flow serves `{}`",
                            flow.client
                        ),
                        "leave `client` out of an account that several share",
                    );
                }
                if !account.links.is_empty() && !account.links.contains_key(&flow.client) {
                    error(
                        "client",
                        format!(
                            "the shared account `{id}` does not say what it calls the client `{}`",
                            flow.client
                        ),
                        &format!("add [account.{id}.link.{}]", flow.client),
                    );
                }
            }
        }
        for (id, account) in accounts {
            for client in account.links.keys().filter(|client| !clients.contains(&client.as_str())) {
                report(&["account", id.as_str(), "link", client.as_str()], &|span| {
                    let found = root.file().error(span, format!("no flow serves the client `{client}`"));
                    found.nearest(client.as_str(), clients.iter().copied()).warning()
                });
            }
            if let Some(client) = account.client.as_ref().filter(|client| !clients.contains(&client.as_str()))
            {
                report(&["account", id.as_str(), "client"], &|span| {
                    let found = root.file().error(span, format!("no flow serves the client `{client}`"));
                    found.nearest(client.as_str(), clients.iter().copied()).warning()
                });
            }
        }
        self.check_overlays(accounts, &clients, root);
    }

    /// Overlays of clients and accounts that are not there do nothing.
    fn check_overlays(&self, accounts: &Accounts, clients: &[&str], root: &Table<'_>) {
        let known: Vec<&str> = accounts.keys().map(AccountId::as_str).collect();
        for (folder, what, known) in
            [("mappings/clients/", "client", clients), ("mappings/accounts/", "account", &known)]
        {
            for (path, _) in self.sources.under(folder) {
                let who =
                    path.strip_prefix(folder).and_then(|rest| rest.split('/').next()).unwrap_or_default();
                if !known.contains(&who) {
                    let found = Diagnostic::whole(
                        path,
                        format!("there is no {what} `{who}` in {}", root.file().name()),
                    );
                    root.file().report(found.nearest(who, known.iter().copied()).warning());
                }
            }
        }
    }
}

/// Where the key at `path` stands.
pub(super) fn span_of(root: &Table<'_>, path: &[&str]) -> Option<std::ops::Range<usize>> {
    let (key, rest) = path.split_first()?;
    let value = root.get(key)?;
    if rest.is_empty() {
        return Some(value.key_span());
    }
    if value.is_table() { span_of(&value.table()?, rest) } else { None }
}

/// A flow under way.
struct Parts<'p, 'f> {
    scope: &'p Scope<'p>,
    table: &'p Table<'f>,
    accounts: &'p Accounts,
    named: &'p [String],
}

impl Parts<'_, '_> {
    fn flow(&self, name: &str, lists: &mut Vec<Diagnostic>) -> Option<Flow> {
        let table = self.table;
        let client =
            table.need("client", "the merchant's name").and_then(|value| value.text().map(ClientId::from));
        let live = table.flag("live").unwrap_or(false);
        let start = table.get("start").and_then(|value| instant(&value));
        let storefronts = table.need("storefronts", "a list of accounts");
        let storefronts = storefronts.map(|value| self.several(&value, "storefront")).unwrap_or_default();
        let warehouses =
            table.get("warehouses").map(|value| self.several(&value, "warehouse")).unwrap_or_default();
        let routes = self.routes(&warehouses);
        let tracking = table.get("tracking").and_then(|value| self.one(&value, "carrier"));
        let labels = table.get("labels").and_then(|value| self.one(&value, "carrier"));
        let gateway_value = table.get("gateway");
        let gateway = gateway_value.as_ref().and_then(|value| self.one(value, "gateway"));
        let release = table.table("release").map_or_else(
            || ReleaseRule {
                payment: vec!["authorised".to_owned(), "paid".to_owned()],
                after: Duration::ZERO,
            },
            |table| release(&table),
        );
        let holds = holds(table);
        let ship_methods = ship_methods(table);
        let (capture, refund) = self.money_rules(gateway_value.is_some());
        let stock = self.stock(&storefronts);
        let split = super::split::read(table, &warehouses, self.accounts, stock.reserve);
        let mut flow = Flow {
            name: name.to_owned(),
            client: client.clone().unwrap_or_default(),
            live,
            start,
            storefronts,
            warehouses,
            routes,
            split,
            tracking,
            labels,
            gateway,
            release,
            holds,
            skus: SkuTable::default(),
            ship_methods,
            capture,
            refund,
            stock,
        };
        flow.skus = self.skus(&flow, lists);
        table.finish();
        client.map(|_| flow)
    }

    /// The account in `value`, which must be there and play `role`.
    fn account(&self, value: &Value<'_>, name: &str, role: &str) -> Option<AccountId> {
        let id = AccountId::from(name);
        let Some(account) = self.accounts.get(&id) else {
            if !self.named.iter().any(|known| known == name) {
                value.unknown(
                    format!("there is no [account.{name}]"),
                    name,
                    self.named.iter().map(String::as_str),
                );
            }
            return None;
        };
        let serves = self.scope.registry.get(&account.connector).map(|connector| &connector.manifest.serves);
        if !serves.is_some_and(|serves| serves.iter().any(|word| word == role)) {
            let serves = serves.map(|serves| serves.join(", ")).unwrap_or_default();
            value.wrong(
                format!("`{name}` cannot be a {role}"),
                format!("its connector `{}` serves as {serves}", account.connector),
            );
        }
        Some(id)
    }

    fn one(&self, value: &Value<'_>, role: &str) -> Option<AccountId> {
        self.account(value, value.text()?, role)
    }

    fn several(&self, value: &Value<'_>, role: &str) -> Vec<AccountId> {
        let names = value.texts().unwrap_or_default();
        let mut all: Vec<AccountId> = Vec::new();
        for (name, _) in names {
            if let Some(id) = self.account(value, name, role) {
                if all.contains(&id) {
                    value.wrong(format!("`{name}` stands in it twice"), "name each account once");
                } else {
                    all.push(id);
                }
            }
        }
        all
    }

    /// Which warehouses may have which orders, in the order of the file.
    fn routes(&self, warehouses: &[AccountId]) -> Vec<RouteRule> {
        let mut all = Vec::new();
        for (name, table) in self.table.tables("route") {
            let when = conditions(&table, "the route would take every order");
            let choices = table.need("warehouses", "warehouses of the flow, first choice first");
            let mut own = Vec::new();
            for (name, _) in choices.as_ref().and_then(Value::texts).unwrap_or_default() {
                let id = AccountId::from(name);
                if warehouses.contains(&id) {
                    own.push(id);
                } else if let Some(choices) = &choices {
                    choices.unknown(
                        format!("`{name}` is no warehouse of this flow"),
                        name,
                        warehouses.iter().map(AccountId::as_str),
                    );
                }
            }
            table.finish();
            all.push(RouteRule { name: name.text.to_owned(), when, warehouses: own });
        }
        all
    }

    fn money_rules(&self, gateway: bool) -> (CaptureRule, RefundRule) {
        let needs_gateway = |value: &Value<'_>| {
            if !gateway {
                value.wrong(
                    "it needs a gateway",
                    "add gateway = \"…\", the account at which money is captured",
                );
            }
        };
        let capture = self.table.get("capture").map(|value| {
            let rule = match value.word(&["none", "first_shipment", "release"]) {
                Some("first_shipment") => CaptureRule::FirstShipment,
                Some("release") => CaptureRule::Release,
                _ => CaptureRule::None,
            };
            if rule != CaptureRule::None {
                needs_gateway(&value);
            }
            rule
        });
        let refund = self.table.get("refund").map(|value| match value.word(&["storefront", "gateway"]) {
            Some("gateway") => {
                needs_gateway(&value);
                RefundRule::Gateway
            }
            _ => RefundRule::Storefront,
        });
        let default = if gateway { CaptureRule::FirstShipment } else { CaptureRule::None };
        (capture.unwrap_or(default), refund.unwrap_or(RefundRule::Storefront))
    }

    fn stock(&self, storefronts: &[AccountId]) -> StockRule {
        let mut rule = StockRule { reserve: true, push: true, buffer: 0, locations: BTreeMap::new() };
        let Some(table) = self.table.table("stock") else { return rule };
        rule.reserve = table.flag("reserve").unwrap_or(true);
        rule.push = table.flag("push").unwrap_or(true);
        rule.buffer = table.whole("buffer", 0, u64::from(u32::MAX)).unwrap_or(0);
        for (name, value) in table.text_map("locations") {
            let id = AccountId::from(name.text);
            if !storefronts.contains(&id) {
                let message = format!("`{}` is no storefront of this flow", name.text);
                value.unknown(message, name.text, storefronts.iter().map(AccountId::as_str));
            }
            rule.locations.extend(value.scalar().map(|text| (id, text)));
        }
        table.finish();
        rule
    }

    fn skus(&self, flow: &Flow, lists: &mut Vec<Diagnostic>) -> SkuTable {
        let Some(value) = self.table.get("skus") else { return SkuTable::default() };
        let Some(path) = value.text() else { return SkuTable::default() };
        let Some(text) = self.scope.sources.get(path) else {
            let known = self.scope.sources.files.keys().filter(|name| name.contains(".csv"));
            value.unknown(format!("there is no file {path}"), path, known.map(String::as_str));
            return SkuTable::default();
        };
        // An account with problems of its own may be the flow's, too.
        let broken =
            self.named.iter().filter(|name| !self.accounts.contains_key(&AccountId::from(name.as_str())));
        let used = self.accounts.keys().filter(|id| flow.uses(id)).map(AccountId::as_str);
        let accounts: Vec<&str> = used.chain(broken.map(String::as_str)).collect();
        let (table, problems) = skus::read(path, text, &accounts);
        lists.extend(problems);
        table
    }
}

/// A date and time with an offset, as TOML's own or as text.
fn instant(value: &Value<'_>) -> Option<Timestamp> {
    const FORM: &str = "expected a date, a time and an offset, such as 2026-01-15T00:00:00-05:00";
    let text = match value.raw() {
        DeValue::Datetime(time) => time.to_string(),
        DeValue::String(text) => text.to_string(),
        _ => {
            value.expected("a date, a time and an offset");
            return None;
        }
    };
    let found = text.parse::<Timestamp>();
    if found.is_err() {
        value.wrong(format!("`{text}` is no instant"), FORM);
    }
    found.ok()
}

fn release(table: &Table<'_>) -> ReleaseRule {
    let mut payment = vec!["authorised".to_owned(), "paid".to_owned()];
    if let Some(value) = table.get("payment") {
        let words = value.texts().unwrap_or_default();
        for (word, _) in words.iter().filter(|(word, _)| !PAYMENT.contains(word)) {
            value.unknown(format!("`{word}` is no state of payment"), word, PAYMENT.iter().copied());
        }
        payment = words.into_iter().map(|(word, _)| word.to_owned()).collect();
    }
    let after = table.duration("after").unwrap_or(Duration::ZERO);
    table.finish();
    ReleaseRule { payment, after }
}

fn holds(flow: &Table<'_>) -> BTreeMap<String, HoldRule> {
    let mut all = BTreeMap::new();
    for (name, table) in flow.tables("hold") {
        let when = conditions(&table, "every order would be held");
        let say = table.need("say", "what to show").and_then(|value| value.text().map(str::to_owned));
        table.finish();
        all.insert(name.text.to_owned(), HoldRule { when, say: say.unwrap_or_default() });
    }
    all
}

/// The conditions of a rule on orders; without any, `what` would happen.
fn conditions(table: &Table<'_>, what: &str) -> Vec<(String, Condition)> {
    let mut when = Vec::new();
    let conditions = table.need("when", "conditions on the order: { total = { ge = \"500 USD\" } }");
    if let Some(conditions) = conditions.and_then(|value| value.table()) {
        for (field, value) in conditions.all() {
            check_field(&value, field.text);
            when.extend(condition(&value, field.text).map(|condition| (field.text.to_owned(), condition)));
        }
        if conditions.keys().is_empty() {
            table.wrong(format!("`when` is empty: {what}"), "expected at least one condition");
        }
    }
    when
}

fn check_field(value: &Value<'_>, field: &str) {
    let (root, rest) = field.split_once(['.', '[']).unwrap_or((field, ""));
    if !FIELDS.contains(&root) {
        value.unknown(format!("an order has no field `{root}`"), root, FIELDS.iter().copied());
    } else if matches!(root, "ship_to" | "bill_to") {
        let part = rest.split(['.', '[']).next().unwrap_or_default();
        if !ADDRESS.contains(&part) {
            value.unknown(format!("an address has no field `{part}`"), part, ADDRESS.iter().copied());
        }
    }
}

fn condition(value: &Value<'_>, field: &str) -> Option<Condition> {
    let words = |value: &Value<'_>| -> Option<Vec<String>> {
        if value.is_list() {
            value.items()?.iter().map(Value::scalar).collect()
        } else {
            Some(vec![value.scalar()?])
        }
    };
    if !value.is_table() {
        return words(value).map(Condition::AnyOf);
    }
    let table = value.table()?;
    let mut found = Vec::new();
    found.extend(table.get("not").map(|value| words(&value).map(Condition::Not)));
    found.extend(table.get("exists").map(|value| value.flag().map(Condition::Exists)));
    found.extend(table.get("contains").map(|value| value.scalar().map(Condition::Contains)));
    for key in ["ge", "gt", "le", "lt"] {
        if let Some(bound) = table.get(key) {
            let text = bound.scalar();
            if MONEY.contains(&field)
                && let Some(text) = &text
                && money_of(text).is_none()
            {
                bound.wrong(
                    format!("`{text}` is no money"),
                    "expected an amount and a currency, such as \"500 USD\"",
                );
            }
            found.push(text.map(|text| match key {
                "ge" => Condition::Ge(text),
                "gt" => Condition::Gt(text),
                "le" => Condition::Le(text),
                _ => Condition::Lt(text),
            }));
        }
    }
    table.finish();
    if found.len() != 1 {
        if found.len() > 1 || table.keys().is_empty() {
            value
                .wrong("one condition is needed", "expected one of not, exists, contains, ge, gt, le and lt");
        }
        return None;
    }
    found.pop().flatten()
}

fn ship_methods(flow: &Table<'_>) -> BTreeMap<String, ShipMethod> {
    let mut all = BTreeMap::new();
    for (method, table) in flow.tables("ship_methods") {
        let text = |key: &str, what: &str| table.need(key, what)?.text().map(str::to_owned);
        let (carrier, service) =
            (text("carrier", "the warehouse's carrier"), text("service", "the carrier's service"));
        table.finish();
        if let (Some(carrier), Some(service)) = (carrier, service) {
            all.insert(method.text.to_owned(), ShipMethod { carrier, service });
        }
    }
    all
}
