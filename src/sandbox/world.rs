//! The simulated world: four partners, one clock, one seed.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::dice::Dice;
use super::easypost::Carrier;
use super::hooks::{Delivery, Hooks};
use super::http::Request;
use super::settings::{Fault, Settings};
use super::shiphero::Warehouse;
use super::shopify::Shop;
use super::stripe::Gateway;
use super::{easypost, shiphero, shopify, stripe};
use crate::ports::{HttpRequest, HttpResponse};

/// What a partner does with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Answers.
    Answer(HttpResponse),
    /// Cuts the connection; nothing was done.
    CutBefore,
    /// Cuts the connection after the work was done.
    CutAfter,
    /// Does so after a while.
    Delay(Duration, Box<Reply>),
}

/// Something that happens by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// The warehouse allocates an order (its index).
    Allocate(usize),
    /// The warehouse sends the next parcel of an order.
    Ship(usize),
    /// A tracker moves on.
    Track(usize),
}

/// A fault that strikes certain requests, instead of by chance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Injection {
    /// Which partner.
    pub partner: String,
    /// Strikes requests whose method, URL or body contain this text.
    pub contains: String,
    /// What happens.
    pub fault: Fault,
    /// How many such requests are let through first.
    pub skip: u32,
    /// How many are struck.
    pub times: u32,
}

/// One request, as it went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// When.
    pub at: Timestamp,
    /// Whom it asked.
    pub partner: String,
    /// `GET`, `POST`, …
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The GraphQL operation, if it is one.
    pub operation: String,
    /// Status of the answer; none when it was cut.
    pub status: Option<u16>,
    /// The fault that struck it.
    pub fault: Option<Fault>,
}

/// The names under which the partners are reached.
pub const PARTNERS: [&str; 4] = ["shopify", "shiphero", "easypost", "stripe"];

/// Four partners, one clock, one seed. The same calls give the same world.
#[derive(Debug, Clone)]
pub struct World {
    pub(super) settings: Settings,
    pub(super) now: Timestamp,
    pub(super) dice: Dice,
    pub(super) hooks: Hooks,
    pub(super) shop: Shop,
    pub(super) warehouse: Warehouse,
    pub(super) carrier: Carrier,
    pub(super) gateway: Gateway,
    agenda: BTreeMap<(Timestamp, u64), Event>,
    next_event: u64,
    chance: Dice,
    bursts: BTreeMap<String, u32>,
    injections: Vec<Injection>,
    seen: VecDeque<Seen>,
    faulty: bool,
}

impl World {
    /// A fresh world.
    ///
    /// # Errors
    /// When the schema of a partner cannot be read, which the tests exclude.
    pub fn new(seed: u64, settings: Settings) -> Result<Self, String> {
        Ok(Self {
            now: Timestamp::UNIX_EPOCH,
            dice: Dice::new(seed, 1),
            hooks: Hooks::new(seed),
            shop: Shop::new(seed, &settings)?,
            warehouse: Warehouse::new(seed, &settings)?,
            carrier: Carrier::new(&settings),
            gateway: Gateway::new(&settings),
            agenda: BTreeMap::new(),
            next_event: 0,
            chance: Dice::new(seed, 3),
            bursts: BTreeMap::new(),
            injections: Vec::new(),
            seen: VecDeque::new(),
            faulty: true,
            settings,
        })
    }

    /// The store's id of an order that is called by its id or its number (`1001`, `#1001`).
    pub fn order_id(&self, called: &str) -> Option<u64> {
        self.shop.find_by_names(called, called, &[]).map(|index| self.shop.orders[index].id)
    }

    /// Its settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Switches the faults by chance off (so that a world comes to rest), or on again.
    pub fn set_faulty(&mut self, faulty: bool) {
        self.faulty = faulty;
        if !faulty {
            self.bursts.clear();
        }
    }

    /// Strikes certain requests.
    pub fn inject(&mut self, injection: Injection) {
        self.injections.push(injection);
    }

    /// The last requests, oldest first.
    pub fn requests(&self) -> impl Iterator<Item = &Seen> {
        self.seen.iter()
    }

    /// Lets everything happen that is due until `now`.
    pub fn advance(&mut self, now: Timestamp) {
        while let Some(entry) = self.agenda.first_entry() {
            let due = entry.key().0;
            if due > now {
                break;
            }
            let event = entry.remove();
            self.now = self.now.max(due);
            match event {
                Event::Allocate(order) => shiphero::allocate(self, order),
                Event::Ship(order) => shiphero::ship(self, order),
                Event::Track(tracker) => easypost::step(self, tracker),
            }
        }
        self.now = self.now.max(now);
    }

    pub(super) fn later(&mut self, after: Duration, event: Event) {
        self.agenda.insert((self.now + after, self.next_event), event);
        self.next_event += 1;
    }

    pub(super) fn webhook(
        &mut self,
        partner: &'static str,
        topic: &str,
        headers: Vec<(String, String)>,
        body: String,
    ) {
        if self.faulty {
            self.hooks.send(&self.settings, partner, topic, headers, body, self.now);
        } else {
            let calm = Settings { faults: BTreeMap::new(), ..self.settings.clone() };
            self.hooks.send(&calm, partner, topic, headers, body, self.now);
        }
    }

    /// Webhooks that are due, signed at `now`. Report each by [`World::delivered`]; one that is never reported is not
    /// tried again.
    pub fn due_webhooks(&mut self, now: Timestamp) -> Vec<Delivery> {
        self.advance(now);
        self.hooks.take(&self.settings.secrets, now)
    }

    /// What became of a delivery: the status of the answer, or none when there was no answer. All but 2xx is tried again,
    /// until the schedule of [`super::Timing::retries`] ends.
    pub fn delivered(&mut self, id: u64, status: Option<u16>, now: Timestamp) {
        self.hooks.settle(&self.settings, id, status, now);
    }

    /// When something happens next by itself: an event or a webhook.
    pub fn next_due(&self) -> Option<Timestamp> {
        let event = self.agenda.keys().next().map(|(due, _)| *due);
        event.into_iter().chain(self.hooks.next_due()).min()
    }

    /// A request to a partner (`shopify`, `shiphero`, `easypost`, `stripe`).
    pub fn handle(&mut self, partner: &str, request: &HttpRequest, now: Timestamp) -> Reply {
        self.advance(now);
        let fault = self.fault(partner, request);
        let parsed = Request::read(partner, request, self.now);
        let (reply, status) = match fault {
            Some(Fault::CutBefore) => (Reply::CutBefore, None),
            Some(Fault::CutAfter) => {
                self.work(partner, &parsed);
                (Reply::CutAfter, None)
            }
            Some(Fault::RateLimited) => answer(limited(partner)),
            Some(Fault::Throttled) => answer(self.throttled(partner, &parsed)),
            Some(Fault::ServerError) => {
                if self.chance.chance(0.5) {
                    self.work(partner, &parsed);
                }
                let status = if self.chance.chance(0.5) { 500 } else { 503 };
                answer(broken(status))
            }
            Some(Fault::Delay) => {
                let most = u64::try_from(self.settings.timing.delay.as_millis()).unwrap_or(u64::MAX);
                let pause = Duration::from_millis(self.chance.below(most.max(1)));
                let (reply, status) = answer(self.work(partner, &parsed));
                (Reply::Delay(pause, Box::new(reply)), status)
            }
            Some(Fault::ExpiredToken) => {
                self.warehouse.forget_tokens();
                answer(self.work(partner, &parsed))
            }
            _ => answer(self.work(partner, &parsed)),
        };
        if self.seen.len() == 500 {
            self.seen.pop_front();
        }
        self.seen.push_back(Seen {
            at: self.now,
            partner: partner.to_owned(),
            method: request.method.clone(),
            path: request
                .url
                .splitn(4, '/')
                .nth(3)
                .map_or_else(|| request.url.clone(), |path| format!("/{path}")),
            operation: operation(&request.body),
            status,
            fault,
        });
        reply
    }

    fn work(&mut self, partner: &str, request: &Request<'_>) -> HttpResponse {
        match partner {
            "shopify" => shopify::handle(self, request),
            "shiphero" => shiphero::handle(self, request),
            "easypost" => easypost::handle(self, request),
            "stripe" => stripe::handle(self, request),
            _ => super::http::json(404, &serde_json::json!({ "error": "no such partner" })),
        }
    }

    fn throttled(&mut self, partner: &str, request: &Request<'_>) -> HttpResponse {
        match partner {
            "shopify" => {
                self.shop.drain(request.now);
                shopify::handle(self, request)
            }
            "shiphero" => {
                self.warehouse.drain(request.now);
                shiphero::handle(self, request)
            }
            _ => limited(partner),
        }
    }

    /// Which fault strikes this request.
    fn fault(&mut self, partner: &str, request: &HttpRequest) -> Option<Fault> {
        if let Some(fault) = self.injected(partner, request) {
            return Some(fault);
        }
        if !self.faulty {
            return None;
        }
        if let Some(left) = self.bursts.get_mut(partner) {
            *left -= 1;
            if *left == 0 {
                self.bursts.remove(partner);
            }
            return Some(Fault::ServerError);
        }
        let token = partner == "shiphero";
        for fault in [
            Fault::CutBefore,
            Fault::CutAfter,
            Fault::RateLimited,
            Fault::Throttled,
            Fault::ServerError,
            Fault::Delay,
            Fault::ExpiredToken,
        ] {
            let rate = self.settings.rate(fault);
            if (fault != Fault::ExpiredToken || token) && self.chance.chance(rate) {
                if fault == Fault::ServerError {
                    let more = u32::try_from(self.chance.below(4)).unwrap_or(0);
                    if more > 0 {
                        self.bursts.insert(partner.to_owned(), more);
                    }
                }
                return Some(fault);
            }
        }
        None
    }

    fn injected(&mut self, partner: &str, request: &HttpRequest) -> Option<Fault> {
        let body = String::from_utf8_lossy(&request.body);
        let fits = |it: &Injection| {
            it.partner == partner
                && (request.url.contains(&it.contains)
                    || request.method == it.contains
                    || body.contains(&it.contains))
        };
        let found = self.injections.iter_mut().find(|it| fits(it))?;
        if found.skip > 0 {
            found.skip -= 1;
            return None;
        }
        found.times = found.times.saturating_sub(1);
        let fault = found.fault;
        self.injections.retain(|it| it.times > 0);
        Some(fault)
    }
}

/// 429, as the partner says it.
fn limited(partner: &str) -> HttpResponse {
    match partner {
        "shopify" => shopify::limited(),
        "shiphero" => shiphero::limited(),
        "easypost" => easypost::limited(),
        _ => stripe::limited(),
    }
}

fn answer(response: HttpResponse) -> (Reply, Option<u16>) {
    let status = response.status;
    (Reply::Answer(response), Some(status))
}

fn broken(status: u16) -> HttpResponse {
    let text = if status == 500 { "Internal Server Error" } else { "Service Unavailable" };
    HttpResponse {
        status,
        headers: vec![("content-type".to_owned(), "text/html".to_owned())],
        body: format!("<html><body><h1>{status} {text}</h1></body></html>").into(),
    }
}

/// Name of the first field of a GraphQL document, for people.
fn operation(body: &[u8]) -> String {
    let Ok(value) = serde_json::from_slice::<serde_json::Value>(body) else { return String::new() };
    let Some(text) = value.get("query").and_then(serde_json::Value::as_str) else { return String::new() };
    let inner = text.split_once('{').map_or("", |(_, inner)| inner).trim_start();
    inner.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
}
