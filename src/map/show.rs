//! `map show`: the effective mapping of one client or account, field by field, each rule with the file that it comes
//! from and with what it replaces.

use std::fmt;

use serde::Serialize;

use crate::canonical::fact::FactKind;
use crate::canonical::schema::Ty;
use crate::canonical::{AccountId, ClientId};
use crate::config::sources::Sources;
use crate::diagnostic::{Diagnostic, Severity};

use super::compile::{self, Loaded};
use super::tree::{Files, Key, Kind, Place, Table, Tree};

/// Who wrote a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "by", content = "name")]
pub enum Origin {
    /// It comes with Crossdock.
    Shipped,
    /// It stands in a file beside the config that is no overlay.
    Own,
    /// An overlay of this client.
    Client(String),
    /// An overlay of this account.
    Account(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shipped => f.write_str("shipped"),
            Self::Own => f.write_str("own file"),
            Self::Client(name) => write!(f, "client {name}"),
            Self::Account(name) => write!(f, "account {name}"),
        }
    }
}

/// A mapping as it holds for somebody.
#[derive(Debug, Clone, Serialize)]
pub struct Shown {
    /// The mapping and its version: `shopify/order@1a2b3c4d`.
    pub mapping: String,
    /// The files that make it, in the order in which they lie over each other.
    pub files: Vec<(String, Origin)>,
    /// Every rule.
    pub rules: Vec<ShownRule>,
    /// What works, but probably not as meant.
    pub warnings: Vec<Diagnostic>,
}

/// One rule of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShownRule {
    /// The table in which people look for it: `mapping`, `fact.placed`, `lookup.gateway`, `body`.
    pub table: String,
    /// The field, with the names around it: `lines.sku`.
    pub field: String,
    /// As it is written; none when an overlay took it out.
    pub rule: Option<String>,
    /// Who wrote it.
    pub origin: Origin,
    /// File, line and column.
    pub place: String,
    /// The fragment from which it comes.
    pub fragment: Option<String>,
    /// What it replaces: the rule and its place.
    pub replaces: Option<(String, String)>,
}

/// The overlays that there are for `client` and `account`, in the order in which they lie over the mapping.
#[must_use]
pub fn overlays(
    sources: &Sources,
    connector: &str,
    mapping: &str,
    client: Option<&ClientId>,
    account: Option<&AccountId>,
) -> Vec<String> {
    let of_client = client.map(|name| format!("mappings/clients/{name}/{connector}/{mapping}.toml"));
    let of_account = account.map(|name| format!("mappings/accounts/{name}/{connector}/{mapping}.toml"));
    of_client.into_iter().chain(of_account).filter(|path| sources.get(path).is_some()).collect()
}

/// The mapping with `overlays` over it. `shipped` is what the binary carries.
///
/// # Errors
/// Everything that is wrong with the files.
pub fn show(
    sources: &Sources,
    shipped: &Sources,
    connector: &str,
    name: &str,
    overlays: &[String],
) -> Result<Shown, Vec<Diagnostic>> {
    let suffix = suffix(sources, connector, name);
    let walk = |overlays: &[String]| {
        let loaded = compile::load(sources, connector, name, suffix, overlays)?;
        let rules = Walk { loaded: &loaded, sources, shipped, rules: Vec::new() }.all();
        Ok::<_, Vec<Diagnostic>>((loaded, rules))
    };
    let (loaded, mut rules) = walk(overlays)?;
    let problems = loaded.files.take();
    if problems.iter().any(|found| found.severity == Severity::Error) {
        return Err(problems);
    }
    if !overlays.is_empty() {
        let (_, before) = walk(&[])?;
        compare(&mut rules, &before);
        taken_out(sources, overlays, &before, &mut rules);
    }
    let main = format!("mappings/{connector}/{name}{suffix}");
    let shared = format!("mappings/{connector}/shared.toml");
    let shared = Some(shared).filter(|path| sources.get(path).is_some());
    let files = std::iter::once(main).chain(shared).chain(overlays.iter().cloned());
    Ok(Shown {
        mapping: loaded.version,
        files: files.map(|path| (path.clone(), origin(sources, shipped, &path))).collect(),
        rules,
        warnings: problems,
    })
}

fn suffix(sources: &Sources, connector: &str, name: &str) -> &'static str {
    let inbound = sources.get(&format!("mappings/{connector}/{name}.in.toml")).is_some();
    if inbound { ".in.toml" } else { ".out.toml" }
}

/// Who wrote the file at `path`.
fn origin(sources: &Sources, shipped: &Sources, path: &str) -> Origin {
    let step = |rest: &str| rest.split('/').next().unwrap_or_default().to_owned();
    if let Some(rest) = path.strip_prefix("mappings/clients/") {
        Origin::Client(step(rest))
    } else if let Some(rest) = path.strip_prefix("mappings/accounts/") {
        Origin::Account(step(rest))
    } else if shipped.get(path).is_some_and(|text| sources.get(path) == Some(text)) {
        Origin::Shipped
    } else {
        Origin::Own
    }
}

/// Adds to each rule what it replaces.
fn compare(rules: &mut [ShownRule], before: &[ShownRule]) {
    for rule in rules {
        let same = before.iter().find(|old| old.table == rule.table && old.field == rule.field);
        if let Some(old) = same.filter(|old| old.place != rule.place) {
            rule.replaces = Some((old.rule.clone().unwrap_or_default(), old.place.clone()));
        }
    }
}

/// Adds the rules that overlays took out.
fn taken_out(sources: &Sources, overlays: &[String], before: &[ShownRule], rules: &mut Vec<ShownRule>) {
    let mut gone: Vec<(String, Origin, String)> = Vec::new();
    for path in overlays {
        let mut files = Files::default();
        let Some(table) = sources.get(path).and_then(|text| files.parse(path, text)) else { continue };
        let mut found = Vec::new();
        unsets(&table, "", &mut found);
        let by = origin(sources, sources, path);
        gone.extend(found.into_iter().map(|(name, at)| (name, by.clone(), files.loc(at).to_string())));
    }
    for old in before {
        let full = format!("{}.{}", old.table, old.field);
        let kept = rules.iter().any(|rule| rule.table == old.table && rule.field == old.field);
        let by = gone.iter().find(|(name, _, _)| full == *name || full.starts_with(&format!("{name}.")));
        if let (false, Some((_, origin, place))) = (kept, by) {
            let at = rules.iter().rposition(|rule| rule.table == old.table).map_or(rules.len(), |at| at + 1);
            let replaces = Some((old.rule.clone().unwrap_or_default(), old.place.clone()));
            let (origin, place) = (origin.clone(), place.clone());
            rules.insert(at, ShownRule { rule: None, origin, place, replaces, ..old.clone() });
        }
    }
}

/// The names of what is `{ unset = true }`, with their places.
fn unsets(table: &Table, around: &str, found: &mut Vec<(String, Place)>) {
    for (key, tree) in &table.entries {
        let name = if around.is_empty() { key.name.clone() } else { format!("{around}.{}", key.name) };
        if compile::is_unset(tree) {
            found.push((name, key.place));
            continue;
        }
        match &tree.kind {
            Kind::Table(inner) => unsets(inner, &name, found),
            Kind::List(items) => {
                for inner in items.iter().filter_map(Tree::table) {
                    let part = inner.get("part").and_then(Tree::text).unwrap_or_default();
                    let name = format!("{name}[{part}]");
                    if inner.get("unset").is_some_and(Tree::is_true) {
                        found.push((name, key.place));
                    } else {
                        unsets(inner, &name, found);
                    }
                }
            }
            _ => {}
        }
    }
}

struct Walk<'w> {
    loaded: &'w Loaded,
    sources: &'w Sources,
    shipped: &'w Sources,
    rules: Vec<ShownRule>,
}

impl Walk<'_> {
    fn all(mut self) -> Vec<ShownRule> {
        let loaded = self.loaded;
        let section = |name: &str| loaded.table.get(name).and_then(Tree::table);
        for name in ["mapping", "nothing"] {
            for (key, tree) in section(name).map(|table| table.entries.as_slice()).unwrap_or_default() {
                self.push(name, "", key, tree, None);
            }
        }
        for (key, tree) in section("fact").map(|table| table.entries.as_slice()).unwrap_or_default() {
            let Some(fact) = tree.table() else { continue };
            let kind = fact.get("is").and_then(Tree::text).and_then(FactKind::parse);
            let ty = |name: &str| kind.and_then(|info| info.field(name)).map(|field| field.ty);
            self.block(&format!("fact.{}", key.name), "", fact, &ty);
        }
        if let Some(body) = section("body") {
            self.body("", body);
        }
        for (key, tree) in &loaded.fragments.entries {
            let table = format!("fragment.{}", key.name);
            for (key, tree) in tree.table().map(|table| table.entries.as_slice()).unwrap_or_default() {
                self.push(&table, "", key, tree, None);
            }
        }
        self.lookups();
        self.rules
    }

    fn lookups(&mut self) {
        let loaded = self.loaded;
        let tables = loaded.table.get("lookup").and_then(Tree::table);
        for (key, tree) in tables.map(|table| table.entries.as_slice()).unwrap_or_default() {
            let name = format!("lookup.{}", key.name);
            for (key, tree) in tree.table().map(|table| table.entries.as_slice()).unwrap_or_default() {
                match tree.table().filter(|_| key.name == "rows") {
                    Some(rows) => {
                        for (key, tree) in &rows.entries {
                            self.push(&name, "rows", key, tree, None);
                        }
                    }
                    None => self.push(&name, "", key, tree, None),
                }
            }
        }
    }

    /// The fields of a fact, a nested record or a row, with those of the fragment that it uses.
    fn block(&mut self, section: &str, around: &str, table: &Table, ty: &dyn Fn(&str) -> Option<Ty>) {
        for (key, tree) in &table.entries {
            self.field(section, around, key, tree, ty(&key.name), None);
        }
        let mut next = table.get("use").and_then(Tree::text);
        let mut seen: Vec<&str> = Vec::new();
        let mut have: Vec<&str> = table.names().collect();
        while let Some(name) = next.take() {
            let Some(fragment) = self.loaded.fragments.get(name).and_then(Tree::table) else { break };
            if seen.contains(&name) {
                break;
            }
            for (key, tree) in &fragment.entries {
                if !have.contains(&key.name.as_str()) {
                    have.push(&key.name);
                    self.field(section, around, key, tree, ty(&key.name), Some(name));
                }
            }
            seen.push(name);
            next = fragment.get("use").and_then(Tree::text);
        }
    }

    fn field(
        &mut self,
        section: &str,
        around: &str,
        key: &Key,
        tree: &Tree,
        ty: Option<Ty>,
        through: Option<&str>,
    ) {
        let fields = match ty {
            Some(Ty::Record(fields)) => fields,
            Some(Ty::List(Ty::Record(fields))) => fields,
            Some(Ty::Extra) => &[][..],
            _ => return self.push(section, around, key, tree, through),
        };
        let name = dotted(around, &key.name);
        let inner = |name: &str| fields.iter().find(|field| field.name == name).map(|field| field.ty);
        match &tree.kind {
            Kind::Table(table) => self.block(section, &name, table, &inner),
            Kind::List(parts) => {
                for (number, part) in parts.iter().enumerate() {
                    let Some(table) = part.table() else { continue };
                    let label = table.get("part").and_then(Tree::text).map(str::to_owned);
                    let label = label.unwrap_or_else(|| (number + 1).to_string());
                    self.block(section, &format!("{name}[{label}]"), table, &inner);
                }
            }
            _ => self.push(section, around, key, tree, through),
        }
    }

    /// An outbound body: what is no rule has fields of its own.
    fn body(&mut self, around: &str, table: &Table) {
        for (key, tree) in &table.entries {
            match &tree.kind {
                Kind::Table(inner) if !compile::is_rule(tree) => self.body(&dotted(around, &key.name), inner),
                _ => self.push("body", around, key, tree, None),
            }
        }
    }

    fn push(&mut self, section: &str, around: &str, key: &Key, tree: &Tree, through: Option<&str>) {
        let files = &self.loaded.files;
        let loc = files.loc(key.place);
        self.rules.push(ShownRule {
            table: section.to_owned(),
            field: dotted(around, &key.name),
            rule: Some(written(files, tree)),
            origin: origin(self.sources, self.shipped, &loc.file),
            place: loc.to_string(),
            fragment: through.map(str::to_owned),
            replaces: None,
        });
    }
}

fn dotted(around: &str, name: &str) -> String {
    if around.is_empty() { name.to_owned() } else { format!("{around}.{name}") }
}

/// A value as it stands in the file, on one line.
fn written(files: &Files, tree: &Tree) -> String {
    let raw = files.raw(tree.place);
    let several = |items: Vec<String>, open: &str, close: &str| format!("{open}{}{close}", items.join(", "));
    match &tree.kind {
        Kind::Table(table) if !raw.starts_with('{') => {
            let entry = |(key, tree): &(Key, Tree)| format!("{} = {}", key.name, written(files, tree));
            several(table.entries.iter().map(entry).collect(), "{ ", " }")
        }
        Kind::List(items) if !raw.starts_with('[') || raw.starts_with("[[") => {
            several(items.iter().map(|item| written(files, item)).collect(), "[", "]")
        }
        Kind::Table(_) | Kind::List(_) => raw.split_whitespace().collect::<Vec<_>>().join(" "),
        _ => raw.to_owned(),
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.mapping)?;
        for (path, origin) in &self.files {
            writeln!(f, "  {origin}: {path}")?;
        }
        let width =
            self.rules.iter().map(|rule| rule.field.chars().count()).max().unwrap_or_default().min(32);
        let mut table = "";
        for rule in &self.rules {
            if rule.table != table {
                table = &rule.table;
                writeln!(f, "\n[{table}]")?;
            }
            write!(f, "{rule:width$}")?;
        }
        for warning in &self.warnings {
            writeln!(f, "\n{warning}")?;
        }
        Ok(())
    }
}

impl fmt::Display for ShownRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = f.width().unwrap_or_default();
        let rule = self.rule.as_deref().unwrap_or("(taken out)");
        write!(f, "  {:<width$} = {rule}   [{}: {}", self.field, self.origin, self.place)?;
        if let Some(fragment) = &self.fragment {
            write!(f, ", fragment {fragment}")?;
        }
        writeln!(f, "]")?;
        if let Some((was, place)) = &self.replaces {
            writeln!(f, "  {:<width$}   instead of {was}   [{place}]", "")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAIN: &str = r#"
[mapping]
currency_from = "currency"
[fact.placed]
is = "order.placed"
order = "id"
note = "note"
email = { path = "email", default = "" }
ship_to = { use = "address", from = "shipping_address" }
extra.po = "po"
[fact.placed.lines]
each = "items"
where = { gift = { not = true } }
sku = "sku"
[[fact.placed.charges]]
part = "shipping"
amount = "price"
[fragment.address]
city = "city"
[lookup.reason.rows]
a = "b"
"#;

    fn shown(overlays: &[(&str, &str)]) -> Shown {
        let mut sources = Sources::default();
        sources.insert("mappings/shop/order.in.toml", MAIN);
        let shipped = sources.clone();
        for (path, text) in overlays {
            sources.insert(*path, *text);
        }
        let found = super::overlays(
            &sources,
            "shop",
            "order",
            Some(&ClientId::from("acme")),
            Some(&AccountId::from("acme-shop")),
        );
        assert_eq!(found.len(), overlays.len());
        show(&sources, &shipped, "shop", "order", &found).unwrap()
    }

    fn rule<'s>(shown: &'s Shown, table: &str, field: &str) -> &'s ShownRule {
        let found = shown.rules.iter().find(|rule| rule.table == table && rule.field == field);
        found.unwrap_or_else(|| panic!("no {table} {field} in\n{shown}"))
    }

    #[test]
    fn every_field_stands_with_its_rule_and_place() {
        let shown = shown(&[]);
        assert_eq!(rule(&shown, "mapping", "currency_from").rule.as_deref(), Some("\"currency\""));
        let email = rule(&shown, "fact.placed", "email");
        assert_eq!(email.rule.as_deref(), Some("{ path = \"email\", default = \"\" }"));
        assert_eq!(
            (email.place.as_str(), &email.origin),
            ("mappings/shop/order.in.toml:8:1", &Origin::Shipped)
        );
        let city = rule(&shown, "fact.placed", "ship_to.city");
        assert_eq!(city.fragment.as_deref(), Some("address"));
        assert_eq!(
            rule(&shown, "fact.placed", "lines.where").rule.as_deref(),
            Some("{ gift = { not = true } }")
        );
        assert_eq!(
            rule(&shown, "fact.placed", "charges[shipping].amount").rule.as_deref(),
            Some("\"price\"")
        );
        assert_eq!(rule(&shown, "fact.placed", "extra.po").rule.as_deref(), Some("\"po\""));
        assert_eq!(rule(&shown, "lookup.reason", "rows.a").rule.as_deref(), Some("\"b\""));
    }

    #[test]
    fn rules_of_overlays_tell_what_they_replace() {
        let client = "[overlay]\nof = \"shop/order\"\n[fact.placed]\nnote = \"remark\"\nemail = { unset = true }\n\
                      [fact.placed.lines]\nwhere_also = { ships = true }\n[lookup.reason.rows]\nc = \"d\"\n";
        let account = "[overlay]\nof = \"shop/order\"\n[fact.placed]\nnote = { const = \"x\" }\nship_to.city = \"town\"\n";
        let shown = shown(&[
            ("mappings/clients/acme/shop/order.toml", client),
            ("mappings/accounts/acme-shop/shop/order.toml", account),
        ]);
        let note = rule(&shown, "fact.placed", "note");
        assert_eq!(note.origin, Origin::Account("acme-shop".into()));
        assert_eq!(note.place, "mappings/accounts/acme-shop/shop/order.toml:4:1");
        assert_eq!(note.replaces, Some(("\"note\"".into(), "mappings/shop/order.in.toml:7:1".into())));
        let email = rule(&shown, "fact.placed", "email");
        assert_eq!((email.rule.as_deref(), &email.origin), (None, &Origin::Client("acme".into())));
        assert_eq!(email.place, "mappings/clients/acme/shop/order.toml:5:1");
        assert_eq!(rule(&shown, "fact.placed", "ship_to.city").rule.as_deref(), Some("\"town\""));
        let also = rule(&shown, "fact.placed", "lines.where_also");
        assert_eq!((also.rule.as_deref(), &also.replaces), (Some("[{ ships = true }]"), &None));
        assert_eq!(rule(&shown, "lookup.reason", "rows.c").origin, Origin::Client("acme".into()));
        let text = shown.to_string();
        assert!(text.contains("  client acme: mappings/clients/acme/shop/order.toml\n"), "{text}");
        assert!(text.contains("instead of \"note\"   [mappings/shop/order.in.toml:7:1]"), "{text}");
        assert!(text.contains("= (taken out)   [client acme: "), "{text}");
    }
}
