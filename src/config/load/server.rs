//! `[server]`, `[store]`, `[intake]`, `[delivery]`, `[log]`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use secrecy::ExposeSecret as _;

use super::Scope;
use crate::config::model::{Delivery, Intake, Log, Postgres, Server, StoreConfig};
use crate::tables::{Table, Value};

impl Scope<'_> {
    pub(super) fn server(&self, root: &Table<'_>) -> Option<Server> {
        let default = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7070);
        let Some(table) = root.table("server") else {
            return Some(server(default, None, None, None, &Stop::default()));
        };
        let listen_value = table.get("listen");
        let listen = listen_value.as_ref().map_or(Some(default), listen);
        let public_url = table.get("public_url").and_then(|value| public_url(&value));
        let token_value = table.get("token");
        let token = token_value.as_ref().and_then(|value| self.secret(value));
        let max_body = table.get("max_body").map_or(Some(2 * 1024 * 1024), |value| {
            let size = value.size()?;
            if !(1024..=64 * 1024 * 1024).contains(&size) {
                value.wrong("it is out of range", "expected 1 KiB to 64 MiB");
            }
            usize::try_from(size).ok()
        });
        let stop = Stop { drain: table.duration("drain"), announce: table.duration("announce") };
        table.finish();
        let listen = listen?;
        if !listen.ip().is_loopback()
            && token_value.is_none()
            && let Some(value) = listen_value
        {
            value.wrong(
                format!("{listen} can be reached from other machines, and there is no token"),
                "add token = { env = \"CROSSDOCK_TOKEN\" } to [server], or listen on 127.0.0.1",
            );
        }
        Some(server(listen, public_url, token, max_body, &stop))
    }
}

impl Scope<'_> {
    pub(super) fn store(&self, root: &Table<'_>) -> Option<StoreConfig> {
        let default = || "crossdock.db".to_owned();
        let Some(table) = root.table("store") else {
            return Some(StoreConfig::Sqlite { path: default().into() });
        };
        let kind = table.get("kind").map_or(Some("sqlite"), |value| value.word(&["sqlite", "postgres"]))?;
        let store = if kind == "postgres" {
            self.postgres(&table).map(StoreConfig::Postgres)
        } else {
            Some(StoreConfig::Sqlite { path: table.text("path").unwrap_or_else(default).into() })
        };
        table.finish();
        store
    }

    fn postgres(&self, table: &Table<'_>) -> Option<Postgres> {
        let given =
            table.need("url", "the address of the database: { env = \"NAME\" } or { file = \"path\" }");
        let url = given.as_ref().and_then(|value| {
            let url = self.secret(value)?;
            // The address holds a password: only what is wrong with it is told.
            if let Err(wrong) = database(url.expose_secret()) {
                value.wrong(wrong, "expected postgres://user:password@host:5432/database");
                return None;
            }
            Some(url)
        });
        let time = |key: &str, default| {
            let Some(value) = table.get(key) else { return default };
            let Some(time) = value.duration() else { return default };
            if time < SHORT {
                value.wrong("it is too short", format!("expected at least {SHORT:?}"));
            }
            time
        };
        let pool = table.whole("pool", 4, 1000).and_then(|pool| usize::try_from(pool).ok()).unwrap_or(12);
        let postgres = Postgres {
            url: url.clone().unwrap_or_default(),
            ca: table.text("ca").map(Into::into),
            key: table.text("key").unwrap_or_else(|| "crossdock.key".to_owned()).into(),
            pool,
            connect_timeout: time("connect_timeout", Duration::from_secs(3)),
            statement_timeout: time("statement_timeout", Duration::from_secs(10)),
            migrate: table.flag("migrate").unwrap_or(true),
        };
        url.map(|_| postgres)
    }
}

/// What is wrong with the address of a database, without quoting it.
fn database(text: &str) -> Result<(), String> {
    let url = url::Url::parse(text.trim()).map_err(|error| format!("this is no address: {error}"))?;
    if !matches!(url.scheme(), "postgres" | "postgresql") {
        return Err(format!("`{}` is no scheme of PostgreSQL", url.scheme()));
    }
    if url.path().trim_matches('/').is_empty() {
        return Err("the address names no database".to_owned());
    }
    let modes = ["disable", "prefer", "require", "verify-full"];
    match url.query_pairs().find(|(name, mode)| name == "sslmode" && !modes.contains(&mode.as_ref())) {
        Some((_, mode)) => Err(format!("`{mode}` is no sslmode: {}", crate::tables::list(&modes))),
        None => Ok(()),
    }
}

/// How a stop goes.
#[derive(Default)]
struct Stop {
    drain: Option<Duration>,
    announce: Option<Duration>,
}

fn server(
    listen: SocketAddr,
    public_url: Option<String>,
    token: Option<secrecy::SecretString>,
    max_body: Option<usize>,
    stop: &Stop,
) -> Server {
    Server {
        public_url: public_url.unwrap_or_else(|| format!("http://{listen}")),
        listen,
        token,
        max_body: max_body.unwrap_or(2 * 1024 * 1024),
        drain: stop.drain.unwrap_or(Duration::from_secs(20)),
        announce: stop.announce.unwrap_or(Duration::ZERO),
    }
}

fn listen(value: &Value<'_>) -> Option<SocketAddr> {
    let text = value.text()?;
    let found = text.replace("localhost", "127.0.0.1").parse();
    if found.is_err() {
        value.wrong(
            format!("`{text}` is no address"),
            "expected an IP address and a port, such as \"127.0.0.1:7070\"",
        );
    }
    found.ok()
}

fn public_url(value: &Value<'_>) -> Option<String> {
    let text = value.text()?.trim_end_matches('/');
    let fits =
        url::Url::parse(text).is_ok_and(|url| url.has_host() && matches!(url.scheme(), "http" | "https"));
    if !fits {
        value.wrong(format!("`{text}` is no address"), "expected such as \"https://crossdock.example.com\"");
        return None;
    }
    Some(text.to_owned())
}

/// The settings of one table, each with its default. A value out of range is reported and the default taken.
struct Section<'f> {
    table: Option<Table<'f>>,
}

impl<'f> Section<'f> {
    fn of(root: &Table<'f>, key: &str) -> Self {
        Self { table: root.table(key) }
    }

    fn whole(&self, key: &str, default: usize, least: u64, most: u64) -> usize {
        let given = self.table.as_ref().and_then(|table| table.whole(key, least, most));
        given.and_then(|number| usize::try_from(number).ok()).unwrap_or(default)
    }

    fn time(&self, key: &str, default: &str, least: Duration) -> Duration {
        let default = crate::tables::duration(default).unwrap_or_default();
        let Some(value) = self.table.as_ref().and_then(|table| table.get(key)) else { return default };
        let Some(time) = value.duration() else { return default };
        if time < least {
            value.wrong("it is too short", format!("expected at least {least:?}"));
        }
        time
    }

    fn finish(&self) {
        if let Some(table) = &self.table {
            table.finish();
        }
    }
}

const SHORT: Duration = Duration::from_millis(10);
const SECOND: Duration = Duration::from_secs(1);

pub(super) fn intake(root: &Table<'_>) -> Intake {
    let section = Section::of(root, "intake");
    let intake = Intake {
        queue: section.whole("queue", 4096, 1, 1_000_000),
        per_account: section.whole("per_account", 200_000, 1, 1_000_000_000),
        workers: section.whole("workers", 4, 1, 256),
        wait: section.time("wait", "24h", SECOND),
        keep_raw: section.time("keep_raw", "90d", SECOND),
    };
    section.finish();
    intake
}

pub(super) fn delivery(root: &Table<'_>) -> Delivery {
    let section = Section::of(root, "delivery");
    let delivery = Delivery {
        attempt_timeout: section.time("attempt_timeout", "10s", SHORT),
        give_up: section.time("give_up", "24h", SECOND),
        backoff_first: section.time("backoff_first", "1s", SHORT),
        backoff_max: section.time("backoff_max", "10m", SHORT),
        breaker_after: u32::try_from(section.whole("breaker_after", 5, 1, 1_000_000)).unwrap_or(5),
        breaker_pause: section.time("breaker_pause", "30s", SHORT),
        lease: section.time("lease", "30s", SHORT),
        in_flight: section.whole("in_flight", 8, 1, 1000),
        sweep: section.time("sweep", "1s", SHORT),
    };
    if let Some(table) = &section.table {
        if delivery.lease <= delivery.attempt_timeout * 2 {
            table.wrong(
                format!(
                    "a `lease` of {:?} ends before calls in flight do: `attempt_timeout` is {:?}",
                    delivery.lease, delivery.attempt_timeout
                ),
                "expected more than twice the attempt time-out",
            );
        }
        if delivery.backoff_max < delivery.backoff_first {
            table.wrong("`backoff_max` is shorter than `backoff_first`", "expected at least as long");
        }
    }
    section.finish();
    delivery
}

pub(super) fn log(root: &Table<'_>) -> Log {
    let table = root.table("log");
    let filter = table.as_ref().and_then(|table| table.text("filter")).unwrap_or_else(|| "info".to_owned());
    let json = table.as_ref().and_then(|table| table.flag("json")).unwrap_or(false);
    if let Some(table) = &table {
        table.finish();
    }
    Log { filter, json }
}
