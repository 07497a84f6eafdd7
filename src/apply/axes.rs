//! The five axes, each by its own precedence, and the phase, which is a function of the axes alone. The precedence is
//! written down in `docs/model.md`.

use std::cmp::Ordering;

use super::ledger::Ledger;
use super::payment::Standing;
use super::project::Draft;
use super::tracking::whole;
use crate::canonical::order::{Axes, Order};
use crate::canonical::{Body, Money, Phase};

/// Sets the axes and the phase. All else must be known.
pub(super) fn settle(draft: &mut Draft<'_>, ledger: &Ledger<'_>, money: &Standing) {
    let storefront = &draft.order.storefront;
    let closed = ledger.all().any(|fact| match &fact.body {
        Body::Closed(_) => fact.account == *storefront,
        Body::Decision(decision) => decision.what == "close",
        _ => false,
    });
    let sale = if !draft.placed && draft.order.cancel.is_none() {
        "none"
    } else if draft.order.cancel.is_some() {
        "cancelled"
    } else if closed {
        "closed"
    } else {
        "open"
    };
    let payment = payment(&draft.order, money);
    if let Some(total) = draft.order.total
        && let Some(paid) = money.captured.or(money.authorised)
        && total_in(&draft.order, paid).is_none()
    {
        let message = format!("the order is in {}, the money in {}", total.currency(), paid.currency());
        draft.problem(format!("mixed_currencies:{}", draft.order.id), message);
    }
    let order = &mut draft.order;
    order.axes = Axes {
        sale: sale.to_owned(),
        payment: payment.to_owned(),
        fulfilment: String::new(),
        delivery: delivery(order),
        returns: returns(order),
    };
    classify(order);
}

/// Sets the fulfilment axis from holds, stock, releases and shipments, and the phase from the axes.
pub fn classify(order: &mut Order) {
    order.axes.fulfilment = fulfilment(order).to_owned();
    order.phase = phase(&order.axes);
}

/// What the order comes to now in the currency of `money`, the shop's or the buyer's. The storefront is the authority:
/// what it says the order comes to after edits, where it tells that, else its total.
pub(crate) fn total_in(order: &Order, money: Money) -> Option<Money> {
    [order.current_total.or(order.total), order.current_presentment_total.or(order.presentment_total)]
        .into_iter()
        .flatten()
        .find(|total| total.currency() == money.currency())
}

/// The most that the order ever came to in the currency of `money`, as far as its newest snapshot tells.
pub(crate) fn peak_in(order: &Order, money: Money) -> Option<Money> {
    let told = [order.total, order.presentment_total, total_in(order, money)];
    told.into_iter()
        .flatten()
        .filter(|total| total.currency() == money.currency())
        .reduce(|one, two| if one.compare(two).is_ok_and(Ordering::is_lt) { two } else { one })
}

/// Disputed, refunded, paid, partly paid, authorised, voided, failed, due later, pending, none: the first that holds.
fn payment(order: &Order, money: &Standing) -> &'static str {
    let some = |amount: Option<Money>| amount.filter(|amount| !amount.is_zero());
    let (captured, refunded, promised) = (some(money.captured), some(money.refunded), some(money.authorised));
    let covers = |paid: Money| match total_in(order, paid) {
        Some(total) => paid.compare(total).is_ok_and(Ordering::is_ge),
        None => order.total.is_none() && order.current_total.is_none(),
    };
    if money.disputed {
        return "disputed";
    }
    if let (Some(captured), Some(refunded)) = (captured, refunded) {
        let all = refunded.compare(captured).is_ok_and(Ordering::is_ge);
        return if all { "refunded" } else { "partly_refunded" };
    }
    if captured.is_some_and(covers) {
        return "paid";
    }
    if let Some(promised) = promised {
        let together = captured.map_or(Ok(promised), |captured| captured.plus(promised));
        if together.is_ok_and(covers) {
            return "authorised";
        }
    }
    if captured.is_some() {
        return "partly_paid";
    }
    if order.total.is_some_and(|total| total.is_zero()) {
        return "paid";
    }
    if promised.is_none() && money.voided {
        return "voided";
    }
    if promised.is_none() && money.failed {
        return "failed";
    }
    // Edited down to nothing.
    if order.current_total.is_some_and(|total| total.is_zero()) {
        return "paid";
    }
    if order.terms.as_deref() == Some("unpaid") {
        return "due_later";
    }
    if promised.is_some() || money.pending { "pending" } else { "none" }
}

/// States of releases and their words on the axis, furthest first.
const RELEASED: [(&str, &str); 9] = [
    ("packed", "packed"),
    ("picked", "picking"),
    ("backordered", "backordered"),
    ("allocated", "allocated"),
    ("accepted", "accepted"),
    ("sent", "released"),
    ("intended", "intended"),
    ("rejected", "rejected"),
    ("cancelled", "cancelled"),
];

/// What left, else how far the warehouse is, else what keeps the order from it.
fn fulfilment(order: &Order) -> &'static str {
    let ships = || order.lines.iter().filter(|line| line.ships);
    let shipped: u64 = ships().fold(0, |sum, line| sum.saturating_add(line.shipped));
    if shipped > 0 {
        let open = ships().any(|line| line.open() > 0);
        return if open { "partly_shipped" } else { "shipped" };
    }
    if order.shipments.iter().any(|shipment| !shipment.voided) {
        return "shipped";
    }
    for (state, word) in RELEASED {
        if order.releases.iter().any(|release| release.state == state) {
            return word;
        }
    }
    if !order.lines.is_empty() && !order.lines.iter().any(|line| line.ships && line.ordered > 0) {
        "nothing"
    } else if !order.holds.is_empty() {
        "held"
    } else if order.axes.sale == "open" && unpaid(&order.axes.payment) {
        "unpaid"
    } else if order.stock.iter().any(|answer| answer.short > 0) {
        "short"
    } else {
        "none"
    }
}

/// Whether money is missing, as far as the order itself tells.
fn unpaid(payment: &str) -> bool {
    !["due_later", "authorised", "paid", "partly_refunded", "refunded"].contains(&payment)
}

fn delivery(order: &Order) -> String {
    let statuses: Vec<Option<&str>> = order
        .shipments
        .iter()
        .filter(|shipment| !shipment.voided)
        .map(|shipment| shipment.status.as_deref())
        .collect();
    let some = statuses.contains(&Some("delivered"));
    let all = statuses.iter().all(|status| *status == Some("delivered"));
    let open = order.lines.iter().any(|line| line.ships && line.open() > 0);
    match whole(&statuses) {
        None => "none".to_owned(),
        Some(trouble @ ("return_to_sender" | "failure")) => trouble.to_owned(),
        Some(_) if some && (!all || open) => "partly_delivered".to_owned(),
        Some(status) => status.to_owned(),
    }
}

fn returns(order: &Order) -> String {
    const FURTHEST_FIRST: [&str; 7] =
        ["received", "closed", "in_transit", "approved", "requested", "declined", "cancelled"];
    let furthest =
        FURTHEST_FIRST.into_iter().find(|word| order.returns.iter().any(|returned| returned.status == *word));
    let shipped = order.lines.iter().any(|line| line.shipped > 0);
    let out = !shipped || order.lines.iter().any(|line| line.returned < line.shipped);
    match furthest {
        None => "none".to_owned(),
        Some("received" | "closed") if out => "partly_received".to_owned(),
        Some(word) => word.to_owned(),
    }
}

/// What a person sees at a glance: a function of the axes alone.
#[must_use]
pub fn phase(axes: &Axes) -> Phase {
    let fulfilment = axes.fulfilment.as_str();
    let left = ["shipped", "partly_shipped"].contains(&fulfilment);
    if left && ["received", "closed"].contains(&axes.returns.as_str()) {
        return Phase::Returned;
    }
    match axes.sale.as_str() {
        "cancelled" if left => return Phase::CancelledAfterShipped,
        "cancelled" => {
            let told = ["released", "accepted", "allocated", "backordered", "picking", "packed"];
            return if told.contains(&fulfilment) { Phase::CancelRequested } else { Phase::Cancelled };
        }
        "closed" if axes.delivery == "delivered" => return Phase::Closed,
        "closed" if ["none", "nothing", "held", "unpaid", "short"].contains(&fulfilment) => {
            return Phase::Closed;
        }
        _ => {}
    }
    match fulfilment {
        "shipped" => match axes.delivery.as_str() {
            "delivered" => Phase::Delivered,
            "none" | "pre_transit" | "cancelled" => Phase::Shipped,
            _ => Phase::InTransit,
        },
        "partly_shipped" => Phase::PartlyShipped,
        "packed" => Phase::Packed,
        "picking" => Phase::Picking,
        "backordered" | "short" => Phase::Backordered,
        "released" | "accepted" | "allocated" => Phase::Released,
        "held" | "rejected" | "cancelled" => Phase::OnHold,
        "unpaid" => Phase::AwaitingPayment,
        "nothing" => Phase::Closed,
        _ => Phase::Received,
    }
}
