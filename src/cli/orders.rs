//! `crossdock orders`: the orders that the running daemon knows.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{self, Asking, Client, query, step, table, time};
use super::{Done, Failure, Globals, block_on, complain, say};
use crate::canonical::order::{Release, wait_in_words};
use crate::ports::OrderRow;

/// List orders, show one, or decide about one. Asks the running daemon.
#[derive(Debug, Args)]
pub struct Orders {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List orders, newest first.
    List(List),
    /// Show one order with its timeline across all systems.
    Show(Show),
    /// Decide about one order: `release_hold`, `cancel`, `close`, `exists`, `send_again`.
    Decide(Decide),
}

#[derive(Debug, Args)]
struct List {
    /// Words that must be found in number, references, SKUs or tracking numbers.
    search: Vec<String>,
    /// Only this phase: `received`, `on_hold`, `shipped`, …
    #[arg(long)]
    phase: Option<String>,
    /// Only this client.
    #[arg(long)]
    client: Option<String>,
    /// Only this storefront.
    #[arg(long)]
    account: Option<String>,
    /// At most this many.
    #[arg(long, default_value_t = 50)]
    limit: usize,
    #[command(flatten)]
    asking: Asking,
}

#[derive(Debug, Args)]
struct Show {
    /// Our id, the store's number or any reference.
    order: String,
    #[command(flatten)]
    asking: Asking,
}

#[derive(Debug, Args)]
struct Decide {
    /// Our id, the store's number or any reference.
    order: String,
    /// `release_hold`, `cancel`, `close`, `exists` or `send_again`.
    what: String,
    /// The hold's name, or the command's id.
    #[arg(long)]
    target: Option<String>,
    /// Who decides.
    #[arg(long, default_value = "command line")]
    by: String,
    /// Why.
    #[arg(long)]
    note: Option<String>,
    #[command(flatten)]
    asking: Asking,
}

#[derive(Debug, Deserialize)]
struct Page {
    orders: Vec<OrderRow>,
    next: Option<String>,
}

/// The API's largest page.
const PAGE: usize = 500;

impl Orders {
    /// Runs the command.
    ///
    /// # Errors
    /// When the daemon cannot be reached or says no.
    pub fn run(self, globals: &Globals) -> Done {
        block_on(async {
            match self.what {
                What::List(list) => list.run(globals).await,
                What::Show(show) => show.run(globals).await,
                What::Decide(decide) => decide.run(globals).await,
            }
        })?
    }
}

impl List {
    async fn run(self, globals: &Globals) -> Done {
        let client = self.asking.client(globals)?;
        let orders = self.fetch(&client).await?;
        if self.asking.json {
            client::json(&orders)?;
            return Ok(ExitCode::SUCCESS);
        }
        if orders.is_empty() {
            complain("no order fits");
            return Ok(ExitCode::SUCCESS);
        }
        let rows: Vec<[String; 7]> = orders
            .iter()
            .map(|row| {
                let exceptions =
                    if row.exceptions == 0 { "-".to_owned() } else { row.exceptions.to_string() };
                [
                    row.label.clone(),
                    row.phase.clone(),
                    row.client.0.clone(),
                    row.account.0.clone(),
                    time(row.placed),
                    exceptions,
                    row.id.0.clone(),
                ]
            })
            .collect();
        table(["ORDER", "PHASE", "CLIENT", "STORE", "PLACED", "EXCEPTIONS", "ID"], &rows);
        Ok(ExitCode::SUCCESS)
    }

    async fn fetch(&self, client: &Client) -> Result<Vec<OrderRow>, Failure> {
        let mut found: Vec<OrderRow> = Vec::new();
        let mut after = None;
        while found.len() < self.limit {
            let search = (!self.search.is_empty()).then(|| self.search.join(" "));
            let pairs = [
                ("search", search),
                ("phase", self.phase.clone()),
                ("client", self.client.clone()),
                ("account", self.account.clone()),
                ("limit", Some((self.limit - found.len()).min(PAGE).to_string())),
                ("after", after),
            ];
            let page: Page = client.get(&format!("/api/v1/orders{}", query(&pairs))).await?;
            found.extend(page.orders);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        Ok(found)
    }
}

impl Show {
    async fn run(self, globals: &Globals) -> Done {
        let client = self.asking.client(globals)?;
        let view: Value = client.get(&format!("/api/v1/orders/{}", step(&self.order))).await?;
        if self.asking.json {
            client::json(&view)?;
        } else {
            print(&view);
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Decide {
    async fn run(self, globals: &Globals) -> Done {
        let client = self.asking.client(globals)?;
        let body = json!({ "what": self.what, "target": self.target, "by": self.by, "note": self.note });
        let answer: Value =
            client.post(&format!("/api/v1/orders/{}/decisions", step(&self.order)), &body).await?;
        if self.asking.json {
            client::json(&answer)?;
        } else {
            say(format_args!("taken: {} for {}", self.what, text(&answer["order"])));
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn short(value: &Value) -> String {
    time(value.as_str().and_then(|text| text.parse().ok()))
}

/// What it waits for, and who sends which part of an order that is split.
fn parts(order: &Value) {
    let waits: Vec<String> =
        list(&order["waits"]).iter().filter_map(Value::as_str).map(wait_in_words).collect();
    let releases: Vec<Release> = serde_json::from_value(order["releases"].clone()).unwrap_or_default();
    if !waits.is_empty() {
        let rest = releases.iter().any(Release::told_of_part);
        let what = if rest { "The rest waits for" } else { "Waits for" };
        say(format_args!("\n{what} {}", waits.join(", ")));
    }
    let sku = |name: &str| {
        let line = list(&order["lines"]).iter().find(|line| line["ref"].as_str() == Some(name));
        line.and_then(|line| line["sku"].as_str()).unwrap_or(name).to_owned()
    };
    let shared = releases.iter().any(Release::in_part);
    let dated = releases.iter().any(|release| release.ship_by.is_some());
    if !(shared || dated) {
        return;
    }
    let row = |release: &Release| {
        let lines = release.lines.iter().filter(|(_, units)| **units > 0);
        let units: Vec<String> = lines.map(|(name, units)| format!("{units} × {}", sku(name))).collect();
        let (sends, why) = if units.is_empty() {
            ("nothing".to_owned(), release.reason.clone())
        } else {
            (units.join(", "), release.why.clone())
        };
        [
            release.warehouse.0.clone(),
            release.state.clone(),
            release.ship_by.map_or_else(|| "-".to_owned(), |at| at.local()),
            sends,
            why.unwrap_or_default(),
        ]
    };
    say("\nWarehouses");
    let rows = releases.iter().map(row);
    match (shared, dated) {
        (true, true) => {
            table(["WAREHOUSE", "STATE", "SHIP BY", "SENDS", "WHY"], &rows.collect::<Vec<_>>());
        }
        (true, false) => {
            let rows: Vec<_> = rows.map(|[who, state, _, sends, why]| [who, state, sends, why]).collect();
            table(["WAREHOUSE", "STATE", "SENDS", "WHY"], &rows);
        }
        (false, _) => {
            let rows: Vec<_> = rows.map(|[who, state, by, ..]| [who, state, by]).collect();
            table(["WAREHOUSE", "STATE", "SHIP BY"], &rows);
        }
    }
}

fn print(view: &Value) {
    let order = &view["state"];
    let number = order["number"].as_str().unwrap_or_else(|| text(&order["id"]));
    say(format_args!("{number}  {}  {}", text(&order["phase"]), text(&order["total"])));
    say(format_args!(
        "{}  client {}  store {}  placed {}",
        text(&order["id"]),
        text(&order["client"]),
        text(&order["storefront"]),
        short(&order["placed_at"])
    ));
    let axes: Vec<String> = ["sale", "payment", "fulfilment", "delivery", "returns"]
        .into_iter()
        .filter(|axis| !matches!(order["axes"][axis].as_str(), None | Some("" | "none")))
        .map(|axis| format!("{axis} {}", text(&order["axes"][axis])))
        .collect();
    say(axes.join(", "));
    say("");
    let lines: Vec<[String; 6]> = list(&order["lines"]).iter().map(line).collect();
    table(["SKU", "ORDERED", "CANCELLED", "RELEASED", "SHIPPED", "TITLE"], &lines);
    parts(order);
    let exceptions = list(&view["exceptions"]);
    if !exceptions.is_empty() {
        say("\nExceptions");
        for exception in exceptions {
            say(format_args!(
                "  {}  {}: {}",
                exception["id"],
                text(&exception["kind"]),
                text(&exception["message"])
            ));
            if let Some(help) = exception["help"].as_str() {
                say(format_args!("     {help}"));
            }
        }
    }
    say("\nCommands");
    let commands: Vec<[String; 5]> = list(&view["intents"])
        .iter()
        .map(|intent| {
            [
                text(&intent["command"]).to_owned(),
                text(&intent["account"]).to_owned(),
                text(&intent["state"]).to_owned(),
                intent["attempts"].to_string(),
                text(&intent["id"]).to_owned(),
            ]
        })
        .collect();
    table(["COMMAND", "ACCOUNT", "STATE", "ATTEMPTS", "ID"], &commands);
    say("\nTimeline");
    let entries: Vec<[String; 5]> = list(&view["timeline"])
        .iter()
        .map(|entry| {
            let message = entry["message"].as_i64().map_or_else(|| "-".to_owned(), |id| id.to_string());
            [
                short(&entry["at"]),
                text(&entry["account"]).to_owned(),
                text(&entry["title"]).to_owned(),
                message,
                text(&entry["text"]).to_owned(),
            ]
        })
        .collect();
    table(["AT", "WHO", "WHAT", "MESSAGE", ""], &entries);
}

fn line(line: &Value) -> [String; 6] {
    [
        text(&line["sku"]).to_owned(),
        line["ordered"].to_string(),
        line["cancelled"].to_string(),
        line["released"].to_string(),
        line["shipped"].to_string(),
        text(&line["title"]).to_owned(),
    ]
}
