//! Money at the gateway: captures, voids, refunds.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::document::trouble;
use super::slot::{Want, heard};
use crate::apply::{open_promise, peak_in, total_in};
use crate::canonical::order::Payment;
use crate::canonical::{AccountId, Class, Exception, Intent, Money, Order};
use crate::config::model::{CaptureRule, Flow, RefundRule};

/// Wants at the gateway, and what cannot be wanted.
pub(super) fn wants(order: &Order, flow: &Flow, intents: &[Intent]) -> (Vec<Want>, Vec<Exception>) {
    let Some(gateway) = &flow.gateway else { return (Vec::new(), Vec::new()) };
    let payments: Vec<&Payment> =
        order.payments.iter().filter(|payment| payment.account == *gateway).collect();
    let mut wants = Vec::new();
    captures(order, flow, gateway, &payments, intents, &mut wants);
    voids(order, flow, gateway, &payments, intents, &mut wants);
    let mut exceptions = Vec::new();
    if flow.refund == RefundRule::Gateway {
        refunds(order, gateway, &payments, &mut wants, &mut exceptions);
    }
    (wants, exceptions)
}

/// Whether the moment to capture has come. An order that is or may still be cancelled in time is never captured.
fn capture_now(order: &Order, flow: &Flow) -> bool {
    if order.cancel.as_ref().is_some_and(|cancel| cancel.outcome != "too_late") {
        return false;
    }
    let left = order.shipments.iter().any(|shipment| !shipment.voided);
    match flow.capture {
        CaptureRule::None => false,
        CaptureRule::FirstShipment => left,
        CaptureRule::Release => {
            let there = ["accepted", "allocated", "backordered", "picked", "packed", "shipped"];
            left || order.releases.iter().any(|release| there.contains(&release.state.as_str()))
        }
    }
}

/// What is owed of each currency is captured once, payment by payment, and never more than was promised.
fn captures(
    order: &Order,
    flow: &Flow,
    gateway: &AccountId,
    payments: &[&Payment],
    intents: &[Intent],
    wants: &mut Vec<Want>,
) {
    let now = capture_now(order, flow);
    let mut owed: BTreeMap<String, Money> = BTreeMap::new();
    for payment in payments {
        let slot = format!("capture/{}", payment.r#ref);
        let Some(promised) = open_promise(payment) else { continue };
        let currency = promised.currency().code().to_owned();
        let left = *owed.entry(currency.clone()).or_insert_with(|| to_capture(order, payments, promised));
        let amount = least(left, promised);
        if amount.is_zero() || amount.amount().is_sign_negative() {
            continue;
        }
        if let Ok(rest) = left.minus(amount) {
            owed.insert(currency, rest);
        }
        if now || intents.iter().any(|intent| intent.slot == slot && heard(intent.state)) {
            wants.push(
                Want::new(slot, gateway, "payment.capture", Class::Money)
                    .arg("payment", payment.r#ref.clone())
                    .arg("amount", amount.to_string()),
            );
        }
    }
}

fn least(one: Money, two: Money) -> Money {
    if one.compare(two).is_ok_and(Ordering::is_lt) { one } else { two }
}

/// What is still to be taken in the currency of `promised`. What the order comes to now is less what was refunded; that
/// was taken before. But never more in all than the order ever came to.
fn to_capture(order: &Order, payments: &[&Payment], promised: Money) -> Money {
    let now = total_in(order, promised).unwrap_or(promised);
    let due = payments
        .iter()
        .filter_map(|payment| payment.refunded)
        .fold(now, |due, refunded| due.plus(refunded).unwrap_or(due));
    let due = least(due, peak_in(order, promised).unwrap_or(promised));
    payments
        .iter()
        .filter_map(|payment| payment.captured)
        .fold(due, |left, captured| left.minus(captured).unwrap_or(left))
}

/// After a cancellation in time a promise of which nothing was or may be captured is dropped.
fn voids(
    order: &Order,
    flow: &Flow,
    gateway: &AccountId,
    payments: &[&Payment],
    intents: &[Intent],
    wants: &mut Vec<Want>,
) {
    let in_time = order.cancel.as_ref().is_some_and(|cancel| cancel.outcome == "in_time");
    if !in_time || flow.capture == CaptureRule::None {
        return;
    }
    for payment in payments {
        let capture = format!("capture/{}", payment.r#ref);
        let captured = payment.captured.is_some_and(|captured| !captured.is_zero())
            || intents.iter().any(|intent| intent.slot == capture && heard(intent.state));
        if !captured && open_promise(payment).is_some() {
            wants.push(
                Want::new(format!("void/{}", payment.r#ref), gateway, "payment.void", Class::Money)
                    .arg("payment", payment.r#ref.clone()),
            );
        }
    }
}

/// What the storefront wants refunded goes back as told, once money was captured to take it from: from the first payment
/// that holds enough.
fn refunds(
    order: &Order,
    gateway: &AccountId,
    payments: &[&Payment],
    wants: &mut Vec<Want>,
    exceptions: &mut Vec<Exception>,
) {
    let mut held: Vec<(&str, Money)> =
        payments.iter().filter_map(|payment| Some((payment.r#ref.as_str(), payment.captured?))).collect();
    for refund in &order.refunds {
        let Some(amount) = refund.amount.filter(|amount| !amount.is_zero()) else { continue };
        let none = held.is_empty();
        let enough = held.iter_mut().find(|(_, held)| held.compare(amount).is_ok_and(Ordering::is_ge));
        match enough {
            Some((payment, held)) => {
                *held = held.minus(amount).unwrap_or(*held);
                wants.push(
                    Want::new(format!("refund/{}", refund.r#ref), gateway, "payment.refund", Class::Money)
                        .arg("payment", *payment)
                        .arg("amount", amount.to_string())
                        .arg("refund", refund.r#ref.clone()),
                );
            }
            None if none => {}
            None => {
                let message = format!(
                    "the storefront refunds {amount} (refund {}), more than one payment at {gateway} still holds",
                    refund.r#ref
                );
                let remedy = format!("refund it at {gateway} by hand, from several payments if need be");
                let found = trouble(order, "refund_too_large", format!("refund:{}", order.id), message);
                exceptions.push(found.with(gateway, remedy).0);
            }
        }
    }
}
