//! The config of the demo: one client whose store, warehouse, carrier and gateway are the simulated ones.

use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::sandbox::Settings;

/// Writes `config.toml` and the secret files below `folder` for partners simulated at `sandbox` (`http://127.0.0.1:1234`),
/// with the daemon listening on `listen`. Gives the path of the config.
///
/// # Errors
/// When a file cannot be written.
pub fn write(folder: &Path, sandbox: &str, listen: &str, settings: &Settings) -> io::Result<PathBuf> {
    let secrets = folder.join("secrets");
    fs::create_dir_all(&secrets)?;
    for (name, value) in settings.secrets.files() {
        fs::write(secrets.join(name), value)?;
    }
    let shop = &settings.shop;
    let location = settings.location;
    let text = format!(
        r#"# Written by `crossdock demo`: a store, a warehouse, a carrier and a gateway, all simulated on this machine.

[server]
listen = "{listen}"

[store]
kind = "sqlite"
path = "crossdock.db"

[delivery]
attempt_timeout = "2s"
backoff_first   = "250ms"
backoff_max     = "5s"
breaker_pause   = "2s"
lease           = "6s"
sweep           = "250ms"

[log]
filter = "warn"

[account.shop]
connector = "shopify"
client    = "acme"
settings  = {{ shop = "{shop}", base_url = "{sandbox}/shopify/admin/api/2026-07" }}
secrets   = {{ token = {{ file = "secrets/shopify-token" }}, webhook = {{ file = "secrets/shopify-webhook" }} }}
[account.shop.poll.orders]
every = "20s"
[account.shop.poll.order_events]
every = "90s"
[account.shop.poll.fulfilment_orders]
every = "90s"

[account.east]
connector = "shiphero"
client    = "acme"
zone      = "UTC"
settings  = {{ base_url = "{sandbox}/shiphero" }}
secrets   = {{ refresh_token = {{ file = "secrets/shiphero-refresh" }}, webhook = {{ file = "secrets/shiphero-webhook" }} }}
[account.east.poll.orders]
every = "20s"
[account.east.poll.shipments]
every = "15s"

[account.parcels]
connector = "easypost"
client    = "acme"
settings  = {{ base_url = "{sandbox}/easypost/v2" }}
secrets   = {{ key = {{ file = "secrets/easypost-key" }}, webhook = {{ file = "secrets/easypost-webhook" }} }}
[account.parcels.poll.trackers]
every = "5s"

[account.pay]
connector = "stripe"
client    = "acme"
settings  = {{ base_url = "{sandbox}/stripe/v1" }}
secrets   = {{ key = {{ file = "secrets/stripe-key" }}, webhook = {{ file = "secrets/stripe-webhook" }} }}
[account.pay.poll.events]
every = "5s"

[flow.acme]
client      = "acme"
live        = true
storefronts = ["shop"]
warehouses  = ["east"]
tracking    = "parcels"
gateway     = "pay"
skus        = "lists/acme-skus.csv"
capture     = "first_shipment"
refund      = "gateway"
release     = {{ payment = ["authorised", "paid"] }}
[flow.acme.stock]
locations = {{ shop = "{location}" }}
"#
    );
    fs::create_dir_all(folder.join("lists"))?;
    let mut skus = String::from("account,theirs,ours,each\n");
    for product in settings.catalogue.iter().filter(|product| product.on_hand.is_some()) {
        for account in ["shop", "east"] {
            skus.extend([account, ",", &product.sku, ",", &product.sku, ",1\n"]);
        }
    }
    fs::write(folder.join("lists/acme-skus.csv"), skus)?;
    let path = folder.join("config.toml");
    fs::write(&path, text)?;
    Ok(path)
}

/// Has the config at `path` keep its store in the PostgreSQL database of `url`.
///
/// # Errors
/// When a file cannot be read or written.
pub fn use_postgres(path: &Path, url: &str) -> io::Result<()> {
    write_secret(path, "database", url)?;
    let text = fs::read_to_string(path)?;
    let given = "kind = \"sqlite\"\npath = \"crossdock.db\"\n";
    fs::write(path, text.replace(given, "kind = \"postgres\"\nurl  = { file = \"secrets/database\" }\n"))
}

/// Has the config at `path` use the broker at `url`.
///
/// # Errors
/// When a file cannot be read or written.
pub fn use_rabbitmq(path: &Path, url: &str) -> io::Result<()> {
    write_secret(path, "broker", url)?;
    let text = fs::read_to_string(path)?;
    let bus = "[bus]\nkind = \"rabbitmq\"\nurl  = { file = \"secrets/broker\" }\n\n[delivery]\n";
    fs::write(path, text.replacen("[delivery]\n", bus, 1))
}

fn write_secret(config: &Path, name: &str, text: &str) -> io::Result<()> {
    let secrets = config.with_file_name("secrets");
    fs::create_dir_all(&secrets)?;
    fs::write(secrets.join(name), text)
}
