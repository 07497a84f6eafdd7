//! What a person must see of an order, grouped by what one remedy solves. Refused and unsettled commands are not here:
//! they are exceptions of their own from the moment in which they are settled, until they are done or taken back.

use super::document::trouble;
use super::slot::{heard, newest};
use super::split;
use crate::canonical::order::OrderLine;
use crate::canonical::{Body, Exception, Fact, Intent, Order};

/// Troubles of the order itself.
pub(super) fn find(order: &Order, intents: &[Intent]) -> Vec<Exception> {
    let mut found: Vec<Exception> = order
        .problems
        .iter()
        .map(|problem| {
            let kind = problem.cause.split(':').next().unwrap_or("problem").to_owned();
            let help = match kind.as_str() {
                "unknown_word" => "add the word to the mapping's look-up table; what waits goes on by itself",
                "over_shipped" => "see what left at the warehouse; refund or take back what was not ordered",
                _ => "see the order's timeline for who says what",
            };
            trouble(order, &kind, problem.cause.clone(), problem.message.clone())
                .with(&order.storefront, help.to_owned())
                .0
        })
        .collect();
    releases(order, &mut found);
    parcels(order, intents, &mut found);
    disputes(order, &mut found);
    found
}

/// Whether a person has put the order away.
pub(super) fn put_away(facts: &[Fact]) -> bool {
    facts.iter().any(|fact| matches!(&fact.body, Body::Decision(decision) if decision.what == "close"))
}

fn releases(order: &Order, found: &mut Vec<Exception>) {
    let id = &order.id;
    let ours = split::ours(order);
    if order.cancel.as_ref().is_some_and(|cancel| cancel.outcome == "too_late") {
        let message = "cancelled in the storefront after goods had left or the warehouse refused".to_owned();
        let help = "stop the parcel at the carrier or wait for the return; then close the order".to_owned();
        let one = trouble(order, "cancel_too_late", format!("cancel_too_late:{id}"), message);
        found.push(one.with(&order.storefront, help).0);
    }
    for release in order.releases.iter().filter(|_| order.cancel.is_none()) {
        let warehouse = &release.warehouse;
        let reason = release.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let (kind, what) = match release.state.as_str() {
            // A command that was refused stands as an exception of its own.
            "rejected" => ("warehouse_rejected", "will not send the order"),
            "cancelled" => {
                ("warehouse_cancelled", "has cancelled the order, which the storefront still wants")
            }
            _ => continue,
        };
        // Of an order that is split, others may have taken over what it does not send.
        let with = |line: &OrderLine| {
            let parts = order.releases.iter().filter_map(|release| release.lines.get(&line.r#ref));
            parts.fold(0_u64, |sum, units| sum.saturating_add(*units))
        };
        let wanted = ours
            .lines
            .iter()
            .any(|line| line.ships && line.open() > 0 && !(release.in_part() && with(line) >= line.wanted()));
        if !wanted {
            continue;
        }
        let message = format!("{warehouse} {what}{reason}");
        let help = format!("settle it with {warehouse}, or cancel the order in the storefront");
        found.push(trouble(order, kind, format!("{kind}:{id}"), message).with(warehouse, help).0);
    }
}

fn parcels(order: &Order, intents: &[Intent], found: &mut Vec<Exception>) {
    for shipment in &order.shipments {
        let slot = format!("fulfilment/{}", shipment.slot());
        let told = newest(intents, &slot).is_some_and(|intent| heard(intent.state));
        if shipment.voided && told {
            let message = format!(
                "{} took shipment {} back after the storefront had been told of it",
                shipment.account, shipment.r#ref
            );
            let help = "cancel the fulfilment in the storefront, then close or correct the order".to_owned();
            let one = trouble(order, "shipment_voided", format!("shipment_voided:{}", order.id), message);
            found.push(one.with(&order.storefront, help).0);
        }
        let status = shipment.status.as_deref().unwrap_or_default();
        if !shipment.voided
            && ["failure", "return_to_sender"].contains(&status)
            && order.axes.returns == "none"
        {
            let message = format!("the carrier reports {status} for shipment {}", shipment.r#ref);
            let help = "ask the carrier and the buyer; then send again, refund or close the order".to_owned();
            let one = trouble(order, "delivery_failed", format!("delivery:{}", order.id), message);
            found.push(one.with(&shipment.account, help).0);
        }
    }
}

fn disputes(order: &Order, found: &mut Vec<Exception>) {
    for payment in &order.payments {
        for dispute in payment.disputes.iter().filter(|dispute| dispute.status == "needs_response") {
            let amount = dispute.amount.map(|amount| format!(" of {amount}")).unwrap_or_default();
            let message = format!("the buyer disputes payment {}{amount}", payment.r#ref);
            let help = format!("answer the dispute at {}", payment.account);
            let one = trouble(order, "dispute", format!("dispute:{}", dispute.r#ref), message);
            found.push(one.with(&payment.account, help).0);
        }
    }
}
