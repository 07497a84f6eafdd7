//! `[limit.…]`.

use std::collections::BTreeMap;
use std::time::Duration;

use super::values::source;
use super::{Scope, plain};
use crate::connector::manifest::{Limit, Source};
use crate::tables::{self, Table, Value};

impl Scope<'_> {
    pub(super) fn limits(&self, root: &Table<'_>) -> BTreeMap<String, Limit> {
        let mut all = BTreeMap::new();
        for (name, table) in root.tables("limit") {
            let limit = self.limit(&table);
            if plain(self.file, &name)
                && let Some(limit) = limit
            {
                all.insert(name.text.to_owned(), limit);
            }
        }
        all
    }

    fn limit(&self, table: &Table<'_>) -> Option<Limit> {
        let size = table.need("size", "how many units the bucket holds").and_then(|value| whole(&value, 1));
        let refill = table.need("refill", "units a time, such as \"2/s\"").and_then(|value| refill(&value));
        let (cost, cost_from) = table.get("cost").map_or((1, None), |value| cost(&value));
        let mut costs = BTreeMap::new();
        for (name, value) in table.text_map("costs") {
            self.check_call(&value, name.text);
            if let Some(cost) = whole(&value, 0) {
                costs.insert(name.text.to_owned(), cost);
            }
        }
        let read = |key: &str| table.get(key).and_then(|value| source(&value, &[]));
        let (left_from, retry_after) = (read("left_from"), read("retry_after"));
        let used_of = table.text("used_of");
        let mut applies = Vec::new();
        if let Some(value) = table.get("applies") {
            for (name, _) in value.texts().unwrap_or_default() {
                self.check_call(&value, name);
                applies.push(name.to_owned());
            }
        }
        table.finish();
        let (refill, per) = refill?;
        Some(Limit {
            size: size?,
            refill,
            per,
            cost,
            costs,
            cost_from,
            left_from,
            used_of,
            retry_after,
            applies,
        })
    }
}

fn whole(value: &Value<'_>, least: u64) -> Option<u32> {
    value.whole(least, u64::from(u32::MAX)).and_then(|number| u32::try_from(number).ok())
}

fn cost(value: &Value<'_>) -> (u32, Option<Source>) {
    if !value.is_table() {
        return (whole(value, 0).unwrap_or(1), None);
    }
    let Some(table) = value.table() else { return (1, None) };
    let default = table.get("default").and_then(|value| whole(&value, 0)).unwrap_or(1);
    let from = table.get("from").and_then(|value| source(&value, &[]));
    table.finish();
    (default, from)
}

/// `100/s`, `60/m`, `150/30s`.
fn refill(value: &Value<'_>) -> Option<(u32, Duration)> {
    let text = value.text()?;
    let found = text.split_once('/').and_then(|(units, per)| {
        let units: u32 = units.trim().parse().ok().filter(|units| *units > 0)?;
        let per = match per.trim() {
            unit @ ("s" | "m" | "h" | "d") => tables::duration(&format!("1{unit}"))?,
            other => tables::duration(other)?,
        };
        (!per.is_zero()).then_some((units, per))
    });
    if found.is_none() {
        value.wrong(
            format!("`{text}` is no rate"),
            "expected units a time: \"100/s\", \"60/m\" or \"150/30s\"",
        );
    }
    found
}
