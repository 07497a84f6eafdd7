//! Many orders wait for one word: they go on by themselves, each once, in bounded time and memory.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::workshop::{ORDER, Workshop};

/// Orders that wait; another number in `CROSSDOCK_WAITING`.
const WAITING: usize = 150;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::disallowed_methods, reason = "how many wait is told by the environment")]
async fn all_that_waited_for_one_word_go_on() {
    let count =
        std::env::var("CROSSDOCK_WAITING").ok().and_then(|count| count.parse().ok()).unwrap_or(WAITING);
    let patience = Duration::from_secs(120 + u64::try_from(count).unwrap() / 10);
    let shop = Workshop::open().await;
    for id in 0..count {
        shop.order(&id.to_string(), "net30", "TEA").await;
    }
    let waiting = async |shop: &Workshop| shop.causes().await.iter().map(|(.., count)| *count).sum::<u64>();
    let all = u64::try_from(count).unwrap();
    shop.within(patience, "all wait", async |shop| waiting(shop).await == all).await;
    assert_eq!(shop.causes().await.len(), 1);
    let (memory, reads, begun) = (peak(), shop.reads(), Instant::now());
    let text = ORDER.replace("[lookup.terms.rows]\n", "[lookup.terms.rows]\nnet30 = \"unpaid\"\n");
    let change = json!({ "files": { "mappings/shop/order.in.toml": text }, "by": "maria" });
    let (status, answer) = shop.call("POST", "/api/v1/generations", &change).await;
    assert_eq!((status, &answer["outcome"]), (200, &json!("activated")), "{answer}");
    let activated = begun.elapsed();
    shop.within(patience, "none waits", async |shop| waiting(shop).await == 0).await;
    let mapped = begun.elapsed();
    shop.within(patience, "all are sent", async |shop| shop.orders_sent() >= count).await;
    println!(
        "{count} orders waited: in force after {activated:?}, none waits after {mapped:?}, all sent after {:?}; peak {} KB more",
        begun.elapsed(),
        peak().saturating_sub(memory),
    );
    assert_eq!((shop.orders_sent(), shop.reads()), (count, reads), "each once, and nothing was asked again");
    shop.running.stop().await;
}

/// The most memory that this process had so far, in KB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse().ok()).unwrap_or_default()
}
