//! The console in a real browser: what it shows, that it stays live, that it fits a telephone.
#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(clippy::panic, reason = "tests")]

#[path = "support/orders.rs"]
mod bench;
#[path = "support/browser.rs"]
mod browser;
#[path = "support/house.rs"]
mod house;
#[path = "support/seeds.rs"]
mod seeds;
#[path = "support/shared.rs"]
mod shared;

use std::path::{Path, PathBuf};

use browser::Browser;
use crossdock::canonical::Phase;
use house::House;
use seeds::{busy, order};

fn picture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("screenshots").join(format!("{name}.png"))
}

#[test]
fn pages_show_what_the_store_holds_and_fit_wide_and_narrow() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (house, id) = runtime.block_on(async {
        let house = House::open(None).await;
        let id = busy(&house).await;
        (house, id)
    });
    let mut browser = Browser::start();
    let message = "/messages/1";
    let pages = [
        ("overview", "/".to_owned(), "Newest orders"),
        ("orders", "/orders".to_owned(), "#1063"),
        ("order", format!("/orders/{id}"), "Ada Lovelace"),
        ("exceptions", "/exceptions".to_owned(), "Unknown SKU"),
        ("cause", "/exceptions?cause=sku%3Aacme-shop%3ATEA-99".to_owned(), "lists/acme-skus.csv"),
        ("accounts", "/accounts".to_owned(), "breaker is open"),
        ("message", format!("{message}?order={id}"), "orders/create"),
        ("missing", "/nothing".to_owned(), "There is no such page"),
    ];
    for (width, dark) in [(1280, false), (390, false), (1280, true), (390, true)] {
        let mut page = browser.page(width, dark);
        for (name, path, expected) in &pages {
            page.open(&house.url(path));
            let text = page.text();
            assert!(text.contains(expected), "{path} at {width}: {expected} is missing in\n{text}");
            let scheme = if dark { "dark" } else { "light" };
            page.screenshot(&picture(&format!("{name}-{width}-{scheme}")));
            assert!(page.overflow() <= 0, "{path} is wider than {width}");
            let complaints = page.complaints();
            let complaints: Vec<_> = complaints.iter().filter(|text| !text.contains("404")).collect();
            assert!(complaints.is_empty(), "{path}: {complaints:?}");
        }
    }
    drop(browser);
    house.stop.cancel();
}

#[test]
fn an_order_that_warehouses_share_says_who_sends_what() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut browser = Browser::start();
    let scenes: [(&str, bench::Bench, &[&str]); 3] = [
        (
            "halfway",
            shared::halfway(),
            &[
                "Sends 2 × TEA-01 – no warehouse could send the whole order\n\nShip by 2026-02-02 17:00:00",
                "Sends 1 × POT-01, 6 × CUP-04 – no warehouse could send the whole order",
            ],
        ),
        ("taken-over", shared::taken_over(), &["Sends 1 × POT-01, 6 × CUP-04 – ", "WEST-1001 No such pot"]),
        (
            "waiting",
            shared::waiting(),
            &[
                "The rest waits for the payment, warehouses to share it (the flow allows too few, or none carries all of it)",
                "Sends 2 × TEA-01 – it could send the whole order",
            ],
        ),
    ];
    for (name, bench, expected) in scenes {
        let house = runtime.block_on(shared::house(bench));
        for width in [1280, 390] {
            let mut page = browser.page(width, false);
            page.open(&house.url("/orders/%231001"));
            let text = page.text();
            for expected in expected {
                assert!(text.contains(expected), "{name} at {width}: {expected} is missing in\n{text}");
            }
            assert_eq!(text.matches("Sends ").count(), if name == "waiting" { 1 } else { 2 }, "{text}");
            page.screenshot(&picture(&format!("shared-{name}-{width}-light")));
            assert!(page.overflow() <= 0, "{name} is wider than {width}");
            assert!(page.complaints().is_empty());
        }
        house.stop.cancel();
    }
}

#[test]
fn rows_and_timeline_change_without_reload() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let house = runtime.block_on(async {
        let house = House::open(None).await;
        house.put(order(&house, "acme", "acme-shop", 1001, Phase::Received)).await;
        house
    });
    let mut browser = Browser::start();
    let mut page = browser.page(1280, false);
    page.open(&house.url("/orders"));
    page.until("document.getElementById('live').classList.contains('on')");
    page.eval("window.same = true");
    assert!(page.text().contains("received"));
    runtime.block_on(house.put(order(&house, "acme", "acme-shop", 1001, Phase::Packed)));
    page.until("document.querySelector('main').innerText.includes('packed')");
    runtime.block_on(house.put(order(&house, "acme", "acme-shop", 1002, Phase::Received)));
    page.until("document.querySelector('main').innerText.includes('#1002')");
    assert_eq!(page.eval("window.same"), true, "the page was loaded again");
    assert!(page.complaints().is_empty());
    drop(browser);
    house.stop.cancel();
}

#[test]
fn the_log_in_page_fits_wide_and_narrow() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let house = runtime.block_on(House::open(Some("s3cret")));
    let mut browser = Browser::start();
    for (width, dark) in [(1280, false), (390, false), (1280, true), (390, true)] {
        let mut page = browser.page(width, dark);
        page.open(&house.url("/orders"));
        assert!(page.text().contains("Token"), "{}", page.text());
        let scheme = if dark { "dark" } else { "light" };
        page.screenshot(&picture(&format!("login-{width}-{scheme}")));
        assert!(page.overflow() <= 0, "the log-in page is wider than {width}");
    }
    let mut page = browser.page(390, false);
    page.open(&house.url("/login?next=/accounts"));
    page.eval("(() => { document.getElementById('token').value = 'nope'; document.querySelector('form').submit(); return true })()");
    page.until("document.getElementById('wrong') !== null");
    page.screenshot(&picture("login-wrong-390-light"));
    page.eval("(() => { document.getElementById('token').value = 's3cret'; document.querySelector('form').submit(); return true })()");
    page.until("location.pathname === '/accounts'");
    drop(browser);
    house.stop.cancel();
}
