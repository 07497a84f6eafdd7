//! `[account.…]`.

use std::collections::BTreeMap;

use secrecy::SecretString;

use super::Scope;
use crate::canonical::{AccountId, ClientId};
use crate::config::model::{Account, PollSetting};
use crate::connector::manifest::Manifest;
use crate::map::path::Path;
use crate::tables::{Key, Table, Value};

impl Scope<'_> {
    pub(super) fn accounts(&self, root: &Table<'_>) -> BTreeMap<AccountId, Account> {
        let mut all = BTreeMap::new();
        for (name, table) in root.tables("account") {
            let account = self.account(&table, name.text);
            if plain(root, &name)
                && let Some(account) = account
            {
                all.insert(account.id.clone(), account);
            }
        }
        all
    }

    fn account(&self, table: &Table<'_>, name: &str) -> Option<Account> {
        let connector = table.need("connector", "the name of a connector, such as \"shopify\"");
        let connector = connector.and_then(|value| self.connector(&value));
        let client = table.text("client").map(ClientId::from);
        let enabled = table.flag("enabled").unwrap_or(true);
        let zone = table.get("zone").and_then(|value| zone(&value));
        let currency = table.get("currency").and_then(|value| currency(&value));
        let links = links(table);
        let (settings, secrets, polls) = (table.get("settings"), table.get("secrets"), table.get("poll"));
        let found = connector.as_ref().and_then(|name| self.registry.get(name)).map(|found| &found.manifest);
        let calendar = table.get("calendar");
        let calendar = calendar.and_then(|value| self.calendar(&value, zone.as_deref(), found));
        table.finish();
        if client.is_some() && !links.is_empty() {
            table.wrong(
                "an account is one client's (`client`) or shared by several (`link`), not both",
                "leave one of them out",
            );
        }
        let manifest = found?;
        Some(Account {
            id: AccountId::from(name),
            connector: connector?,
            client,
            settings: settings_of(table, settings, manifest),
            secrets: self.secrets(table, secrets, manifest, enabled),
            links,
            zone,
            currency,
            polls: polls_of(polls, manifest),
            calendar,
            enabled,
        })
    }

    fn connector(&self, value: &Value<'_>) -> Option<String> {
        let name = value.text()?;
        if self.registry.get(name).is_some() {
            return Some(name.to_owned());
        }
        if self.sources.get(&format!("connectors/{name}/connector.toml")).is_some() {
            value.wrong(format!("the connector `{name}` has problems of its own"), "see those first");
        } else {
            value.unknown(format!("there is no connector `{name}`"), name, self.registry.names());
        }
        None
    }

    fn secrets(
        &self,
        account: &Table<'_>,
        given: Option<Value<'_>>,
        manifest: &Manifest,
        enabled: bool,
    ) -> BTreeMap<String, Vec<SecretString>> {
        let mut all = BTreeMap::new();
        let mut named = Vec::new();
        if let Some(table) = given.and_then(|value| value.table()) {
            for (key, value) in table.all() {
                named.push(key.text.to_owned());
                let Some(spec) = manifest.secrets.get(key.text) else {
                    let message = format!("the connector `{}` has no secret `{}`", manifest.name, key.text);
                    let found = account.file().error(key.span.clone(), message);
                    account
                        .file()
                        .report(found.nearest(key.text, manifest.secrets.keys().map(String::as_str)));
                    continue;
                };
                // A secret of an account that is off need not be there yet.
                if !enabled && value.is_table() {
                    continue;
                }
                let values = match value.is_list() {
                    true if !spec.several => {
                        value.wrong(
                            "only one value can be live",
                            "expected { env = \"NAME\" } or { file = \"path\" }",
                        );
                        continue;
                    }
                    true => value.items().unwrap_or_default(),
                    false => vec![value],
                };
                let values: Vec<SecretString> =
                    values.iter().filter_map(|value| self.secret(value)).collect();
                if !values.is_empty() {
                    all.insert(key.text.to_owned(), values);
                }
            }
        }
        for (name, spec) in &manifest.secrets {
            if enabled && !spec.optional && !named.contains(name) {
                account.wrong(
                    format!(
                        "[{}] lacks the secret `{name}` of the connector `{}`",
                        account.path(),
                        manifest.name
                    ),
                    described(&format!("add secrets = {{ {name} = {{ env = \"NAME\" }} }}"), &spec.doc),
                );
            }
        }
        all
    }
}

fn settings_of(
    account: &Table<'_>,
    given: Option<Value<'_>>,
    manifest: &Manifest,
) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    if let Some(table) = given.and_then(|value| value.table()) {
        for (key, value) in table.all() {
            if manifest.settings.contains_key(key.text) {
                all.extend(value.scalar().map(|text| (key.text.to_owned(), text)));
            } else {
                let message = format!("the connector `{}` has no setting `{}`", manifest.name, key.text);
                let found = account.file().error(key.span.clone(), message);
                account.file().report(found.nearest(key.text, manifest.settings.keys().map(String::as_str)));
            }
        }
    }
    for (name, setting) in &manifest.settings {
        if all.get(name).is_some_and(|text| !text.is_empty()) {
            continue;
        }
        match &setting.default {
            Some(default) => {
                all.insert(name.clone(), default.clone());
            }
            None => account.wrong(
                format!(
                    "[{}] lacks the setting `{name}` of the connector `{}`",
                    account.path(),
                    manifest.name
                ),
                described(&format!("add settings = {{ {name} = \"…\" }}"), &setting.doc),
            ),
        }
    }
    if let Some(base) = all.get("base_url").filter(|base| !base.is_empty())
        && !url::Url::parse(base).is_ok_and(|url| url.has_host())
    {
        account
            .wrong(format!("the setting `base_url` is no address: `{base}`"), "expected https:// and a host");
    }
    all
}

fn described(what: &str, doc: &str) -> String {
    if doc.is_empty() { what.to_owned() } else { format!("{what} ({doc})") }
}

/// Names of accounts stand in addresses and file names.
fn plain(root: &Table<'_>, name: &Key<'_>) -> bool {
    let fits = !name.text.is_empty()
        && name.text.chars().all(|sign| sign.is_ascii_alphanumeric() || matches!(sign, '_' | '-'));
    if !fits {
        let found = root.file().error(name.span.clone(), format!("`{}` is no name of an account", name.text));
        root.file().report(found.help("expected letters, digits, `_` and `-`"));
    }
    fits
}

fn currency(value: &Value<'_>) -> Option<String> {
    let text = value.text()?;
    match crate::canonical::Currency::parse(text) {
        Ok(code) => Some(code.to_string()),
        Err(error) => {
            value.wrong(error.to_string(), "expected an ISO 4217 code such as \"USD\"");
            None
        }
    }
}

pub(super) fn zone(value: &Value<'_>) -> Option<String> {
    let text = value.text()?;
    let offset = format!("2000-01-01T00:00:00{text}").parse::<jiff::Timestamp>().is_ok();
    if !offset && jiff::tz::TimeZone::get(text).is_err() {
        value.wrong(
            format!("`{text}` is no time zone"),
            "expected a name such as \"America/New_York\", or an offset such as \"+08:00\"",
        );
        return None;
    }
    Some(text.to_owned())
}

fn links(account: &Table<'_>) -> BTreeMap<ClientId, BTreeMap<String, String>> {
    let mut all = BTreeMap::new();
    for (client, table) in account.tables("link") {
        let mut link = BTreeMap::new();
        for (at, value) in table.all() {
            if let Err(error) = Path::parse(at.text) {
                value.wrong(error, "expected a path in the message and the text that stands there");
            }
            link.extend(value.scalar().map(|text| (at.text.to_owned(), text)));
        }
        if link.is_empty() {
            table.wrong(
                format!("[{}] is empty: every message would be this client's", table.path()),
                "expected a path in the message and the text that stands there: customer_account_id = \"82382\"",
            );
        }
        all.insert(ClientId::from(client.text), link);
    }
    all
}

fn polls_of(given: Option<Value<'_>>, manifest: &Manifest) -> BTreeMap<String, PollSetting> {
    let mut all = BTreeMap::new();
    let Some(table) = given.and_then(|value| value.table()) else { return all };
    for (name, value) in table.all() {
        if !manifest.polls.contains_key(name.text) {
            let message = format!("the connector `{}` has no poll `{}`", manifest.name, name.text);
            value.unknown(message, name.text, manifest.polls.keys().map(String::as_str));
        }
        if let Some(poll) = value.table() {
            let setting = PollSetting { enabled: poll.flag("enabled"), every: poll.duration("every") };
            poll.finish();
            all.insert(name.text.to_owned(), setting);
        }
    }
    all
}
