//! Facts, commands and words of state as a person says them. No personal data is said here.

use jiff::Timestamp;

use crate::canonical::fact::{Package, Part};
use crate::canonical::{Body, Fact, Money};
use crate::ports::CauseRow;

/// A headline and what stands beside it.
pub struct Said {
    /// `Payment captured`.
    pub title: String,
    /// `59.90 USD · stripe`.
    pub text: String,
}

fn said<const N: usize>(title: &str, parts: [Option<String>; N]) -> Said {
    let text: Vec<String> = parts.into_iter().flatten().filter(|part| !part.is_empty()).collect();
    Said { title: title.to_owned(), text: text.join(" · ") }
}

fn money(amount: Option<Money>) -> Option<String> {
    amount.map(|amount| amount.to_string())
}

fn labelled(label: &str, value: Option<impl ToString>) -> Option<String> {
    value.map(|value| format!("{label} {}", value.to_string()))
}

/// `2 × TEA-01, 1 × MUG-02`.
pub fn parts(parts: &[Part]) -> Option<String> {
    let said: Vec<String> = parts
        .iter()
        .map(|part| {
            let what = part.sku.as_deref().or(part.line.as_deref()).unwrap_or("?");
            format!("{} × {what}", part.quantity)
        })
        .collect();
    (!said.is_empty()).then(|| said.join(", "))
}

fn tracking(packages: &[Package]) -> Option<String> {
    let numbers: Vec<&str> = packages.iter().filter_map(|package| package.tracking.as_deref()).collect();
    (!numbers.is_empty()).then(|| numbers.join(", "))
}

/// `3 lines`, `1 line`.
pub fn count(number: impl ToString + Copy, one: &str, many: &str) -> String {
    let number = number.to_string();
    let what = if number == "1" { one } else { many };
    format!("{number} {what}")
}

/// What stands behind exceptions of one cause, with how many wait for it: ``cancel_reason `chargeback`: 37 messages wait``.
pub fn cause(row: &CauseRow) -> String {
    let mut parts = row.cause.splitn(4, ':').skip(1);
    let wait = |one: &str, many: &str| {
        let verb = if row.count == 1 { "waits" } else { "wait" };
        format!("{} {verb}", count(row.count, one, many))
    };
    match (row.kind.as_str(), parts.next(), parts.next(), parts.next()) {
        ("unknown_word", Some(_), Some(field), Some(word)) => {
            format!("{field} `{word}`: {}", wait("message", "messages"))
        }
        ("unknown_sku", Some(storefront), Some(sku), rest) if row.cause.starts_with("sku:") => {
            let rest = rest.map(|rest| format!(":{rest}")).unwrap_or_default();
            format!("SKU `{sku}{rest}` of {storefront}: {}", wait("order", "orders"))
        }
        _ => row.message.clone(),
    }
}

/// What a fact says.
#[expect(clippy::too_many_lines, reason = "one arm a kind of fact")]
pub fn fact(fact: &Fact) -> Said {
    match &fact.body {
        Body::Placed(placed) => {
            let units: u64 = placed.lines.iter().map(|line| line.current.unwrap_or(line.quantity)).sum();
            let lines = count(placed.lines.len(), "line", "lines");
            let units = count(units, "unit", "units");
            said("Order placed", [Some(lines), Some(units), money(placed.total)])
        }
        Body::Edited(edited) => said(
            "Order edited",
            [
                parts(&edited.added).map(|text| format!("added {text}")),
                parts(&edited.removed).map(|text| format!("removed {text}")),
            ],
        ),
        Body::Cancelled(cancelled) => said("Order cancelled", [cancelled.reason.clone()]),
        Body::Closed(closed) => said("Order closed", [closed.reason.clone()]),
        Body::Held(held) => {
            let title = if held.released { "Hold let go" } else { "Order held" };
            said(title, [Some(held.hold.clone()), held.reason.clone()])
        }
        Body::Authorised(m) => said("Payment authorised", [money(Some(m.amount)), m.gateway.clone()]),
        Body::Captured(m) => said("Payment captured", [money(Some(m.amount)), m.gateway.clone()]),
        Body::Refunded(m) => {
            said("Payment refunded", [money(Some(m.amount)), m.gateway.clone(), m.reason.clone()])
        }
        Body::Voided(m) => said("Authorisation dropped", [money(Some(m.amount)), m.gateway.clone()]),
        Body::PaymentFailed(failed) => {
            said("Payment failed", [money(failed.amount), failed.gateway.clone(), failed.reason.clone()])
        }
        Body::Balance(level) => said(
            "Payment level",
            [
                level.status.clone(),
                labelled("authorised", level.authorised),
                labelled("captured", level.captured),
                labelled("refunded", level.refunded),
                labelled("owed", level.owed),
            ],
        ),
        Body::Disputed(disputed) => {
            let status = Some(words(&disputed.status.0));
            said("Charge disputed", [status, money(disputed.amount), disputed.reason.clone()])
        }
        Body::RefundAsked(refund) => said("Refund asked for", [money(refund.amount), parts(&refund.lines)]),
        Body::Accepted(p) => said("Warehouse has the order", [parts(&p.lines), p.reason.clone()]),
        Body::Allocated(p) => said("Units set aside", [parts(&p.lines), p.reason.clone()]),
        Body::Backordered(p) => said("Warehouse is short", [parts(&p.lines), p.reason.clone()]),
        Body::Picked(p) => said("Picked", [parts(&p.lines), p.reason.clone()]),
        Body::Packed(p) => said("Packed", [parts(&p.lines), p.reason.clone()]),
        Body::Shipped(shipped) => said(
            "Shipped",
            [
                parts(&shipped.lines),
                shipped.carrier.clone(),
                shipped.service.clone(),
                tracking(&shipped.packages),
            ],
        ),
        Body::ShipmentVoided(p) => said("Shipment taken back", [parts(&p.lines), p.reason.clone()]),
        Body::WarehouseCancelled(p) => said("Warehouse cancelled", [parts(&p.lines), p.reason.clone()]),
        Body::Rejected(p) => said("Warehouse refused", [parts(&p.lines), p.reason.clone()]),
        Body::Recorded(recorded) => said(
            "Fulfilment on record",
            [parts(&recorded.lines), tracking(&recorded.packages), recorded.status.clone()],
        ),
        Body::Registered(label) => said("Parcel is followed", [label.carrier.clone()]),
        Body::Scan(scan) => {
            let title = sentence(&scan.status.0);
            let word = (scan.status.0 == "unknown").then(|| scan.said.clone()).flatten();
            said(&title, [word, scan.description.clone(), scan.place.clone(), scan.carrier.clone()])
        }
        Body::LabelBought(label) => {
            said("Label bought", [money(label.cost), label.carrier.clone(), label.service.clone()])
        }
        Body::LabelRefunded(label) => said("Label's refund", [label.status.clone(), money(label.cost)]),
        Body::Level(level) => said(
            "Stock level",
            [
                level.sku.clone(),
                labelled("on hand", level.on_hand),
                labelled("available", level.available),
                labelled("reserved", level.reserved),
            ],
        ),
        Body::Returned(returned) => {
            said("Return", [Some(words(&returned.status.0)), parts(&returned.lines), returned.reason.clone()])
        }
        Body::StockAsk(ask) => {
            said("Stock is asked", [Some(format!("{} wanted", ask.quantity)), Some(ask.by.clone())])
        }
        Body::StockAnswer(answer) => said(
            "Stock answers",
            [
                Some(answer.sku.clone()),
                Some(format!("{} reserved", answer.reserved)),
                (answer.short > 0).then(|| format!("{} short", answer.short)),
                Some(answer.warehouse.clone()),
            ],
        ),
        Body::Due(due) => match due.timer.strip_prefix("ship_by/") {
            Some(warehouse) => said("Time to have left", [Some(warehouse.to_owned())]),
            None => said("Timer", [Some(due.timer.clone())]),
        },
        Body::Decision(decision) => {
            let title = match decision.what.as_str() {
                "release_hold" => "A person let the hold go",
                "cancel" => "A person cancelled",
                "close" => "A person closed the order",
                "exists" => "A person said: it exists",
                "send_again" => "A person said: send again",
                _ => "A person decided",
            };
            said(title, [decision.target.clone(), decision.by.clone(), decision.note.clone()])
        }
    }
}

/// What a command means to do.
pub fn command(name: &str) -> &str {
    match name {
        "order.create" => "Send the order to the warehouse",
        "order.change" => "Change the order at the warehouse",
        "order.cancel" => "Cancel the order",
        "order.tag" => "Note on the order",
        "fulfilment.create" => "Record the shipment in the store",
        "fulfilment.update" => "Update tracking in the store",
        "payment.capture" => "Capture the payment",
        "payment.void" => "Drop the authorisation",
        "payment.refund" => "Refund the payment",
        "tracker.create" => "Follow the parcel",
        "label.buy" => "Buy a label",
        "label.refund" => "Ask the label's money back",
        "inventory.set" => "Set the stock level",
        other => other,
    }
}

/// A word of state without underscores: `partly_shipped` is `partly shipped`.
pub fn words(word: &str) -> String {
    word.replace('_', " ")
}

/// The same with a capital letter; abbreviations in capitals.
pub fn sentence(word: &str) -> String {
    let parts: Vec<&str> = word.split('_').map(|part| if part == "sku" { "SKU" } else { part }).collect();
    let text = parts.join(" ");
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// How long after it happened it was heard: `2 s`, `3 min`; `None` when at once.
pub fn delay(at: &Timestamp, heard: &Timestamp) -> Option<String> {
    match heard.as_second() - at.as_second() {
        ..=1 => None,
        seconds @ 2..120 => Some(format!("{seconds} s")),
        seconds @ 120..7200 => Some(format!("{} min", seconds / 60)),
        seconds @ 7200..172_800 => Some(format!("{} h", seconds / 3600)),
        seconds => Some(format!("{} d", seconds / 86_400)),
    }
}

/// The tone in which a phase, a state or a word is shown: `wait`, `work`, `move`, `done`, `bad`, `off`.
pub fn tone(word: &str) -> &'static str {
    match word {
        "on_hold" | "failing" | "awaiting_payment" | "cancel_requested" | "retry" | "limited"
        | "partly_paid" | "needs_response" | "asked" | "partly_refunded" => "wait",
        "backordered"
        | "cancelled_after_shipped"
        | "rejected"
        | "stuck"
        | "failed"
        | "failure"
        | "disputed"
        | "paused"
        | "too_late"
        | "excepted"
        | "unknown"
        | "return_to_sender" => "bad",
        "released" | "picking" | "picked" | "packed" | "intended" | "sent" | "accepted" | "allocated"
        | "in_flight" | "busy" | "pending" | "authorised" | "under_review" | "requested" | "approved" => {
            "work"
        }
        "partly_shipped"
        | "shipped"
        | "in_transit"
        | "out_for_delivery"
        | "pre_transit"
        | "available_for_pickup"
        | "partly_delivered" => "move",
        "delivered" | "done" | "paid" | "idle" | "received_back" | "won" | "success" | "bought"
        | "in_time" => "done",
        _ => "off",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canonical::fact::{Header, Movement};
    use crate::canonical::{FactId, MessageId};

    #[test]
    fn facts_are_said_without_underscores_and_with_money() {
        let captured = Movement {
            amount: "12.5 EUR".parse().unwrap(),
            gateway: Some("stripe".into()),
            parent: None,
            reason: None,
            note: None,
            until: None,
        };
        let told = fact(&Fact {
            id: FactId::derive(&["x"]),
            rule: "captured".into(),
            account: "pay".into(),
            header: Header::default(),
            body: Body::Captured(captured),
            heard: "2026-01-15T12:00:00Z".parse().unwrap(),
            message: MessageId(1),
            mapping: "stripe/event".into(),
        });
        assert_eq!((told.title.as_str(), told.text.as_str()), ("Payment captured", "12.50 EUR · stripe"));
        assert_eq!(sentence("out_for_delivery"), "Out for delivery");
        assert_eq!(sentence("unknown_sku"), "Unknown SKU");
        assert_eq!(command("payment.capture"), "Capture the payment");
    }
}
