//! `map new` over the recorded order payloads of many systems: what it proposes compiles and runs, and finds the essentials.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crossdock::config::Sources;
use crossdock::map::propose::propose;
use crossdock::map::{Context, Inbound, MappedFact};
use serde_json::Value;

/// What was found in the orders of one system.
#[derive(Default)]
struct Found {
    files: usize,
    order: usize,
    lines: usize,
    total: usize,
    address: usize,
}

#[test]
fn orders_of_many_systems_get_a_first_mapping() {
    let folder = std::env::var_os("CROSSDOCK_FIXTURES").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/fixtures")),
        PathBuf::from,
    );
    if !folder.is_dir() {
        println!("no payloads here: no recorded order was tried");
        return;
    }
    let index = std::fs::read_to_string(folder.join("INDEX.tsv")).unwrap();
    let mut systems: BTreeMap<&str, Found> = BTreeMap::new();
    for line in index.lines().skip(1) {
        let mut columns = line.split('\t');
        let (Some(path), Some(system), Some("order")) = (columns.next(), columns.next(), columns.next())
        else {
            continue;
        };
        if std::path::Path::new(path).extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let bytes = std::fs::read(folder.join(path)).unwrap();
        if serde_json::from_slice::<Value>(&bytes).is_err() {
            println!("{path} is no JSON");
            continue;
        }
        let proposal = propose(system, "order", &[(path.to_owned(), bytes.clone())])
            .unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut sources = Sources::default();
        sources.insert(format!("mappings/{system}/order.in.toml"), proposal.text.clone());
        let mapping = Inbound::compile(&sources, system, "order", &[])
            .unwrap_or_else(|problems| panic!("{path}: {problems:?}\n{}", proposal.text));
        let mapped = mapping.run_bytes(&bytes, &Context::default());
        let facts: Vec<Value> = mapped.facts.iter().map(MappedFact::to_json).collect();
        let found = systems.entry(system).or_default();
        found.files += 1;
        let placed = facts.iter().find(|fact| fact["is"] == "order.placed");
        let has = |name: &str| usize::from(placed.is_some_and(|fact| !fact[name].is_null()));
        found.order += has("order");
        found.lines += has("lines");
        found.total += has("total");
        found.address += has("ship_to");
    }
    println!("{:<16} {:>5} {:>5} {:>5} {:>5} {:>7}", "system", "files", "order", "lines", "total", "address");
    let mut sum = Found::default();
    for (system, found) in &systems {
        let Found { files, order, lines, total, address } = found;
        println!("{system:<16} {files:>5} {order:>5} {lines:>5} {total:>5} {address:>7}");
        sum.files += files;
        sum.order += order;
        sum.lines += lines;
        sum.total += total;
    }
    assert!(systems.len() >= 8, "{} systems", systems.len());
    // Some of the recorded orders are parts of one: a list of addresses, the answer to a cancellation.
    assert!(sum.order * 10 >= sum.files * 8, "{} of {} orders have an id", sum.order, sum.files);
    assert!(sum.lines * 10 >= sum.files * 5, "{} of {} orders have lines", sum.lines, sum.files);
    assert!(sum.total * 10 >= sum.files * 5, "{} of {} orders have a total", sum.total, sum.files);
}
