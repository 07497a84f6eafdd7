//! The town in which all histories play: one client, one store, one warehouse, one carrier, one gateway.

use std::time::Duration;

use crossdock::config::Sources;
use crossdock::config::embedded::embedded;
use crossdock::config::world::World as Generation;
use crossdock::sandbox::{Settings, World};
use crossdock::{config, connector};

/// The generation of all histories, compiled once.
pub fn shared() -> Generation {
    static SHARED: std::sync::OnceLock<Generation> = std::sync::OnceLock::new();
    SHARED.get_or_init(|| generation(&settings(), "3m", "")).clone()
}

/// Another one: its list of SKUs lacks a row, and its polls come less often.
pub fn other() -> Generation {
    static OTHER: std::sync::OnceLock<Generation> = std::sync::OnceLock::new();
    OTHER.get_or_init(|| generation(&settings(), "5m", "CUP-04")).clone()
}

/// One with a second warehouse, of another connector, which shares orders with the first.
pub fn two_warehouses() -> Generation {
    let mut sources = sources(&settings(), "3m", "");
    for (path, text) in crate::depot::FILES {
        sources.insert(*path, (*text).to_owned());
    }
    let text = sources
        .get("config.toml")
        .unwrap_or_default()
        .replace("warehouses = [\"east\"]", "warehouses = [\"east\", \"west\"]\nsplit = { by = \"stock\" }");
    let more = "\n[account.west]\nconnector = \"depot\"\nclient = \"acme\"\n[flow.acme.carries]\neast = [\"TEA-*\"]\nwest = [\"POT-*\", \"CUP-*\"]\n";
    sources.insert("config.toml", text + more);
    load(&sources, &settings())
}

/// One with `more` in its config.
pub fn with(settings: &Settings, more: &str) -> Generation {
    let mut sources = sources(settings, "3m", "");
    let text = sources.get("config.toml").unwrap_or_default().to_owned();
    sources.insert("config.toml", text + more);
    load(&sources, settings)
}

/// The generation of the client's files. `polls` is the interval of the polls that stand behind the webhooks, `without` an SKU that the
/// list lacks.
fn generation(settings: &Settings, polls: &str, without: &str) -> Generation {
    load(&sources(settings, polls, without), settings)
}

fn sources(settings: &Settings, polls: &str, without: &str) -> Sources {
    let mut sources = embedded();
    let mut skus = String::from("account,theirs,ours,each\n");
    for product in
        settings.catalogue.iter().filter(|product| product.on_hand.is_some() && product.sku != without)
    {
        for account in ["shop", "east"] {
            skus.extend([account, ",", &product.sku, ",", &product.sku, ",1\n"]);
        }
    }
    sources.insert("lists/skus.csv", skus);
    let text = format!(
        r#"
[delivery]
attempt_timeout = "5s"
lease = "15s"
breaker_pause = "10s"
backoff_max = "1m"

[account.shop]
connector = "shopify"
client = "acme"
settings = {{ shop = "{shop}", base_url = "http://sandbox/shopify/admin/api/2026-07" }}
secrets = {{ token = {{ file = "shopify-token" }}, webhook = {{ file = "shopify-webhook" }} }}
poll.orders.every = "{polls}"
poll.order_events.every = "{polls}"
poll.fulfilment_orders.every = "{polls}"

[account.east]
connector = "shiphero"
client = "acme"
zone = "UTC"
settings = {{ base_url = "http://sandbox/shiphero" }}
secrets = {{ refresh_token = {{ file = "shiphero-refresh" }}, webhook = {{ file = "shiphero-webhook" }} }}
poll.orders.every = "{polls}"
poll.shipments.every = "{polls}"

[account.parcels]
connector = "easypost"
client = "acme"
settings = {{ base_url = "http://sandbox/easypost/v2" }}
secrets = {{ key = {{ file = "easypost-key" }}, webhook = {{ file = "easypost-webhook" }} }}
poll.trackers.every = "{polls}"

[account.pay]
connector = "stripe"
client = "acme"
settings = {{ base_url = "http://sandbox/stripe/v1" }}
secrets = {{ key = {{ file = "stripe-key" }}, webhook = {{ file = "stripe-webhook" }} }}
poll.events.every = "{polls}"

[flow.acme]
client = "acme"
live = true
storefronts = ["shop"]
warehouses = ["east"]
tracking = "parcels"
gateway = "pay"
skus = "lists/skus.csv"
capture = "first_shipment"
refund = "gateway"
[flow.acme.stock]
locations = {{ shop = "{location}" }}
"#,
        shop = settings.shop,
        location = settings.location,
    );
    sources.insert("config.toml", text);
    sources
}

fn load(sources: &Sources, settings: &Settings) -> Generation {
    let secrets = settings.secrets.clone();
    let read_secret = move |name: &str| {
        let known = secrets.files();
        let found = known.iter().find(|(file, _)| name.ends_with(file)).map(|(_, value)| (*value).to_owned());
        found.ok_or_else(|| format!("no secret {name}"))
    };
    let (registry, problems) = connector::load(sources);
    assert!(problems.is_empty(), "{problems:?}");
    let config = config::load(sources, "config.toml", &registry, &|_| None, &read_secret);
    let config = config.unwrap_or_else(|problems| {
        panic!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    });
    Generation { config, registry }
}

/// Partners whose warehouse is quick, so that a history is short.
pub fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.timing.ship = Duration::from_secs(20);
    settings.timing.next_parcel = Duration::from_secs(5);
    settings.timing.allocate = Duration::from_secs(2);
    settings
}

/// Fresh partners.
pub fn partners(seed: u64, settings: Settings) -> World {
    World::new(seed, settings).unwrap()
}
