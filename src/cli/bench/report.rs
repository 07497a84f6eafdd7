//! What came of a run, as a table and as JSON.

use std::time::Duration;

use serde::Serialize;

use crate::cli::say;

/// All of it.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Who was asked.
    pub daemon: Daemon,
    /// How it was posted.
    pub load: Load,
    /// Webhooks that were answered 2xx.
    pub accepted: Rate,
    /// Orders that were mapped and applied.
    pub applied: Rate,
    /// New orders that a listener heard of; without one there is none.
    pub told: Option<Rate>,
    /// Orders whose command the warehouse has; without a live flow there is none.
    pub delivered: Option<Rate>,
    /// From a webhook's first byte until it was accepted.
    pub accept_ms: Spread,
    /// From an order's webhook until the warehouse has its command.
    pub warehouse_ms: Option<Spread>,
    /// Where that was measured.
    pub warehouse_measured: &'static str,
    /// What the daemons cost from the first webhook until the last command; unknown when they run elsewhere.
    pub cost: Option<Cost>,
    /// Seconds from the first webhook until nothing was to be done any more.
    pub rest_s: f64,
    /// Orders that were accepted and did not come to their end.
    pub missing: u64,
    /// Commands for an order that the warehouse had already.
    pub doubled: u64,
}

/// Who was asked.
#[derive(Debug, Serialize)]
pub struct Daemon {
    /// The addresses.
    pub urls: Vec<String>,
    /// The store's kind, where it is known.
    pub store: Option<&'static str>,
    /// The bus's kind, where it is known.
    pub bus: Option<&'static str>,
}

/// How it was posted.
#[derive(Debug, Serialize)]
pub struct Load {
    /// Connections.
    pub connections: usize,
    /// Webhooks a second; without, as fast as they are answered.
    pub rate: Option<f64>,
    /// Accounts.
    pub accounts: usize,
    /// Bytes of a body.
    pub payload: usize,
    /// Shares of the kinds.
    pub mix: String,
    /// New orders.
    pub orders: u64,
    /// Changed orders.
    pub updates: u64,
    /// Copies.
    pub duplicates: u64,
    /// Answers 503 or 429; such a webhook went again.
    pub put_off: u64,
    /// Connections that broke before the answer; such a webhook went again.
    pub broken: u64,
}

/// How many, and how many a second.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Rate {
    /// How many.
    pub count: u64,
    /// How many a second, from the first webhook until the last of them.
    pub per_s: f64,
}

impl Rate {
    /// So many in that time.
    pub fn of(count: u64, time: Duration) -> Self {
        let per_s = if count == 0 { 0.0 } else { float(count) / time.as_secs_f64().max(0.001) };
        Self { count, per_s: per_s.round() }
    }
}

/// Percentiles, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Spread {
    /// Half of them took no longer.
    pub p50: f64,
    /// 95 of 100.
    pub p95: f64,
    /// 99 of 100.
    pub p99: f64,
    /// The longest.
    pub max: f64,
    /// Of so many.
    pub of: usize,
}

impl Spread {
    /// Of these times; none without any.
    pub fn of(mut times: Vec<Duration>) -> Option<Self> {
        times.sort_unstable();
        let at = |percent: usize| {
            let place = (times.len() * percent).div_ceil(100).saturating_sub(1);
            times.get(place).map(|time| (time.as_secs_f64() * 10_000.0).round() / 10.0)
        };
        Some(Self { p50: at(50)?, p95: at(95)?, p99: at(99)?, max: at(100)?, of: times.len() })
    }
}

/// What processes cost.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Cost {
    /// How many processes.
    pub processes: usize,
    /// CPU time of all.
    pub cpu_s: f64,
    /// CPU time a webhook, in microseconds.
    pub cpu_us: f64,
    /// The most memory of each, added up, in MiB.
    pub peak_mib: f64,
}

/// A count as a number with a fraction; exact up to 2^53.
pub fn float(count: u64) -> f64 {
    f64::from(u32::try_from(count >> 32).unwrap_or(u32::MAX)) * 4_294_967_296.0
        + f64::from(u32::try_from(count & 0xffff_ffff).unwrap_or(u32::MAX))
}

impl Report {
    /// Whether every order that was accepted came to its end, once.
    pub fn green(&self) -> bool {
        self.missing == 0 && self.doubled == 0
    }

    /// The table.
    pub fn print(&self) {
        let row = |name: &str, value: String| say(format_args!("  {name:<24} {value}"));
        let load = &self.load;
        let pace = load.rate.map_or_else(|| "as fast as answered".to_owned(), |rate| format!("{rate}/s"));
        say(format_args!(
            "{} orders, {} updates, {} copies of {} bytes; {} accounts, {} connections, {pace}",
            load.orders, load.updates, load.duplicates, load.payload, load.accounts, load.connections
        ));
        let rate = |rate: Rate, what: &str| format!("{:>7.0}/s   {} {what}", rate.per_s, rate.count);
        row("webhooks accepted", rate(self.accepted, "webhooks"));
        row("mapped and applied", rate(self.applied, "orders"));
        if let Some(told) = self.told {
            row("told to a listener", rate(told, "orders"));
        }
        row(
            "at the warehouse",
            self.delivered
                .map_or_else(|| "not asked for: no flow is live".to_owned(), |done| rate(done, "orders")),
        );
        let spread = |spread: Spread| {
            format!(
                "p50 {} ms, p95 {} ms, p99 {} ms, at most {} ms",
                spread.p50, spread.p95, spread.p99, spread.max
            )
        };
        row("answer to a webhook", spread(self.accept_ms));
        if let Some(times) = self.warehouse_ms {
            row("webhook to warehouse", spread(times));
            row("", format!("measured {}, {} orders", self.warehouse_measured, times.of));
        }
        row(
            "cost of the daemon",
            self.cost.map_or_else(
                || "not known: it does not run here, or not as a process that we may see".to_owned(),
                |cost| {
                    format!(
                        "{:.1} s of CPU ({:.0} µs a webhook), {:.0} MiB at most, {} process(es)",
                        cost.cpu_s, cost.cpu_us, cost.peak_mib, cost.processes
                    )
                },
            ),
        );
        row("at rest after", format!("{:.1} s", self.rest_s));
        if load.put_off + load.broken > 0 {
            row(
                "posted again",
                format!("{} put off with 503, {} after a broken connection", load.put_off, load.broken),
            );
        }
        row("lost, doubled", format!("{}, {}", self.missing, self.doubled));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_times_themselves() {
        let times: Vec<Duration> = (1..=200).rev().map(Duration::from_millis).collect();
        let spread = Spread::of(times).unwrap();
        assert_eq!(spread, Spread { p50: 100.0, p95: 190.0, p99: 198.0, max: 200.0, of: 200 });
        let one = Spread::of(vec![Duration::from_millis(3)]).unwrap();
        assert_eq!(one, Spread { p50: 3.0, p95: 3.0, p99: 3.0, max: 3.0, of: 1 });
        assert_eq!(Spread::of(Vec::new()), None);
        assert_eq!(Some(float(5_000_000_000)), Some(5e9));
    }
}
