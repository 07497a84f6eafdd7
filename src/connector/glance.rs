//! A glance at a JSON body: single values at plain paths (`order.id`), without keeping the rest.

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The text or number at each of `paths`, as far as the body can be read. Ends once the first of them is found.
pub(super) fn glance(body: &[u8], paths: &[&str]) -> Vec<Option<String>> {
    let found = RefCell::new(vec![None; paths.len()]);
    if !paths.is_empty() {
        let wanted = paths.iter().copied().enumerate().collect();
        // Its error says that the first was found, or that the body is no JSON: what was seen until then counts.
        let _ended =
            Look { wanted, found: &found }.deserialize(&mut serde_json::Deserializer::from_slice(body));
    }
    found.into_inner()
}

/// What is looked for below the present value: which of the paths, and what is left of it.
struct Look<'p, 'f> {
    wanted: Vec<(usize, &'p str)>,
    found: &'f RefCell<Vec<Option<String>>>,
}

impl Look<'_, '_> {
    fn here(&self, text: &str) {
        if text.trim().is_empty() {
            return;
        }
        let mut found = self.found.borrow_mut();
        for (index, _) in self.wanted.iter().filter(|(_, rest)| rest.is_empty()) {
            found[*index].get_or_insert_with(|| text.to_owned());
        }
    }
}

impl<'de> DeserializeSeed<'de> for Look<'_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Look<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            let below = |rest: &'_ str| -> bool { rest.is_empty() || rest.starts_with('.') };
            let wanted: Vec<(usize, &str)> = self
                .wanted
                .iter()
                .filter_map(|(index, path)| Some((*index, path.strip_prefix(key.as_str())?)))
                .filter(|(_, rest)| below(rest))
                .map(|(index, rest)| (index, rest.strip_prefix('.').unwrap_or(rest)))
                .collect();
            if wanted.is_empty() {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            map.next_value_seed(Look { wanted, found: self.found })?;
            if self.found.borrow().first().is_some_and(Option::is_some) {
                return Err(A::Error::custom("found"));
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.here(text);
        Ok(())
    }

    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        self.here(&number.to_string());
        Ok(())
    }

    fn visit_i64<E>(self, number: i64) -> Result<(), E> {
        self.here(&number.to_string());
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}
