//! Overlays: one client's or account's changes to single fields of a shipped mapping.

use sha2::{Digest, Sha256};

use crate::canonical::fact::FactKind;
use crate::canonical::schema::Ty;

use super::super::tree::{Files, Key, Kind, Place, Reader, Table, Tree};
use super::block::is_unset;

/// Lays `over` on `base`, the mapping called `of`; gives the rules that were replaced, with their digests.
pub(super) fn lay_over(files: &Files, of: &str, base: &mut Table, over: Table) -> Vec<(String, String)> {
    let remembered = header(files, of, &over);
    let mut lay = Lay { files, remembered, replaced: Vec::new() };
    for (key, tree) in over.entries {
        match key.name.as_str() {
            "overlay" => {}
            "fact" => lay.facts(base, &key, tree),
            "mapping" | "nothing" | "loops" => lay.merge(base, key, tree, &|_| false),
            "fragment" => lay.merge(base, key, tree, &|_| true),
            "lookup" => lay.merge(base, key, tree, &|_| true),
            "body" => lay.merge(base, key, tree, &|tree| !is_rule(tree)),
            name => {
                files.report(files.error(key.place, format!("`{name}` cannot stand in an overlay")).nearest(
                    name,
                    ["overlay", "fact", "mapping", "nothing", "loops", "fragment", "lookup", "body", "test"],
                ));
            }
        }
    }
    lay.replaced
}

/// Whether an entry of an outbound body is one rule; with `each` only list, sum and count make it one.
pub(in crate::map) fn is_rule(tree: &Tree) -> bool {
    let Kind::Table(table) = &tree.kind else { return true };
    let has = |name: &&str| table.get(name).is_some();
    let sources: &[&str] = if has(&"each") { &["list", "sum", "count"] } else { &super::rule::SOURCES };
    is_unset(tree) || (!has(&"set") && sources.iter().any(has))
}

fn header(files: &Files, of: &str, over: &Table) -> Vec<(String, String, Place)> {
    let reader = Reader::new(files, over);
    let Some(table) = reader.sub("overlay") else {
        if let Some((key, _)) = over.entries.first() {
            files.report(
                files
                    .error(key.place, "an overlay begins with [overlay]")
                    .help(format!("write [overlay] and `of = \"{of}\"`")),
            );
        }
        return Vec::new();
    };
    let reader = Reader::new(files, table);
    match reader.text("of") {
        Some((name, at)) if name != of => files.report(
            files
                .error(at, format!("this overlay is of `{name}`, and its path says `{of}`"))
                .help(format!("write `of = \"{of}\"`, or move the file")),
        ),
        Some(_) => {}
        None => {
            if let Some((key, _)) = over.entry("overlay") {
                files.report(
                    files
                        .error(key.place, "the overlay does not say of what")
                        .help(format!("write `of = \"{of}\"`")),
                );
            }
        }
    }
    let mut remembered = Vec::new();
    for (key, tree) in reader.sub("was").map(|table| table.entries.as_slice()).unwrap_or_default() {
        if let Some(text) = tree.text() {
            remembered.push((key.name.clone(), text.to_owned(), key.place));
        }
    }
    reader.get("doc");
    reader.finish("[overlay]");
    remembered
}

/// Eight hexadecimal digits of a rule's content.
pub(in crate::map) fn rule_digest(tree: &Tree) -> String {
    hex::encode(&Sha256::digest(tree.plain().as_bytes())[..4])
}

struct Lay<'f> {
    files: &'f Files,
    /// Rules that were replaced, as they were when the overlay was written.
    remembered: Vec<(String, String, Place)>,
    /// Rules that this overlay replaces, with the digest of what they were.
    replaced: Vec<(String, String)>,
}

impl Lay<'_> {
    fn facts(&mut self, base: &mut Table, key: &Key, tree: Tree) {
        let Kind::Table(over) = tree.kind else { return };
        if base.get("fact").is_none() {
            base.set(key.clone(), Tree { place: tree.place, kind: Kind::Table(Table::default()) });
        }
        let Some(Tree { kind: Kind::Table(facts), .. }) = base.get_mut("fact") else { return };
        for (key, tree) in over.entries {
            if is_unset(&tree) {
                if facts.remove(&key.name).is_none() {
                    self.nothing_there(&key, &format!("there is no fact `{}` to unset", key.name), facts);
                }
                continue;
            }
            let known: Vec<String> = facts.names().map(str::to_owned).collect();
            let path = format!("fact.{}", key.name);
            match (facts.get_mut(&key.name), tree.kind) {
                (Some(Tree { kind: Kind::Table(fact), .. }), Kind::Table(over)) => {
                    self.fact(&path, fact, over);
                }
                (_, kind) => {
                    let tree = Tree { place: tree.place, kind };
                    if tree.table().is_some_and(|table| table.get("is").is_none()) {
                        self.files.report(
                            self.files
                                .error(key.place, format!("there is no fact `{}` in the mapping", key.name))
                                .nearest(&key.name, known.iter().map(String::as_str)),
                        );
                    } else {
                        facts.set(key, tree);
                    }
                }
            }
        }
    }

    fn fact(&mut self, path: &str, fact: &mut Table, over: Table) {
        let kind = over.get("is").or(fact.get("is")).and_then(Tree::text).and_then(FactKind::parse);
        for (key, tree) in over.entries {
            let ty = kind.and_then(|info| info.field(&key.name)).map(|field| field.ty);
            self.field(path, fact, key, tree, ty);
        }
    }

    fn field(&mut self, path: &str, table: &mut Table, key: Key, tree: Tree, ty: Option<Ty>) {
        let path = format!("{path}.{}", key.name);
        if key.name == "where_also" {
            Self::where_also(table, key, tree);
            return;
        }
        let nested = match ty {
            Some(Ty::Record(fields)) => Some(fields),
            Some(Ty::List(Ty::Record(fields))) => Some(*fields),
            Some(Ty::Extra) => Some(&[][..]),
            _ => None,
        };
        let Some(fields) = nested.filter(|_| !is_unset(&tree)) else {
            self.replace(&path, table, key, tree);
            return;
        };
        let field_ty = |name: &str| fields.iter().find(|field| field.name == name).map(|field| field.ty);
        match (table.get_mut(&key.name), tree.kind) {
            (Some(Tree { kind: Kind::Table(base), .. }), Kind::Table(over)) => {
                for (key, tree) in over.entries {
                    let ty = field_ty(&key.name);
                    self.field(&path, base, key, tree, ty);
                }
            }
            (Some(Tree { kind: Kind::List(parts), .. }), kind) => {
                let overs = match kind {
                    Kind::List(items) => items,
                    kind => vec![Tree { place: tree.place, kind }],
                };
                for over in overs {
                    self.part(&path, parts, over, &field_ty);
                }
            }
            (_, kind) => table.set(key, Tree { place: tree.place, kind }),
        }
    }

    fn part(&mut self, path: &str, parts: &mut Vec<Tree>, over: Tree, ty: &dyn Fn(&str) -> Option<Ty>) {
        let name_of =
            |tree: &Tree| tree.table().and_then(|table| table.get("part")?.text().map(str::to_owned));
        let Some(name) = name_of(&over) else {
            self.files.report(
                self.files
                    .error(
                        over.place,
                        "this list has several rules, and the overlay does not say which it means",
                    )
                    .help("write `part = \"name of the rule\"`"),
            );
            return;
        };
        let at = parts.iter().position(|part| name_of(part).as_deref() == Some(name.as_str()));
        match at {
            Some(at) if is_unset(&over) => {
                parts.remove(at);
            }
            Some(at) => {
                if let (Kind::Table(base), Kind::Table(over)) = (&mut parts[at].kind, over.kind) {
                    for (key, tree) in over.entries {
                        let ty = ty(&key.name);
                        self.field(&format!("{path}.{name}"), base, key, tree, ty);
                    }
                }
            }
            None => parts.push(over),
        }
    }

    /// Adds to what the mapping says; several overlays add up.
    fn where_also(table: &mut Table, key: Key, tree: Tree) {
        let mut all = match table.remove("where_also") {
            Some(Tree { kind: Kind::List(items), .. }) => items,
            Some(one) => vec![one],
            None => Vec::new(),
        };
        match tree.kind {
            Kind::List(items) => all.extend(items),
            kind => all.push(Tree { place: tree.place, kind }),
        }
        table.set(key, Tree { place: tree.place, kind: Kind::List(all) });
    }

    fn replace(&mut self, path: &str, table: &mut Table, key: Key, tree: Tree) {
        if let Some(old) = table.get(&key.name) {
            if old.same(&tree) {
                let found = self.files.error(key.place, format!("`{path}` is the same in the mapping"));
                self.files.report(found.help("take it out of the overlay").warning());
            }
            let digest = rule_digest(old);
            self.replaced.push((path.to_owned(), digest.clone()));
            if let Some((_, _, place)) =
                self.remembered.iter().find(|(name, was, _)| name == path && *was != digest)
            {
                self.files.report(
                    self.files
                        .error(
                            *place,
                            format!("the mapping's rule for `{path}`, which this overlay replaces, changed"),
                        )
                        .help(format!(
                            "it is now {} ({}); check yours, then set was.\"{path}\" = \"{digest}\"",
                            old.plain(),
                            self.files.loc(old.place)
                        ))
                        .warning(),
                );
            }
        } else if is_unset(&tree) {
            self.nothing_there(&key, &format!("there is no `{path}` to unset"), table);
            return;
        }
        if is_unset(&tree) {
            table.remove(&key.name);
        } else {
            table.set(key, tree);
        }
    }

    fn nothing_there(&self, key: &Key, message: &str, table: &Table) {
        self.files.report(self.files.error(key.place, message).nearest(&key.name, table.names()).warning());
    }

    /// Table by table, as deep as `deeper` says; then key by key.
    fn merge(&mut self, base: &mut Table, key: Key, tree: Tree, deeper: &dyn Fn(&Tree) -> bool) {
        match (base.get_mut(&key.name), tree.kind) {
            (Some(Tree { kind: Kind::Table(base), .. }), Kind::Table(over)) => {
                for (inner, tree) in over.entries {
                    if deeper(&tree) && tree.table().is_some() && !is_unset(&tree) {
                        self.merge(base, inner, tree, deeper);
                    } else {
                        let path = format!("{}.{}", key.name, inner.name);
                        self.replace(&path, base, inner, tree);
                    }
                }
            }
            (_, kind) => base.set(key, Tree { place: tree.place, kind }),
        }
    }
}
