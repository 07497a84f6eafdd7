//! Which bus the daemon runs on, and what stands on its broker.

use std::sync::Arc;

use super::StartError;

use crate::config::model::{BusConfig, Config};
use crate::io::bus::embedded::EmbeddedBus;
use crate::io::bus::rabbitmq::topology::{Difference, Topology};
use crate::io::bus::rabbitmq::{Address, Options, RabbitBus, open};
use crate::ports::Bus;

/// The bus that the config names. A broker that is away is no reason not to start.
pub(super) fn build(config: &Config) -> Result<Arc<dyn Bus>, StartError> {
    let Some(options) = options(config)? else { return Ok(Arc::new(EmbeddedBus::new())) };
    let bus = RabbitBus::start(&options).map_err(|error| StartError::Bus(error.to_string()))?;
    Ok(Arc::new(bus))
}

/// What the daemon declares on a broker.
pub fn topology() -> Topology {
    Topology::new()
}

/// How the broker of the config differs from [`topology`]; `None` when the config names no broker.
///
/// # Errors
/// When the broker cannot be reached.
pub async fn compare(config: &Config) -> Result<Option<Vec<Difference>>, StartError> {
    let Some(options) = options(config)? else { return Ok(None) };
    let failed = |error: String| StartError::Bus(error);
    let address = Address::read(&options).map_err(|error| failed(error.to_string()))?;
    let mut last = String::new();
    for attempt in 0..=options.hosts.len() {
        match open(&address, attempt, "check").await {
            Ok((connection, _)) => {
                let differences =
                    topology().compare(&connection).await.map_err(|error| failed(error.to_string()))?;
                let _closed = connection.close(200, "the end".into()).await;
                return Ok(Some(differences));
            }
            Err(error) => last = error.to_string(),
        }
    }
    Err(failed(last))
}

fn options(config: &Config) -> Result<Option<Options>, StartError> {
    let (url, hosts, ca) = match &config.bus {
        BusConfig::Embedded => return Ok(None),
        BusConfig::RabbitMq { url, hosts, ca } => (url.clone(), hosts.clone(), ca.as_ref()),
    };
    let ca = ca.map(|path| {
        let path = config.paths.root.join(path);
        std::fs::read_to_string(&path)
            .map_err(|error| StartError::Bus(format!("[bus] ca: {} cannot be read: {error}", path.display())))
    });
    let name = format!("crossdock {}", std::process::id());
    Ok(Some(Options { url, hosts, ca: ca.transpose()?, name }))
}
