//! Orders that several warehouses share, as planning makes them, to be looked at.

use crossdock::canonical::IntentState::Done;
use serde_json::json;

use super::bench::{Bench, FLOW, at, authorised, placed, shipped};
use super::house::House;
use super::seeds::Seed;

/// Two of three warehouses may share an order; each keeps goods of its own, and one has a calendar.
fn flow() -> String {
    let flow = FLOW
        .replace("[\"east\"]", "[\"east\", \"west\", \"mall\"]")
        .replace("storefronts = [\"shop\", \"mall\"]", "storefronts = [\"shop\"]")
        .replace("gateway ", "split = { by = \"stock\" }\ngateway ");
    format!(
        "[account.east.calendar]\nzone = \"Europe/Berlin\"\ncut_off = \"14:00\"\nclose = \"17:00\"\n{flow}\
         [flow.acme.carries]\neast = [\"TEA-*\"]\nwest = [\"POT-*\", \"CUP-*\"]\nmall = [\"POT-*\", \"CUP-*\"]\n"
    )
}

const LINES: &[(&str, &str, u64)] =
    &[("14000000000001", "TEA-01", 2), ("14000000000002", "POT-01", 1), ("14000000000003", "CUP-04", 6)];

fn accepted(warehouse: &str) -> serde_json::Value {
    json!({ "is": "fulfilment.accepted", "warehouse_order": format!("{}-1001", warehouse.to_uppercase()), "at": at(60) })
}

fn begun(lines: &[(&str, &str, u64)]) -> Bench {
    let mut bench = Bench::with(&flow(), &[]);
    let total: u64 = lines.iter().map(|(.., units)| units * 10).sum();
    bench.tell("shop", placed(0, lines)).tell("pay", authorised(&format!("{total}.00 USD")));
    bench
}

/// Both have their part, and the first has sent its own.
pub fn halfway() -> Bench {
    let mut bench = begun(LINES);
    for warehouse in ["east", "west"] {
        bench.send(&format!("release/{warehouse}"), Done);
        bench.tell(warehouse, accepted(warehouse));
    }
    bench.tell("east", shipped("s1", 3600, Some("1Z999AA10123456784"), &[("TEA-01", 2)])).send_all();
    bench
}

/// The second will not send its part, which goes to the third.
pub fn taken_over() -> Bench {
    let mut bench = begun(LINES);
    for warehouse in ["east", "west"] {
        bench.send(&format!("release/{warehouse}"), Done);
        bench.tell(warehouse, accepted(warehouse));
    }
    bench.tell("west", json!({ "is": "fulfilment.rejected", "warehouse_order": "WEST-1001", "reason": "No such pot", "at": at(90) }));
    bench.send("release/mall", Done);
    bench
}

/// One part is with its warehouse; what an edit added nobody carries.
pub fn waiting() -> Bench {
    let mut bench = begun(&LINES[..1]);
    bench.send("release/east", Done);
    bench.tell("east", accepted("east"));
    let mut lines = LINES[..1].to_vec();
    lines.push(("14000000000004", "LAMP-1", 1));
    bench.tell("shop", placed(30, &lines));
    bench
}

/// A house with one such order in it.
pub async fn house(bench: Bench) -> House {
    let Bench { config, facts, intents, state, last, .. } = bench;
    let house = House::with(config).await;
    let mut exceptions = last.unwrap().exceptions;
    for exception in &mut exceptions {
        exception.raised = house.now;
    }
    house.put(Seed { order: state.unwrap(), facts, intents, exceptions }).await;
    house
}
