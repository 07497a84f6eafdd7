//! Values that several parts of a manifest share: templates, paths, sources, conditions.

use std::collections::BTreeMap;
use std::ops::Range;

use super::Scope;
use crate::connector::manifest::{Source, Test};
use crate::connector::template::Template;
use crate::map::path::Path;
use crate::tables::Value;

/// Where a template stands: each place knows which holes it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The base URL, or what a webhook belongs to.
    Settings,
    /// A header of `[http]`, or `[auth]`.
    Credentials,
    /// A poll's request.
    Poll,
    /// A read's request.
    Read,
    /// A command's request, or a look-up's condition.
    Command,
    /// What a signature covers.
    Signed,
}

/// What the planner hands to outbound mappings (`plan::content`): a name, and its fields where it has some.
pub(super) const SOURCE: &[(&str, &[&str])] = &[
    (
        "order",
        &[
            "id",
            "ref",
            "number",
            "storefront",
            "placed_at",
            "channel",
            "currency",
            "total",
            "subtotal",
            "tax",
            "discount",
            "shipping",
            "terms",
            "ship_method",
            "tags",
            "extra",
        ],
    ),
    ("lines", &["ref", "sku", "our_sku", "store_sku", "quantity", "units", "title", "unit_price", "weight"]),
    (
        "shipment",
        &[
            "ref",
            "warehouse",
            "at",
            "carrier",
            "service",
            "location",
            "lines",
            "tracking",
            "urls",
            "packages",
            "recorded",
        ],
    ),
    ("ship_to", ADDRESS),
    ("bill_to", ADDRESS),
    ("ship_method", &["carrier", "service"]),
    ("needs", &[]),
    ("email", &[]),
    ("phone", &[]),
    ("note", &[]),
    ("gift_note", &[]),
    ("warehouse", &[]),
    ("warehouse_order", &[]),
    ("payment", &[]),
    ("amount", &[]),
    ("reference", &[]),
    ("reason", &[]),
    ("tag", &[]),
    ("tags", &[]),
    ("sku", &[]),
    ("our_sku", &[]),
    ("quantity", &[]),
    ("location", &[]),
    ("tracking", &[]),
    ("carrier", &[]),
    ("label", &[]),
    ("weight", &[]),
];
const ADDRESS: &[&str] =
    &["name", "company", "street", "city", "region", "postal_code", "country", "phone", "email"];

/// Why `hole` is no path into what the planner hands out: the word that is wrong, and what is known in its place.
fn wrong_in_source(hole: &str) -> Option<(&str, Vec<&'static str>)> {
    let mut steps = hole.split('.').map(|step| step.split('[').next().unwrap_or_default());
    let root = steps.next().unwrap_or_default();
    let Some((_, fields)) = SOURCE.iter().find(|(name, _)| *name == root) else {
        return Some((root, SOURCE.iter().map(|(name, _)| *name).collect()));
    };
    // What is read beforehand has the partner's own fields.
    let field = steps.next().filter(|_| root != "needs")?;
    (!fields.contains(&field)).then(|| (field, fields.to_vec()))
}

impl Place {
    fn names(self) -> &'static [&'static str] {
        match self {
            Self::Settings | Self::Credentials => &[],
            Self::Poll => &["page", "since"],
            Self::Read => &["page", "id", "ref", "key"],
            Self::Command => &["ref", "key"],
            Self::Signed => &["body", "time", "url"],
        }
    }
}

impl Scope<'_> {
    /// The template in `value`, all holes of which must be known at `place`.
    pub(super) fn template(&self, value: &Value<'_>, place: Place) -> Option<Template> {
        let text = value.scalar()?;
        self.template_of(value, value.span(), &text, place)
    }

    pub(super) fn template_of(
        &self,
        value: &Value<'_>,
        span: Range<usize>,
        text: &str,
        place: Place,
    ) -> Option<Template> {
        let template = match Template::parse(text) {
            Ok(template) => template,
            Err(message) => {
                let found = self.file.error(span, format!("`{}`: {message}", value.path()));
                self.file.report(found.help("write a hole as {name}, and a brace as {{ or }}"));
                return None;
            }
        };
        for hole in template.holes() {
            self.check_hole(value, span.clone(), hole, place);
        }
        Some(template)
    }

    fn check_hole(&self, value: &Value<'_>, span: Range<usize>, hole: &str, place: Place) {
        let settings = || self.settings.iter().map(String::as_str).chain(["base_url"]);
        let source = matches!(place, Place::Command | Place::Read);
        let wrong = |message: String| self.file.error(span.clone(), format!("`{}`: {message}", value.path()));
        if let Some(name) = hole.strip_prefix("setting.") {
            if place == Place::Signed || !settings().any(|known| known == name) {
                let found = wrong(format!("there is no [setting.{name}] for the hole {{{hole}}}"));
                self.file.report(found.nearest(name, settings()));
            }
        } else if let Some(name) = hole.strip_prefix("secret.") {
            let known = self.secrets.iter().map(String::as_str);
            if place != Place::Credentials {
                let found = wrong(format!("the secret {{{hole}}} has no place here"));
                self.file.report(found.help(
                    "secrets stand in the headers of [http] and in [auth] alone, because requests are stored",
                ));
            } else if !known.clone().any(|known| known == name) {
                let found = wrong(format!("there is no [secret.{name}] for the hole {{{hole}}}"));
                self.file.report(found.nearest(name, known));
            }
        } else if !place.names().contains(&hole) {
            let settings: Vec<String> = settings().map(|name| format!("setting.{name}")).collect();
            let mut known: Vec<&str> = place.names().to_vec();
            if place != Place::Signed {
                known.extend(settings.iter().map(String::as_str));
            }
            let mut given = hole;
            if source {
                let Some((word, fields)) = wrong_in_source(hole) else {
                    if let Err(error) = Path::parse(hole) {
                        self.file
                            .report(wrong(error.to_string()).help("expected a path such as order.number"));
                    }
                    return;
                };
                if hole.starts_with(word) {
                    known.extend(fields);
                } else {
                    known = fields;
                }
                given = word;
            }
            let found = wrong(format!("nothing fills the hole {{{hole}}} here"));
            self.file.report(match known.as_slice() {
                [] => found
                    .help(format!("`{}` has no parts", hole.trim_end_matches(given).trim_end_matches('.'))),
                _ => found.nearest(given, known),
            });
        }
    }

    /// Templates by name: headers, query parameters, fields of a token request.
    pub(super) fn templates(&self, value: Option<Value<'_>>, place: Place) -> BTreeMap<String, Template> {
        let Some(table) = value.and_then(|value| value.table()) else { return BTreeMap::new() };
        let pairs = table.all().into_iter();
        pairs
            .filter_map(|(name, value)| Some((name.text.to_owned(), self.template(&value, place)?)))
            .collect()
    }
}

/// The path in `value`.
pub(super) fn path(value: &Value<'_>) -> Option<String> {
    let text = value.text()?;
    check_path(value, text).then(|| text.to_owned())
}

fn check_path(value: &Value<'_>, text: &str) -> bool {
    match Path::parse(text) {
        Ok(_) => true,
        Err(error) => {
            value.wrong(error, "expected a path such as \"data.orders[*].id\"");
            false
        }
    }
}

/// `"path"`, `{ path = "…" }` or `{ header = "X-Name" }`. Other keys are left to the caller: `more` names them.
pub(super) fn source(value: &Value<'_>, more: &[&str]) -> Option<Source> {
    if !value.is_table() {
        if value.raw().as_str().is_none() {
            value.expected("a path, or { header = \"X-Name\" }");
            return None;
        }
        return path(value).map(Source::Path);
    }
    let table = value.table()?;
    let found = match (table.get("header"), table.get("path")) {
        (Some(header), None) => header.text().map(|name| Source::Header(name.to_owned())),
        (None, Some(at)) => path(&at).map(Source::Path),
        _ => {
            value.wrong(
                "one of `header` and `path` is needed",
                "expected { header = \"X-Name\" } or { path = \"a.b\" }",
            );
            None
        }
    };
    table.finish_with(more);
    found
}

/// Conditions: path to test, in the order of the file.
pub(super) fn tests(value: Option<Value<'_>>) -> Vec<(String, Test)> {
    let Some(table) = value.and_then(|value| value.table()) else { return Vec::new() };
    let mut all = Vec::new();
    for (at, value) in table.all() {
        if check_path(&value, at.text)
            && let Some(test) = test(&value)
        {
            all.push((at.text.to_owned(), test));
        }
    }
    all
}

/// One condition.
pub(super) fn test(value: &Value<'_>) -> Option<Test> {
    if value.is_list() {
        return words(value).map(Test::AnyOf);
    }
    if !value.is_table() {
        return value.scalar().map(|word| Test::AnyOf(vec![word]));
    }
    let table = value.table()?;
    let mut found = Vec::new();
    if let Some(not) = table.get("not") {
        found.push(
            if not.is_list() { words(&not) } else { not.scalar().map(|word| vec![word]) }.map(Test::Not),
        );
    }
    if let Some(exists) = table.get("exists") {
        found.push(exists.flag().map(Test::Exists));
    }
    if let Some(contains) = table.get("contains") {
        found.push(contains.scalar().map(Test::Contains));
    }
    for key in ["ge", "le"] {
        if let Some(bound) = table.get(key) {
            let number = bound.integer();
            if number.is_none() {
                bound.expected("a whole number");
            }
            found.push(number.map(if key == "ge" { Test::Ge } else { Test::Le }));
        }
    }
    table.finish();
    if found.len() != 1 {
        if table.keys().is_empty() || found.len() > 1 {
            value.wrong(
                "one condition is needed",
                "expected not, exists, contains, ge or le, and one of them",
            );
        }
        return None;
    }
    found.pop().flatten()
}

fn words(value: &Value<'_>) -> Option<Vec<String>> {
    value.items()?.iter().map(Value::scalar).collect()
}

/// `while = { "path" = true }`: one path and the text that it must have.
pub(super) fn one_text(value: &Value<'_>) -> Option<(String, String)> {
    let all = value.table()?.all();
    let [(at, expected)] = all.as_slice() else {
        value.wrong("one path and its value are needed", "expected { \"path\" = true }");
        return None;
    };
    let text = expected.scalar()?;
    check_path(expected, at.text).then(|| (at.text.to_owned(), text))
}
