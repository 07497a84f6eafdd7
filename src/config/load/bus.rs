//! `[bus]`.

use secrecy::{ExposeSecret as _, SecretString};

use super::Scope;
use super::flow::{Accounts, span_of};
use crate::config::model::BusConfig;
use crate::tables::{Table, Value};

const EXAMPLE: &str = "expected such as amqp://user:password@rabbit-1:5672/vhost";

impl Scope<'_> {
    pub(super) fn bus(&self, root: &Table<'_>) -> Option<BusConfig> {
        let Some(table) = root.table("bus") else { return Some(BusConfig::Embedded) };
        let kind = table.get("kind").map_or(Some("embedded"), |value| value.word(&["embedded", "rabbitmq"]));
        let bus = match kind? {
            "rabbitmq" => {
                let url = table.need("url", "{ env = \"NAME\" } or { file = \"path\" }").and_then(|value| {
                    let url = self.secret(&value)?;
                    address(&value, url)
                });
                let hosts = table.get("hosts").map_or(Some(Vec::new()), |value| hosts(&value));
                let ca = table.text("ca");
                url.zip(hosts).map(|(url, hosts)| BusConfig::RabbitMq { url, hosts, ca: ca.map(Into::into) })
            }
            _ => Some(BusConfig::Embedded),
        };
        table.finish();
        bus
    }
}

impl Scope<'_> {
    /// Accounts whose partners take messages need a broker.
    pub(super) fn check_messages(&self, root: &Table<'_>, accounts: &Accounts, bus: Option<&BusConfig>) {
        if !matches!(bus, Some(BusConfig::Embedded)) {
            return;
        }
        for account in accounts.values().filter(|account| account.enabled) {
            let manifest = self.registry.get(&account.connector).map(|found| &found.manifest);
            let messages =
                manifest.is_some_and(|manifest| manifest.http.base.to_string().starts_with("amqp://"));
            let elsewhere = account.settings.get("base_url").is_some_and(|url| !url.is_empty());
            if messages
                && !elsewhere
                && let Some(span) = span_of(root, &["account", account.id.as_str(), "connector"])
            {
                let message =
                    format!("the connector `{}` sends messages, and there is no broker", account.connector);
                let help = "set [bus] kind = \"rabbitmq\" and its url";
                root.file().report(root.file().error(span, message).help(help));
            }
        }
    }
}

/// The text itself is a secret: errors show none of it.
fn address(value: &Value<'_>, text: SecretString) -> Option<SecretString> {
    let url = url::Url::parse(text.expose_secret().trim());
    match url {
        Ok(url) if !matches!(url.scheme(), "amqp" | "amqps") => {
            value.wrong(format!("the secret begins with `{}:`", url.scheme()), EXAMPLE);
            None
        }
        Ok(url) if !url.has_host() => {
            value.wrong("the secret names no host", EXAMPLE);
            None
        }
        Ok(_) => Some(text),
        Err(error) => {
            value.wrong(format!("the secret is no address: {error}"), EXAMPLE);
            None
        }
    }
}

fn hosts(value: &Value<'_>) -> Option<Vec<String>> {
    let mut fit = true;
    let mut found = Vec::new();
    for item in value.items()? {
        let Some(text) = item.text() else {
            fit = false;
            continue;
        };
        let (host, port) = text.rsplit_once(':').unwrap_or((text, "5672"));
        if host.is_empty() || port.parse::<u16>().is_err() || text.contains('/') {
            item.wrong(format!("`{text}` is no host"), "expected such as \"rabbit-2:5672\"");
            fit = false;
        }
        found.push(text.to_owned());
    }
    fit.then_some(found)
}
