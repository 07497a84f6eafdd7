//! Money: what gateways moved, what the storefront says it moved, and the levels that the storefront shows.
//!
//! These are three witnesses of the same money. Each is summed by itself, and they never add to each other: what was
//! captured is the most that one of them saw, and so is what was refunded. A promise (authorisation) is the gateway's
//! word, where a gateway spoke.

use std::collections::{BTreeMap, BTreeSet};

use super::ledger::{Ledger, name_of};
use super::project::Draft;
use crate::canonical::fact::{Balance, DISPUTE_STATUS, Movement};
use crate::canonical::order::{DisputeState, Payment, PaymentMovement};
use crate::canonical::{AccountId, Body, Fact, Money};

/// What is known of the order's money, for the payment axis.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "four observations that do not exclude each other")]
pub(super) struct Standing {
    pub(super) captured: Option<Money>,
    pub(super) refunded: Option<Money>,
    /// Promised and still open.
    pub(super) authorised: Option<Money>,
    pub(super) voided: bool,
    pub(super) failed: bool,
    pub(super) disputed: bool,
    /// The storefront's word, where its levels do not tell.
    pub(super) pending: bool,
}

/// One transaction, with the payment that it belongs to.
struct Moved<'a> {
    fact: &'a Fact,
    kind: &'static str,
    name: String,
    movement: &'a Movement,
}

fn movement(body: &Body) -> Option<(&'static str, &Movement)> {
    match body {
        Body::Authorised(movement) => Some(("authorised", movement)),
        Body::Captured(movement) => Some(("captured", movement)),
        Body::Refunded(movement) => Some(("refunded", movement)),
        Body::Voided(movement) => Some(("voided", movement)),
        _ => None,
    }
}

/// Fills in the payments; gives what they come to.
pub(super) fn project(draft: &mut Draft<'_>, ledger: &Ledger<'_>) -> Standing {
    let storefront = draft.order.storefront.clone();
    // One transaction told twice, with other words, counts once: the newest telling.
    let mut moved: Vec<Moved<'_>> = Vec::new();
    for kind in ["authorised", "captured", "refunded", "voided"] {
        let newest = ledger.newest(
            |body| movement(body).filter(|(word, _)| *word == kind).map(|(_, movement)| movement),
            |fact| name_of(fact, &[&fact.header.r#ref, &fact.header.payment]),
        );
        moved.extend(newest.into_iter().map(|((_, name), (fact, movement))| Moved {
            fact,
            kind,
            name,
            movement,
        }));
    }
    let owners: BTreeMap<(AccountId, String), String> = moved
        .iter()
        .filter_map(|moved| {
            let owner = moved.fact.header.payment.clone().or_else(|| moved.movement.parent.clone())?;
            Some(((moved.fact.account.clone(), moved.name.clone()), owner))
        })
        .collect();
    let mut payments: BTreeMap<(AccountId, String), Payment> = BTreeMap::new();
    for one in &moved {
        let owner = owner(&owners, &one.fact.account, &one.name, one.fact.header.payment.as_deref());
        let key = (one.fact.account.clone(), owner);
        let payment = payments.entry(key.clone()).or_insert_with(|| empty(&key.0, &key.1));
        enter(draft, payment, one);
    }
    disputes(draft, ledger, &mut payments);
    levels(ledger, &storefront, &mut payments);
    let standing = standing(draft, ledger, &payments);
    // A payment that its gateway tells of itself need not be shown as the storefront's too.
    let told: BTreeSet<String> =
        payments.keys().filter(|(account, _)| *account != storefront).map(|(_, name)| name.clone()).collect();
    payments.retain(|(account, name), _| *account != storefront || !told.contains(name));
    draft.order.payments = payments.into_values().collect();
    for payment in &mut draft.order.payments {
        payment
            .movements
            .sort_by(|one, two| (one.at, &one.kind, &one.r#ref).cmp(&(two.at, &two.kind, &two.r#ref)));
    }
    standing
}

/// The payment of a transaction: told with it, or that of its parent.
fn owner(
    owners: &BTreeMap<(AccountId, String), String>,
    account: &AccountId,
    name: &str,
    payment: Option<&str>,
) -> String {
    if let Some(payment) = payment.filter(|payment| !payment.is_empty()) {
        return payment.to_owned();
    }
    let mut at = name.to_owned();
    for _ in 0..owners.len() {
        match owners.get(&(account.clone(), at.clone())) {
            Some(next) if *next != at => at.clone_from(next),
            _ => break,
        }
    }
    at
}

fn empty(account: &AccountId, name: &str) -> Payment {
    Payment {
        account: account.clone(),
        r#ref: name.to_owned(),
        gateway: None,
        authorised: None,
        captured: None,
        refunded: None,
        voided: false,
        until: None,
        movements: Vec::new(),
        disputes: Vec::new(),
    }
}

fn enter(draft: &mut Draft<'_>, payment: &mut Payment, one: &Moved<'_>) {
    let sum = match one.kind {
        "authorised" => Some(&mut payment.authorised),
        "captured" => Some(&mut payment.captured),
        "refunded" => Some(&mut payment.refunded),
        _ => None,
    };
    match sum {
        Some(sum) => add(draft, sum, one.movement.amount),
        None => payment.voided = true,
    }
    payment.until = payment.until.max(one.movement.until);
    if payment.gateway.is_none() {
        payment.gateway.clone_from(&one.movement.gateway);
    }
    payment.movements.push(PaymentMovement {
        kind: one.kind.to_owned(),
        r#ref: one.name.clone(),
        amount: one.movement.amount,
        at: one.fact.header.at,
    });
}

/// Adds up; two currencies are a problem, and the second is left out.
fn add(draft: &mut Draft<'_>, sum: &mut Option<Money>, more: Money) {
    match sum {
        None => *sum = Some(more),
        Some(known) => match known.plus(more) {
            Ok(total) => *known = total,
            Err(error) => mixed(draft, &error.to_string()),
        },
    }
}

fn mixed(draft: &mut Draft<'_>, error: &str) {
    draft.problem(format!("mixed_currencies:{}", draft.order.id), error.to_owned());
}

fn disputes(
    draft: &mut Draft<'_>,
    ledger: &Ledger<'_>,
    payments: &mut BTreeMap<(AccountId, String), Payment>,
) {
    let newest = ledger.newest(
        |body| if let Body::Disputed(told) = body { Some(told) } else { None },
        |fact| name_of(fact, &[&fact.header.r#ref, &fact.header.payment]),
    );
    for ((account, name), (fact, told)) in newest {
        if !DISPUTE_STATUS.contains(&told.status.0.as_str()) {
            draft.unknown_word(&account, "dispute", &told.status.0);
        }
        let key = (account.clone(), fact.header.payment.clone().unwrap_or_else(|| name.clone()));
        let payment = payments.entry(key.clone()).or_insert_with(|| empty(&key.0, &key.1));
        payment.disputes.push(DisputeState {
            r#ref: name,
            status: told.status.0.clone(),
            amount: told.amount,
            reason: told.reason.clone(),
        });
    }
}

/// A gateway's levels of a payment: they stand beside its movements, and the larger counts.
fn levels(
    ledger: &Ledger<'_>,
    storefront: &AccountId,
    payments: &mut BTreeMap<(AccountId, String), Payment>,
) {
    for ((account, name), (_, level)) in balances(ledger, |fact| fact.header.payment.clone()) {
        let Some(name) = name.filter(|_| account != *storefront) else { continue };
        let key = (account, name);
        let payment = payments.entry(key.clone()).or_insert_with(|| empty(&key.0, &key.1));
        payment.authorised = most(payment.authorised, level.authorised);
        payment.captured = most(payment.captured, level.captured);
        payment.refunded = most(payment.refunded, level.refunded);
    }
}

type Balances<'a> = BTreeMap<(AccountId, Option<String>), (&'a Fact, &'a Balance)>;

fn balances<'a>(ledger: &Ledger<'a>, name: impl Fn(&Fact) -> Option<String>) -> Balances<'a> {
    ledger
        .newest(
            |body| if let Body::Balance(level) = body { Some(level) } else { None },
            |fact| name(fact).unwrap_or_default(),
        )
        .into_iter()
        .map(|((account, name), told)| ((account, Some(name).filter(|name| !name.is_empty())), told))
        .collect()
}

/// The larger of two amounts; of two currencies the first.
fn most(one: Option<Money>, two: Option<Money>) -> Option<Money> {
    match (one, two) {
        (Some(one), Some(two)) => {
            Some(if one.compare(two).is_ok_and(std::cmp::Ordering::is_lt) { two } else { one })
        }
        (one, two) => one.or(two),
    }
}

/// The sum of one witness.
fn sum<'p>(
    draft: &mut Draft<'_>,
    payments: impl Iterator<Item = &'p Payment>,
    read: impl Fn(&Payment) -> Option<Money>,
) -> Option<Money> {
    let mut total = None;
    for amount in payments.filter_map(read) {
        add(draft, &mut total, amount);
    }
    total
}

/// What of a promise is still open.
pub(crate) fn open_promise(payment: &Payment) -> Option<Money> {
    if payment.voided {
        return None;
    }
    let promised = payment.authorised?;
    let open = match payment.captured {
        Some(captured) => promised.minus(captured).ok()?,
        None => promised,
    };
    (open.amount().is_sign_positive() && !open.is_zero()).then_some(open)
}

fn standing(
    draft: &mut Draft<'_>,
    ledger: &Ledger<'_>,
    payments: &BTreeMap<(AccountId, String), Payment>,
) -> Standing {
    let storefront = draft.order.storefront.clone();
    let (shop, gateways): (Vec<&Payment>, Vec<&Payment>) =
        payments.values().partition(|payment| payment.account == storefront);
    let all = balances(ledger, |_| None);
    let level = all.get(&(storefront.clone(), None)).map(|(_, level)| *level);
    let mut standing = Standing {
        disputed: payments
            .values()
            .flat_map(|payment| &payment.disputes)
            .any(|dispute| ["needs_response", "under_review", "lost"].contains(&dispute.status.as_str())),
        failed: ledger.all().any(|fact| matches!(fact.body, Body::PaymentFailed(_))),
        ..Standing::default()
    };
    for (witness, speaks) in [(&gateways, true), (&shop, gateways.is_empty())] {
        let captured = sum(draft, witness.iter().copied(), |payment| payment.captured);
        let refunded = sum(draft, witness.iter().copied(), |payment| payment.refunded);
        standing.captured = most(standing.captured, captured);
        standing.refunded = most(standing.refunded, refunded);
        if speaks {
            standing.authorised = sum(draft, witness.iter().copied(), open_promise);
            standing.voided = !witness.is_empty()
                && witness.iter().all(|payment| payment.voided)
                && witness.iter().any(|payment| payment.authorised.is_some() || payment.voided);
        }
    }
    if let Some(level) = level {
        standing.captured = most(standing.captured, level.captured);
        standing.refunded = most(standing.refunded, level.refunded);
        if gateways.is_empty() {
            standing.authorised = most(standing.authorised, level.authorised);
        }
        draft.order.captured_level = level.captured;
        draft.order.paid_word.clone_from(&level.status);
        word(draft, &mut standing, level, !gateways.is_empty());
    }
    standing
}

/// The storefront's word counts where it gives no level.
fn word(draft: &mut Draft<'_>, standing: &mut Standing, level: &Balance, gateway: bool) {
    let Some(word) = level.status.as_deref() else { return };
    let total = draft.order.current_total.or(draft.order.total);
    match word.to_lowercase().as_str() {
        "paid" | "captured" | "complete" | "completed" if level.captured.is_none() => {
            standing.captured = most(standing.captured, total);
        }
        "authorized" | "authorised" if level.authorised.is_none() && !gateway => {
            standing.authorised = most(standing.authorised, total);
        }
        "refunded" if level.refunded.is_none() => {
            standing.captured = most(standing.captured, total);
            standing.refunded = most(standing.refunded, total);
        }
        "voided" | "expired" if !gateway => standing.voided = true,
        "pending" | "unpaid" => standing.pending = true,
        "paid" | "captured" | "complete" | "completed" | "authorized" | "authorised" | "refunded"
        | "voided" | "expired" | "partially_paid" | "partly_paid" | "partially_refunded"
        | "partly_refunded" => {}
        other => {
            let account = draft.order.storefront.clone();
            draft.unknown_word(&account, "payment", other);
        }
    }
}
