//! Stripe's objects.

use serde_json::{Value, json};

use super::{Dispute, Intent, Refund, Status};

pub(super) fn intent(it: &Intent) -> Value {
    let received: i64 = it.captures.iter().map(|capture| capture.amount).sum();
    let capturable = if it.status == Status::RequiresCapture { it.amount } else { 0 };
    let charge = if it.status == Status::RequiresPaymentMethod { Value::Null } else { json!(it.charge) };
    json!({
        "id": it.id,
        "object": "payment_intent",
        "amount": it.amount,
        "amount_capturable": capturable,
        "amount_details": { "tip": {} },
        "amount_received": received,
        "application": null,
        "application_fee_amount": null,
        "automatic_payment_methods": null,
        "canceled_at": it.cancelled.as_ref().map(|(at, _)| at.as_second()),
        "cancellation_reason": it.cancelled.as_ref().and_then(|(_, reason)| reason.clone()),
        "capture_method": if it.captures.first().is_some_and(|capture| !capture.by_request) { "automatic" } else { "manual" },
        "client_secret": format!("{}_secret_sandbox", it.id),
        "confirmation_method": "automatic",
        "created": it.created.as_second(),
        "currency": it.currency,
        "customer": null,
        "description": null,
        "last_payment_error": null,
        "latest_charge": charge,
        "livemode": false,
        "metadata": it.metadata,
        "next_action": null,
        "on_behalf_of": null,
        "payment_method": if charge.is_null() { Value::Null } else { json!("pm_card_visa") },
        "payment_method_options": {},
        "payment_method_types": ["card"],
        "processing": null,
        "receipt_email": null,
        "setup_future_usage": null,
        "shipping": null,
        "statement_descriptor": null,
        "statement_descriptor_suffix": null,
        "status": it.status.word(),
        "transfer_data": null,
        "transfer_group": null,
    })
}

pub(super) fn charge(it: &Intent, refunded: i64) -> Value {
    let captured: i64 = it.captures.iter().map(|capture| capture.amount).sum();
    json!({
        "id": it.charge,
        "object": "charge",
        "amount": it.amount,
        "amount_captured": captured,
        "amount_refunded": refunded,
        "balance_transaction": null,
        "billing_details": { "address": null, "email": null, "name": null, "phone": null },
        "captured": captured > 0,
        "created": it.created.as_second(),
        "currency": it.currency,
        "customer": null,
        "description": null,
        "disputed": false,
        "failure_code": null,
        "failure_message": null,
        "livemode": false,
        "metadata": it.metadata,
        "outcome": { "network_status": "approved_by_network", "type": "authorized" },
        "paid": true,
        "payment_intent": it.id,
        "payment_method": "pm_card_visa",
        "receipt_email": null,
        "refunded": refunded > 0 && refunded == captured,
        "status": "succeeded",
    })
}

pub(super) fn refund(it: &Refund) -> Value {
    json!({
        "id": it.id,
        "object": "refund",
        "amount": it.amount,
        "balance_transaction": null,
        "charge": it.charge,
        "created": it.created.as_second(),
        "currency": it.currency,
        "destination_details": { "card": { "type": "refund" }, "type": "card" },
        "metadata": it.metadata,
        "payment_intent": it.intent,
        "reason": it.reason,
        "receipt_number": null,
        "source_transfer_reversal": null,
        "status": "succeeded",
        "transfer_reversal": null,
    })
}

pub(super) fn dispute(it: &Dispute) -> Value {
    json!({
        "id": it.id,
        "object": "dispute",
        "amount": it.amount,
        "balance_transactions": [],
        "charge": it.charge,
        "created": it.created.as_second(),
        "currency": it.currency,
        "evidence_details": { "due_by": it.created.as_second() + 604_800, "has_evidence": false, "past_due": false, "submission_count": 0 },
        "is_charge_refundable": false,
        "livemode": false,
        "metadata": {},
        "payment_intent": it.intent,
        "reason": it.reason,
        "status": it.status,
    })
}
