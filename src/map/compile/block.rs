//! Facts, their fields, nested records and lists.

use std::sync::Arc;

use crate::canonical::fact::{FactKind, Header, KINDS};
use crate::canonical::schema::{Field, Ty};
use crate::diagnostic::nearest;

use super::super::condition::Cond;
use super::super::path::{Path, Start};
use super::super::program::{Block, FactRule, FieldPlan, Plan, RecordPlan, RowSource, RowsPlan, Sort};
use super::super::tree::{Key, Kind, Reader, Table, Tree};
use super::rule::{For, SOURCES};
use super::{Env, Loaded};

/// Words that steer a table; no canonical field is called like one.
pub(in crate::map) const CONTROL: [&str; 18] = [
    "is",
    "when",
    "each",
    "where",
    "where_also",
    "sort",
    "group",
    "use",
    "from",
    "key",
    "part",
    "unit",
    "zone",
    "currency_from",
    "required",
    "decimal",
    "unset",
    "doc",
];

const SETTINGS: [&str; 5] = ["currency_from", "unit", "decimal", "zone", "doc"];
/// Of nested records and lists only.
const REQUIRED: &str = "required";
const ROWS: [&str; 5] = ["each", "where", "where_also", "sort", "group"];

/// What a table of fields is: for messages about a field that stands in the wrong one.
#[derive(Clone, Copy)]
struct Around<'a> {
    name: &'a str,
    fields: &'a [Field],
    outer: Option<&'a Around<'a>>,
    /// The line of its header.
    line: usize,
}

impl Loaded {
    /// `[fact.NAME]`.
    pub(super) fn fact(&self, key: &Key, tree: &Tree, env: &Env) -> Option<FactRule> {
        let Some(table) = tree.table() else {
            self.report(
                self.error(tree.place, format!("the fact `{}` is {}", key.name, tree.what()))
                    .help(format!("write [fact.{}] and its fields below", key.name)),
            );
            return None;
        };
        let reader = Reader::new(&self.files, table);
        let kinds = || KINDS.iter().filter(|info| !info.ours()).map(|info| info.kind.0);
        let Some((is, at)) = reader.text("is") else {
            if table.get("is").is_none() {
                let all: Vec<&str> = kinds().collect();
                self.report(
                    self.error(
                        key.place,
                        format!("[fact.{}] does not say what kind of fact it is", key.name),
                    )
                    .help(format!("add `is = \"…\"`, one of {}", all.join(", "))),
                );
            }
            return None;
        };
        let Some(kind) = FactKind::parse(is).filter(|info| !info.ours()) else {
            self.report(self.error(at, format!("there is no kind of fact `{is}`")).nearest(is, kinds()));
            return None;
        };
        let mut env = Env { names: key.name.clone(), ..env.clone() };
        let when = reader.get("when").map(|tree| Cond::compile(&self.files, tree));
        let rows = self.row_source(&reader, &mut env);
        self.settings(&reader, &mut env);
        let fields: Vec<Field> = kind.fields.iter().chain(Header::FIELDS).copied().collect();
        let around = Around { name: is, fields: &fields, outer: None, line: 0 };
        let table = self.with_fragment(&reader, table);
        let block = self.block(&table, &fields, &env, &["is", "when", "use"], &around);
        Some(FactRule { name: key.name.clone(), kind, loc: self.files.loc(key.place), when, rows, block })
    }

    /// `each`, `where`, `where_also`, `sort`, `group`; rows lie deeper by as many lists as `each` goes through.
    pub(super) fn row_source(&self, reader: &Reader<'_>, env: &mut Env) -> RowSource {
        let each = reader.text("each").and_then(|(text, at)| self.path(text, at));
        let mut only = reader.get("where").map(|tree| Cond::compile(&self.files, tree));
        if let Some(tree) = reader.get("where_also") {
            let more: &[Tree] = match &tree.kind {
                Kind::List(items) => items,
                _ => std::slice::from_ref(tree),
            };
            for tree in more {
                let cond = Cond::compile(&self.files, tree);
                only = Some(only.take().unwrap_or_default().and(cond));
            }
        }
        let sort = reader.text("sort").and_then(|(text, at)| {
            let (descending, text) = text.strip_prefix('-').map_or((false, text), |text| (true, text));
            self.path(text, at).map(|by| Sort { by, descending })
        });
        let group = self.paths(reader, "group");
        match &each {
            // The rows of the group stand as deep as the group's first.
            Some(path) if path.start() == Start::Group => {}
            Some(path) => env.depth += path.depth(),
            None => {
                for name in ["where", "where_also", "sort", "group"] {
                    if let Some((key, _)) = reader.table.entry(name) {
                        self.report(
                            self.error(key.place, format!("`{name}` without `each`"))
                                .help("add `each = \"the list\"`; for a condition on the whole write `when`"),
                        );
                    }
                }
            }
        }
        RowSource { each, only, sort, group }
    }

    /// The table with the fields of the fragment that it uses, where it has none of its own.
    pub(super) fn with_fragment(&self, reader: &Reader<'_>, table: &Table) -> Table {
        let mut merged = table.clone();
        let mut seen: Vec<String> = Vec::new();
        let mut next = reader.text("use").map(|(name, at)| (name.to_owned(), at));
        while let Some((name, at)) = next.take() {
            let Some(fragment) = self.fragments.get(&name).and_then(Tree::table) else {
                self.report(
                    self.error(at, format!("there is no fragment `{name}`"))
                        .nearest(&name, self.fragments.names()),
                );
                break;
            };
            if seen.contains(&name) {
                self.report(
                    self.error(at, format!("the fragment `{name}` uses itself"))
                        .help(format!("the circle is {} → {name}", seen.join(" → "))),
                );
                break;
            }
            merge_fragment(&mut merged, fragment);
            next = fragment.get("use").and_then(|tree| Some((tree.text()?.to_owned(), tree.place)));
            seen.push(name);
        }
        merged
    }

    fn block(
        &self,
        table: &Table,
        fields: &[Field],
        env: &Env,
        control: &[&str],
        around: &Around<'_>,
    ) -> Block {
        let mut plans = Vec::new();
        for (slot, field) in fields.iter().enumerate() {
            let full: Arc<str> = match env.names.split_once('.') {
                Some((_, outer)) => format!("{outer}.{}", field.name).into(),
                None => field.name.into(),
            };
            let Some((key, tree)) = table.entry(field.name) else {
                plans.push(FieldPlan {
                    name: field.name,
                    slot,
                    full,
                    ty: field.ty,
                    required: field.required,
                    loc: self.files.loc(
                        table
                            .entries
                            .first()
                            .map_or(super::super::tree::Place::NOWHERE, |(key, _)| key.place),
                    ),
                    plan: Plan::Unset,
                });
                continue;
            };
            if is_unset(tree) {
                continue;
            }
            if let Some(plan) = self.plan(field, tree, env, around) {
                let asked = match &plan {
                    Plan::Scalar(rule) | Plan::Texts(rule) => rule.mods.required,
                    Plan::Rows(parts) => parts.iter().any(|part| part.required),
                    Plan::Record(_) => is_required(tree),
                    _ => false,
                };
                plans.push(FieldPlan {
                    name: field.name,
                    slot,
                    full,
                    ty: field.ty,
                    required: field.required || asked,
                    loc: self.files.loc(key.place),
                    plan,
                });
            }
        }
        self.unknown_fields(table, fields, control, around);
        Block { fields: plans, size: fields.len() }
    }

    fn plan(&self, field: &Field, tree: &Tree, env: &Env, around: &Around<'_>) -> Option<Plan> {
        match field.ty {
            Ty::Record(fields) => self.record(field, fields, tree, env, around).map(Plan::Record),
            Ty::List(Ty::Record(fields)) => {
                let parts: &[Tree] = match &tree.kind {
                    Kind::List(items) => items,
                    _ => std::slice::from_ref(tree),
                };
                let rows = parts.iter().filter_map(|part| self.rows(field, fields, part, env, around));
                Some(Plan::Rows(rows.collect()))
            }
            Ty::List(_) => {
                self.rule(tree, For::Field(field.ty), env, field.name).map(|rule| Plan::Texts(rule.into()))
            }
            Ty::Extra => {
                let Some(table) = tree.table() else {
                    self.report(
                        self.error(tree.place, format!("`{}` is {}", field.name, tree.what()))
                            .help("write extra.po = \"po_number\""),
                    );
                    return None;
                };
                let rules =
                    table.entries.iter().filter(|(_, tree)| !is_unset(tree)).filter_map(|(key, tree)| {
                        Some((key.name.clone(), self.rule(tree, For::Field(Ty::Text), env, &key.name)?))
                    });
                Some(Plan::Extra(rules.collect()))
            }
            ty => self.rule(tree, For::Field(ty), env, field.name).map(|rule| Plan::Scalar(rule.into())),
        }
    }

    /// A nested record: `ship_to = { use = "address", from = "shipping_address" }`, or a table of its fields.
    fn record(
        &self,
        field: &Field,
        fields: &[Field],
        tree: &Tree,
        env: &Env,
        around: &Around<'_>,
    ) -> Option<Box<RecordPlan>> {
        let Some(table) = tree.table() else {
            self.report(
                self.error(
                    tree.place,
                    format!("`{}` has fields of its own, and this is {}", field.name, tree.what()),
                )
                .help(format!("write {} = {{ use = \"a fragment\", from = \"path\" }}", field.name)),
            );
            return None;
        };
        let reader = Reader::new(&self.files, table);
        let mut env = Env { names: format!("{}.{}", env.names, field.name), ..env.clone() };
        let when = reader.get("when").map(|tree| Cond::compile(&self.files, tree));
        let from = self.paths(&reader, "from");
        if !from.is_empty() {
            env.depth += 1;
        }
        self.settings(&reader, &mut env);
        let merged = self.with_fragment(&reader, table);
        let around =
            Around { name: field.name, fields, outer: Some(around), line: self.files.loc(tree.place).line };
        let block = self.block(&merged, fields, &env, &["when", "from", "use", REQUIRED], &around);
        Some(Box::new(RecordPlan { when, from, block }))
    }

    /// One rule for rows of a nested list.
    fn rows(
        &self,
        field: &Field,
        fields: &[Field],
        tree: &Tree,
        env: &Env,
        around: &Around<'_>,
    ) -> Option<RowsPlan> {
        let Some(table) = tree.table() else {
            self.report(
                self.error(
                    tree.place,
                    format!("`{}` is a list of rows, and this is {}", field.name, tree.what()),
                )
                .help(format!(
                    "write [fact.….{}] with `each = \"path of the list\"` and its fields",
                    field.name
                )),
            );
            return None;
        };
        if is_unset(tree) {
            return None;
        }
        let reader = Reader::new(&self.files, table);
        let mut env = Env { names: format!("{}.{}", env.names, field.name), ..env.clone() };
        if let Some((key, _)) = table.entries.iter().find(|(key, _)| SOURCES.contains(&key.name.as_str()))
            && !fields.iter().any(|field| field.name == key.name)
        {
            self.report(
                self.error(
                    key.place,
                    format!("`{}` is a list of rows: `{}` gives one value", field.name, key.name),
                )
                .help("write `each = \"path of the list\"` and the fields of a row"),
            );
            return None;
        }
        let when = reader.get("when").map(|tree| Cond::compile(&self.files, tree));
        let required = reader.flag("required").unwrap_or(false);
        let rows = self.row_source(&reader, &mut env);
        self.settings(&reader, &mut env);
        let merged = self.with_fragment(&reader, table);
        let around =
            Around { name: field.name, fields, outer: Some(around), line: self.files.loc(tree.place).line };
        let block = self.block(&merged, fields, &env, &["when", "use", "part", REQUIRED], &around);
        Some(RowsPlan { loc: self.files.loc(tree.place), when, required, rows, block })
    }

    fn unknown_fields(&self, table: &Table, fields: &[Field], control: &[&str], around: &Around<'_>) {
        let rows = control.contains(&"is") || control.contains(&"part");
        for (key, _) in &table.entries {
            let name = key.name.as_str();
            let known = fields.iter().any(|field| field.name == name)
                || control.contains(&name)
                || SETTINGS.contains(&name)
                || (rows && ROWS.contains(&name));
            if known {
                continue;
            }
            let found = self.error(key.place, format!("`{name}` is no field of {}", around.name));
            let mut outer = around.outer;
            let mut home = None;
            while let Some(around) = outer {
                if around.fields.iter().any(|field| field.name == name) {
                    home = Some(around);
                    break;
                }
                outer = around.outer;
            }
            self.report(match home {
                Some(home) => {
                    let found = self.error(
                        key.place,
                        format!("`{name}` is no field of {} but of {}", around.name, home.name),
                    );
                    found.help(format!("move it above line {}", around.line))
                }
                None if name == "key" => {
                    found.help("`key` is reserved; in a [lookup] it names the column of their words")
                }
                None if CONTROL.contains(&name) => {
                    found.help(format!("`{name}` steers lists and facts, not this table"))
                }
                None => {
                    let names = fields.iter().map(|field| field.name).chain(control.iter().copied());
                    match nearest(name, names) {
                        Some(near) => found.help(format!("did you mean `{near}`?")),
                        None => found.help(format!(
                            "known here: {}{}",
                            fields.iter().map(|field| field.name).collect::<Vec<_>>().join(", "),
                            if fields.iter().any(|field| field.ty == Ty::Extra) {
                                format!("; to carry it along write extra.{name}")
                            } else {
                                String::new()
                            }
                        )),
                    }
                }
            });
        }
    }
}

/// Adds the fields of `fragment` that `table` does not have.
pub(in crate::map) fn merge_fragment(table: &mut Table, fragment: &Table) {
    for (key, tree) in &fragment.entries {
        if table.get(&key.name).is_none() {
            table.set(key.clone(), tree.clone());
        }
    }
}

/// `required = true` of a nested record or list.
fn is_required(tree: &Tree) -> bool {
    tree.table().and_then(|table| table.get(REQUIRED)).is_some_and(Tree::is_true)
}

/// `{ unset = true }`.
pub(in crate::map) fn is_unset(tree: &Tree) -> bool {
    tree.table().and_then(|table| table.get("unset")).is_some_and(Tree::is_true)
}

impl Path {
    /// How many rows deeper a row of this list is.
    pub(in crate::map) fn depth(&self) -> usize {
        self.brackets().max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_words_are_no_fields() {
        let fields = KINDS.iter().flat_map(|info| info.fields).chain(Header::FIELDS);
        for field in fields {
            assert!(!CONTROL.contains(&field.name), "{}", field.name);
        }
    }
}
