//! From the bytes of an order to canonical bytes, on one core, in one run: Crossdock's mapping, structs written by hand
//! for serde, and the same mapping in VRL; beside them, reading into a `serde_json::Value` alone. That all three say the
//! same is checked first.
//!
//! `cargo run --release` in this folder; a number as argument is the count of rounds (200).

mod by_hand;
mod order;

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::hint::black_box;
use std::time::{Duration, Instant};

use crossdock::config::sources::Sources;
use crossdock::map::{Context, Inbound};
use serde_json::Value;
use vrl::compiler::runtime::Runtime;
use vrl::compiler::{Program, TargetValue, TimeZone};
use vrl::diagnostic::Formatter;
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
        compiled
            .map(Self)
            .map_err(|problems| problems.iter().map(|one| format!("{one}\n")).collect::<String>().into())
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
        let source = include_str!("../order.vrl");
        let compiled = vrl::compiler::compile(source, &vrl::stdlib::all());
        let compiled = compiled.map_err(|problems| Formatter::new(source, problems).to_string())?;
        Ok(Self(compiled.program))
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
            vrl::value::Value::String(text) => Ok(text.as_bytes().to_vec()),
            other => Err(format!("{other} is no text").into()),
        }
    }
}

/// Microseconds for one order, in the best round and the median.
struct Figures {
    best: f64,
    median: f64,
}

impl Figures {
    fn of(mut rounds: Vec<f64>) -> Self {
        rounds.sort_by(f64::total_cmp);
        Self { best: rounds[0], median: rounds[rounds.len() / 2] }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} ({:.1})", self.best, self.median)
    }
}

fn round<T>(map: &mut dyn FnMut() -> Outcome<T>) -> Outcome<f64> {
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

    let round_ms = ROUND.as_millis();
    println!(
        "From the bytes of an order to canonical bytes on one core, {rounds} rounds of {round_ms} ms each, in turn."
    );
    println!("Microseconds for one order: the best round (the median).\n");
    println!(
        "| lines | bytes in | bytes out | Crossdock | by hand, serde | VRL | to a Value alone | Crossdock / by hand | VRL / Crossdock |"
    );
    println!("|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
    for lines in SIZES {
        let bytes = order::body(lines);
        let ours = crossdock.map(&bytes)?;
        let same: Value = serde_json::from_slice(&ours)?;
        for (who, made) in [("by hand", by_hand::map(&bytes)?), ("VRL", vrl.map(&mut runtime, &bytes)?)] {
            let made: Value = serde_json::from_slice(&made)?;
            if made != same {
                return Err(
                    format!("{who} does not say the same:\n{made:#}\nbut Crossdock says\n{same:#}").into()
                );
            }
        }
        let (crossdock, vrl) = (&crossdock, &vrl);
        let mut times = [const { Vec::new() }; 4];
        for _ in 0..rounds {
            times[0].push(round(&mut || crossdock.map(&bytes))?);
            times[1].push(round(&mut || by_hand::map(&bytes))?);
            times[2].push(round(&mut || vrl.map(&mut runtime, &bytes))?);
            times[3].push(round(&mut || Ok(drop(black_box(serde_json::from_slice::<Value>(&bytes)?))))?);
        }
        let [crossdock, by_hand, vrl, value] = times.map(Figures::of);
        println!(
            "| {lines} | {} | {} | {crossdock} | {by_hand} | {vrl} | {value} | {:.2} ({:.2}) | {:.2} ({:.2}) |",
            bytes.len(),
            ours.len(),
            crossdock.best / by_hand.best,
            crossdock.median / by_hand.median,
            vrl.best / crossdock.best,
            vrl.median / crossdock.median,
        );
    }
    Ok(())
}
