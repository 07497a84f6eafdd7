//! The state of one SKU of one client at one warehouse: the last levels heard, and who has units reserved.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::fact::Departure;
use super::{AccountId, ClientId, EntityId, When};

/// Units of one order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reservation {
    /// Units wanted in all, those that have left included; 0 once given back.
    pub wanted: u64,
    /// Units that have left the warehouse.
    pub left: Vec<Departure>,
    /// Newest generation of the question.
    pub generation: u64,
    /// When the order first asked: first come, first served.
    pub asked: Option<When>,
    /// What was answered last.
    pub answered: Option<Answered>,
}

impl Reservation {
    /// Units that have left the warehouse.
    #[must_use]
    pub fn shipped(&self) -> u64 {
        self.left.iter().fold(0, |sum, departure| sum.saturating_add(departure.quantity))
    }
    /// Units wanted that have not left.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.wanted.saturating_sub(self.shipped())
    }
}

/// An answer of the stock to an order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Answered {
    /// Units reserved, those that have left included.
    pub reserved: u64,
    /// Units short.
    pub short: u64,
    /// Which question was answered.
    pub generation: u64,
}

/// The last level heard of one place of the warehouse.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PlaceLevel {
    /// Units there.
    pub units: i64,
    /// The moment for which the level was told.
    pub as_of: When,
}

/// What all reservations come to, so that an order which asks concerns nobody else as long as there is enough.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sums {
    /// Units wanted that have not left.
    pub open: u64,
    /// Units that left after the level of their place.
    pub gone: u64,
    /// The generations of the questions, added up.
    pub generations: u64,
    /// Nobody stands in the queue behind this: when the order asked, and which.
    pub last: Option<(Option<When>, EntityId)>,
}

/// Stock of one SKU at one warehouse.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stock {
    /// Our id.
    pub id: EntityId,
    /// The merchant.
    pub client: ClientId,
    /// The warehouse account.
    pub warehouse: AccountId,
    /// The SKU, our name.
    pub sku: String,
    /// Last levels by the warehouse's places (`""` where it names none); empty before any was heard.
    #[serde(default)]
    pub places: BTreeMap<String, PlaceLevel>,
    /// Reservations by order: all, or those of the orders that are told of. They are stored beside the state, each by
    /// itself; states of earlier versions have them inside.
    #[serde(default, skip_serializing)]
    pub orders: BTreeMap<EntityId, Reservation>,
    /// What all reservations come to; `None` in states of earlier versions, and where numbers are out of all reason.
    #[serde(default)]
    pub sums: Option<Sums>,
    /// Units that storefronts may sell, as planned last; `None` before any level was heard. May be below zero.
    #[serde(default)]
    pub available: Option<i64>,
}

impl Stock {
    /// Stock of which nothing was heard.
    #[must_use]
    pub fn empty(client: ClientId, warehouse: AccountId, sku: String) -> Self {
        Self {
            id: EntityId::stock(&client, &warehouse, &sku),
            client,
            warehouse,
            sku,
            places: BTreeMap::new(),
            orders: BTreeMap::new(),
            sums: None,
            available: None,
        }
    }

    /// Units on hand over all places at their last levels; `None` before any was heard.
    #[must_use]
    pub fn level(&self) -> Option<i64> {
        if self.places.is_empty() {
            return None;
        }
        Some(self.places.values().fold(0, |sum: i64, place| sum.saturating_add(place.units)))
    }

    /// What `orders` come to; `None` where that is more than can be counted.
    #[must_use]
    pub fn summed(&self) -> Option<Sums> {
        let mut sums = Sums::default();
        for (id, known) in &self.orders {
            sums.open = sums.open.checked_add(known.open())?;
            sums.gone = sums.gone.checked_add(self.gone(known))?;
            sums.generations = sums.generations.checked_add(known.generation)?;
            sums.last = sums.last.max(Some((known.asked, id.clone())));
        }
        Some(sums)
    }

    /// Units of a reservation that left after the level of their place, so that the last levels still count them.
    #[must_use]
    pub fn gone(&self, known: &Reservation) -> u64 {
        let newest = self.as_of();
        // Where it is not known from which place they went, the newest level of all places counts.
        let as_of = |name: &Option<String>| {
            let place = name.as_ref().and_then(|name| self.places.get(name)).map(|place| place.as_of);
            place.or(newest)
        };
        let since =
            known.left.iter().filter(|left| as_of(&left.location).is_some_and(|as_of| left.at > as_of));
        since.fold(0, |units, left| units.saturating_add(left.quantity))
    }

    /// The newest moment for which a level was told.
    #[must_use]
    pub fn as_of(&self) -> Option<When> {
        self.places.values().map(|place| place.as_of).max()
    }
}
