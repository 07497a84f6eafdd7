//! Reads `connector.toml` into a [`Manifest`]: what it says, and every problem in it.

mod access;
mod command;
mod document;
mod limit;
mod request;
mod values;
mod webhook;

use std::collections::BTreeMap;

use super::manifest::{Auth, Manifest, SecretSpec, Setting};
use super::template::Template;
use crate::config::sources::Sources;
use crate::diagnostic::{Diagnostic, Severity};
use crate::tables::{File, Key, Table, Value};

/// Roles that an account can play.
pub(crate) const ROLES: &[&str] = &["storefront", "warehouse", "carrier", "gateway"];

/// Commands that planning asks for.
pub(crate) const COMMANDS: &[&str] = &[
    "order.create",
    "order.change",
    "order.cancel",
    "order.tag",
    "fulfilment.create",
    "fulfilment.update",
    "inventory.set",
    "payment.capture",
    "payment.void",
    "payment.refund",
    "tracker.create",
    "label.buy",
    "label.refund",
];

/// What is known of a manifest while its parts are read.
struct Scope<'f> {
    file: &'f File<'f>,
    sources: &'f Sources,
    /// The connector.
    name: &'f str,
    settings: Vec<String>,
    secrets: Vec<String>,
    reads: Vec<String>,
    polls: Vec<String>,
    commands: Vec<String>,
    /// Path of the GraphQL endpoint, where `[http]` names one.
    endpoint: Option<Template>,
}

/// Reads the manifest of the connector called `name`; `None` when it is broken.
pub(super) fn manifest(sources: &Sources, name: &str) -> (Option<Manifest>, Vec<Diagnostic>) {
    let path = format!("connectors/{name}/connector.toml");
    let Some(text) = sources.get(&path) else {
        return (None, vec![Diagnostic::whole(&path, "there is no such file")]);
    };
    let file = File::new(&path, text);
    let manifest = file.parse().and_then(|parsed| whole(sources, name, &file, &Table::root(&file, &parsed)));
    let problems = file.finish();
    let broken = problems.iter().any(|found| found.severity == Severity::Error);
    (manifest.filter(|_| !broken), problems)
}

fn whole(sources: &Sources, name: &str, file: &File<'_>, root: &Table<'_>) -> Option<Manifest> {
    let names = |key: &str| -> Vec<String> {
        let table = root.get(key).filter(Value::is_table).and_then(|value| value.table());
        table.map(|table| table.keys().iter().map(|key| key.text.to_owned()).collect()).unwrap_or_default()
    };
    let http = root.get("http").filter(Value::is_table).and_then(|value| value.table());
    let scope = Scope {
        file,
        sources,
        name,
        settings: names("setting"),
        secrets: names("secret"),
        reads: names("read"),
        polls: names("poll"),
        commands: command::names(root),
        endpoint: http.and_then(|http| Template::parse(http.get("graphql")?.text()?).ok()),
    };
    let head = root.need("connector", "the table [connector] with `serves`").and_then(|value| value.table());
    let (title, serves, exponents) = head.map(|head| connector(&head, name)).unwrap_or_default();
    let settings = settings(root);
    let secrets = secrets(root);
    let http = root.need("http", "the table [http] with `base`").and_then(|value| value.table());
    let http = http.and_then(|http| scope.http(&http));
    let auth = root.table("auth").map_or(Some(Auth::None), |auth| scope.auth(&auth));
    let limits = scope.limits(root);
    let webhook = root.table("webhook").map(|webhook| scope.webhook(&webhook));
    let polls = scope.polls(root);
    let reads = scope.reads(root);
    let commands = scope.commands(root);
    let errors = scope.errors(root);
    root.finish();
    scope.unused_files(root);
    Some(Manifest {
        name: name.to_owned(),
        title,
        serves,
        settings,
        secrets,
        http: http?,
        auth: auth?,
        limits,
        webhook: match webhook {
            Some(webhook) => Some(webhook?),
            None => None,
        },
        polls,
        reads,
        commands,
        errors,
        exponents,
    })
}

fn connector(head: &Table<'_>, name: &str) -> (String, Vec<String>, BTreeMap<String, u32>) {
    let title = head.text("title").unwrap_or_else(|| name.to_owned());
    let serves = head.need("serves", "a list of roles: storefront, warehouse, carrier, gateway");
    let serves = serves.and_then(|value| Some((value.texts()?, value))).map(|(words, value)| {
        for (word, _) in words.iter().filter(|(word, _)| !ROLES.contains(word)) {
            value.unknown(format!("`{word}` is no role"), word, ROLES.iter().copied());
        }
        words.into_iter().map(|(word, _)| word.to_owned()).collect()
    });
    let mut exponents = BTreeMap::new();
    for (code, value) in head.text_map("exponents") {
        if let Some(exponent) = value.whole(0, 8).and_then(|number| u32::try_from(number).ok()) {
            if crate::canonical::Currency::parse(code.text).is_err() {
                value.wrong(
                    format!("`{}` is no currency", code.text),
                    "expected an ISO 4217 code such as ISK",
                );
            }
            exponents.insert(code.text.to_owned(), exponent);
        }
    }
    head.finish();
    (title, serves.unwrap_or_default(), exponents)
}

fn settings(root: &Table<'_>) -> BTreeMap<String, Setting> {
    let mut all = BTreeMap::new();
    for (name, table) in root.tables("setting") {
        let doc = table.text("doc").unwrap_or_default();
        let default = table.get("default").and_then(|value| value.scalar());
        table.finish();
        all.insert(name.text.to_owned(), Setting { doc, default });
    }
    let doc =
        "Another address of the partner's API, without a slash at the end: a sandbox, a proxy".to_owned();
    all.entry("base_url".to_owned()).or_insert(Setting { doc, default: Some(String::new()) });
    all
}

fn secrets(root: &Table<'_>) -> BTreeMap<String, SecretSpec> {
    let mut all = BTreeMap::new();
    for (name, table) in root.tables("secret") {
        let spec = SecretSpec {
            doc: table.text("doc").unwrap_or_default(),
            several: table.flag("several").unwrap_or(false),
            optional: table.flag("optional").unwrap_or(false),
        };
        table.finish();
        all.insert(name.text.to_owned(), spec);
    }
    all
}

impl Scope<'_> {
    /// The names of everything that makes calls, as limits and error rules call them.
    fn calls(&self) -> Vec<String> {
        let polls = self.polls.iter().map(|name| format!("poll.{name}"));
        let reads = self.reads.iter().map(|name| format!("read.{name}"));
        self.commands.iter().cloned().chain(polls).chain(reads).collect()
    }

    /// Reports a name of a call that does not exist.
    fn check_call(&self, value: &Value<'_>, name: &str) {
        let calls = self.calls();
        if !calls.iter().any(|known| known == name) {
            let message = format!("there is no command, poll or read `{name}`");
            value.unknown(message, name, calls.iter().map(String::as_str));
        }
    }

    /// Reports a secret that is not declared.
    fn check_secret(&self, value: &Value<'_>, name: &str) {
        if !self.secrets.iter().any(|known| known == name) {
            let message = format!("there is no [secret.{name}]");
            unknown(value, &message, name, &self.secrets, "add that table");
        }
    }

    /// Reports a read that is not there.
    fn check_read(&self, value: &Value<'_>, name: &str) {
        if !self.reads.iter().any(|known| known == name) {
            let message = format!("there is no [read.{name}]");
            unknown(value, &message, name, &self.reads, "add that table");
        }
    }

    /// The inbound mapping named by `value`, which must exist.
    fn inbound(&self, value: &Value<'_>) -> Option<String> {
        self.mapping(value, "in")
    }

    /// The outbound mapping named by `value`, which must exist.
    fn outbound(&self, value: &Value<'_>) -> Option<String> {
        self.mapping(value, "out")
    }

    fn mapping(&self, value: &Value<'_>, way: &str) -> Option<String> {
        let name = value.text()?;
        let folder = format!("mappings/{}/", self.name);
        let ending = format!(".{way}.toml");
        if self.sources.get(&format!("{folder}{name}{ending}")).is_none() {
            let files = self.sources.under(&folder).map(|(path, _)| path);
            let known: Vec<String> = files
                .filter_map(|path| path.strip_prefix(folder.as_str())?.strip_suffix(ending.as_str()))
                .map(str::to_owned)
                .collect();
            unknown(
                value,
                &format!("there is no file {folder}{name}{ending}"),
                name,
                &known,
                "write that file",
            );
        }
        Some(name.to_owned())
    }

    /// Warns of documents beside the manifest that nothing names.
    fn unused_files(&self, root: &Table<'_>) {
        let folder = format!("connectors/{}/", self.name);
        let mut named = Vec::new();
        request::documents(root, &mut named);
        for (path, _) in self.sources.under(&folder) {
            let document = path.strip_prefix(folder.as_str()).filter(|name| name.ends_with(".graphql"));
            let named = |name: &str| named.iter().any(|known| known == name) || name == document::SHARED;
            if document.is_some_and(|name| !named(name)) {
                self.file
                    .report(Diagnostic::whole(path, "nothing in the manifest names this file").warning());
            }
        }
    }
}

/// Reports an unknown name with the nearest of `known`, or, where nothing is known, with what to do.
fn unknown(value: &Value<'_>, message: &str, given: &str, known: &[String], else_do: &str) {
    if known.is_empty() {
        value.wrong(message, else_do);
    } else {
        value.unknown(message, given, known.iter().map(String::as_str));
    }
}

/// The name of a key that must be a plain word: a setting, a poll, a command.
fn plain(file: &File<'_>, key: &Key<'_>) -> bool {
    let fits = !key.text.is_empty()
        && key.text.chars().all(|sign| sign.is_ascii_alphanumeric() || matches!(sign, '_' | '-'));
    if !fits {
        file.report(
            file.error(key.span.clone(), format!("`{}` is no name", key.text))
                .help("expected letters, digits, `_` and `-`"),
        );
    }
    fits
}
