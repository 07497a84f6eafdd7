//! Faults that a test injects: how often, and how long it took until work went on. What is lost or doubled fails the test,
//! so a table is printed only when nothing was. `scripts/faults` makes one table of those of all tests.

#![allow(dead_code, reason = "each test uses its part")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

/// The faults of one test.
pub struct Table {
    test: &'static str,
    judged: &'static str,
    rows: BTreeMap<String, Vec<Duration>>,
}

impl Table {
    /// An empty one. `judged` says by what it is known that nothing was lost or doubled.
    pub fn new(test: &'static str, judged: &'static str) -> Self {
        Self { test, judged, rows: BTreeMap::new() }
    }

    /// A fault was injected, and that long after its end work went on.
    pub fn add(&mut self, fault: &str, recovered: Duration) {
        println!("{fault}: goes on after {:.1} s", recovered.as_secs_f64());
        self.note(fault, recovered);
    }

    /// The same, without a line of its own.
    pub fn note(&mut self, fault: &str, recovered: Duration) {
        self.rows.entry(fault.to_owned()).or_default().push(recovered);
    }

    /// After both sides were compared: prints the table, and leaves it for `scripts/faults`.
    pub fn print(&self) {
        println!("| fault | times | lost | doubled | seconds to recover (median, most) | judged by |");
        println!("|---|---|---|---|---|---|");
        let mut lines = String::new();
        for (fault, times) in &self.rows {
            let mut times = times.clone();
            times.sort();
            let middle = times[times.len() / 2].as_secs_f64();
            let most = times.last().unwrap().as_secs_f64();
            println!("| {fault} | {} | 0 | 0 | {middle:.1}, {most:.1} | {} |", times.len(), self.judged);
            for time in times {
                writeln!(lines, "{}\t{fault}\t{:.3}", self.judged, time.as_secs_f64()).unwrap();
            }
        }
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("faults");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("{}.tsv", self.test)), lines).unwrap();
    }
}
