//! `[command.…]` and `[[error]]`.

use std::collections::BTreeMap;
use std::time::Duration;

use super::values::{Place, path, test, tests};
use super::{COMMANDS, Scope};
use crate::connector::manifest::{Command, ErrorClass, ErrorRule, Find, Once};
use crate::connector::quirks;
use crate::connector::template::Template;
use crate::tables::{Table, Value};

/// The names of all commands: `[command.order.create]` is `order.create`.
pub(super) fn names(root: &Table<'_>) -> Vec<String> {
    let mut all = Vec::new();
    let table = root.get("command").filter(Value::is_table).and_then(|value| value.table());
    for (what, value) in table.map(|table| table.all()).unwrap_or_default() {
        let verbs = if value.is_table() { value.table() } else { None };
        for verb in verbs.map(|verbs| verbs.keys()).unwrap_or_default() {
            all.push(format!("{}.{}", what.text, verb.text));
        }
    }
    all
}

impl Scope<'_> {
    pub(super) fn commands(&self, root: &Table<'_>) -> BTreeMap<String, Command> {
        let mut all = BTreeMap::new();
        for (what, verbs) in root.tables("command") {
            for (verb, value) in verbs.all() {
                let name = format!("{}.{}", what.text, verb.text);
                if !COMMANDS.contains(&name.as_str()) {
                    let found = self
                        .file
                        .error(verb.span.clone(), format!("nothing ever asks for the command `{name}`"));
                    self.file.report(found.nearest(&name, COMMANDS.iter().copied()));
                    continue;
                }
                if let Some(table) = value.table()
                    && let Some(command) = self.command(&table, &name)
                {
                    all.insert(name, command);
                }
            }
        }
        all
    }

    fn command(&self, table: &Table<'_>, name: &str) -> Option<Command> {
        let mut needs = BTreeMap::new();
        for (key, value) in table.text_map("needs") {
            if let Some(read) = value.text() {
                self.check_read(&value, read);
                needs.insert(key.text.to_owned(), read.to_owned());
            }
        }
        let out = table.get("out").and_then(|value| self.outbound(&value));
        let request = self.request(table, Place::Command, out.is_some());
        let quirk = table.get("quirk").and_then(|value| {
            let given = value.text()?;
            if !quirks::NAMES.contains(&given) {
                value.unknown(format!("there is no quirk `{given}`"), given, quirks::NAMES.iter().copied());
            }
            Some(given.to_owned())
        });
        let ok = tests(table.get("ok"));
        let answer = table.get("answer").and_then(|value| self.inbound(&value));
        let once = table.need("once", "how doing it twice is prevented: repeat, key, find or never");
        let once = once.and_then(|value| self.once(&value));
        table.finish();
        let (mut request, once) = (request?, once?);
        if let Once::Key { header, .. } = &once
            && let Ok(key) = Template::parse("{key}")
        {
            request.headers.insert(header.to_string(), key);
        }
        Some(Command { name: name.to_owned(), needs, request, out, quirk, ok, answer, once })
    }

    fn once(&self, value: &Value<'_>) -> Option<Once> {
        let table = value.table()?;
        let (repeat, never) = (table.get("repeat"), table.get("never"));
        let (key, ttl) = (table.get("key"), table.duration("ttl"));
        let find = table.get("find").map(|find| self.find(&table, &find));
        let known = ["same", "settle", "complete"];
        table.finish_with(&known);
        let find = match find {
            Some(find) => Some(find?),
            None => None,
        };
        match (repeat, never, key, find) {
            (Some(flag), None, None, None) => flag.flag().filter(|yes| *yes).map(|_| Once::Repeatable),
            (None, Some(flag), None, None) => flag.flag().filter(|yes| *yes).map(|_| Once::Never),
            (None, None, Some(key), find) => {
                let header =
                    Template::parse(key.text()?).ok().filter(|header| header.holes().next().is_none());
                if header.is_none() {
                    key.wrong("it is no header's name", "expected a name such as \"Idempotency-Key\"");
                }
                if ttl.is_none() {
                    table.wrong(
                        "`ttl` is missing",
                        "expected for how long the partner honours a key: ttl = \"24h\"",
                    );
                }
                Some(Once::Key { header: header?, ttl: ttl?, find })
            }
            (None, None, None, Some(find)) => Some(Once::Find(find)),
            _ => {
                value.wrong(
                    "one way to prevent doing it twice is needed",
                    "expected { repeat = true }, { key = \"Idempotency-Key\", ttl = \"24h\" }, \
                     { find = \"read\", same = { … }, settle = \"10s\", complete = true } or { never = true }",
                );
                None
            }
        }
    }

    fn find(&self, table: &Table<'_>, find: &Value<'_>) -> Option<Find> {
        let read = find.text()?;
        self.check_read(find, read);
        let same = table.need("same", "what tells our item from others: { \"path\" = \"{ref}\" }");
        let same: Vec<(String, Template)> = match same.as_ref().and_then(Value::table) {
            Some(same) => {
                let pairs = same.all().into_iter();
                pairs
                    .filter_map(|(at, value)| {
                        Some((at.text.to_owned(), self.template(&value, Place::Command)?))
                    })
                    .collect()
            }
            None => return None,
        };
        for (at, _) in &same {
            if let Err(error) = crate::map::path::Path::parse(at) {
                table.wrong(error.to_string(), "expected a path in the item");
            }
        }
        if same.is_empty() {
            table.wrong(
                "`same` is empty: the first item would be taken for ours",
                "expected { \"path\" = \"{ref}\" }",
            );
        }
        let settle = table.duration("settle").unwrap_or(Duration::ZERO);
        let complete = table.flag("complete").unwrap_or(false);
        Some(Find { read: read.to_owned(), same, settle, complete })
    }

    pub(super) fn errors(&self, root: &Table<'_>) -> Vec<ErrorRule> {
        let Some(value) = root.get("error") else { return Vec::new() };
        if !value.is_list() {
            value.wrong("each rule has its own header", "expected [[error]], with two brackets");
            return Vec::new();
        }
        let items = value.items().unwrap_or_default();
        items.iter().filter_map(|item| self.error(&item.table()?)).collect()
    }

    fn error(&self, table: &Table<'_>) -> Option<ErrorRule> {
        let mut status = None;
        let mut when = Vec::new();
        if let Some(conditions) = table.need("when", "conditions: { status = 200, \"path\" = \"text\" }")
            && let Some(conditions) = conditions.table()
        {
            for (at, value) in conditions.all() {
                if at.text == "status" {
                    status = value.whole(100, 599).and_then(|number| u16::try_from(number).ok());
                } else if let Some(test) = test(&value) {
                    if let Err(error) = crate::map::path::Path::parse(at.text) {
                        value.wrong(error, "expected a path in the answer");
                    }
                    when.push((at.text.to_owned(), test));
                }
            }
            if conditions.keys().is_empty() {
                table.wrong(
                    "`when` is empty: the rule would fit every answer",
                    "expected at least one condition",
                );
            }
        }
        let command = table.get("command").and_then(|value| {
            let name = value.text()?;
            self.check_call(&value, name);
            Some(name.to_owned())
        });
        let class = table.need("class", "what the answer means").and_then(|value| class(&value));
        let message = table.get("message").and_then(|value| path(&value));
        table.finish();
        Some(ErrorRule { status, when, command, class: class?, message })
    }
}

fn class(value: &Value<'_>) -> Option<ErrorClass> {
    const WORDS: &[&str] =
        &["retry", "unknown", "rate_limited", "refresh_token", "rejected", "duplicate", "config"];
    Some(match value.word(WORDS)? {
        "retry" => ErrorClass::Retry,
        "unknown" => ErrorClass::Unknown,
        "rate_limited" => ErrorClass::RateLimited,
        "refresh_token" => ErrorClass::RefreshToken,
        "duplicate" => ErrorClass::Duplicate,
        "config" => ErrorClass::Config,
        _ => ErrorClass::Rejected,
    })
}
