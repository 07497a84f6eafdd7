//! JSON text laid out for reading, token by token: order, numbers and spelling stay as they came. Values that hold
//! personal data can be covered.

use serde::de::IgnoredAny;

/// Names under which partners send personal data; everything below them is covered.
const PERSONAL: &[&str] = &[
    "address",
    "address1",
    "address2",
    "bill_to",
    "billing",
    "billing_address",
    "billing_details",
    "browser_ip",
    "buyer",
    "client_details",
    "company",
    "contact_email",
    "customer",
    "default_address",
    "destination",
    "email",
    "first_name",
    "from_address",
    "gift_note",
    "last_name",
    "latitude",
    "longitude",
    "note",
    "note_attributes",
    "phone",
    "receipt_email",
    "recipient",
    "ship_to",
    "shipping",
    "shipping_address",
    "signed_by",
    "to_address",
];

/// Whether partners send personal data under this name.
pub fn is_personal(name: &str) -> bool {
    PERSONAL.contains(&name)
}

/// `text` indented, or `None` when it is no JSON. With `cover`, personal values are dots.
pub fn pretty(text: &str, cover: bool) -> Option<String> {
    serde_json::from_str::<IgnoredAny>(text).ok()?;
    let mut out = Layout { out: String::with_capacity(text.len() * 2), depth: 0, cover, covered: None };
    let mut rest = text.trim_start_matches('\u{feff}').trim();
    let mut key: Option<&str> = None;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' => string_length(rest),
            '{' | '}' | '[' | ']' | ',' | ':' => 1,
            _ => rest.find([',', '}', ']', ' ', '\n', '\r', '\t']).unwrap_or(rest.len()).max(1),
        };
        let (token, after) = rest.split_at(length);
        rest = after.trim_start();
        match first {
            '{' | '[' => out.open(token, key.take(), rest.starts_with(['}', ']'])),
            '}' | ']' => out.close(token),
            ',' => out.comma(),
            ':' => out.out.push_str(": "),
            '"' if rest.starts_with(':') => {
                out.out.push_str(token);
                key = Some(token.trim_matches('"'));
            }
            _ => out.value(token, key.take()),
        }
    }
    Some(out.out)
}

/// Length of the string literal with which `text` begins, quotes included.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, letter) in text.char_indices().skip(1) {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

struct Layout {
    out: String,
    depth: usize,
    cover: bool,
    /// The depth of the container below which all is covered.
    covered: Option<usize>,
}

impl Layout {
    fn personal(&self, key: Option<&str>) -> bool {
        self.cover && (self.covered.is_some() || key.is_some_and(|key| PERSONAL.contains(&key)))
    }

    fn open(&mut self, token: &str, key: Option<&str>, empty: bool) {
        if self.personal(key) && self.covered.is_none() {
            self.covered = Some(self.depth);
        }
        self.out.push_str(token);
        self.depth += 1;
        if !empty {
            self.line();
        }
    }

    fn close(&mut self, token: &str) {
        self.depth = self.depth.saturating_sub(1);
        if !self.out.ends_with(['{', '[']) {
            self.line();
        }
        self.out.push_str(token);
        if self.covered == Some(self.depth) {
            self.covered = None;
        }
    }

    fn comma(&mut self) {
        self.out.push(',');
        self.line();
    }

    fn value(&mut self, token: &str, key: Option<&str>) {
        let says_something = !matches!(token, "null" | "\"\"" | "true" | "false");
        if says_something && self.personal(key) {
            self.out.push_str("•••");
        } else {
            self.out.push_str(token);
        }
    }

    fn line(&mut self) {
        self.out.push('\n');
        for _ in 0..self.depth {
            self.out.push_str("  ");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_order_numbers_and_spelling() {
        let text = r#"{"z":1.50,"a":[{},[],"x\"y: {"],"b":{"c":null}}"#;
        let laid = pretty(text, false).unwrap();
        assert_eq!(
            laid,
            "{\n  \"z\": 1.50,\n  \"a\": [\n    {},\n    [],\n    \"x\\\"y: {\"\n  ],\n  \"b\": {\n    \"c\": null\n  }\n}"
        );
        assert!(pretty("{nope", false).is_none());
    }

    #[test]
    fn covers_personal_values_and_what_stands_below_them() {
        let text =
            r#"{"id":7,"email":"a@b.c","customer":{"id":9,"tags":["vip"],"phone":null},"name":"1001"}"#;
        let laid = pretty(text, true).unwrap();
        assert!(!laid.contains("a@b.c") && !laid.contains("vip") && !laid.contains('9'));
        assert!(laid.contains("\"id\": 7") && laid.contains("\"name\": \"1001\"") && laid.contains("null"));
    }
}
