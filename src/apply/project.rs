//! An order as all its systems together tell it.

use std::collections::{BTreeMap, BTreeSet};

use super::ledger::Ledger;
use super::{axes, cancel, payment, returns, sale, shipment, tracking, warehouse};
use crate::canonical::fact::Part;
use crate::canonical::order::Problem;
use crate::canonical::{AccountId, ClientId, EntityId, ExternalRef, Fact, Intent, IntentState, Order};

/// The order `id` of `client`, sold by `storefront`, as its facts tell it and its intents have carried it.
///
/// Neither the order of `facts` and `intents` nor duplicates among them matter. Works without `order.placed` too: the
/// sale axis is then `none`.
#[must_use]
pub fn project_order(
    id: &EntityId,
    client: &ClientId,
    storefront: &AccountId,
    facts: &[Fact],
    intents: &[Intent],
) -> Order {
    let ledger = Ledger::new(facts);
    let mut draft = Draft::new(Order::empty(id.clone(), client.clone(), storefront.clone()), intents);
    sale::project(&mut draft, &ledger);
    warehouse::told(&mut draft);
    shipment::project(&mut draft, &ledger);
    warehouse::project(&mut draft, &ledger);
    tracking::project(&mut draft, &ledger);
    returns::project(&mut draft, &ledger);
    cancel::project(&mut draft, &ledger);
    let money = payment::project(&mut draft, &ledger);
    draft.order.stock = super::stock::answers(&ledger);
    draft.order.refs = refs(&ledger, storefront);
    axes::settle(&mut draft, &ledger, &money);
    let mut order = draft.order;
    order.problems = draft.problems.into_iter().collect();
    order
}

/// An order while it is projected.
pub(super) struct Draft<'a> {
    pub(super) order: Order,
    /// Whether the storefront has told of it.
    pub(super) placed: bool,
    /// Units taken off each line by edits and refunds, before it is known what left all the same.
    pub(super) off: Vec<u64>,
    /// The intents, each once, by slot and generation, without those that were taken back.
    pub(super) intents: Vec<&'a Intent>,
    pub(super) problems: BTreeSet<Problem>,
    /// What a warehouse was told: its SKUs.
    aliases: BTreeMap<(AccountId, String), BTreeSet<usize>>,
    /// What a warehouse was told: its units for how many of ours, by line.
    ratios: BTreeMap<(AccountId, usize), (u64, u64)>,
    /// Of an order that is split: the units of each line that a warehouse was told to send.
    pub(super) parts: BTreeMap<AccountId, Vec<u64>>,
}

impl<'a> Draft<'a> {
    fn new(order: Order, intents: &'a [Intent]) -> Self {
        let mut intents: Vec<&Intent> =
            intents.iter().filter(|intent| intent.state != IntentState::Withdrawn).collect();
        intents.sort_by(|one, two| {
            (&one.slot, one.generation, one.id, one.state.word()).cmp(&(
                &two.slot,
                two.generation,
                two.id,
                two.state.word(),
            ))
        });
        intents.dedup_by_key(|intent| intent.id);
        Self {
            order,
            placed: false,
            off: Vec::new(),
            intents,
            problems: BTreeSet::new(),
            aliases: BTreeMap::new(),
            ratios: BTreeMap::new(),
            parts: BTreeMap::new(),
        }
    }

    pub(super) fn problem(&mut self, cause: String, message: String) {
        self.problems.insert(Problem { cause, message });
    }

    pub(super) fn unknown_word(&mut self, account: &AccountId, field: &str, word: &str) {
        self.problem(
            format!("unknown_word:{account}:{field}:{word}"),
            format!("{account} says `{word}` for {field}, which nothing here knows"),
        );
    }

    pub(super) fn unknown_line(&mut self, account: &AccountId, part: &Part) {
        let name = part.line.as_deref().or(part.sku.as_deref()).unwrap_or("(no name)");
        self.problem(
            format!("unknown_line:{}", self.order.id),
            format!("{account} tells of {} of `{name}`, which is no line of this order", part.quantity),
        );
    }

    /// Remembers that `account` calls the line `sku`, and that `theirs` of its units are `ours` of the line's.
    pub(super) fn learn(&mut self, account: &AccountId, line: usize, sku: &str, theirs: u64, ours: u64) {
        self.aliases.entry((account.clone(), sku.to_owned())).or_default().insert(line);
        if theirs != ours && theirs > 0 && ours > 0 {
            self.ratios.insert((account.clone(), line), (theirs, ours));
        }
    }

    /// How many of `account`'s units are how many of the line's.
    pub(super) fn ratio(&self, account: &AccountId, line: usize) -> (u64, u64) {
        self.ratios.get(&(account.clone(), line)).copied().unwrap_or((1, 1))
    }

    /// The lines that `part` may mean, in the order of lines: the one of its reference, else those of its SKU, as the
    /// account was told it or as the storefront calls it.
    pub(super) fn lines_of(&self, account: Option<&AccountId>, part: &Part) -> Vec<usize> {
        let lines = &self.order.lines;
        if let Some(name) = part.line.as_deref()
            && let Some(index) = lines.iter().position(|line| line.r#ref == name)
        {
            return vec![index];
        }
        let Some(sku) = part.sku.as_deref() else { return Vec::new() };
        if let Some(known) = account.and_then(|account| self.aliases.get(&(account.clone(), sku.to_owned())))
        {
            return known.iter().copied().collect();
        }
        let named = |ships: bool| {
            lines
                .iter()
                .enumerate()
                .filter(move |(_, line)| line.ships == ships && line.sku.as_deref() == Some(sku))
                .map(|(index, _)| index)
        };
        named(true).chain(named(false)).collect()
    }

    /// How the units of `part` fall on lines of which `taken` are gone: each line up to what was ordered.
    pub(super) fn share(&self, part: &Part, taken: &[u64]) -> Vec<(usize, u64)> {
        let mut left = part.quantity;
        let mut shares = Vec::new();
        for index in self.lines_of(None, part) {
            let gone = taken.get(index).copied().unwrap_or(0);
            let units = left.min(self.order.lines[index].ordered.saturating_sub(gone));
            if units > 0 {
                shares.push((index, units));
                left -= units;
            }
        }
        shares
    }

    /// Units of a line that `account` means when it speaks of the order without naming lines: its part, else all that are
    /// wanted.
    pub(super) fn meant(&self, account: &AccountId, line: usize) -> u64 {
        match self.parts.get(account) {
            Some(part) => part.get(line).copied().unwrap_or(0),
            None => self.wanted(line),
        }
    }

    /// Units of a line that the storefront still wants, as far as edits and refunds tell.
    pub(super) fn wanted(&self, line: usize) -> u64 {
        let off = self.off.get(line).copied().unwrap_or(0);
        self.order.lines.get(line).map_or(0, |line| line.ordered.saturating_sub(off))
    }
}

/// All names by which partners call the order and its parts.
fn refs(ledger: &Ledger<'_>, storefront: &AccountId) -> Vec<ExternalRef> {
    let mut refs = Vec::new();
    for fact in ledger.all() {
        let header = &fact.header;
        let of_account = |kind: &str, id: &Option<String>| {
            id.as_deref().map(|id| ExternalRef::of_account(&fact.account, kind, id))
        };
        refs.extend(of_account("order", &header.order));
        refs.extend(of_account("warehouse_order", &header.warehouse_order));
        refs.extend(of_account("payment", &header.payment));
        refs.extend(of_account("shipment", &header.shipment));
        refs.extend(of_account("return", &header.rma));
        refs.extend(of_account("tracker", &header.tracker));
        if fact.account == *storefront {
            refs.extend(of_account("number", &header.number));
        }
    }
    refs.sort_by(|one, two| (&one.scope, &one.kind, &one.id).cmp(&(&two.scope, &two.kind, &two.id)));
    refs.dedup();
    refs
}
