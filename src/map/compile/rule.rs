//! One rule: `"path"` or `{ path = …, … }`.

use std::sync::Arc;

use super::super::condition::Cond;
use super::super::expr::Expr;
use super::super::lookup::Lookup;
use super::super::path::Path;
use super::super::program::{CurrencyFrom, Formula, Gather, Mods, Rule, Source, Unit, grams};
use super::super::time::Format;
use super::super::tree::{Kind, Place, Reader, Table, Tree};
use super::{Env, Loaded};
use crate::canonical::schema::Ty;

/// Keys of which a rule has exactly one: they say where the value comes from.
pub(in crate::map) const SOURCES: [&str; 8] =
    ["path", "first", "const", "join", "list", "sum", "count", "expr"];

/// What a rule is for: decides which keys it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::map) enum For {
    /// A canonical field of this type.
    Field(Ty),
    /// A field of a partner's body, or a variable of an expression: any value.
    Any,
}

impl For {
    fn is(self, ty: Ty) -> bool {
        self == Self::Field(ty) || self == Self::Any
    }
}

impl Loaded {
    /// Compiles a rule for one value, or for a list of texts.
    pub(in crate::map) fn rule(&self, tree: &Tree, target: For, env: &Env, what: &str) -> Option<Rule> {
        let mods = Mods {
            currency: env.currency_here(),
            unit: env.unit,
            zone: env.zone.clone(),
            decimal: env.decimal,
            ..Mods::default()
        };
        self.rule_with(tree, target, env, what, &mods, target == For::Field(Ty::List(&Ty::Text)))
    }

    fn rule_with(
        &self,
        tree: &Tree,
        target: For,
        env: &Env,
        what: &str,
        inherited: &Mods,
        several: bool,
    ) -> Option<Rule> {
        let loc = self.files.loc(tree.place);
        match &tree.kind {
            Kind::Text(text) => {
                let path = self.path(text, tree.place)?;
                self.one_value(&path, tree.place, what, several);
                self.not_a_word(text, target, tree.place);
                let mods = Mods { default: None, required: false, ..inherited.clone() };
                Some(Rule { loc, when: None, source: Source::Path(path), mods })
            }
            Kind::Table(table) => self.table_rule(tree, table, target, env, what, inherited, several),
            _ => {
                let literal = tree.scalar().unwrap_or_default();
                let help = match tree.kind {
                    Kind::List(_) => {
                        "for the first of several paths: { first = [ … ] }; for a list: { list = [ … ] }"
                            .to_owned()
                    }
                    _ => format!("for the value itself: {{ const = {literal} }}"),
                };
                self.report(
                    self.error(
                        tree.place,
                        format!("`{what}` is {}, and a rule is a path or a table", tree.what()),
                    )
                    .help(help),
                );
                None
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the private half of `rule`")]
    fn table_rule(
        &self,
        tree: &Tree,
        table: &Table,
        target: For,
        env: &Env,
        what: &str,
        inherited: &Mods,
        several: bool,
    ) -> Option<Rule> {
        let reader = Reader::new(&self.files, table);
        let when = reader.get("when").map(|tree| Cond::compile(&self.files, tree));
        let mods = self.mods(&reader, target, &Mods { after: Vec::new(), ..inherited.clone() });
        let several = several || mods.split.is_some() && mods.take.is_some() || !mods.after.is_empty();
        let given: Vec<&str> = SOURCES.into_iter().filter(|name| table.get(name).is_some()).collect();
        if given.len() != 1 {
            let (message, help) = match given.as_slice() {
                [] => (
                    "it does not say where the value comes from".to_owned(),
                    format!("expected one of {}", SOURCES.join(", ")),
                ),
                more => (
                    format!("it has {} sources: {}", more.len(), more.join(", ")),
                    "keep one of them".to_owned(),
                ),
            };
            for name in SOURCES {
                reader.get(name);
            }
            reader.finish(&format!("the rule of `{what}`"));
            self.report(self.error(tree.place, format!("`{what}`: {message}")).help(help));
            return None;
        }
        let source = self.source(&reader, given[0], target, env, what, &mods, several);
        if let Some((key, _)) = table.entry("as") {
            reader.get("as");
            self.report(
                self.error(key.place, format!("`as` in the rule of `{what}`: it is for outbound mappings")).help(
                    "the field on the left fixes the type: `total` is money, `at` is a time; take `as` out",
                ),
            );
        }
        for name in SOURCES.into_iter().chain(["doc"]) {
            reader.get(name);
        }
        reader.finish(&format!("the rule of `{what}`"));
        Some(Rule { loc: self.files.loc(tree.place), when, source: source?, mods })
    }

    #[expect(clippy::too_many_arguments, reason = "the private half of `rule`")]
    fn source(
        &self,
        reader: &Reader<'_>,
        kind: &str,
        target: For,
        env: &Env,
        what: &str,
        mods: &Mods,
        several: bool,
    ) -> Option<Source> {
        match kind {
            "path" => {
                let (text, at) = reader.text("path")?;
                let path = self.path(text, at)?;
                self.one_value(&path, at, what, several);
                Some(Source::Path(path))
            }
            "first" => {
                let items = Self::items(reader, "first", "paths or rules")?;
                let mods = Mods { default: None, required: false, ..mods.clone() };
                let rules =
                    items.iter().filter_map(|item| self.rule_with(item, target, env, what, &mods, several));
                Some(Source::First(rules.collect()))
            }
            "const" => {
                let tree = reader.get("const")?;
                let text = tree.scalar();
                if text.is_none() {
                    reader.wrong(
                        tree,
                        format!("`const` is {}", tree.what()),
                        "expected a text, a number, true or false",
                    );
                }
                text.map(Source::Const)
            }
            "join" => {
                let items = Self::items(reader, "join", "paths or rules")?;
                let by = reader.text("by").map_or_else(|| " ".to_owned(), |(by, _)| by.to_owned());
                let plain = Mods { empty: mods.empty.clone(), ..Mods::default() };
                let rules = items
                    .iter()
                    .filter_map(|item| self.rule_with(item, For::Any, env, what, &plain, true))
                    .collect();
                Some(Source::Join(rules, by))
            }
            "list" => self.gather(reader, "list", env, what).map(Source::List),
            "sum" => self.gather(reader, "sum", env, what).map(Source::Sum),
            "count" => self.gather(reader, "count", env, what).map(Source::Count),
            _ => self.expr(reader, env),
        }
    }

    fn items<'t>(reader: &Reader<'t>, name: &'static str, of: &str) -> Option<&'t [Tree]> {
        let tree = reader.get(name)?;
        let items = tree.list();
        if items.is_none() {
            reader.wrong(
                tree,
                format!("`{name}` is {}", tree.what()),
                format!("expected a list of {of}: {name} = [ … ]"),
            );
        }
        if items.is_some_and(<[Tree]>::is_empty) {
            reader.wrong(
                tree,
                format!("`{name}` is an empty list"),
                format!("name the {of}: {name} = [ … ]"),
            );
        }
        items
    }

    /// `sum = "path"`, `sum = [ … ]`, with `each` and `where` for the rows to go over.
    /// Without `each` it goes over the rows of the present group.
    fn gather(&self, reader: &Reader<'_>, name: &'static str, env: &Env, what: &str) -> Option<Gather> {
        let tree = reader.get(name)?;
        let each = reader.text("each").and_then(|(text, at)| self.path(text, at));
        let only = reader.get("where").map(|tree| Cond::compile(&self.files, tree));
        if let (None, Some(path)) = (&each, tree.text())
            && only.is_some()
            && let Some((rows, value)) = path.split_once("[*].")
        {
            self.wrong_key(
                reader,
                "where",
                &format!("`where` chooses rows, and `{path}` names values"),
                &format!("write {{ {name} = \"{value}\", each = \"{rows}\", where = … }}"),
            );
        }
        let items: &[Tree] = match &tree.kind {
            Kind::List(items) => items,
            Kind::Bool(true) if name == "count" => &[],
            _ => std::slice::from_ref(tree),
        };
        let rules =
            items.iter().filter_map(|item| self.rule_with(item, For::Any, env, what, &plain_mods(env), true));
        Some(Gather { each, only, values: rules.collect() })
    }

    fn expr(&self, reader: &Reader<'_>, env: &Env) -> Option<Source> {
        let (text, at) = reader.text("expr")?;
        let mut with = Vec::new();
        for (key, tree) in reader.sub("with").map(|table| table.entries.as_slice()).unwrap_or_default() {
            if let Some(rule) = self.rule_with(tree, For::Any, env, &key.name, &plain_mods(env), true) {
                with.push((key.name.clone(), rule));
            }
        }
        let names: Vec<&str> = with.iter().map(|(name, _)| name.as_str()).collect();
        match Expr::compile(text, &names) {
            Ok(expr) => {
                let count = text.split('\n').count();
                let lines = (1..=count).map(|line| self.files.loc(self.place_in_text(at, line, 1))).collect();
                Some(Source::Expr(Box::new(Formula { expr, with, lines })))
            }
            Err(error) => {
                let place = self.place_in_text(at, error.line, error.column);
                let known = names.iter().copied();
                let found = self.error(place, format!("in `expr`: {}", error.message));
                self.report(match error.message.strip_prefix("Undefined variable: ").or_else(|| error.message.strip_prefix("Variable not found: ")) {
                    Some(name) => {
                        let name = name.trim_end_matches(|c: char| !c.is_alphanumeric() && c != '_');
                        match crate::diagnostic::nearest(name, known) {
                            Some(near) => found.help(format!("did you mean `{near}`?")),
                            None => found.help(format!("an expression sees only what `with` names: with = {{ {name} = \"path\" }}")),
                        }
                    }
                    None => found,
                });
                None
            }
        }
    }

    /// The place of a line and column (from 1) inside a text of the file.
    pub(in crate::map) fn place_in_text(&self, at: Place, line: usize, column: usize) -> Place {
        let raw = self.files.raw(at);
        let quotes = if raw.starts_with("\"\"\"") || raw.starts_with("'''") { 3 } else { 1 };
        let skip = quotes + usize::from(quotes == 3 && raw[3..].starts_with('\n'));
        let inner = raw.get(skip..).unwrap_or_default();
        let start: usize = inner.split_inclusive('\n').take(line - 1).map(str::len).sum();
        let rest = inner.get(start..).unwrap_or_default();
        let offset: usize = rest.chars().take(column - 1).map(char::len_utf8).sum();
        Place { start: (at.start + skip + start + offset).min(at.end), ..at }
    }

    /// A field that takes one value cannot have `[*]`.
    fn one_value(&self, path: &Path, at: Place, what: &str, several: bool) {
        if path.several() && !several {
            self.report(
                self.error(at, format!("`{path}` gives several values, and `{what}` takes one"))
                    .help("write [0] or [-1] for one of them, or { sum = … }, { join = … }, { list = … }"),
            );
        }
    }

    fn not_a_word(&self, text: &str, target: For, at: Place) {
        if let For::Field(Ty::Word(words)) = target
            && words.contains(&text)
        {
            self.report(
                self.error(at, format!("`{text}` is read as a path"))
                    .help(format!("for the word itself: {{ const = \"{text}\" }}"))
                    .warning(),
            );
        }
    }

    fn mods(&self, reader: &Reader<'_>, target: For, inherited: &Mods) -> Mods {
        let mut mods = inherited.clone();
        if let Some(words) = reader.texts("empty") {
            mods.empty = words.into_iter().map(|(word, _)| word.to_owned()).collect();
        }
        if let Some(words) = reader.texts("after") {
            mods.after = words.into_iter().map(|(word, _)| word.to_owned()).collect();
            if reader.table.get("path").is_none() {
                let help = "write path = \"*\", after = [\"UP\"]";
                self.wrong_key(reader, "after", "`after` chooses among the values of a `path`", help);
            }
        }
        let text = |name: &'static str| reader.text(name).map(|(text, _)| text.to_owned());
        mods.split = text("split").or(mods.split);
        mods.prefix = text("prefix").or(mods.prefix);
        mods.suffix = text("suffix").or(mods.suffix);
        mods.take = reader.whole("take").or(mods.take);
        if mods.take.is_some() && mods.split.is_none() {
            self.wrong_key(
                reader,
                "take",
                "`take` picks one of the pieces of `split`",
                "add `split = \"/\"`",
            );
        }
        for (name, flag) in [
            ("required", &mut mods.required),
            ("abs", &mut mods.abs),
            ("negate", &mut mods.negate),
            ("lower", &mut mods.lower),
            ("upper", &mut mods.upper),
        ] {
            *flag = reader.flag(name).unwrap_or(*flag);
        }
        if let Some(tree) = reader.get("default") {
            mods.default = tree.scalar();
            mods.default_is_text = tree.text().is_some();
            if mods.default.is_none() {
                reader.wrong(
                    tree,
                    format!("`default` is {}", tree.what()),
                    "expected a text, a number, true or false",
                );
            }
        }
        mods.decimal = self.decimal_mark(reader).or(mods.decimal);
        mods.const_is_text = reader.get("const").is_some_and(|tree| tree.text().is_some());
        if let Some(tree) = reader.get("lookup") {
            mods.lookup = self.lookup(tree).or(mods.lookup);
        }
        if target == For::Any || target.is(Ty::Money) {
            self.money_mods(reader, target, &mut mods);
        }
        if target.is(Ty::Weight) && target != For::Any {
            self.weight_mods(reader, &mut mods);
        }
        if target == For::Any || target.is(Ty::Time) {
            self.time_mods(reader, &mut mods);
        }
        for (name, ty, is) in [
            ("currency", Ty::Money, "money"),
            ("currency_from", Ty::Money, "money"),
            ("unit", Ty::Money, "money and weights"),
            ("unit_from", Ty::Weight, "weights"),
            ("formats", Ty::Time, "times"),
            ("zone", Ty::Time, "times"),
            ("zone_from", Ty::Time, "times"),
        ] {
            let fits = target.is(ty) || (name == "unit" && target.is(Ty::Weight));
            if !fits && reader.get(name).is_some() {
                self.wrong_key(reader, name, &format!("`{name}` is for {is}"), "take it out");
            }
        }
        mods
    }

    fn wrong_key(&self, reader: &Reader<'_>, name: &str, message: &str, help: &str) {
        if let Some((key, _)) = reader.table.entry(name) {
            self.report(self.error(key.place, message).help(help));
        }
    }

    fn money_mods(&self, reader: &Reader<'_>, target: For, mods: &mut Mods) {
        let paths = self.currency_paths(reader);
        if !paths.is_empty() {
            mods.currency = paths.into_iter().map(CurrencyFrom::Path).collect();
        }
        if let Some((code, at)) = reader.text("currency")
            && let Some(fixed) = self.fixed_currency(code, at)
        {
            if reader.table.get("currency_from").is_none() {
                mods.currency.clear();
            }
            mods.currency.push(fixed);
        }
        if target != For::Any {
            mods.unit = self.money_unit(reader).or(mods.unit);
        }
    }

    fn weight_mods(&self, reader: &Reader<'_>, mods: &mut Mods) {
        mods.unit = mods.unit.filter(|unit| matches!(unit, Unit::Grams(_)));
        if let Some((text, at)) = reader.text("unit") {
            match grams(text) {
                Some(factor) => mods.unit = Some(Unit::Grams(factor)),
                None => self.report(
                    self.error(at, format!("`{text}` is no unit of weight"))
                        .help("expected mg, g, kg, t, oz or lb"),
                ),
            }
        }
        if let Some((text, at)) = reader.text("unit_from") {
            mods.unit_from = self.path(text, at);
        }
    }

    fn time_mods(&self, reader: &Reader<'_>, mods: &mut Mods) {
        if let Some(formats) = reader.texts("formats") {
            mods.formats.clear();
            for (text, at) in formats {
                match Format::parse(text) {
                    Ok(format) => mods.formats.push(format),
                    Err(error) => self.report(self.error(at, error).help(
                        "expected rfc3339, rfc2822, unix, unix_ms or a pattern of YYYY MM DD HH mm ss SSS Z A and [text]",
                    )),
                }
            }
        }
        mods.zone = self.zone(reader).or(mods.zone.take());
        if let Some((text, at)) = reader.text("zone_from") {
            mods.zone_from = self.path(text, at);
        }
    }

    fn lookup(&self, tree: &Tree) -> Option<Arc<Lookup>> {
        match &tree.kind {
            Kind::Text(name) => {
                let found = self.lookups.get(name);
                if found.is_none() {
                    self.report(
                        self.error(tree.place, format!("there is no look-up table `{name}`"))
                            .nearest(name, self.lookups.keys().map(String::as_str)),
                    );
                }
                found.cloned()
            }
            Kind::Table(rows) => Some(Arc::new(Lookup::inline(&self.files, "", tree, rows))),
            _ => {
                self.report(
                    self.error(tree.place, format!("`lookup` is {}", tree.what()))
                        .help("expected the name of a look-up table, or { theirs = \"ours\" }"),
                );
                None
            }
        }
    }
}

/// What the parts of a rule inherit: how numbers are written.
fn plain_mods(env: &Env) -> Mods {
    Mods { decimal: env.decimal, ..Mods::default() }
}
