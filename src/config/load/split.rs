//! `split` and `[flow.NAME.carries]`: whether several warehouses may share an order, and what each of them keeps.

use std::collections::BTreeMap;

use super::flow::Accounts;
use crate::canonical::AccountId;
use crate::config::model::SplitRule;
use crate::tables::{Table, Value};

/// How many warehouses may share an order, where the rule does not say.
const SHARED: usize = 2;
/// The most that it may say.
const MOST: u64 = 5;

/// The rule of the flow in `table`, whose warehouses these are. `reserve`: whether stock is asked before release.
pub(super) fn read(
    table: &Table<'_>,
    warehouses: &[AccountId],
    accounts: &Accounts,
    reserve: bool,
) -> Option<SplitRule> {
    let carries = carries(table, warehouses);
    let value = table.get("split");
    if let Some(value) = value.as_ref().filter(|value| !value.is_table()) {
        value.wrong(
            "a table is needed",
            "expected split = { by = \"stock\", warehouses = 2 }, or leave it out",
        );
    }
    let rule = value.as_ref().filter(|value| value.is_table()).and_then(Value::table).and_then(|table| {
        let by = table
            .need("by", "\"stock\" or \"never\"")
            .and_then(|value| value.word(&["never", "stock"]))
            .filter(|by| *by == "stock");
        let most = table.whole("warehouses", 2, MOST);
        table.finish();
        by?;
        let warehouses = most.and_then(|most| usize::try_from(most).ok()).unwrap_or(SHARED);
        Some(SplitRule { warehouses, carries: BTreeMap::new() })
    });
    let Some(rule) = rule else {
        if let Some(value) = table.get("carries").filter(|_| value.is_none()) {
            let help = "add split = { by = \"stock\" }, or take it out";
            value.wrong("what warehouses carry matters only where an order may be split", help);
        }
        return None;
    };
    if let Some(value) = value {
        sound(&value, warehouses, accounts, reserve || !carries.is_empty());
    }
    Some(SplitRule { carries, ..rule })
}

/// Whether an order of these warehouses can be split.
fn sound(value: &Value<'_>, warehouses: &[AccountId], accounts: &Accounts, known: bool) {
    if warehouses.len() < 2 {
        value
            .wrong("an order is split over two warehouses or more", "name them: warehouses = [\"…\", \"…\"]");
    }
    if !known {
        let help = "set reserve = true in the flow's stock, or say in [flow.NAME.carries] what each keeps";
        value.wrong("nothing tells which warehouse has the goods", help);
    }
    let known = || warehouses.iter().filter_map(|id| accounts.get(id));
    for (at, one) in known().enumerate() {
        for other in known().skip(at + 1) {
            let named = !one.secrets.is_empty() || one.settings.keys().any(|name| name != "base_url");
            let secrets = |of: &crate::config::model::Account| {
                let shown = |(name, values): (&String, &Vec<secrecy::SecretString>)| {
                    let values =
                        values.iter().map(|value| secrecy::ExposeSecret::expose_secret(value).to_owned());
                    (name.clone(), values.collect::<Vec<_>>())
                };
                of.secrets.iter().map(shown).collect::<Vec<_>>()
            };
            let same = one.connector == other.connector && one.settings == other.settings;
            if named && same && secrets(one) == secrets(other) {
                value.wrong(
                    format!("`{}` and `{}` are one system under two names", one.id, other.id),
                    "a part is found again by our reference of the order, so each warehouse needs a system of its own",
                );
            }
        }
    }
}

/// What each warehouse keeps.
fn carries(table: &Table<'_>, warehouses: &[AccountId]) -> BTreeMap<AccountId, Vec<String>> {
    let mut all = BTreeMap::new();
    let Some(lists) = table.table("carries") else { return all };
    for (name, value) in lists.all() {
        let id = AccountId::from(name.text);
        if !warehouses.contains(&id) {
            let message = format!("`{}` is no warehouse of this flow", name.text);
            value.unknown(message, name.text, warehouses.iter().map(AccountId::as_str));
            continue;
        }
        let texts = value.texts().unwrap_or_default();
        for (text, _) in &texts {
            let inner = text.strip_suffix('*').unwrap_or(text);
            if text.is_empty() || inner.contains('*') {
                value.wrong(
                    format!("`{text}` is no SKU"),
                    "expected our SKUs, with `*` at the end for all that begin so: [\"TEA-*\", \"POT-01\"]",
                );
            }
        }
        all.insert(id, texts.into_iter().map(|(text, _)| text.to_owned()).collect());
    }
    all
}
