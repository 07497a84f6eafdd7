//! One connection after another: the next host, a time-out, a pause that grows and has a part of chance in it.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use lapin::tcp::OwnedTLSConfig;
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{Channel, Connection, ConnectionProperties};
use secrecy::{ExposeSecret as _, SecretString};
use thiserror::Error;
use tokio::time::timeout;
use tracing::{info, warn};

use super::topology::Topology;
use super::{Options, Shared};
use crate::retry;

/// What a step of the protocol may take: the broker answers at once or is in trouble.
pub(super) const STEP: Duration = Duration::from_secs(10);
/// Asked of the broker when the address says nothing else.
const HEARTBEAT_SECONDS: u16 = 10;
const PAUSE: retry::Settings = retry::Settings {
    first: Duration::from_millis(200),
    max: Duration::from_secs(10),
    give_up: Duration::MAX,
};

/// The address cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct BadAddress(pub String);

/// Where the broker's nodes are.
#[derive(Debug, Clone)]
pub struct Address {
    /// Without the host, which comes from `hosts`.
    uri: SecretString,
    hosts: Vec<(String, u16)>,
    ca: Option<String>,
    name: String,
}

impl Address {
    /// Reads and checks it.
    ///
    /// # Errors
    /// Says what was expected; never shows the password.
    pub fn read(options: &Options) -> Result<Self, BadAddress> {
        let expected = "expected such as amqp://user:password@rabbit-1:5672/vhost";
        let uri: AMQPUri = options.url.expose_secret().parse().map_err(|error| {
            BadAddress(format!("the broker's address cannot be read: {error}; {expected}"))
        })?;
        let mut hosts = vec![(uri.authority.host.clone(), uri.authority.port)];
        for host in &options.hosts {
            let (name, port) = match host.rsplit_once(':') {
                Some((name, port)) => {
                    let port = port.parse().map_err(|_| {
                        BadAddress(format!("`{host}` is no host: expected such as rabbit-2:5672"))
                    })?;
                    (name.to_owned(), port)
                }
                None => (host.clone(), uri.authority.port),
            };
            hosts.push((name, port));
        }
        Ok(Self { uri: options.url.clone(), hosts, ca: options.ca.clone(), name: options.name.clone() })
    }

    /// The host to try at the `attempt`th time, counted from 0.
    fn uri(&self, attempt: usize) -> Result<(AMQPUri, String), BadAddress> {
        let mut uri: AMQPUri = self.uri.expose_secret().parse().map_err(BadAddress)?;
        let (host, port) = &self.hosts[attempt % self.hosts.len()];
        uri.authority.host.clone_from(host);
        uri.authority.port = *port;
        uri.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
        uri.query.connection_timeout.get_or_insert(5000);
        Ok((uri, format!("{host}:{port}")))
    }
}

/// Opens a connection to the `attempt`th host, counted from 0, for `what`. Gives the host with it.
///
/// # Errors
/// When the broker does not answer in time or refuses.
pub async fn open(address: &Address, attempt: usize, what: &str) -> Result<(Connection, String), BadAddress> {
    let (uri, host) = address.uri(attempt)?;
    if uri.scheme == AMQPScheme::AMQPS {
        // Another part of the process may have chosen it before.
        let _chosen = rustls::crypto::ring::default_provider().install_default();
    }
    let properties = ConnectionProperties::default()
        .with_connection_name(format!("{} {what}", address.name).as_str().into());
    let tls = OwnedTLSConfig { identity: None, cert_chain: address.ca.clone() };
    let runtime = lapin::runtime::default_runtime()
        .map_err(|error| BadAddress(format!("there is no runtime for the broker's client: {error}")))?;
    let connecting = Connection::connect_uri_with_config(uri, properties, tls, runtime);
    match timeout(STEP, connecting).await {
        Ok(Ok(connection)) => Ok((connection, host)),
        Ok(Err(error)) => Err(BadAddress(format!("{host}: {error}"))),
        Err(_) => Err(BadAddress(format!("{host}: no answer within {STEP:?}"))),
    }
}

/// A connection with the topology declared, and a channel on it. Tries for ever; `None` once the bus is closed.
pub(super) async fn connect(shared: &Arc<Shared>, what: &str) -> Option<(Connection, Channel)> {
    let mut attempt = 0_usize;
    loop {
        let one = async {
            let (connection, host) = open(&shared.address, attempt, what).await?;
            let ready = async {
                let channel = connection.create_channel().await?;
                Topology::new().declare(&channel).await?;
                Ok::<_, lapin::Error>(channel)
            };
            match timeout(STEP * 3, ready).await {
                Ok(Ok(channel)) => Ok((connection, channel, host)),
                Ok(Err(error)) => Err(BadAddress(format!("{host}: {error}"))),
                Err(_) => Err(BadAddress(format!("{host}: the topology was not declared in time"))),
            }
        };
        let found = tokio::select! {
            () = shared.closed.cancelled() => return None,
            found = one => found,
        };
        match found {
            Ok((connection, channel, host)) => {
                info!(host, what, "connected to the broker");
                metrics::gauge!("crossdock_bus_connected", "for" => what.to_owned()).set(1.0);
                return Some((connection, channel));
            }
            Err(error) => {
                if attempt < 3 || attempt.is_multiple_of(20) {
                    warn!(%error, what, attempt = attempt + 1, "the broker is away; trying again");
                }
                metrics::gauge!("crossdock_bus_connected", "for" => what.to_owned()).set(0.0);
            }
        }
        attempt += 1;
        let failures = u32::try_from(attempt).unwrap_or(u32::MAX);
        let ceiling = retry::ceiling(failures, &PAUSE);
        tokio::select! {
            () = shared.closed.cancelled() => return None,
            () = tokio::time::sleep(ceiling / 4 + retry::jitter(ceiling * 3 / 4, rand::random())) => {}
        }
    }
}

/// Waits until the connection has failed; tells why. Notes in between whether the broker takes publishes.
pub(super) async fn broken(connection: &Connection, blocked: impl Fn(bool)) -> String {
    let mut events = std::pin::pin!(connection.events_listener());
    loop {
        // The library tells of errors, but a look from time to time costs nothing.
        match timeout(Duration::from_secs(1), events.next()).await {
            Ok(Some(lapin::Event::ConnectionBlocked(reason))) => {
                warn!(reason, "the broker takes no publishes now");
                blocked(true);
            }
            Ok(Some(lapin::Event::ConnectionUnblocked)) => {
                info!("the broker takes publishes again");
                blocked(false);
            }
            Ok(Some(lapin::Event::Error(error))) => return error.to_string(),
            Ok(None) => return "the connection has ended".to_owned(),
            Err(_) if !connection.status().connected() => return "the connection has ended".to_owned(),
            Ok(Some(_)) | Err(_) => {}
        }
    }
}
