//! Neighbours that behave badly, all at once: one account never answers, a thousand orders cannot be mapped, the node that
//! works for the warehouse is stopped past its leases and goes on, the other one gets a bad config, and webhooks with forged
//! signatures arrive. Judged at the partners' side: the orders of another client come to the warehouse once each and in time,
//! and no partner is asked more often than it allows.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crossdock::app;
use crossdock::ports::HttpRequest;
use crossdock::sandbox::Seen;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use ring::hmac;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::cluster::{Cluster, PATIENCE};
use crate::daemon::get;
use crate::faults::Table;

const UNMAPPABLE: usize = 1000;
const FORGED: usize = 200;
const SECRET: &str = "the secret of zen";

/// Takes connections and never says a word.
async fn deaf() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            kept.push(stream);
        }
    });
    port
}

/// The config of a second client, whose warehouse is deaf.
fn zen(deaf: u16) -> String {
    format!(
        r#"
[account.zen-shop]
connector = "shopify"
client    = "zen"
settings  = {{ shop = "zen.myshopify.com", base_url = "http://127.0.0.1:{deaf}/admin/api/2026-07" }}
secrets   = {{ token = {{ file = "secrets/zen" }}, webhook = {{ file = "secrets/zen" }} }}

[account.deaf]
connector = "shiphero"
client    = "zen"
zone      = "UTC"
settings  = {{ base_url = "http://127.0.0.1:{deaf}" }}
secrets   = {{ refresh_token = {{ file = "secrets/zen" }}, webhook = {{ file = "secrets/zen" }} }}
[account.deaf.poll.orders]
every = "2s"

[flow.zen]
client      = "zen"
live        = true
storefronts = ["zen-shop"]
warehouses  = ["deaf"]
"#
    )
}

fn webhook(address: &str, account: &str, number: usize, body: &str, secret: &str) -> HttpRequest {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signature = STANDARD.encode(hmac::sign(&key, body.as_bytes()));
    let headers = [
        ("content-type", "application/json".to_owned()),
        ("x-shopify-topic", "orders/create".to_owned()),
        ("x-shopify-webhook-id", format!("bad-{account}-{number}")),
        ("x-shopify-shop-domain", "zen.myshopify.com".to_owned()),
        ("x-shopify-hmac-sha256", signature),
    ];
    HttpRequest {
        method: "POST".into(),
        url: format!("{address}/hooks/{account}"),
        headers: headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        body: body.to_owned().into(),
    }
}

/// Sends them, a few at a time; those that are not taken now go again, as partners do. Gives how often each status came.
async fn send(requests: Vec<HttpRequest>) -> HashMap<u16, usize> {
    let http = app::http().unwrap();
    let begun = Instant::now();
    let mut statuses = HashMap::new();
    let mut waiting = requests;
    let mut flying = FuturesUnordered::new();
    loop {
        while flying.len() < 16
            && let Some(request) = waiting.pop()
        {
            let http = http.clone();
            flying.push(async move {
                let answer = http.send(request.clone(), Duration::from_secs(10)).await;
                (request, answer.ok().map(|answer| answer.status))
            });
        }
        let Some((request, status)) = flying.next().await else { return statuses };
        match status {
            Some(status) if status != 503 => *statuses.entry(status).or_default() += 1,
            _ => {
                assert!(begun.elapsed() < PATIENCE, "webhooks are not taken any more");
                waiting.insert(0, request);
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// The most requests to `partner` in any window of `length`.
fn most_within(seen: &[Seen], partner: &str, length: Duration) -> usize {
    let times: Vec<_> = seen.iter().filter(|seen| seen.partner == partner).map(|seen| seen.at).collect();
    let length = jiff::SignedDuration::try_from(length).unwrap();
    let mut first = 0;
    let mut most = 0;
    for (last, at) in times.iter().enumerate() {
        while at.duration_since(times[first]) >= length {
            first += 1;
        }
        most = most.max(last + 1 - first);
    }
    most
}

/// Orders placed one after the other; how long each took to the warehouse, in order of length.
struct Runs {
    placed: Vec<(u64, Instant)>,
    took: Vec<Duration>,
}

impl Runs {
    fn look(&mut self, cluster: &Cluster) {
        let ledger = cluster.town.partners.with(|world| world.ledger());
        self.placed.retain(|(id, at)| {
            let there = ledger.orders.iter().any(|order| order.id == *id && !order.warehouse.is_empty());
            if there {
                self.took.push(at.elapsed());
            }
            !there
        });
    }

    /// Places `many`, a few a second, and waits until all have come.
    async fn of(cluster: &mut Cluster, many: usize) -> Vec<Duration> {
        let mut runs = Self { placed: Vec::new(), took: Vec::new() };
        for _ in 0..many {
            let id = cluster.town.place_plain();
            runs.placed.push((id, Instant::now()));
            cluster.town.live(Duration::from_millis(200)).await;
            runs.look(cluster);
        }
        let begun = Instant::now();
        while !runs.placed.is_empty() {
            assert!(begun.elapsed() < PATIENCE, "orders of a good neighbour do not come: {:?}", runs.placed);
            cluster.town.live(Duration::from_millis(50)).await;
            runs.look(cluster);
        }
        runs.took.sort();
        runs.took
    }
}

fn told(what: &str, took: &[Duration]) {
    let at = |part: usize| took[(took.len() * part / 100).min(took.len() - 1)].as_secs_f64();
    println!("{what}: {} orders to the warehouse, p50 {:.2} s, p99 {:.2} s", took.len(), at(50), at(99));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_neighbours_delay_and_double_nothing() {
    let more = zen(deaf().await);
    let mut cluster = Cluster::start_with(2, 5, |config| {
        std::fs::write(config.with_file_name("secrets").join("zen"), SECRET).unwrap();
        let text = std::fs::read_to_string(config).unwrap();
        std::fs::write(config, text + more.as_str()).unwrap();
    })
    .await;
    cluster.town.partners.with(|world| world.set_faulty(false));
    let front = cluster.front();
    let first = cluster.town.place_plain();
    cluster.shipped(first).await;
    let quiet = Runs::of(&mut cluster, 20).await;

    // All at once.
    let bad: Vec<HttpRequest> = (0..UNMAPPABLE)
        .map(|number| {
            let body = format!("{{\"id\": {number}, \"name\": \"#{number}\", \"line_items\": \"none\"}}");
            webhook(&front, "zen-shop", number, &body, SECRET)
        })
        .collect();
    let forged: Vec<HttpRequest> =
        (0..FORGED).map(|number| webhook(&front, "shop", number, "{\"id\": 1}", "a guess")).collect();
    let bad = tokio::spawn(send(bad));
    let forged = tokio::spawn(send(forged));
    let owner = cluster.holder("east").await.expect("somebody works for the warehouse");
    let process = cluster.nodes[owner].as_ref().unwrap().id();
    cluster.nodes[owner].as_ref().unwrap().signal("STOP");
    let good = std::fs::read_to_string(&cluster.config).unwrap();
    std::fs::write(&cluster.config, good.replace("[delivery]", "[delivery]\nlaese = \"1s\"")).unwrap();
    let begun = Instant::now();
    while cluster.holder("east").await.is_none_or(|node| node == owner) {
        assert!(begun.elapsed() < PATIENCE, "nobody takes over from a node that stands still");
        cluster.town.live(Duration::from_millis(50)).await;
    }
    let mut table = Table::new("nodes-neighbour", "the partners' books");
    table.add("owner of a lane stands still beside hostile neighbours", begun.elapsed());
    let during = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(3)).await;
        let sent = std::process::Command::new("kill").args(["-CONT", &process.to_string()]).status();
        assert!(sent.unwrap().success());
    });
    let loud = Runs::of(&mut cluster, 20).await;
    during.await.unwrap();
    let (bad, forged) = (bad.await.unwrap(), forged.await.unwrap());
    std::fs::write(&cluster.config, good).unwrap();
    told("alone", &quiet);
    told("beside hostile neighbours", &loud);

    assert_eq!(bad.get(&200), Some(&UNMAPPABLE), "each is taken: {bad:?}");
    assert!(!forged.keys().any(|status| (200..300).contains(status)), "a forged one was taken: {forged:?}");
    assert_eq!(forged.values().sum::<usize>(), FORGED);
    let seen: Vec<Seen> = cluster.town.partners.with(|world| world.requests().cloned().collect());
    let refused = seen.iter().filter(|seen| seen.status == Some(429)).count();
    // A full bucket and what comes into it in a second, as the manifests have it.
    for (partner, a_second) in [("easypost", 60), ("stripe", 50)] {
        let most = most_within(&seen, partner, Duration::from_secs(1));
        println!("{partner}: at most {most} requests in any second");
        assert!(most <= a_second, "{partner}: {most} requests in a second");
    }
    assert_eq!(refused, 0, "a partner had to refuse for too many requests");

    // Every one of the thousand ends as an exception, and the good neighbour's books agree.
    let address = cluster.any().address.clone();
    let begun = Instant::now();
    loop {
        let counts: Option<Value> = get(&format!("{address}/api/v1/counts")).await;
        let excepted = counts.as_ref().and_then(|counts| {
            let rows = counts["messages"].as_array()?;
            rows.iter().find(|row| row[0] == "excepted").and_then(|row| row[1].as_u64())
        });
        if excepted >= Some(u64::try_from(UNMAPPABLE).unwrap()) {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "not all became exceptions: {counts:?}");
        cluster.town.live(Duration::from_millis(200)).await;
    }
    cluster.agree().await;
    table.print();
}
