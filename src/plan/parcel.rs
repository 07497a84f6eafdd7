//! What storefronts, trackers and label shops are told of parcels.

use serde_json::Value;

use super::document::tracking;
use super::slot::{Want, heard, newest};
use crate::apply::plain_tracking;
use crate::canonical::order::Shipment;
use crate::canonical::{Class, Intent, IntentState, Order};
use crate::config::model::Flow;

/// Wants about parcels and labels.
pub(super) fn wants(order: &Order, flow: &Flow, intents: &[Intent]) -> Vec<Want> {
    let mut wants = Vec::new();
    for shipment in order.shipments.iter().filter(|one| one.account != order.storefront && !one.voided) {
        storefront(order, shipment, intents, &mut wants);
    }
    trackers(order, flow, &mut wants);
    labels(order, flow, &mut wants);
    wants
}

/// A fulfilment for each shipment that the storefront has not recorded, and its tracking when that changes.
fn storefront(order: &Order, shipment: &Shipment, intents: &[Intent], wants: &mut Vec<Want>) {
    let name = shipment.slot();
    let create = format!("fulfilment/{name}");
    let told = newest(intents, &create).filter(|intent| heard(intent.state));
    // A storefront takes no fulfilment of an order that it has cancelled.
    let closed = order.cancel.as_ref().is_some_and(|cancel| cancel.by_storefront);
    if told.is_some() || (shipment.recorded.is_none() && !closed) {
        wants.push(
            Want::new(create, &order.storefront, "fulfilment.create", Class::Tracking)
                .arg("shipment", shipment.r#ref.clone()),
        );
    }
    let (Some(told), Some(_)) = (told, &shipment.recorded) else { return };
    let slot = format!("tracking/{name}");
    let update = newest(intents, &slot);
    let said = intents
        .iter()
        .filter(|intent| intent.slot == slot && intent.state.told() && intent.state != IntentState::Rejected)
        .max_by_key(|intent| intent.generation)
        .unwrap_or(told);
    let numbers = tracking(&shipment.packages);
    if numbers.is_empty() || said_numbers(said).is_none_or(|said| said == numbers) {
        return;
    }
    let mut want = Want::new(slot, &order.storefront, "fulfilment.update", Class::Tracking)
        .arg("shipment", shipment.r#ref.clone());
    want.again = update.is_none_or(|update| {
        update.state != IntentState::Rejected || said_numbers(update).is_some_and(|said| said != numbers)
    });
    wants.push(want);
}

/// The tracking numbers that an intent told; `None` when it is not known what it told.
fn said_numbers(intent: &Intent) -> Option<Vec<String>> {
    let shipment = intent.sent_content.as_ref()?.get("shipment")?;
    let numbers = shipment.get("tracking").and_then(Value::as_array);
    Some(numbers.into_iter().flatten().filter_map(Value::as_str).map(ToOwned::to_owned).collect())
}

/// A tracker for each parcel that left, unless its label was bought where parcels are followed anyway.
fn trackers(order: &Order, flow: &Flow, wants: &mut Vec<Want>) {
    let Some(account) = &flow.tracking else { return };
    let followed = |number: &str| {
        order.labels.iter().any(|label| {
            label.account == *account
                && label.tracking.as_deref().map(plain_tracking).as_deref() == Some(number)
        })
    };
    for shipment in order.shipments.iter().filter(|shipment| !shipment.voided) {
        for package in &shipment.packages {
            let Some(number) = package.tracking.as_deref().map(plain_tracking) else { continue };
            let slot = format!("tracker/{number}");
            if number.is_empty() || followed(&number) || wants.iter().any(|want| want.slot == slot) {
                continue;
            }
            let mut want = Want::new(slot, account, "tracker.create", Class::Tracking)
                .arg("tracking", package.tracking.clone().unwrap_or_default())
                .arg("shipment", shipment.r#ref.clone());
            if let Some(carrier) = package.carrier.clone().or_else(|| shipment.carrier.clone()) {
                want = want.arg("carrier", carrier);
            }
            wants.push(want);
        }
    }
}

/// A label for what a warehouse has packed without one; and its price back when it goes unused.
fn labels(order: &Order, flow: &Flow, wants: &mut Vec<Want>) {
    let Some(account) = &flow.labels else { return };
    let open = order.cancel.is_none();
    for release in &order.releases {
        let shipped = order.shipments.iter().any(|one| one.account == release.warehouse && !one.voided);
        let slot = format!("label/{}", release.warehouse);
        let bought =
            order.labels.iter().any(|label| label.shipment.as_deref() == Some(release.warehouse.as_str()));
        if open && ((release.state == "packed" && !shipped) || bought) {
            wants.push(
                Want::new(slot, account, "label.buy", Class::Tracking)
                    .arg("warehouse", release.warehouse.0.clone()),
            );
        }
    }
    let in_time = order.cancel.as_ref().is_some_and(|cancel| cancel.outcome == "in_time");
    for label in order.labels.iter().filter(|label| label.account == *account) {
        let number = label.tracking.as_deref().map(plain_tracking);
        let mut uses = order.shipments.iter().filter(|shipment| {
            let mut numbers = tracking(&shipment.packages).into_iter();
            numbers.any(|own| Some(plain_tracking(&own)) == number)
        });
        let voided = uses.clone().next().is_some() && uses.all(|shipment| shipment.voided);
        if label.status == "bought" && (in_time || voided) {
            wants.push(
                Want::new(format!("label_refund/{}", label.r#ref), account, "label.refund", Class::Tracking)
                    .arg("label", label.r#ref.clone()),
            );
        }
    }
}
