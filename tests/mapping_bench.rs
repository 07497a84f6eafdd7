//! A person works on a mapping: over the API, on the command line, and on the console's bench in a real browser.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test: it stops at the first surprise")]

#[path = "support/browser.rs"]
mod browser;

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use browser::Browser;
use bytes::Bytes;
use crossdock::app::{self, Prepared, Running};
use crossdock::cli::files;
use crossdock::diagnostic::{Diagnostic, Severity};
use crossdock::ports::HttpRequest;
use serde_json::{Value, json};

const SHOP: &str = r#"
[connector]
serves = ["storefront"]
[http]
base = "http://127.0.0.1:9"
[webhook]
topic = "topic"
[webhook.signature]
scheme = "none"
why    = "a test"
[webhook.topics]
"order" = "order"
"#;

const ORDER: &str = r#"[mapping]
currency_from = "currency"

[fact.placed]
is      = "order.placed"
order   = "id"
version = "rev"
at      = "at"
number  = "number"
note    = "note"
email   = "mail"
total   = "total"
terms   = { path = "pays", lookup = "terms" }
ship_to = { name = "to.name", street = { list = ["to.street"] }, city = "to.city", postal_code = "to.zip", country = "to.country" }

[fact.placed.lines]
each     = "lines"
ref      = "id"
sku      = "sku"
quantity = "quantity"

[lookup.terms.rows]
later = "unpaid"

[[test]]
body = '{"id":"1","rev":"1","at":"2026-02-03T10:00:00Z","number":"A1","currency":"USD","pays":"later","total":"10.00","lines":[{"id":"l1","sku":"TEA","quantity":1}]}'
expect = [{ fact = "placed", terms = "unpaid", total = "10.00 USD" }]
"#;

const CONFIG: &str = r#"[server]
listen = "127.0.0.1:0"
[log]
filter = "off"
[delivery]
sweep = "200ms"
[account.shop]
connector = "shop"
client    = "acme"
"#;

const MAPPING: &str = "mappings/shop/order.in.toml";

struct Place {
    folder: tempfile::TempDir,
    running: Running,
}

fn put(folder: &Path, path: &str, text: &str) {
    let place = folder.join(path);
    std::fs::create_dir_all(place.parent().unwrap()).unwrap();
    std::fs::write(place, text).unwrap();
}

async fn start(folder: &Path) -> Running {
    let loaded = files::load(&folder.join("config.toml"));
    let errors = loaded.problems.iter().filter(|found| found.severity == Severity::Error);
    assert_eq!(errors.collect::<Vec<_>>(), Vec::<&Diagnostic>::new());
    Prepared::of(loaded).unwrap().start().await.unwrap()
}

impl Place {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        put(folder.path(), "connectors/shop/connector.toml", SHOP);
        put(folder.path(), MAPPING, ORDER);
        put(folder.path(), "config.toml", CONFIG);
        let running = start(folder.path()).await;
        let place = Self { folder, running };
        for (id, pays, note) in [(1, "later", "ring twice"), (2, "later", ""), (3, "net30", "leave it")] {
            let order = json!({
                "topic": "order", "id": id, "rev": "1", "at": "2026-02-03T10:00:00Z", "number": format!("A{id}"),
                "currency": "USD", "pays": pays, "total": "10.00", "note": note, "remark": format!("remark {id}"),
                "mail": "ada@example.com", "coupon": "SPRING",
                "to": { "name": "Ada Lovelace", "street": "1 Main St", "city": "Boston", "zip": "02101", "country": "US" },
                "lines": [{ "id": "l1", "sku": "TEA", "quantity": 2 }, { "id": "l2", "sku": "MUG", "quantity": 1 }],
            });
            assert_eq!(place.call("POST", "/hooks/shop", &order).await.0, 200);
        }
        let begun = Instant::now();
        loop {
            let counts = place.running.store.counts().await.unwrap();
            if counts.messages.iter().all(|(state, count)| state != "pending" || *count == 0) {
                break;
            }
            assert!(begun.elapsed() < Duration::from_mins(1), "{counts:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        place
    }

    async fn call(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let request = HttpRequest {
            method: method.to_owned(),
            url: format!("http://{}{path}", self.running.address),
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: Bytes::from(if body.is_null() { String::new() } else { body.to_string() }),
        };
        let answer = app::http().unwrap().send(request, Duration::from_secs(30)).await.unwrap();
        (answer.status, serde_json::from_slice(&answer.body).unwrap_or_default())
    }

    async fn get(&self, path: &str) -> Value {
        let (status, answer) = self.call("GET", path, &Value::Null).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    /// The command line, run in the folder.
    fn crossdock(&self, args: &[&str]) -> Output {
        crossdock(self.folder.path(), args)
    }
}

fn crossdock(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crossdock"));
    command.args(args).current_dir(folder).output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_api_tells_of_mappings_and_tries_changed_ones() {
    let place = Place::open().await;
    let all = place.get("/api/v1/mappings").await;
    let row =
        all["mappings"].as_array().unwrap().iter().find(|row| row["connector"] == "shop").unwrap().clone();
    assert_eq!((&row["mapping"], &row["passed"], &row["failed"]), (&json!("order"), &json!(1), &json!(0)));
    assert_eq!((&row["waiting"], &row["own"]), (&json!(1), &json!(true)));
    let one = place.get("/api/v1/mappings/shop/order?account=shop").await;
    let rules = one["effective"]["rules"].as_array().unwrap();
    let note = rules.iter().find(|rule| rule["field"] == "note").unwrap();
    assert_eq!((&note["rule"], &note["origin"]["by"]), (&json!("\"note\""), &json!("own")));
    assert_eq!(one["texts"][MAPPING], ORDER);

    let recorded = place.get("/api/v1/messages?mapping=order&account=shop&limit=2").await;
    assert_eq!(recorded["messages"].as_array().unwrap().len(), 2);
    let next = recorded["next"].as_i64().unwrap();
    let rest = place.get(&format!("/api/v1/messages?mapping=order&before={next}&limit=2")).await;
    assert_eq!((rest["messages"].as_array().unwrap().len(), &rest["next"]), (1, &Value::Null));

    let changed = ORDER.replace("\"note\"", "\"remark\"");
    let message = rest["messages"][0]["id"].clone();
    let body = json!({ "files": { MAPPING: changed }, "message": message });
    let (status, tried) = place.call("POST", "/api/v1/mappings/shop/order/try", &body).await;
    assert_eq!((status, &tried["facts"][0]["note"]), (200, &json!("remark 1")), "{tried}");
    let field = tried["explanation"]["facts"][0]["fields"].as_array().unwrap();
    assert!(field.iter().any(|field| field["field"] == "lines[1].sku" && field["value"] == "MUG"));
    assert!(tried["explanation"]["unread"].to_string().contains("coupon"));
    let bad = json!({ "files": { MAPPING: ORDER.replace("number  =", "numbr   =") }, "payload": "{}" });
    let (_, tried) = place.call("POST", "/api/v1/mappings/shop/order/try", &bad).await;
    assert_eq!(
        (&tried["problems"][0]["line"], &tried["problems"][0]["column"]),
        (&json!(9), &json!(1)),
        "{tried}"
    );

    let (status, report) =
        place.call("POST", "/api/v1/mappings/diff", &json!({ "files": { MAPPING: changed } })).await;
    assert_eq!(status, 200, "{report}");
    assert_eq!((&report["messages"], &report["different"]), (&json!(3), &json!(2)), "{report}");
    assert_eq!(report["fields"]["placed.note"], 2);
    let (status, error) = place.call("POST", "/api/v1/mappings/diff", &bad_only(&bad)).await;
    assert_eq!(status, 400, "{error}");
    assert!(error["error"].as_str().unwrap().contains("order.in.toml:9:1"), "{error}");
    for (method, path, body, status) in [
        ("GET", "/api/v1/mappings/shop/ordr", Value::Null, 404),
        ("GET", "/api/v1/mappings/shop/order?account=nobody", Value::Null, 400),
        ("POST", "/api/v1/mappings/shop/order/try", json!({}), 400),
        ("POST", "/api/v1/mappings/diff", json!({ "since": "soon" }), 400),
    ] {
        let answer = place.call(method, path, &body).await;
        assert_eq!(answer.0, status, "{path}: {}", answer.1);
    }
    place.running.stop().await;
}

fn bad_only(body: &Value) -> Value {
    json!({ "files": body["files"] })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_compares_with_the_daemon_up_and_down() {
    let place = Place::open().await;
    let url = format!("http://{}", place.running.address);
    let up = |args: &[&str]| place.crossdock(&[&["map", "diff", "--url", &url], args].concat());
    let output = up(&[]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    // A change on disk that the daemon cannot take (its tests fail) is what a person works on.
    let changed =
        ORDER.replace("\"note\"", "\"remark\"").replace("total = \"10.00 USD\"", "total = \"11.00 USD\"");
    put(place.folder.path(), MAPPING, &changed);
    let output = up(&["shop", "order", "--since", "1d", "--account", "shop"]);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.starts_with("2 of 3 recorded messages would say something else"), "{text}");
    assert!(
        text.contains("order A1 (shop)") && text.contains("placed.note: ring twice → remark 1"),
        "{text}"
    );
    let output = up(&["--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["different"], 2);
    let output = up(&["shop", "ordr"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));

    let Place { folder, running } = place;
    running.stop().await;
    // The history in the store knows what was in force.
    let output = crossdock(folder.path(), &["map", "diff"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).starts_with("2 of 3 "), "{}", said(&output));
    let older = tempfile::tempdir().unwrap();
    put(older.path(), "connectors/shop/connector.toml", SHOP);
    put(older.path(), MAPPING, ORDER);
    let against = older.path().to_str().unwrap();
    let output = crossdock(folder.path(), &["map", "diff", "--against", against]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).starts_with("2 of 3 "), "{}", said(&output));
    put(older.path(), MAPPING, &changed);
    let output = crossdock(folder.path(), &["map", "diff", "--against", against]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    put(folder.path(), MAPPING, "[fact");
    let output = crossdock(folder.path(), &["map", "diff"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
}

fn picture(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("screenshots").join(format!("{name}.png"))
}

#[test]
fn the_bench_shows_changes_while_they_are_typed_and_writes_them() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let place = runtime.block_on(Place::open());
    let url = |path: &str| format!("http://{}{path}", place.running.address);
    let mut browser = Browser::start();
    for (width, dark) in [(1280, false), (390, false), (1280, true), (390, true)] {
        let scheme = if dark { "dark" } else { "light" };
        let mut page = browser.page(width, dark);
        for (name, path, expected) in [
            ("mappings", "/mappings", "1 waiting"),
            ("mapping", "/mappings/shop/order?sample=message:1", "lines[1].sku"),
        ] {
            page.open(&url(path));
            let text = page.text();
            assert!(text.contains(expected), "{path} at {width}: {expected} is missing in\n{text}");
            assert!(!text.contains("Lovelace") && !text.contains("ada@example.com"), "{text}");
            page.screenshot(&picture(&format!("{name}-{width}-{scheme}")));
            assert!(page.overflow() <= 0, "{path} is wider than {width}");
            assert_eq!(page.complaints(), Vec::<String>::new());
        }
    }
    let mut page = browser.page(1280, false);
    page.open(&url("/mappings/shop/order?sample=message:1&personal=true"));
    assert!(page.text().contains("Ada Lovelace"));
    let type_in = |text: &str| {
        let text = serde_json::to_string(text).unwrap();
        format!(
            "(() => {{ const t = document.getElementById('text'); t.focus(); t.value = {text}; t.dispatchEvent(new Event('input')); return true }})()"
        )
    };
    // What is typed is evaluated; a mistake marks its line.
    page.eval(&type_in(&ORDER.replace("\"note\"", "\"remark\"")));
    page.until("document.getElementById('result').innerText.includes('remark 1')");
    page.eval(&type_in(&ORDER.replace("number  =", "numbr   =")));
    page.until("document.querySelector('.gutter .error')?.textContent === '9'");
    page.until("document.getElementById('result').innerText.includes('did you mean `number`?')");
    page.screenshot(&picture("mapping-mistake-1280-light"));
    // Ctrl+Enter shows the differences, then it can be put into force.
    page.eval(&type_in(
        &ORDER
            .replace("\"note\"", "\"remark\"")
            .replace("later = \"unpaid\"", "later = \"unpaid\"\nnet30 = \"unpaid\""),
    ));
    page.until("document.getElementById('result').innerText.includes('1 test passes')");
    page.eval("document.getElementById('text').dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', ctrlKey: true, bubbles: true, cancelable: true }))");
    page.until("document.getElementById('diff').innerText.includes('3 of 3 recorded messages') || document.getElementById('diff').innerText.includes('would say something else')");
    let text = page.text();
    assert!(text.contains("placed.note") && text.contains("order A1"), "{text}");
    page.screenshot(&picture("mapping-diff-1280-light"));
    assert!(page.overflow() <= 0);
    page.eval("document.querySelector('#diff button.main').click()");
    page.until("document.querySelector('.notice')?.innerText.includes('in force: generation')");
    let written = std::fs::read_to_string(place.folder.path().join(MAPPING)).unwrap();
    assert!(written.contains("net30 = \"unpaid\"") && written.contains("note    = \"remark\""), "{written}");
    assert_eq!(page.complaints(), Vec::<String>::new());
    // An overlay of the client: new, with what it replaces remembered.
    page.open(&url("/mappings/shop/order?for=client:acme&sample=message:2&personal=true"));
    assert!(page.text().contains("mappings/clients/acme/shop/order.toml"));
    page.eval(&type_in("[overlay]\nof = \"shop/order\"\n\n[fact.placed]\nnote = \"coupon\"\n"));
    page.until("document.getElementById('result').innerText.includes('SPRING')");
    page.eval("document.getElementById('diff-button').click()");
    page.until("document.querySelector('#diff button.main') !== null");
    page.eval("document.querySelector('#diff button.main').click()");
    page.until("document.querySelector('.notice')?.innerText.includes('in force: generation')");
    let overlay =
        std::fs::read_to_string(place.folder.path().join("mappings/clients/acme/shop/order.toml")).unwrap();
    assert!(overlay.contains("was = { \"fact.placed.note\" = \""), "{overlay}");
    drop(browser);
    runtime.block_on(place.running.stop());
}
