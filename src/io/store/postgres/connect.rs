//! Where the database is, and connections to it.

use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use tokio_postgres::config::{ChannelBinding, SslMode, TargetSessionAttrs};
use tokio_postgres::{Client, Config, NoTls};
use url::Url;

use super::codec::{Fault, words};
use super::tls::{Tls, Trust};
use crate::io::store::form::nanos;
use crate::ports::StoreError;

/// Longest pause in the midst of a transaction: a node that stands still must not keep what it has locked from the others.
const IDLE: Duration = Duration::from_secs(3);

/// Every statement looks up a few rows by an index, whatever the size of its tables: its plan is made once a connection, and
/// must not be one that was good for the empty tables of the first day. Nor one that reads all entries of an index with the
/// first column alone (all facts of a stock, to find one): that looks cheaper while pages are what is counted, so they cost
/// nothing, and what counts is the rows that are looked at.
const PLANS: &str = "-c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c enable_hashjoin=off \
    -c enable_mergejoin=off -c seq_page_cost=0 -c random_page_cost=0 -c jit=off";

/// How a [`super::PostgresStore`] runs.
#[derive(Debug, Clone)]
pub struct Options {
    /// `postgres://user:password@host:port/database`; `sslmode` is `disable`, `prefer`, `require` or `verify-full`.
    pub url: SecretString,
    /// The authorities (PEM) that may vouch for the server; the system's own without.
    pub ca: Option<Vec<u8>>,
    /// Connections at most.
    pub pool: usize,
    /// How long a connection may take to come about, or to become free.
    pub connect_timeout: Duration,
    /// How long one transaction may take.
    pub statement_timeout: Duration,
    /// Offered messages that may wait for the database before [`StoreError::Full`] is answered.
    pub queue: usize,
    /// Bring an older database to the newest form at the start. Without, an older one is refused.
    pub migrate: bool,
    /// By which clock leases run out.
    pub lease_clock: LeaseClock,
}

/// By which clock leases run out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LeaseClock {
    /// The database's: the clocks of nodes need not agree.
    #[default]
    Database,
    /// That of the instants which callers give: for those who make the time themselves.
    Caller,
}

impl LeaseClock {
    /// The present instant in nanoseconds: what the database says, or what the caller does.
    pub(super) fn present(self, database: i64, caller: Timestamp) -> i64 {
        match self {
            Self::Database => database,
            Self::Caller => nanos(caller),
        }
    }
}

impl Options {
    /// The defaults, with the database of `url`.
    #[must_use]
    pub fn new(url: SecretString) -> Self {
        Self {
            url,
            ca: None,
            pool: 12,
            connect_timeout: Duration::from_secs(3),
            statement_timeout: Duration::from_secs(10),
            queue: 4096,
            migrate: true,
            lease_clock: LeaseClock::default(),
        }
    }
}

/// A checked address, with everything that a connection needs.
pub(super) struct Target {
    config: Config,
    tls: Option<Tls>,
    /// The address for people: without a password.
    pub(super) place: String,
}

impl Target {
    /// Reads the options.
    ///
    /// # Errors
    /// When the address is none.
    pub(super) fn new(options: &Options) -> Result<Self, StoreError> {
        let wrong = |why: String| StoreError::Unavailable(format!("the address of the database: {why}"));
        let mut url = Url::parse(options.url.expose_secret()).map_err(|error| {
            wrong(format!("{error}; expected postgres://user:password@host:5432/database"))
        })?;
        let place = place(&url);
        let mut mode = None;
        let rest: Vec<(String, String)> = url
            .query_pairs()
            .into_owned()
            .filter(|(name, value)| {
                if name == "sslmode" {
                    mode = Some(value.clone());
                }
                name != "sslmode"
            })
            .collect();
        if rest.is_empty() {
            url.set_query(None);
        } else {
            url.query_pairs_mut().clear().extend_pairs(rest);
        }
        let mut config: Config = url.as_str().parse().map_err(|error| wrong(words(&error)))?;
        let local = url.host_str().is_none_or(|host| {
            matches!(host, "localhost" | "127.0.0.1" | "[::1]" | "::1") || host.starts_with("%2F")
        });
        let (ssl, trust) = match mode.as_deref() {
            None if local && options.ca.is_none() => (SslMode::Disable, None),
            Some("disable") => (SslMode::Disable, None),
            Some("prefer") => (SslMode::Prefer, Some(Trust::Anyone)),
            None | Some("require" | "verify-full") => {
                (SslMode::Require, Some(options.ca.clone().map_or(Trust::System, Trust::File)))
            }
            Some(other) => {
                return Err(wrong(format!(
                    "sslmode is `{other}`; expected disable, prefer, require or verify-full"
                )));
            }
        };
        let millis = options.statement_timeout.as_millis();
        // The server gives up too, so that what a lost connection held is free again soon.
        let given = config.get_options().map(|given| format!("{given} ")).unwrap_or_default();
        config
            .ssl_mode(ssl)
            .channel_binding(ChannelBinding::Disable)
            .application_name(format!("crossdock {}", std::process::id()))
            .connect_timeout(options.connect_timeout)
            .target_session_attrs(TargetSessionAttrs::ReadWrite)
            .keepalives(true)
            .keepalives_idle(Duration::from_secs(10))
            .keepalives_interval(Duration::from_secs(5))
            .keepalives_retries(3)
            .tcp_user_timeout(options.statement_timeout + options.connect_timeout)
            .options(format!(
                "{given}-c statement_timeout={millis} -c lock_timeout={} -c idle_in_transaction_session_timeout={} \
                 -c default_transaction_isolation=read\\ committed {PLANS}",
                millis / 2,
                millis.min(IDLE.as_millis())
            ));
        let tls = trust
            .map(|trust| Tls::new(&trust))
            .transpose()
            .map_err(|why| wrong(format!("the authorities (`ca`): {why}")))?;
        Ok(Self { config, tls, place })
    }

    /// A pool of connections.
    pub(super) fn pool(&self, options: &Options) -> Result<Pool, StoreError> {
        let settings = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = match &self.tls {
            Some(tls) => Manager::from_config(self.config.clone(), tls.clone(), settings),
            None => Manager::from_config(self.config.clone(), NoTls, settings),
        };
        // Resolving a name and the handshake are not under the time-out of the connection itself.
        let patience = options.connect_timeout + Duration::from_secs(1);
        Pool::builder(manager)
            .max_size(options.pool.max(2))
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(patience))
            .create_timeout(Some(patience))
            .recycle_timeout(Some(patience))
            .build()
            .map_err(|error| StoreError::Unavailable(error.to_string()))
    }

    /// A connection beside the pool, without a limit of time for its statements.
    pub(super) async fn single(&self) -> Result<Client, Fault> {
        let client = if let Some(tls) = &self.tls {
            let (client, connection) = self.config.connect(tls.clone()).await?;
            drop(tokio::spawn(connection));
            client
        } else {
            let (client, connection) = self.config.connect(NoTls).await?;
            drop(tokio::spawn(connection));
            client
        };
        client
            .batch_execute(
                "SET statement_timeout = 0; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0",
            )
            .await?;
        Ok(client)
    }

    /// Like [`Self::single`], but not for ever.
    pub(super) async fn patiently(&self, patience: Duration) -> Result<Client, StoreError> {
        let connected = tokio::time::timeout(patience, self.single()).await;
        connected
            .map_err(|_| self.at(format!("no connection within {patience:?}")))?
            .map_err(|fault| self.at(fault))
    }

    /// `why`, with the place.
    pub(super) fn at(&self, why: impl std::fmt::Display) -> StoreError {
        StoreError::Unavailable(format!("{}: {why}", self.place))
    }
}

/// The address for people: without a password.
fn place(url: &Url) -> String {
    let mut url = url.clone();
    // A URL that cannot have a password has none.
    let _none = url.set_password(None);
    url.set_query(None);
    url.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str) -> Result<Target, StoreError> {
        Target::new(&Options::new(url.into()))
    }

    #[test]
    fn passwords_are_never_told() {
        let target = target("postgres://me:secret@db.example.com:6432/crossdock?sslmode=require").unwrap();
        assert_eq!(target.place, "postgres://me@db.example.com:6432/crossdock");
        assert!(!target.at("no").to_string().contains("secret"));
        let wrong = self::target("postgres://me:secret@db/x?sslmode=maybe").err().unwrap().to_string();
        assert!(wrong.contains("verify-full") && !wrong.contains("secret"), "{wrong}");
        assert!(self::target("crossdock.db").err().unwrap().to_string().contains("postgres://user"));
    }

    #[test]
    fn tls_is_the_default_for_other_machines() {
        let mode = |url: &str| {
            let target = target(url).unwrap();
            (target.config.get_ssl_mode(), target.tls.is_some())
        };
        assert_eq!(mode("postgres://me@127.0.0.1/x"), (SslMode::Disable, false));
        assert_eq!(mode("postgres://me@db.example.com/x"), (SslMode::Require, true));
        assert_eq!(mode("postgres://me@db.example.com/x?sslmode=disable"), (SslMode::Disable, false));
        assert_eq!(mode("postgres://me@127.0.0.1/x?sslmode=prefer"), (SslMode::Prefer, true));
    }
}
