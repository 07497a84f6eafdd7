//! Goods that left: the warehouses' shipments, the storefront's records of them, and on which lines their units fall.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::ledger::{Ledger, name_of};
use super::plain_tracking;
use super::project::Draft;
use super::warehouse::behind;
use crate::canonical::fact::{Package, Part, Recorded};
use crate::canonical::order::{LabelState, Shipment};
use crate::canonical::{AccountId, Body, Fact, Intent};

/// Words of the storefront for a record that stands, and for one that does not.
const STANDING: &[&str] = &["success", "pending", "open", "fulfilled", "submitted", "in_progress"];
const FALLEN: &[&str] = &["cancelled", "canceled", "error", "failure", "failed"];

/// Fills in shipments and labels, and the units shipped.
pub(super) fn project(draft: &mut Draft<'_>, ledger: &Ledger<'_>) {
    labels(draft, ledger);
    let mut shipments = left(draft, ledger);
    tell_apart(draft, &mut shipments);
    let records = recorded(draft, ledger);
    // A record of a shipment of ours is its echo; any other is an observation.
    let unmatched = echoes(draft, &mut shipments, records);
    shipments.sort_by(|one, two| (one.at, &one.account, &one.r#ref).cmp(&(two.at, &two.account, &two.r#ref)));
    let mut gone = Gone::new(draft.order.lines.len());
    let told = first_told(draft);
    for shipment in shipments.iter_mut().filter(|shipment| !shipment.voided) {
        gone.allocate(draft, shipment);
    }
    // What the storefront had recorded before any warehouse was told of the order has left by other ways and need not be
    // sent; once one was told, that is no more than what none was told of.
    let served = told.is_some() || !shipments.is_empty();
    for (mut shipment, since) in unmatched {
        if served {
            if told.is_none_or(|told| since >= told) {
                continue;
            }
            shipment.lines = gone.untold(draft, &shipment);
            if shipment.lines.is_empty() {
                continue;
            }
        }
        gone.allocate(draft, &mut shipment);
        shipments.push(shipment);
    }
    for (line, units) in draft.order.lines.iter_mut().zip(&gone.units) {
        line.shipped = *units;
    }
    for index in 0..draft.order.lines.len() {
        let line = &draft.order.lines[index];
        if line.shipped > line.ordered {
            let message = format!(
                "{} of `{}` left, but only {} were ordered",
                line.shipped,
                line.sku.as_deref().unwrap_or(&line.r#ref),
                line.ordered
            );
            draft.problem(format!("over_shipped:{}", draft.order.id), message);
        }
    }
    draft.order.shipments = shipments;
}

fn labels(draft: &mut Draft<'_>, ledger: &Ledger<'_>) {
    let name =
        |fact: &Fact| name_of(fact, &[&fact.header.shipment, &fact.header.r#ref, &fact.header.tracking]);
    let refunded =
        ledger.newest(|body| if let Body::LabelRefunded(label) = body { Some(label) } else { None }, name);
    let bought =
        ledger.newest(|body| if let Body::LabelBought(label) = body { Some(label) } else { None }, name);
    draft.order.labels = bought
        .into_iter()
        .map(|((account, name), (fact, label))| {
            let back = refunded.get(&(account.clone(), name.clone()));
            // Which intent bought it: by the reference that we sent with the command.
            let slot = fact.header.our.as_deref().and_then(|our| {
                let intent = draft.intents.iter().find(|intent| intent.id.to_string() == our)?;
                behind(&intent.slot, "label").map(ToOwned::to_owned)
            });
            LabelState {
                account,
                r#ref: name,
                shipment: slot,
                tracking: fact.header.tracking.clone(),
                cost: label.cost,
                url: label.url.clone(),
                status: back.map_or("bought".to_owned(), |(_, told)| {
                    told.status.clone().unwrap_or("refund_submitted".to_owned())
                }),
            }
        })
        .collect();
}

/// What warehouses say left.
fn left(draft: &Draft<'_>, ledger: &Ledger<'_>) -> Vec<Shipment> {
    let name =
        |fact: &Fact| name_of(fact, &[&fact.header.shipment, &fact.header.r#ref, &fact.header.tracking]);
    let voided =
        ledger.newest(|body| if let Body::ShipmentVoided(told) = body { Some(told) } else { None }, name);
    let told = ledger.newest(|body| if let Body::Shipped(told) = body { Some(told) } else { None }, name);
    told.into_iter()
        .map(|((account, name), (fact, shipped))| {
            let mut packages = shipped.packages.clone();
            let label = draft.order.labels.iter().find(|label| label.shipment.as_deref() == Some(&name));
            if packages.iter().all(|package| package.tracking.is_none())
                && let Some(number) =
                    fact.header.tracking.clone().or_else(|| label.and_then(|label| label.tracking.clone()))
            {
                packages = vec![Package {
                    r#ref: None,
                    tracking: Some(number),
                    url: None,
                    carrier: shipped.carrier.clone(),
                    service: shipped.service.clone(),
                    weight: None,
                }];
            }
            Shipment {
                voided: voided.contains_key(&(account.clone(), name.clone())),
                account,
                r#ref: name,
                lines: shipped.lines.clone(),
                packages,
                carrier: shipped.carrier.clone(),
                service: shipped.service.clone(),
                location: shipped.location.clone(),
                at: fact.header.at,
                recorded: None,
                status: None,
                events: Vec::new(),
                name: None,
            }
        })
        .collect()
}

/// Gives shipments of which two warehouses have called theirs the same names of their own. The plain one stays with the
/// shipment that the storefront was told of under it, else with the first account.
fn tell_apart(draft: &Draft<'_>, shipments: &mut [Shipment]) {
    let twins: BTreeSet<String> = shipments
        .iter()
        .filter(|one| shipments.iter().any(|two| two.r#ref == one.r#ref && two.account != one.account))
        .map(|one| one.r#ref.clone())
        .collect();
    for twin in twins {
        let told = |name: &str| {
            let told =
                |intent: &&&Intent| behind(&intent.slot, "fulfilment") == Some(name) && intent.state.told();
            draft.intents.iter().filter(told).max_by_key(|intent| intent.generation)
        };
        let said = |intent: &&Intent| {
            let account = intent.sent_content.as_ref()?.get("shipment")?.get("warehouse")?;
            account.as_str().map(AccountId::from)
        };
        let first = shipments.iter().filter(|one| one.r#ref == twin).map(|one| one.account.clone()).min();
        let Some(plain) = told(&twin).and_then(said).or(first) else { continue };
        for one in shipments.iter_mut().filter(|one| one.r#ref == twin && one.account != plain) {
            one.name = Some(format!("{twin}@{}", one.account));
        }
    }
}

/// The storefront's records that stand, and since when.
fn recorded(draft: &mut Draft<'_>, ledger: &Ledger<'_>) -> Vec<(Shipment, Timestamp)> {
    let records = ledger.newest(
        |body| if let Body::Recorded(told) = body { Some(told) } else { None },
        |fact| name_of(fact, &[&fact.header.shipment, &fact.header.r#ref]),
    );
    let mut standing = Vec::new();
    for ((account, name), (fact, told)) in records {
        if account != draft.order.storefront {
            continue;
        }
        let word = told.status.as_deref().unwrap_or("success").to_lowercase();
        if FALLEN.contains(&word.as_str()) {
            continue;
        }
        if !STANDING.contains(&word.as_str()) {
            draft.unknown_word(&account, "fulfilment", &word);
        }
        let since = fact.header.at.map_or(fact.heard, |at| at.instant());
        standing.push((record_as_shipment(account, name, fact, told), since));
    }
    standing.sort_by(|(one, _), (two, _)| (one.at, &one.r#ref).cmp(&(two.at, &two.r#ref)));
    standing
}

fn record_as_shipment(account: AccountId, name: String, fact: &Fact, told: &Recorded) -> Shipment {
    Shipment {
        account,
        recorded: Some(name.clone()),
        r#ref: name,
        lines: told.lines.clone(),
        packages: told.packages.clone(),
        carrier: told.packages.iter().find_map(|package| package.carrier.clone()),
        service: None,
        location: None,
        at: fact.header.at,
        voided: false,
        status: None,
        events: Vec::new(),
        name: None,
    }
}

pub(super) fn numbers(packages: &[Package]) -> BTreeSet<String> {
    packages.iter().filter_map(|package| package.tracking.as_deref()).map(plain_tracking).collect()
}

/// Ties the storefront's records to our shipments: by a tracking number that both carry, else, for shipments that we
/// told the storefront of, by equal lines, else by being the only two left. Gives the records that are nobody's echo.
fn echoes(
    draft: &Draft<'_>,
    shipments: &mut [Shipment],
    mut records: Vec<(Shipment, Timestamp)>,
) -> Vec<(Shipment, Timestamp)> {
    records.retain(|(record, _)| {
        let theirs = numbers(&record.packages);
        let mut ours =
            shipments.iter_mut().filter(|shipment| !numbers(&shipment.packages).is_disjoint(&theirs));
        let Some(first) = ours.next() else { return true };
        first.recorded.get_or_insert_with(|| record.r#ref.clone());
        for other in ours {
            other.recorded.get_or_insert_with(|| record.r#ref.clone());
        }
        false
    });
    // What was recorded before any warehouse was told, of units that none was told of, is nobody's echo.
    let none = Gone::new(draft.order.lines.len());
    let (mut elsewhere, mut records): (Vec<_>, Vec<_>) = records.into_iter().partition(|(record, since)| {
        first_told(draft).is_some_and(|told| *since < told) && !none.untold(draft, record).is_empty()
    });
    let told: BTreeSet<&str> = draft
        .intents
        .iter()
        .filter(|intent| intent.state.told())
        .filter_map(|intent| behind(&intent.slot, "fulfilment"))
        .collect();
    let open = |shipment: &Shipment| shipment.recorded.is_none() && told.contains(shipment.slot());
    records.retain(|(record, _)| {
        let theirs = amounts(draft, record);
        let same = shipments
            .iter_mut()
            .find(|shipment| open(shipment) && !theirs.is_empty() && amounts(draft, shipment) == theirs);
        same.is_none_or(|shipment| {
            shipment.recorded = Some(record.r#ref.clone());
            false
        })
    });
    if let [(record, _)] = records.as_slice() {
        let mut rest = shipments.iter_mut().filter(|shipment| open(shipment));
        if let (Some(shipment), None) = (rest.next(), rest.next()) {
            shipment.recorded = Some(record.r#ref.clone());
            records.clear();
        }
    }
    elsewhere.append(&mut records);
    elsewhere
}

/// When the first warehouse was told of the order.
fn first_told(draft: &Draft<'_>) -> Option<Timestamp> {
    let releases = draft.intents.iter().filter(|intent| behind(&intent.slot, "release").is_some());
    releases.filter(|intent| intent.state.told()).map(|intent| intent.created).min()
}

/// Units by the line that each part means first.
fn amounts(draft: &Draft<'_>, shipment: &Shipment) -> BTreeMap<usize, u64> {
    let mut amounts = BTreeMap::new();
    for part in &shipment.lines {
        if let Some(index) = draft.lines_of(Some(&shipment.account), part).first() {
            let (theirs, ours) = draft.ratio(&shipment.account, *index);
            let units: &mut u64 = amounts.entry(*index).or_default();
            *units = units.saturating_add(part.quantity.saturating_mul(ours) / theirs.max(1));
        }
    }
    amounts
}

/// Units gone, while shipments are allocated to lines in the order in which they left.
struct Gone {
    /// By line.
    units: Vec<u64>,
    /// In the partner's own units, by account and line: three of a pack of six are no pack yet.
    theirs: BTreeMap<(AccountId, usize), u64>,
    /// Of an order that is split: by warehouse and line.
    own: BTreeMap<(AccountId, usize), u64>,
}

impl Gone {
    fn new(lines: usize) -> Self {
        Self { units: vec![0; lines], theirs: BTreeMap::new(), own: BTreeMap::new() }
    }

    /// Of the storefront's record the units that no warehouse was told to send.
    fn untold(&self, draft: &Draft<'_>, record: &Shipment) -> Vec<Part> {
        let lines = draft.order.lines.iter().enumerate();
        let mut room: Vec<u64> = lines
            .map(|(index, line)| draft.wanted(index).saturating_sub(line.released.max(self.units[index])))
            .collect();
        let part = |index: usize, quantity: u64| Part {
            quantity,
            line: Some(draft.order.lines[index].r#ref.clone()),
            sku: draft.order.lines[index].sku.clone(),
            reason: None,
            condition: None,
        };
        if record.lines.is_empty() {
            let ships = (0..room.len()).filter(|index| draft.order.lines[*index].ships && room[*index] > 0);
            return ships.map(|index| part(index, room[index])).collect();
        }
        let mut parts = Vec::new();
        for told in &record.lines {
            let mut left = told.quantity;
            for index in draft.lines_of(Some(&record.account), told) {
                let units = left.min(room[index]);
                if units > 0 {
                    (left, room[index]) = (left - units, room[index] - units);
                    parts.push(part(index, units));
                }
            }
        }
        parts
    }

    /// Puts the shipment's units on lines: first on units that are still wanted, then on units that were taken off, and
    /// what is over on the first line that may be meant. Rewrites the shipment's parts by line.
    fn allocate(&mut self, draft: &mut Draft<'_>, shipment: &mut Shipment) {
        let before = self.units.clone();
        if shipment.lines.is_empty() {
            for index in 0..self.units.len() {
                if draft.order.lines[index].ships {
                    let meant = draft.meant(&shipment.account, index);
                    // Of an order that is split, all that is left of the warehouse's own part.
                    self.units[index] = match draft.parts.get(&shipment.account) {
                        Some(_) => {
                            let own = self.own.get(&(shipment.account.clone(), index)).copied().unwrap_or(0);
                            self.units[index].saturating_add(meant.saturating_sub(own))
                        }
                        None => self.units[index].max(meant),
                    };
                }
            }
        }
        for part in shipment.lines.clone() {
            let lines = draft.lines_of(Some(&shipment.account), &part);
            if lines.is_empty() && draft.placed {
                draft.unknown_line(&shipment.account, &part);
            }
            self.take(draft, &shipment.account, &lines, part.quantity);
        }
        if draft.parts.contains_key(&shipment.account) {
            for (index, (now, before)) in self.units.iter().zip(&before).enumerate() {
                *self.own.entry((shipment.account.clone(), index)).or_default() += now - before;
            }
        }
        if !draft.placed {
            return;
        }
        shipment.lines = draft
            .order
            .lines
            .iter()
            .enumerate()
            .filter(|(index, _)| self.units[*index] > before[*index])
            .map(|(index, line)| Part {
                quantity: self.units[index] - before[index],
                line: Some(line.r#ref.clone()),
                sku: line.sku.clone(),
                reason: None,
                condition: None,
            })
            .collect();
    }

    fn take(&mut self, draft: &Draft<'_>, account: &AccountId, lines: &[usize], quantity: u64) {
        let mut left = quantity;
        for (pass, index) in
            [0, 1, 2].into_iter().flat_map(|pass| lines.iter().map(move |line| (pass, *line)))
        {
            if left == 0 {
                return;
            }
            let (theirs, ours) = draft.ratio(account, index);
            let limit = match pass {
                0 => draft.wanted(index),
                1 => draft.order.lines[index].ordered,
                _ => u64::MAX,
            };
            let held = self.theirs.entry((account.clone(), index)).or_default();
            let room = if limit == u64::MAX {
                u64::MAX
            } else {
                let whole = limit.saturating_sub(self.units[index]).saturating_mul(theirs) / ours.max(1);
                // What came of a pack already fills it up first.
                whole.saturating_sub(*held % theirs.max(1))
            };
            let taken = left.min(room);
            let packs = |theirs_units: u64| theirs_units.saturating_mul(ours) / theirs.max(1);
            let more = packs(held.saturating_add(taken)) - packs(*held);
            *held = held.saturating_add(taken);
            self.units[index] = self.units[index].saturating_add(more);
            left -= taken;
        }
    }
}
