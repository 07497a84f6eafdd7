//! From the bytes of an order to canonical bytes, on one core, in one run: Crossdock's mapping, structs written by hand
//! for serde, and the same mapping in VRL. That all three say the same is checked first.
//!
//! `cargo run --release` in this folder; a number as argument is the count of rounds (200).

mod by_hand;
mod order;

use std::collections::BTreeMap;
use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

use crossdock::config::sources::Sources;
use crossdock::map::{Context, Inbound};
use serde_json::Value;
use vrl::compiler::runtime::Runtime;
use vrl::compiler::{Program, TargetValue, TimeZone};
use vrl::value::Secrets;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Lines of the orders.
const SIZES: [usize; 3] = [1, 5, 50];
/// Canonical bytes are made until this has passed, once a round for each of the three.
const ROUND: Duration = Duration::from_millis(5);

struct Crossdock(Inbound);

impl Crossdock {
    fn new() -> Outcome<Self> {
        let mut sources = Sources::default();
        sources.insert("mappings/shop/order.in.toml", include_str!("../mappings/shop/order.in.toml"));
        let compiled = Inbound::compile(&sources, "shop", "order", &[]);
        compiled.map(Self).map_err(|problems| problems.iter().map(|one| format!("{one}\n")).collect::<String>().into())
    }

    fn map(&self, bytes: &[u8]) -> Outcome<Vec<u8>> {
        let mapped = self.0.run_bytes(bytes, &Context::default());
        match mapped.errors.first() {
            Some(error) => Err(error.to_string().into()),
            None => Ok(serde_json::to_vec(&mapped.facts)?),
        }
    }
}

struct Vrl(Program);

impl Vrl {
    fn new() -> Outcome<Self> {
        let compiled = vrl::compiler::compile(include_str!("../order.vrl"), &vrl::stdlib::all());
        compiled.map(|compiled| Self(compiled.program)).map_err(|problems| format!("{problems:?}").into())
    }

    fn map(&self, runtime: &mut Runtime, bytes: &[u8]) -> Outcome<Vec<u8>> {
        let event = BTreeMap::from([("message".into(), vrl::value::Value::from(bytes))]);
        let mut target = TargetValue {
            value: vrl::value::Value::Object(event),
            metadata: vrl::value::Value::Object(BTreeMap::new()),
            secrets: Secrets::default(),
        };
        let made = runtime.resolve(&mut target, &self.0, &TimeZone::default());
        runtime.clear();
        match made.map_err(|error| error.to_string())? {
            vrl::value::Value::Bytes(bytes) => Ok(bytes.to_vec()),
            other => Err(format!("{other} is no text").into()),
        }
    }
}

/// Microseconds for one order in the best and in the middle round.
struct Figures {
    best: f64,
    middle: f64,
}

fn figures(mut rounds: Vec<f64>) -> Figures {
    rounds.sort_by(f64::total_cmp);
    Figures { best: rounds[0], middle: rounds[rounds.len() / 2] }
}

fn round(map: &mut dyn FnMut() -> Outcome<Vec<u8>>) -> Outcome<f64> {
    let (start, mut orders) = (Instant::now(), 0_u32);
    while start.elapsed() < ROUND {
        for _ in 0..16 {
            black_box(map()?);
        }
        orders += 16;
    }
    Ok(start.elapsed().as_secs_f64() * 1e6 / f64::from(orders))
}

fn main() -> Outcome<()> {
    let rounds: usize = std::env::args().nth(1).map_or(Ok(200), |count| count.parse())?;
    let (crossdock, vrl, mut runtime) = (Crossdock::new()?, Vrl::new()?, Runtime::default());

    println!("bytes of an order to canonical bytes, one core, {rounds} rounds of {} ms: µs for one order, best (middle)\n", ROUND.as_millis());
    println!("| lines | bytes in | bytes out | Crossdock | by hand, serde | VRL | Crossdock / by hand | VRL / Crossdock |");
    println!("|---:|---:|---:|---:|---:|---:|---:|---:|");
    for lines in SIZES {
        let bytes = order::body(lines);
        let ours = crossdock.map(&bytes)?;
        let same: Value = serde_json::from_slice(&ours)?;
        for (who, made) in [("by hand", by_hand::map(&bytes)?), ("VRL", vrl.map(&mut runtime, &bytes)?)] {
            let made: Value = serde_json::from_slice(&made)?;
            if made != same {
                return Err(format!("{who} does not say the same:\n{made:#}\nbut Crossdock says\n{same:#}").into());
            }
        }
        let mut times = [Vec::new(), Vec::new(), Vec::new()];
        for _ in 0..rounds {
            times[0].push(round(&mut || crossdock.map(&bytes))?);
            times[1].push(round(&mut || by_hand::map(&bytes))?);
            times[2].push(round(&mut || vrl.map(&mut runtime, &bytes))?);
        }
        let [ours_took, by_hand, vrl] = times.map(figures);
        println!(
            "| {lines} | {} | {} | {:.1} ({:.1}) | {:.1} ({:.1}) | {:.1} ({:.1}) | {:.2} | {:.2} |",
            bytes.len(),
            ours.len(),
            ours_took.best,
            ours_took.middle,
            by_hand.best,
            by_hand.middle,
            vrl.best,
            vrl.middle,
            ours_took.best / by_hand.best,
            vrl.best / ours_took.best,
        );
    }
    Ok(())
}
