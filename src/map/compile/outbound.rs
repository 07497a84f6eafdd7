//! Outbound mappings: `[body…]`, the partner's names on the left, our paths on the right.

use super::super::condition::Cond;
use super::super::program::{As, OutField, OutObject, OutPlan, OutProgram, OutRows, Source, Unit, grams};
use super::super::time::Format;
use super::super::tree::{Key, Kind, Reader, Table, Tree};
use super::block::is_unset;
use super::overlay::is_rule;
use super::rule::For;
use super::{Env, Loaded};
use crate::diagnostic::{Diagnostic, Severity};

/// Words that steer a table of a body; a partner's field of that name goes below `set`.
const CONTROL: [&str; 13] = [
    "when",
    "from",
    "use",
    "set",
    "each",
    "where",
    "where_also",
    "sort",
    "group",
    "part",
    "keep",
    "unset",
    "doc",
];

/// The words of `as`.
pub(in crate::map) const AS: [&str; 20] = [
    "text",
    "integer",
    "number",
    "decimal",
    "boolean",
    "minor",
    "major",
    "amount",
    "currency",
    "rfc3339",
    "rfc2822",
    "unix",
    "unix_ms",
    "unix_us",
    "alpha3",
    "region",
    "phone",
    "control",
    "first_name",
    "last_name",
];

/// The names of the fields of a row.
fn columns(body: Option<&OutPlan>) -> Vec<String> {
    let objects: Vec<&OutObject> = match body {
        Some(OutPlan::Object(object)) => vec![object],
        Some(OutPlan::Rows(parts)) => parts.iter().map(|part| &part.object).collect(),
        _ => Vec::new(),
    };
    let mut columns: Vec<String> = Vec::new();
    for field in objects.into_iter().flat_map(|object| &object.fields) {
        if !columns.contains(&field.name) {
            columns.push(field.name.clone());
        }
    }
    columns
}

impl Loaded {
    /// Compiles the outbound program.
    pub fn outbound(&self) -> Result<(OutProgram, Vec<Diagnostic>), Vec<Diagnostic>> {
        let root = Reader::new(&self.files, &self.table);
        let mut program = OutProgram { name: self.name.clone(), ..OutProgram::default() };
        let mut env = Env { names: "body".to_owned(), ..Env::default() };
        if let Some(table) = root.sub("mapping") {
            let reader = Reader::new(&self.files, table);
            program.empty = reader
                .texts("empty")
                .unwrap_or_default()
                .into_iter()
                .map(|(text, _)| text.to_owned())
                .collect();
            program.exponents = self.exponents(&reader);
            env.zone = self.zone(&reader);
            program.syntax = self.syntax(&reader);
            reader.get("doc");
            reader.finish("[mapping]");
        }
        match self.table.entry("body") {
            Some((key, tree)) => program.body = self.out_plan(key, tree, &env),
            None => self.report(
                Diagnostic::whole(&format!("mappings/{}.out.toml", self.name), "it makes no body")
                    .help("write [body] and the partner's fields below"),
            ),
        }
        program.columns = columns(program.body.as_ref());
        for known in ["body", "fragment", "lookup", "overlay"] {
            root.get(known);
        }
        root.finish("an outbound mapping");
        let found = self.files.take();
        if found.iter().any(|found| found.severity == Severity::Error) {
            return Err(found);
        }
        Ok((program, found))
    }

    fn out_plan(&self, key: &Key, tree: &Tree, env: &Env) -> Option<OutPlan> {
        if let Kind::List(parts) = &tree.kind
            && parts.iter().all(|part| part.table().is_some())
            && !parts.is_empty()
        {
            let rows =
                parts.iter().filter(|part| !is_unset(part)).filter_map(|part| self.out_rows(part, env));
            return Some(OutPlan::Rows(rows.collect()));
        }
        if is_rule(tree) {
            return self.out_rule(key, tree, env);
        }
        let table = tree.table()?;
        if table.get("each").is_some() {
            return self.out_rows(tree, env).map(|rows| OutPlan::Rows(vec![rows]));
        }
        self.out_object(table, env, false).map(OutPlan::Object)
    }

    fn out_rule(&self, key: &Key, tree: &Tree, env: &Env) -> Option<OutPlan> {
        let mut bare = tree.clone();
        let mut way = As::Kept;
        if let Kind::Table(table) = &mut bare.kind
            && let Some(tree) = table.remove("as")
        {
            let unit = table.remove("unit");
            let country = table.remove("country_from");
            way = self.way(&tree, unit.as_ref(), country.as_ref())?;
        }
        let rule = self.rule(&bare, For::Any, env, &key.name)?;
        let several =
            matches!(rule.source, Source::List(_)) || rule.mods.split.is_some() && rule.mods.take.is_none();
        Some(OutPlan::Rule { rule: Box::new(rule), way, several })
    }

    fn way(&self, tree: &Tree, unit: Option<&Tree>, country: Option<&Tree>) -> Option<As> {
        let text = tree.text().unwrap_or_default();
        if let Some(country) = country.filter(|_| !matches!(text, "region" | "phone")) {
            self.report(
                self.error(country.place, "`country_from` is for regions and telephone numbers")
                    .help("take it out, or write as = \"region\" or as = \"phone\""),
            );
        }
        let country_path = |country: Option<&Tree>| {
            let country = country?;
            let path = country.text().and_then(|text| self.path(text, country.place));
            if country.text().is_none() {
                self.report(
                    self.error(country.place, format!("`country_from` is {}", country.what()))
                        .help("expected the path of the country: country_from = \"ship_to.country\""),
                );
            }
            path
        };
        Some(match text {
            "text" => As::Text,
            "integer" => As::Integer,
            "number" => As::Number,
            "decimal" => As::Decimal,
            "boolean" => As::Boolean,
            "minor" => As::Minor,
            "major" | "amount" => As::Major,
            "currency" => As::Currency,
            "alpha3" => As::Alpha3,
            "region" => As::Region(country_path(country)),
            "phone" => As::Phone(country_path(country)),
            "control" => As::Control,
            "first_name" => As::FirstName,
            "last_name" => As::LastName,
            "weight" => {
                let factor = unit.and_then(Tree::text).and_then(grams);
                if factor.is_none() {
                    self.report(
                        self.error(unit.unwrap_or(tree).place, "a weight in which unit?")
                            .help("write as = \"weight\", unit = \"oz\" (or mg, g, kg, t, lb)"),
                    );
                }
                As::Weight(Unit::Grams(factor?))
            }
            _ => {
                let Ok(format) = Format::parse(text) else {
                    self.report(
                        self.error(tree.place, format!("`{text}` is no way to write a value"))
                            .nearest(text, AS.into_iter().chain(["weight", "YYYY-MM-DD"])),
                    );
                    return None;
                };
                As::Time(format)
            }
        })
    }

    /// Rows, or with `part` and without `each` one row.
    fn out_rows(&self, tree: &Tree, env: &Env) -> Option<OutRows> {
        let table = tree.table()?;
        let reader = Reader::new(&self.files, table);
        let mut env = env.clone();
        let rows = self.row_source(&reader, &mut env);
        let when = reader.get("when").map(|tree| Cond::compile(&self.files, tree));
        let object = self.out_object(table, &env, true)?;
        Some(OutRows { loc: self.files.loc(tree.place), when, rows, object })
    }

    fn out_object(&self, table: &Table, env: &Env, is_row: bool) -> Option<OutObject> {
        let reader = Reader::new(&self.files, table);
        let mut env = env.clone();
        let mut object = OutObject::default();
        for (key, tree) in &table.entries {
            let wants = match key.name.as_str() {
                "when" | "where" | "set" => tree.table().is_some(),
                "from" | "group" => tree.text().is_some() || tree.list().is_some(),
                "use" | "each" | "sort" | "part" | "doc" => tree.text().is_some(),
                "keep" => matches!(tree.kind, Kind::Bool(_)),
                _ => true,
            };
            if !wants {
                self.report(
                    self.error(
                        tree.place,
                        format!("`{}` steers the table, and here it is {}", key.name, tree.what()),
                    )
                    .help(format!(
                        "if the partner has a field of that name, put it below `set`: set.{} = …",
                        key.name
                    )),
                );
                return None;
            }
        }
        if !is_row {
            object.when = reader.get("when").map(|tree| Cond::compile(&self.files, tree));
        }
        object.keep = reader.flag("keep").unwrap_or_default();
        object.from = self.paths(&reader, "from");
        if !object.from.is_empty() {
            env.depth += 1;
        }
        let merged = self.with_fragment(&reader, table);
        let set = merged.get("set").and_then(Tree::table).cloned().unwrap_or_default();
        let fields = merged.entries.iter().filter(|(key, _)| !CONTROL.contains(&key.name.as_str()));
        for (key, tree) in fields.chain(&set.entries) {
            if is_unset(tree) {
                continue;
            }
            let names = format!("{}.{}", env.names, key.name);
            let inner = Env { names: names.clone(), ..env.clone() };
            if let Some(plan) = self.out_plan(key, tree, &inner) {
                let required = matches!(&plan, OutPlan::Rule { rule, .. } if rule.mods.required);
                let loc = self.files.loc(key.place);
                object.fields.push(OutField { name: key.name.clone(), full: names, loc, required, plan });
            }
        }
        Some(object)
    }
}
