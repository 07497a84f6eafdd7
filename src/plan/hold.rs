//! Hold rules of a flow: conditions on the order's fields.

use std::cell::LazyCell;
use std::cmp::Ordering;

use rust_decimal::Decimal;
use serde_json::Value;

use crate::canonical::Order;
use crate::canonical::order::HoldState;
use crate::config::model::{Condition, Flow, money_of, text_of};

/// The flow's holds that fit the order and that no person has let go.
pub(super) fn holds(order: &Order, flow: &Flow) -> Vec<HoldState> {
    let document = LazyCell::new(|| document(order));
    flow.holds
        .iter()
        .filter(|(name, _)| !order.released_holds.contains(name))
        .filter(|(_, rule)| all_fit(&document, &rule.when))
        .map(|(name, rule)| HoldState {
            hold: name.clone(),
            by: "flow".to_owned(),
            reason: Some(rule.say.clone()).filter(|say| !say.is_empty()),
        })
        .collect()
}

/// Whether all these conditions on the order's `document` hold.
pub(super) fn all_fit(document: &Value, when: &[(String, Condition)]) -> bool {
    when.iter().all(|(path, condition)| fits(&values(document, path), condition))
}

/// The order's fields with those of the contact beside them: `total`, `ship_to.country`, `tags`, `lines.sku`.
pub(super) fn document(order: &Order) -> Value {
    let mut document = serde_json::to_value(order).unwrap_or_default();
    if let Some(fields) = document.as_object_mut()
        && let Some(Value::Object(contact)) = fields.remove("contact")
    {
        fields.extend(contact);
    }
    document
}

/// The texts at `path`; a step through a list goes into all of its items, with or without `[*]`.
fn values(document: &Value, path: &str) -> Vec<String> {
    let mut here = vec![document];
    for step in path.split('.') {
        let step = step.strip_suffix("[*]").unwrap_or(step);
        here = here
            .into_iter()
            .flat_map(|value| match value {
                Value::Array(items) => items.iter().collect(),
                other => vec![other],
            })
            .filter_map(|value| value.get(step))
            .collect();
    }
    here.into_iter()
        .flat_map(|value| match value {
            Value::Array(items) => items.iter().collect(),
            other => vec![other],
        })
        .filter_map(text_of)
        .filter(|text| !text.trim().is_empty())
        .collect()
}

fn fits(values: &[String], condition: &Condition) -> bool {
    let equal = |one: &str, two: &str| one == two || compare(one, two) == Some(Ordering::Equal);
    let any = |test: &dyn Fn(&str) -> bool| values.iter().any(|value| test(value));
    match condition {
        Condition::AnyOf(words) => any(&|value| words.iter().any(|word| equal(value, word))),
        Condition::Not(words) => !any(&|value| words.iter().any(|word| equal(value, word))),
        Condition::Exists(wanted) => values.is_empty() != *wanted,
        Condition::Ge(limit) => any(&|value| compare(value, limit).is_some_and(Ordering::is_ge)),
        Condition::Gt(limit) => any(&|value| compare(value, limit).is_some_and(Ordering::is_gt)),
        Condition::Le(limit) => any(&|value| compare(value, limit).is_some_and(Ordering::is_le)),
        Condition::Lt(limit) => any(&|value| compare(value, limit).is_some_and(Ordering::is_lt)),
        Condition::Contains(text) => {
            let text = text.to_lowercase();
            any(&|value| value.to_lowercase().contains(&text))
        }
    }
}

/// Money of one currency and numbers by value. Texts and two currencies do not compare.
fn compare(one: &str, two: &str) -> Option<Ordering> {
    if let (Some(one), Some(two)) = (money_of(one), money_of(two)) {
        return one.compare(two).ok();
    }
    let number = |text: &str| Decimal::from_str_exact(text.trim()).ok();
    Some(number(one)?.cmp(&number(two)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_compare_money_and_numbers_by_value_and_words_as_text() {
        let values = |text: &str| vec![text.to_owned()];
        let ge = |limit: &str| Condition::Ge(limit.to_owned());
        assert!(fits(&values("500.00 USD"), &ge("500 USD")));
        assert!(!fits(&values("499.99 USD"), &ge("500 USD")));
        assert!(!fits(&values("900.00 EUR"), &ge("500 USD")));
        assert!(fits(&values("10"), &ge("9")));
        assert!(fits(&values("RU"), &Condition::AnyOf(vec!["RU".into()])));
        assert!(fits(&[], &Condition::Not(vec!["RU".into()])));
        assert!(fits(&[], &Condition::Exists(false)));
        assert!(fits(&values("Check me"), &Condition::Contains("check".into())));
    }
}
