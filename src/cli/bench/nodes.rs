//! Daemons that the bench starts for itself: their config.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use super::orders::Shop;
use crate::cli::Failure;
use crate::config::embedded;

const SECRET: &str = "bench";

/// What the daemons are to run on.
#[derive(Debug, Clone, Copy)]
pub struct Ground<'a> {
    /// A PostgreSQL database; an SQLite file without.
    pub store: Option<&'a str>,
    /// A RabbitMQ broker; the embedded bus without.
    pub bus: Option<&'a str>,
    /// So many shops, each with a client and a warehouse account of its own.
    pub shops: usize,
    /// Flows are live: orders go on to a warehouse.
    pub live: bool,
}

/// The shops of a config that [`write`] writes.
pub fn shops(count: usize) -> Vec<Shop> {
    let shop = |number| Shop {
        account: format!("shop-{number}"),
        domain: format!("bench-{number}.myshopify.com"),
        secret: SECRET.to_owned(),
    };
    (1..=count).map(shop).collect()
}

/// Writes the config of the daemons into `folder`, with the warehouse at `warehouse`; gives its path.
///
/// # Errors
/// When a file cannot be written.
pub fn write(folder: &Path, warehouse: &str, ground: Ground<'_>) -> Result<PathBuf, Failure> {
    fs::write(folder.join("secret"), SECRET)?;
    unlimited(folder, "shiphero")?;
    let mut text = String::from(
        "# Written by `crossdock bench`.\n[server]\nlisten = \"127.0.0.1:0\"\n[log]\nfilter = \"error\"\n[delivery]\nin_flight = 32\n",
    );
    if let Some(url) = ground.store {
        fs::write(folder.join("database"), url)?;
        text.push_str("[store]\nkind = \"postgres\"\nurl = { file = \"database\" }\n");
    }
    if let Some(url) = ground.bus {
        fs::write(folder.join("broker"), url)?;
        text.push_str("[bus]\nkind = \"rabbitmq\"\nurl = { file = \"broker\" }\n");
    }
    let live = ground.live;
    for number in 1..=ground.shops {
        let shop_polls = no_polls("shopify", &format!("shop-{number}"))?;
        let east_polls = no_polls("shiphero", &format!("east-{number}"))?;
        write!(
            text,
            r#"
[account.shop-{number}]
connector = "shopify"
client = "client-{number}"
settings = {{ shop = "bench-{number}.myshopify.com", base_url = "{warehouse}/none" }}
secrets = {{ token = {{ file = "secret" }}, webhook = {{ file = "secret" }} }}
{shop_polls}[account.east-{number}]
connector = "shiphero"
client = "client-{number}"
zone = "UTC"
settings = {{ base_url = "{warehouse}" }}
secrets = {{ refresh_token = {{ file = "secret" }}, webhook = {{ file = "secret" }} }}
{east_polls}[flow.client-{number}]
client = "client-{number}"
live = {live}
storefronts = ["shop-{number}"]
warehouses = ["east-{number}"]
"#
        )?;
    }
    let path = folder.join("config.toml");
    fs::write(&path, text)?;
    Ok(path)
}

/// The shipped manifest of a connector.
fn manifest(connector: &str) -> Result<toml::Table, Failure> {
    let sources = embedded();
    let shipped = sources.get(&format!("connectors/{connector}/connector.toml"));
    Ok(shipped.ok_or_else(|| format!("there is no connector {connector}"))?.parse()?)
}

/// Turns all polls of an account off: there is nothing to find.
fn no_polls(connector: &str, account: &str) -> Result<String, Failure> {
    let mut text = format!("[account.{account}.poll]\n");
    if let Some(toml::Value::Table(polls)) = manifest(connector)?.get("poll") {
        for name in polls.keys() {
            writeln!(text, "{name} = {{ enabled = false }}")?;
        }
    }
    Ok(text)
}

/// Lays the shipped manifest into `folder` without its limits: otherwise the partner's quota would be what is measured.
fn unlimited(folder: &Path, connector: &str) -> Result<(), Failure> {
    let mut manifest = manifest(connector)?;
    if let Some(toml::Value::Table(limits)) = manifest.get_mut("limit") {
        for limit in limits.iter_mut().filter_map(|(_, limit)| limit.as_table_mut()) {
            limit.insert("size".to_owned(), 1_000_000_000.into());
            limit.insert("refill".to_owned(), "1000000000/s".into());
        }
    }
    if let Some(toml::Value::Table(http)) = manifest.get_mut("http") {
        http.insert("in_flight".to_owned(), 32.into());
    }
    let folder = folder.join("connectors").join(connector);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("connector.toml"), toml::to_string(&manifest)?)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::files;

    #[test]
    fn the_config_is_in_order_and_without_limits() {
        let folder = std::env::temp_dir().join(format!("crossdock-bench-config-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let ground = Ground {
            store: Some("postgres://u@127.0.0.1/x"),
            bus: Some("amqp://u:p@127.0.0.1:5672/%2f"),
            shops: 3,
            live: true,
        };
        let loaded = files::load(&write(&folder, "http://127.0.0.1:9", ground).unwrap());
        let said: Vec<String> = loaded.problems.iter().map(ToString::to_string).collect();
        fs::remove_dir_all(&folder).unwrap();
        assert!(said.is_empty(), "{said:?}");
        let world = loaded.world.unwrap();
        assert_eq!((world.config.accounts.len(), world.config.flows.len()), (6, 3));
        let manifest = &world.registry.get("shiphero").unwrap().manifest;
        assert!(
            !manifest.limits.is_empty() && manifest.limits.values().all(|limit| limit.size == 1_000_000_000)
        );
    }
}
