//! What the partners hold in the end, and what is wrong with it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::spec::{Expect, Payment};
use super::world::World;

/// What all four partners hold, by the store's orders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// The store's orders.
    pub orders: Vec<OrderEntry>,
    /// Warehouse orders that serve no order of the store.
    pub strangers: Vec<WarehouseEntry>,
    /// Levels by SKU.
    pub stock: Vec<StockEntry>,
    /// Webhooks made, lost on purpose, given up after the last try, and still on their way.
    pub webhooks: WebhookCounts,
    /// Whether refunds are to be paid at the gateway.
    pub gateway_refunds: bool,
}

/// Counts of webhooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookCounts {
    /// Made.
    pub made: u64,
    /// Lost on purpose.
    pub lost: u64,
    /// Given up after the last try.
    pub given_up: u64,
    /// On their way.
    pub pending: usize,
}

/// One order of the store, on all sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderEntry {
    /// The store's id.
    pub id: u64,
    /// What people read.
    pub name: String,
    /// What its script expects.
    pub expect: Expect,
    /// How it was paid.
    pub payment: Payment,
    /// All in, as it is now, minor units.
    pub total: i64,
    /// The most that it came to before it was edited.
    pub peak: i64,
    /// ISO 4217.
    pub currency: String,
    /// Whether the store cancelled it.
    pub cancelled: bool,
    /// Whether it was edited.
    pub edited: bool,
    /// Units wanted now, by SKU.
    pub wanted: BTreeMap<String, i64>,
    /// Labels of the store.
    pub tags: Vec<String>,
    /// Orders in the warehouse that serve it; more than one is a double.
    pub warehouse: Vec<WarehouseEntry>,
    /// What the store records as sent.
    pub fulfilments: Vec<FulfilmentEntry>,
    /// The payment intent.
    pub gateway: Option<GatewayEntry>,
    /// What the store gave back, each.
    pub refunds_asked: Vec<i64>,
    /// Trackers for its parcels: tracking number and status.
    pub trackers: Vec<(String, String)>,
}

/// An order in the warehouse.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WarehouseEntry {
    /// Its id there.
    pub id: u64,
    /// The order number that it was given.
    pub number: String,
    /// The reference that it was given.
    pub reference: String,
    /// `pending`, `fulfilled`, `canceled`.
    pub status: String,
    /// Units ordered, by SKU.
    pub ordered: BTreeMap<String, i64>,
    /// What left.
    pub shipments: Vec<ShipmentEntry>,
}

/// A parcel that left the warehouse.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShipmentEntry {
    /// Its id there.
    pub id: u64,
    /// Tracking number.
    pub tracking: String,
    /// Units, by SKU.
    pub units: BTreeMap<String, i64>,
}

/// What the store records as sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FulfilmentEntry {
    /// Its id there.
    pub id: u64,
    /// Tracking numbers.
    pub tracking: Vec<String>,
    /// Units, by SKU.
    pub units: BTreeMap<String, i64>,
}

/// A payment intent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayEntry {
    /// Its id.
    pub id: String,
    /// Its status.
    pub status: String,
    /// Amounts captured by request, each.
    pub captures: Vec<i64>,
    /// All that was captured.
    pub captured: i64,
    /// Amounts given back, each.
    pub refunds: Vec<i64>,
}

/// Levels of a SKU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockEntry {
    /// The SKU.
    pub sku: String,
    /// What the store offers.
    pub store: i64,
    /// How often the store's level was set by the API.
    pub sets: u64,
    /// What lies in the warehouse, if it knows the SKU.
    pub on_hand: Option<i64>,
    /// What is not put aside for an order there.
    pub available: Option<i64>,
}

impl World {
    /// What all four partners hold.
    pub fn ledger(&self) -> Ledger {
        let mut entries: Vec<(Option<usize>, WarehouseEntry)> = (0..self.warehouse.orders.len())
            .map(|index| (self.warehouse.orders[index].serves, self.warehouse_entry(index)))
            .collect();
        let orders = (0..self.shop.orders.len()).map(|index| self.order_entry(index, &entries)).collect();
        entries.retain(|(store_order, _)| store_order.is_none());
        let stock = self.shop.items.iter().map(|item| {
            let held = self.warehouse.stock.get(&item.sku);
            StockEntry {
                sku: item.sku.clone(),
                store: item.available,
                sets: item.sets,
                on_hand: held.map(|stock| stock.on_hand),
                available: held.map(|stock| stock.on_hand - stock.allocated),
            }
        });
        Ledger {
            orders,
            strangers: entries.into_iter().map(|(_, entry)| entry).collect(),
            stock: stock.collect(),
            webhooks: WebhookCounts {
                made: self.hooks.made,
                lost: self.hooks.lost,
                given_up: self.hooks.given_up,
                pending: self.hooks.pending(),
            },
            gateway_refunds: self.settings.gateway_refunds,
        }
    }

    fn warehouse_entry(&self, index: usize) -> WarehouseEntry {
        let order = &self.warehouse.orders[index];
        let sku = |line: u64| {
            order.lines.iter().find(|own| own.id == line).map_or_else(String::new, |own| own.sku.clone())
        };
        let shipments =
            self.warehouse.shipments.iter().filter(|shipment| shipment.order == index).map(|shipment| {
                ShipmentEntry {
                    id: shipment.id,
                    tracking: shipment.tracking.clone(),
                    units: sum(shipment.lines.iter().map(|(line, quantity)| (sku(*line), *quantity))),
                }
            });
        WarehouseEntry {
            id: order.id,
            number: order.number.clone(),
            reference: order.reference.clone(),
            status: order.status().to_owned(),
            ordered: sum(order.lines.iter().map(|line| (line.sku.clone(), line.quantity))),
            shipments: shipments.collect(),
        }
    }

    fn order_entry(&self, index: usize, entries: &[(Option<usize>, WarehouseEntry)]) -> OrderEntry {
        let order = &self.shop.orders[index];
        let warehouse: Vec<WarehouseEntry> =
            entries.iter().filter(|(own, _)| *own == Some(index)).map(|(_, entry)| entry.clone()).collect();
        let parcels: Vec<&str> =
            warehouse.iter().flat_map(|entry| &entry.shipments).map(|it| it.tracking.as_str()).collect();
        let sku = |line: u64| {
            order.lines.iter().find(|own| own.id == line).map_or_else(String::new, |own| own.sku.clone())
        };
        let fulfilments = order.fulfilments.iter().map(|it| FulfilmentEntry {
            id: it.id,
            tracking: it.numbers.clone(),
            units: sum(it.lines.iter().map(|(line, quantity)| (sku(*line), *quantity))),
        });
        let gateway =
            order.payment.as_deref().and_then(|id| self.gateway.intent(id)).map(|intent| GatewayEntry {
                id: intent.id.clone(),
                status: intent.status.word().to_owned(),
                captures: intent.captures.iter().filter(|it| it.by_request).map(|it| it.amount).collect(),
                captured: intent.captures.iter().map(|it| it.amount).sum(),
                refunds: self
                    .gateway
                    .refunds
                    .iter()
                    .filter(|it| it.intent == intent.id)
                    .map(|it| it.amount)
                    .collect(),
            });
        let trackers = self.carrier.trackers.iter().filter(|it| parcels.contains(&it.code.as_str()));
        OrderEntry {
            id: order.id,
            name: order.name(),
            expect: order.spec.expect,
            payment: order.spec.payment,
            total: order.total(true),
            peak: order.total(false),
            currency: order.currency.clone(),
            cancelled: order.cancelled.is_some(),
            edited: order.edited,
            wanted: sum(order.lines.iter().map(|line| (line.sku.clone(), line.current))),
            tags: order.tags.clone(),
            fulfilments: fulfilments.collect(),
            gateway,
            refunds_asked: order.refunds.iter().map(|refund| refund.amount).collect(),
            trackers: trackers.map(|it| (it.code.clone(), it.status().to_owned())).collect(),
            warehouse,
        }
    }
}

fn sum(units: impl Iterator<Item = (String, i64)>) -> BTreeMap<String, i64> {
    let mut all = BTreeMap::new();
    for (sku, quantity) in units {
        if quantity != 0 {
            *all.entry(sku).or_insert(0) += quantity;
        }
    }
    all
}

fn added<'a>(maps: impl Iterator<Item = &'a BTreeMap<String, i64>>) -> BTreeMap<String, i64> {
    sum(maps.flat_map(|map| map.iter().map(|(sku, quantity)| (sku.clone(), *quantity))))
}

impl Ledger {
    /// What is wrong, in words; empty when both sides agree. Call it when the system is at rest.
    pub fn check(&self) -> Vec<String> {
        let mut wrong = self.never();
        let tracked = self.orders.iter().any(|order| !order.trackers.is_empty());
        for order in &self.orders {
            let name = &order.name;
            let mut say = |text: String| wrong.push(format!("{name}: {text}"));
            let shipped = order.warehouse.iter().any(|it| !it.shipments.is_empty());
            let captures = order.gateway.as_ref().map_or(0, |it| it.captures.len());
            match order.expect {
                Expect::Ships => order.ships(tracked, &mut say),
                Expect::CancelledInTime => {
                    if shipped {
                        say("cancelled in time, but it was sent".to_owned());
                    }
                    if let Some(entry) = order.warehouse.iter().find(|it| it.status != "canceled") {
                        say(format!("cancelled in time, but in the warehouse it is {}", entry.status));
                    }
                    let held = order.gateway.as_ref().is_some_and(|it| it.status == "requires_capture");
                    if captures > 0 || held {
                        say("cancelled in time, but the money was not let go".to_owned());
                    }
                }
                Expect::CancelledLate => {
                    if !shipped {
                        say("cancelled too late, but it was not sent".to_owned());
                    }
                    if order.payment == Payment::Authorised && captures != 1 {
                        say(format!("cancelled too late and sent, but captured {captures} times"));
                    }
                }
                Expect::Refused | Expect::Waits => {
                    if !order.warehouse.is_empty() {
                        say("must not be in the warehouse, but is".to_owned());
                    }
                    if captures > 0 {
                        say("must not be captured, but is".to_owned());
                    }
                }
                Expect::Safe => {}
            }
            if self.gateway_refunds && order.expect != Expect::Safe {
                let paid = order.gateway.as_ref().map(|it| it.refunds.clone()).unwrap_or_default();
                let (mut asked, mut paid) = (order.refunds_asked.clone(), paid);
                asked.sort_unstable();
                paid.sort_unstable();
                if asked != paid {
                    say(format!("refunds of {asked:?} were asked for, {paid:?} were paid"));
                }
            }
        }
        wrong
    }

    /// What must not be at any moment: doubles, and more than was asked for.
    pub fn never(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for stranger in &self.strangers {
            wrong.push(format!(
                "the warehouse has {} ({}), which the store does not",
                stranger.number, stranger.reference
            ));
        }
        for order in &self.orders {
            let name = &order.name;
            let mut say = |text: String| wrong.push(format!("{name}: {text}"));
            if order.warehouse.len() > 1 {
                say(format!("is {} times in the warehouse", order.warehouse.len()));
            }
            let sent = added(order.warehouse.iter().flat_map(|it| &it.shipments).map(|it| &it.units));
            let parcels: Vec<&str> =
                order.warehouse.iter().flat_map(|it| &it.shipments).map(|it| it.tracking.as_str()).collect();
            for parcel in &parcels {
                let times =
                    order.fulfilments.iter().filter(|it| it.tracking.iter().any(|own| own == parcel)).count();
                if times > 1 {
                    say(format!("parcel {parcel} is {times} times in the store"));
                }
            }
            for tracking in order.fulfilments.iter().flat_map(|it| &it.tracking) {
                if !parcels.contains(&tracking.as_str()) {
                    say(format!("the store has a parcel {tracking} that the warehouse never sent"));
                }
            }
            let recorded = added(order.fulfilments.iter().map(|it| &it.units));
            for (sku, quantity) in &recorded {
                if sent.get(sku).copied().unwrap_or(0) < *quantity {
                    say(format!("the store says that {quantity} of {sku} left, which is more than did"));
                }
            }
            if let Some(gateway) = &order.gateway {
                if gateway.captures.len() > 1 {
                    say(format!("was captured {} times", gateway.captures.len()));
                }
                if gateway.captured > order.peak {
                    say(format!("{} was captured of {}", gateway.captured, order.peak));
                }
                let (paid, asked): (i64, i64) =
                    (gateway.refunds.iter().sum(), order.refunds_asked.iter().sum());
                if paid > asked {
                    say(format!("{paid} was refunded, {asked} was asked for"));
                }
                if gateway.captured > 0 && gateway.status == "canceled" {
                    say("was captured and voided".to_owned());
                }
            }
        }
        wrong
    }
}

impl OrderEntry {
    /// Sent whole, known to the store, captured once.
    fn ships(&self, tracked: bool, say: &mut dyn FnMut(String)) {
        let Some(entry) = self.warehouse.first() else { return say("is not in the warehouse".to_owned()) };
        let sent = added(entry.shipments.iter().map(|it| &it.units));
        if sent != self.wanted {
            say(format!("wanted {:?}, sent {sent:?}", self.wanted));
        }
        for shipment in &entry.shipments {
            match self.fulfilments.iter().find(|it| it.tracking.contains(&shipment.tracking)) {
                None => say(format!("parcel {} is not in the store", shipment.tracking)),
                Some(found) if found.units != shipment.units => say(format!(
                    "parcel {} has {:?}, the store says {:?}",
                    shipment.tracking, shipment.units, found.units
                )),
                Some(_) => {}
            }
            if tracked && !self.trackers.iter().any(|(code, _)| *code == shipment.tracking) {
                say(format!("parcel {} has no tracker", shipment.tracking));
            }
        }
        let Some(gateway) = self.gateway.as_ref().filter(|_| self.payment != Payment::Paid) else { return };
        match gateway.captures.as_slice() {
            [] => say("was sent and never captured".to_owned()),
            [amount] if *amount != self.total && !self.edited && self.refunds_asked.is_empty() => {
                say(format!("{amount} was captured of {}", self.total));
            }
            _ => {}
        }
    }
}
