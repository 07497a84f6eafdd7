//! A node's end of a broker.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossdock::io::bus::rabbitmq::{Options, RabbitBus};
use secrecy::SecretString;

/// How long anything may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// A bus that is connected.
pub async fn node(url: &str) -> Arc<RabbitBus> {
    let options =
        Options { url: SecretString::from(url), hosts: Vec::new(), ca: None, name: "test".to_owned() };
    let bus = Arc::new(RabbitBus::start(&options).unwrap());
    connected(&bus).await;
    bus
}

/// Waits until both connections stand; gives how long that took.
pub async fn connected(bus: &RabbitBus) -> Duration {
    let started = Instant::now();
    while !bus.connected() {
        assert!(started.elapsed() < PATIENCE, "no connection to the broker");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    started.elapsed()
}
