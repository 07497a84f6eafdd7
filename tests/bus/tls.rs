//! TLS to the broker: under an authority of our own, under another's, and for another name.

use crossdock::io::bus::rabbitmq::{Address, Options, RabbitBus, open};
use crossdock::ports::Bus;
use secrecy::SecretString;

use crate::faults::confirmed;
use crate::node::connected;
use crate::support::authority::Authority;
use crate::support::broker::Broker;

fn options(port: u16, authority: Option<&Authority>) -> Options {
    let url = format!("amqps://guest:guest@localhost:{port}/%2f");
    let ca = authority.map(Authority::text);
    Options { url: SecretString::from(url), hosts: Vec::new(), ca, name: "test".to_owned() }
}

async fn refused(port: u16, authority: Option<&Authority>) {
    let address = Address::read(&options(port, authority)).unwrap();
    assert!(open(&address, 0, "test").await.is_err(), "a server is believed that nobody vouches for");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_broker_is_believed_under_its_authority_alone() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let (here, elsewhere) =
        (ours.sign("here", "DNS:localhost"), ours.sign("elsewhere", "DNS:mq.example.com"));
    let mut broker = Broker::start_with_tls(&ours.file(), &here.certificate, &here.key);
    let port = broker.tls_port();
    let bus = RabbitBus::start(&options(port, Some(&ours))).unwrap();
    connected(&bus).await;
    confirmed(&bus).await;
    bus.close().await;
    refused(port, Some(&theirs)).await;
    refused(port, None).await;

    broker.stop();
    broker.use_tls(&ours.file(), &elsewhere.certificate, &elsewhere.key);
    broker.begin();
    refused(port, Some(&ours)).await;
}
