//! Where parcels are: the carriers' events, sorted by their instants.

use std::collections::BTreeMap;

use super::ledger::Ledger;
use super::plain_tracking;
use super::project::Draft;
use super::shipment::numbers;
use crate::canonical::fact::TRACKING_STATUS;
use crate::canonical::order::TrackingPoint;
use crate::canonical::{AccountId, Body};

/// Fills in the shipments' events and statuses, and the units delivered.
pub(super) fn project(draft: &mut Draft<'_>, ledger: &Ledger<'_>) {
    // A tracker's events may name the tracker alone.
    let trackers: BTreeMap<(&AccountId, &str), &str> = ledger
        .all()
        .filter_map(|fact| {
            Some(((&fact.account, fact.header.tracker.as_deref()?), fact.header.tracking.as_deref()?))
        })
        .collect();
    let mut parcels: BTreeMap<String, Vec<TrackingPoint>> = BTreeMap::new();
    for (fact, scan) in ledger.pick(|body| if let Body::Scan(scan) = body { Some(scan) } else { None }) {
        let number = fact.header.tracking.as_deref().or_else(|| {
            let tracker = fact.header.tracker.as_deref()?;
            trackers.get(&(&fact.account, tracker)).copied()
        });
        let word = scan.status.0.as_str();
        if word == "unknown" || !TRACKING_STATUS.contains(&word) {
            let said = scan.said.as_deref().unwrap_or(word);
            draft.unknown_word(&fact.account, "tracking", said);
        }
        let Some(number) = number else { continue };
        let point = TrackingPoint {
            tracking: number.to_owned(),
            status: word.to_owned(),
            at: fact.header.at,
            description: scan.description.clone(),
            place: scan.place.clone(),
        };
        let points = parcels.entry(plain_tracking(number)).or_default();
        if !points.contains(&point) {
            points.push(point);
        }
    }
    for points in parcels.values_mut() {
        points.sort_by(|one, two| (one.at, &one.status).cmp(&(two.at, &two.status)));
    }
    let mut delivered: BTreeMap<String, u64> = BTreeMap::new();
    for shipment in draft.order.shipments.iter_mut().filter(|shipment| !shipment.voided) {
        let own = numbers(&shipment.packages);
        let statuses: Vec<Option<&str>> =
            own.iter().map(|number| parcels.get(number).and_then(|points| newest(points))).collect();
        shipment.status = whole(&statuses).map(ToOwned::to_owned);
        shipment.events = own.iter().filter_map(|number| parcels.get(number)).flatten().cloned().collect();
        shipment.events.sort_by(|one, two| {
            (one.at, &one.tracking, &one.status).cmp(&(two.at, &two.tracking, &two.status))
        });
        if shipment.status.as_deref() == Some("delivered") {
            for part in &shipment.lines {
                if let Some(line) = &part.line {
                    let units = delivered.entry(line.clone()).or_default();
                    *units = units.saturating_add(part.quantity);
                }
            }
        }
    }
    for line in &mut draft.order.lines {
        line.delivered = delivered.get(&line.r#ref).copied().unwrap_or(0);
    }
}

/// The status of one parcel: the newest word that is known. What arrived stays arrived, unless it goes back.
fn newest(points: &[TrackingPoint]) -> Option<&str> {
    let mut status: Option<&str> = None;
    for point in points {
        let word = point.status.as_str();
        let known = word != "unknown" && TRACKING_STATUS.contains(&word);
        if known && (status != Some("delivered") || word == "return_to_sender") {
            status = Some(word);
        }
    }
    status
}

/// How far along a parcel is, and how much it matters: the smallest tells of several parcels together.
fn rank(status: &str) -> u8 {
    match status {
        "return_to_sender" => 0,
        "failure" => 1,
        "cancelled" => 2,
        "pre_transit" => 3,
        "in_transit" => 4,
        "out_for_delivery" => 5,
        "available_for_pickup" => 6,
        "delivered" => 7,
        _ => 8,
    }
}

/// The status of several parcels together: trouble first, then the one that is least far.
pub(super) fn whole<'s>(statuses: &[Option<&'s str>]) -> Option<&'s str> {
    let told = statuses.iter().flatten().copied().min_by_key(|status| rank(status))?;
    // Of a parcel of which nothing was heard it is not known that it arrived.
    let silent = statuses.iter().any(Option::is_none);
    Some(if silent && told == "delivered" { "in_transit" } else { told })
}
