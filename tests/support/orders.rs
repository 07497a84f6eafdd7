//! A bench for orders: a flow, facts told by partners, and a warehouse, a store and a gateway that do as they are told.

#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;

use crossdock::apply::{self, StockKey};
use crossdock::canonical::fact::Header;
use crossdock::canonical::{
    AccountId, Body, ClientId, EntityId, Fact, Intent, IntentState, MessageId, Order, Stock,
};
use crossdock::config::model::Config;
use crossdock::config::{self, Sources};
use crossdock::connector;
use crossdock::plan::{self, NoContent, OrderCase, Plan, StockCase};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

/// A connector that serves everything, so that accounts need no settings.
const PLAIN: &str = r#"
[connector]
title  = "Plain"
serves = ["storefront", "warehouse", "carrier", "gateway"]
[http]
base   = "http://127.0.0.1:9"
"#;

const ACCOUNTS: &str = r#"
[account.shop]
connector = "plain"
client    = "acme"
[account.mall]
connector = "plain"
client    = "acme"
[account.east]
connector = "plain"
client    = "acme"
[account.west]
connector = "plain"
client    = "acme"
[account.pay]
connector = "plain"
client    = "acme"
[account.parcels]
connector = "plain"
client    = "acme"
"#;

/// A flow in which everything is on but stock.
pub const FLOW: &str = r#"
[flow.acme]
client      = "acme"
live        = true
storefronts = ["shop", "mall"]
warehouses  = ["east"]
tracking    = "parcels"
gateway     = "pay"
refund      = "gateway"
[flow.acme.stock]
reserve     = false
"#;

/// The checked config with this flow, and lists beside it.
pub fn config(flow: &str, lists: &[(&str, &str)]) -> Config {
    let mut files = BTreeMap::from([
        ("connectors/plain/connector.toml".to_owned(), PLAIN.to_owned()),
        ("config.toml".to_owned(), format!("{ACCOUNTS}{flow}")),
    ]);
    files.extend(lists.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())));
    let sources = Sources { files };
    let (registry, problems) = connector::load(&sources);
    assert!(problems.is_empty(), "{problems:?}");
    config::load(&sources, "config.toml", &registry, &|_| None, &|_| Err("no secrets here".to_owned()))
        .unwrap_or_else(|problems| panic!("{problems:#?}"))
}

/// The instant `seconds` after the bench's day began.
pub fn at(seconds: i64) -> Timestamp {
    let day: Timestamp = "2026-02-02T08:00:00Z".parse().unwrap();
    day + SignedDuration::from_secs(seconds)
}

/// A fact that `account` tells: header and body as one flat object, as mappings give it.
pub fn fact(account: &str, heard: i64, told: Value) -> Fact {
    let Value::Object(fields) = told else { panic!("a fact is an object") };
    let (mut top, mut body) = (Map::new(), Map::new());
    for (name, value) in fields {
        let of_header = Header::FIELDS.iter().any(|field| field.name == name);
        if of_header {
            top.insert(name, value)
        } else {
            body.insert(name, value)
        };
    }
    let header: Header = serde_json::from_value(Value::Object(top)).unwrap();
    let body: Body = serde_json::from_value(Value::Object(body)).unwrap();
    let account = AccountId::from(account);
    Fact {
        id: Fact::identity(&account, &header, &body),
        rule: body.kind().0.to_owned(),
        account,
        header,
        body,
        heard: at(heard),
        message: MessageId(heard),
        mapping: "test@0".to_owned(),
    }
}

/// A complete address.
pub fn address() -> Value {
    json!({ "name": "Ada Byron", "street": ["1 Analytical Way"], "city": "Boston", "region": "MA",
            "postal_code": "02110", "country": "US" })
}

/// A snapshot of order 1 at `version`, with lines (ref, SKU, quantity) at 10.00 each.
pub fn placed(version: i64, lines: &[(&str, &str, u64)]) -> Value {
    let total: u64 = lines.iter().map(|(.., quantity)| quantity * 10).sum();
    let lines: Vec<Value> = lines
        .iter()
        .map(|(name, sku, quantity)| {
            json!({ "ref": name, "sku": sku, "quantity": quantity, "unit_price": "10.00 USD",
                    "title": format!("Goods {sku}") })
        })
        .collect();
    json!({ "is": "order.placed", "order": "1", "number": "#1001", "at": at(0), "version": at(version),
            "total": format!("{total}.00 USD"), "currency": "USD", "terms": "paid", "email": "ada@example.com",
            "ship_to": address(), "lines": lines, "ship_method": "Standard" })
}

/// The gateway's promise for order 1.
pub fn authorised(amount: &str) -> Value {
    json!({ "is": "payment.authorised", "store_order": "1", "payment": "pi_1", "ref": "pi_1", "at": at(1),
            "amount": amount })
}

/// Shipment `name` of order 1 at the warehouse.
pub fn shipped(name: &str, seconds: i64, tracking: Option<&str>, parts: &[(&str, u64)]) -> Value {
    let lines: Vec<Value> =
        parts.iter().map(|(sku, quantity)| json!({ "sku": sku, "quantity": quantity })).collect();
    let packages: Vec<Value> =
        tracking.map(|number| json!({ "tracking": number, "carrier": "UPS" })).into_iter().collect();
    json!({ "is": "fulfilment.shipped", "shipment": name, "warehouse_order": "w1", "at": at(seconds),
            "lines": lines, "packages": packages })
}

/// One order and what is known of it.
pub struct Bench {
    pub config: Config,
    pub facts: Vec<Fact>,
    pub intents: Vec<Intent>,
    pub state: Option<Order>,
    pub now: i64,
    /// Planned by the last [`Bench::plan`].
    pub last: Option<Plan<Order>>,
}

impl Bench {
    pub fn new() -> Self {
        Self::with(FLOW, &[])
    }

    pub fn with(flow: &str, lists: &[(&str, &str)]) -> Self {
        let config = config(flow, lists);
        Self { config, facts: Vec::new(), intents: Vec::new(), state: None, now: 0, last: None }
    }

    pub fn id() -> EntityId {
        EntityId::order(&"acme".into(), &"shop".into(), "1")
    }

    /// A partner tells something; the order is planned anew.
    pub fn tell(&mut self, account: &str, told: Value) -> &mut Self {
        self.now += 1;
        let fact = fact(account, self.now, told);
        self.take(vec![fact])
    }

    /// Facts come in; the order is planned anew.
    pub fn take(&mut self, facts: Vec<Fact>) -> &mut Self {
        let mut new = Vec::new();
        for fact in facts {
            if !self.facts.iter().any(|known| known.id == fact.id) {
                new.push(fact.clone());
                self.facts.push(fact);
            }
        }
        self.plan(&new)
    }

    /// Something of ours: an answer of the stock, a person's decision.
    pub fn ours(&mut self, body: Value) -> &mut Self {
        self.now += 1;
        let body: Body = serde_json::from_value(body).unwrap();
        let fact = Fact::ours(Header::default(), body, at(self.now), MessageId(self.now));
        self.take(vec![fact])
    }

    /// Projects and plans, and stores what came of it; asserts that planning again changes nothing.
    pub fn plan(&mut self, new: &[Fact]) -> &mut Self {
        let plan = self.look(new, self.now);
        for intent in &plan.intents {
            match self.intents.iter_mut().find(|known| known.id == intent.id) {
                Some(known) => {
                    assert!(
                        matches!(known.state, IntentState::Pending | IntentState::Withdrawn),
                        "{} was {:?}",
                        known.slot,
                        known.state
                    );
                    *known = intent.clone();
                }
                None => self.intents.push(intent.clone()),
            }
        }
        for intent in self.intents.iter_mut().filter(|intent| plan.withdraw.contains(&intent.id)) {
            intent.state = IntentState::Withdrawn;
        }
        self.state = Some(plan.state.clone());
        let again = self.look(&[], self.now);
        assert!(again.intents.is_empty(), "planned twice: {:?}", again.intents);
        assert!(again.withdraw.is_empty() && again.mails.is_empty() && again.timers.is_empty());
        assert!(again.events.is_empty(), "{:?}", again.events);
        assert_eq!(again.state, plan.state);
        assert_eq!(again.exceptions, plan.exceptions);
        self.last = Some(plan);
        self
    }

    /// What planning would give at `now`, without storing it.
    pub fn look(&self, new: &[Fact], now: i64) -> Plan<Order> {
        let order =
            apply::project_order(&Self::id(), &"acme".into(), &"shop".into(), &self.facts, &self.intents);
        plan::plan_order(&OrderCase {
            order: &order,
            before: self.state.as_ref(),
            facts: &self.facts,
            new,
            intents: &self.intents,
            config: &self.config,
            flow: self.config.flow_of(&"acme".into()).unwrap(),
            now: at(now),
        })
    }

    pub fn order(&self) -> &Order {
        self.state.as_ref().unwrap()
    }

    pub fn phase(&self) -> &'static str {
        self.order().phase.word()
    }

    /// Slots of intents in this state, with generations above 0 behind `#`.
    pub fn slots(&self, state: IntentState) -> Vec<String> {
        let mut slots: Vec<String> = self
            .intents
            .iter()
            .filter(|intent| intent.state == state)
            .map(|intent| match intent.generation {
                0 => intent.slot.clone(),
                more => format!("{}#{more}", intent.slot),
            })
            .collect();
        slots.sort();
        slots
    }

    pub fn pending(&self) -> Vec<String> {
        self.slots(IntentState::Pending)
    }

    /// Kinds and causes of the exceptions that should be open.
    pub fn troubles(&self) -> Vec<(String, String)> {
        let plan = self.last.as_ref().unwrap();
        plan.exceptions.iter().map(|found| (found.kind.clone(), found.cause.clone())).collect()
    }

    pub fn kinds(&self) -> Vec<String> {
        self.troubles().into_iter().map(|(kind, _)| kind).collect()
    }

    /// What the pending intent of the slot would send now.
    pub fn content(&self, slot: &str) -> Result<Value, NoContent> {
        let intent = self
            .intents
            .iter()
            .filter(|intent| intent.slot == slot)
            .max_by_key(|intent| intent.generation)
            .unwrap_or_else(|| panic!("no {slot} among {:?}", self.pending()));
        plan::content(intent, self.order(), self.config.flow_of(&"acme".into()).unwrap())
    }

    /// The deliverer sends the pending intent of the slot, and this is what comes of it.
    pub fn send(&mut self, slot: &str, outcome: IntentState) -> Value {
        let content = self.content(slot).unwrap_or_else(|no| panic!("{slot}: {no:?}"));
        let intent = self
            .intents
            .iter_mut()
            .find(|intent| {
                intent.slot == slot && matches!(intent.state, IntentState::Pending | IntentState::Retry)
            })
            .unwrap_or_else(|| panic!("{slot} is not pending"));
        intent.attempts += 1;
        intent.sent_content = Some(content.clone());
        intent.sent_digest = format!("{}", content.to_string().len());
        intent.state = outcome;
        self.plan(&[]);
        content
    }

    /// Sends all that is pending, with what comes of it, until nothing more is.
    pub fn send_all(&mut self) -> &mut Self {
        for _ in 0..50 {
            let Some(slot) =
                self.intents.iter().find(|one| one.state == IntentState::Pending).map(|one| one.slot.clone())
            else {
                return self;
            };
            self.send(&slot, IntentState::Done);
        }
        panic!("there is always something to send: {:?}", self.pending());
    }
}

/// Stock of SKU `A` at `east` after one more fact, planned over those reservations alone that are in `before`.
pub fn plan_stock_in_part(config: &Config, before: &Stock, fact: &Fact) -> Option<Plan<Stock>> {
    let client = ClientId::from("acme");
    let key = StockKey { client: client.clone(), warehouse: "east".into(), sku: "A".into() };
    let stock = apply::apply_stock(Some(before.clone()), &key, 1, fact);
    plan::plan_stock_in_part(&StockCase {
        stock: &stock,
        before: Some(before),
        intents: &[],
        flow: config.flow_of(&client)?,
        now: at(0),
    })
}

/// Stock of SKU `A` at `east`, with its plan.
pub fn plan_stock(
    config: &Config,
    before: Option<&Stock>,
    facts: &[Fact],
    intents: &[Intent],
) -> Plan<Stock> {
    let client = ClientId::from("acme");
    let key = StockKey { client: client.clone(), warehouse: "east".into(), sku: "A".into() };
    let mut stock = before.cloned();
    for fact in facts {
        let each = apply::stock_each(&fact.account, &fact.body, &client, config);
        stock = Some(apply::apply_stock(stock, &key, each, fact));
    }
    let stock = stock.unwrap_or_else(|| Stock::empty(client.clone(), "east".into(), "A".into()));
    plan::plan_stock(&StockCase {
        stock: &stock,
        before,
        intents,
        flow: config.flow_of(&client).unwrap(),
        now: at(0),
    })
}
