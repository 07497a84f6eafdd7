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
    // Storefronts tell of a fulfilment as a whole, without a number.
    let mut wholes: BTreeMap<(AccountId, String), Vec<TrackingPoint>> = BTreeMap::new();
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
        let point = TrackingPoint {
            tracking: number.unwrap_or_default().to_owned(),
            status: word.to_owned(),
            at: fact.header.at,
            description: scan.description.clone(),
            place: scan.place.clone(),
        };
        let points = match (number, &fact.header.shipment) {
            (Some(number), _) => parcels.entry(plain_tracking(number)).or_default(),
            (None, Some(name)) => wholes.entry((fact.account.clone(), name.clone())).or_default(),
            (None, None) => continue,
        };
        if !points.contains(&point) {
            points.push(point);
        }
    }
    let storefront = draft.order.storefront.clone();
    let mut delivered: BTreeMap<String, u64> = BTreeMap::new();
    for shipment in draft.order.shipments.iter_mut().filter(|shipment| !shipment.voided) {
        let own = numbers(&shipment.packages);
        let record = shipment.recorded.clone().map(|name| (storefront.clone(), name));
        let named = [Some((shipment.account.clone(), shipment.r#ref.clone())), record];
        let about_all: Vec<TrackingPoint> =
            named.iter().flatten().filter_map(|name| wholes.get(name)).flatten().cloned().collect();
        let of_parcel = |number: &String| parcels.get(number).cloned().unwrap_or_default();
        // What is said of all parcels together counts where there is but one, or none with a number.
        let mut each: Vec<Vec<TrackingPoint>> = own.iter().map(of_parcel).collect();
        match each.as_mut_slice() {
            [] => each.push(about_all.clone()),
            [one] => one.extend(about_all.iter().cloned()),
            _ => {}
        }
        for points in &mut each {
            points.sort_by(|one, two| (one.at, &one.status).cmp(&(two.at, &two.status)));
        }
        let statuses: Vec<Option<&str>> = each.iter().map(|points| newest(points)).collect();
        shipment.status = whole(&statuses).map(ToOwned::to_owned);
        shipment.events = own.iter().flat_map(of_parcel).chain(about_all).collect();
        shipment.events.sort_by(|one, two| {
            (one.at, &one.tracking, &one.status).cmp(&(two.at, &two.tracking, &two.status))
        });
        shipment.events.dedup();
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
