//! What is posted: which webhook comes when, and its bytes, signed as the storefront signs them.

use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sha2::Sha256;

/// How many orders an update or a copy lies behind the newest one, so that what it is about was surely posted before.
const BEHIND: u64 = 200;

/// Shares of the kinds of webhooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mix {
    create: u64,
    update: u64,
    duplicate: u64,
}

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut mix = Self { create: 0, update: 0, duplicate: 0 };
        for part in text.split(',') {
            let (name, share) =
                part.split_once('=').ok_or_else(|| format!("`{part}`: expected <kind>=<share>"))?;
            let share = share
                .trim()
                .parse()
                .ok()
                .filter(|share| *share <= 1000)
                .ok_or_else(|| format!("`{part}`: a share is a whole number from 0 to 1000"))?;
            match name.trim() {
                "create" => mix.create = share,
                "update" => mix.update = share,
                "duplicate" => mix.duplicate = share,
                other => {
                    return Err(format!("there is no kind `{other}`; there are create, update, duplicate"));
                }
            }
        }
        if mix.create == 0 { Err("nothing is created: give `create` a share".to_owned()) } else { Ok(mix) }
    }
}

impl std::fmt::Display for Mix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "create={},update={},duplicate={}", self.create, self.update, self.duplicate)
    }
}

/// What a webhook says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A new order.
    Create,
    /// A later state of an order that was posted before.
    Update,
    /// The very webhook that was posted for an order before.
    Duplicate,
}

/// One webhook of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Post {
    /// What it says.
    pub kind: Kind,
    /// The order that it is about, counted from 0.
    pub order: u64,
    /// Its place in the run.
    pub index: u64,
}

impl Mix {
    fn round(self) -> u64 {
        self.create + self.update + self.duplicate
    }

    /// The webhook at place `index`: the same for the same mix.
    pub fn post(self, index: u64) -> Post {
        let (round, slot) = (index / self.round(), index % self.round());
        let before = round * self.create + slot.min(self.create);
        if slot < self.create {
            return Post { kind: Kind::Create, order: before, index };
        }
        let kind = if slot < self.create + self.update { Kind::Update } else { Kind::Duplicate };
        let spread = (slot - self.create) % self.create;
        Post { kind, order: before.saturating_sub(1 + BEHIND + spread), index }
    }

    /// How many webhooks it takes to post so many orders.
    pub fn posts_for(self, orders: u64) -> u64 {
        orders / self.create * self.round() + orders % self.create
    }
}

/// A storefront whose webhooks are posted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shop {
    /// The account's name: `/hooks/<name>`.
    pub account: String,
    /// Its domain.
    pub domain: String,
    /// What signs its webhooks.
    pub secret: String,
}

/// Makes webhooks: the order's text is made once, and each webhook puts its own numbers into it.
#[derive(Debug)]
pub struct Orders {
    shops: Vec<Shop>,
    /// Text, then the number that follows it.
    parts: Vec<(String, Hole)>,
    run: i64,
    length: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hole {
    Id,
    Name,
    Updated,
    End,
}

const ID: &str = "8888888888888888";
const NAME: &str = "@name@";
const UPDATED: &str = "@updated@";

impl Orders {
    /// Orders with so many lines of the goods `skus`, padded to `size` bytes if that is more, for a run that begins at
    /// `now`: numbers and ids of different runs differ.
    ///
    /// # Errors
    /// When there is no shop or nothing to sell, or the orders cannot be that small.
    pub fn new(
        shops: Vec<Shop>,
        skus: &[String],
        lines: usize,
        size: usize,
        now: Timestamp,
    ) -> Result<Self, String> {
        if shops.is_empty() || skus.is_empty() || lines == 0 {
            return Err("orders need a shop, a SKU and a line".to_owned());
        }
        let created = (now - SignedDuration::from_hours(24 * 30)).strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let text = order(skus, lines, &created).to_string();
        let mut orders = Self { shops, parts: cut(&text), run: now.as_second(), length: 0 };
        let bare = orders.body(Post { kind: Kind::Create, order: 0, index: 0 }).len();
        if size > bare {
            // A field that the storefront sends and nobody reads.
            let (begin, end) = ("\"landing_site\":\"/", "\",");
            let pad =
                format!("{begin}{}{end}", "x".repeat((size - bare).saturating_sub(begin.len() + end.len())));
            let text = text.replacen('{', &format!("{{{pad}"), 1);
            orders.parts = cut(&text);
        } else if size != 0 && size < bare {
            return Err(format!(
                "an order of {lines} lines has {bare} bytes at least; {size} were asked for"
            ));
        }
        orders.length = orders.body(Post { kind: Kind::Create, order: 0, index: 0 }).len();
        Ok(orders)
    }

    /// Bytes of a body.
    pub fn length(&self) -> usize {
        self.length
    }

    /// How many shops there are.
    pub fn accounts(&self) -> usize {
        self.shops.len()
    }

    /// The number of an order, as people and the warehouse read it.
    pub fn name(&self, order: u64) -> String {
        format!("#B{}-{order}", self.run)
    }

    /// The order that is meant by a number of [`Orders::name`].
    pub fn number(&self, name: &str) -> Option<u64> {
        name.strip_prefix("#B")?
            .split_once('-')
            .filter(|(run, _)| *run == self.run.to_string())?
            .1
            .parse()
            .ok()
    }

    fn shop(&self, order: u64) -> &Shop {
        let at = usize::try_from(order).unwrap_or(0) % self.shops.len();
        &self.shops[at]
    }

    /// Path, headers and body of a webhook.
    pub fn webhook(&self, post: Post) -> (String, Vec<(&'static str, String)>, Vec<u8>) {
        let shop = self.shop(post.order);
        let body = self.body(post);
        let topic = if post.kind == Kind::Update { "orders/updated" } else { "orders/create" };
        let id = match post.kind {
            Kind::Update => format!("bench-{}-{}", self.run, post.index),
            Kind::Create | Kind::Duplicate => format!("bench-{}-order-{}", self.run, post.order),
        };
        let headers = vec![
            ("Content-Type", "application/json".to_owned()),
            ("X-Shopify-Topic", topic.to_owned()),
            ("X-Shopify-Shop-Domain", shop.domain.clone()),
            ("X-Shopify-Webhook-Id", id),
            ("X-Shopify-Hmac-Sha256", signature(&shop.secret, &body)),
        ];
        (format!("/hooks/{}", shop.account), headers, body)
    }

    fn body(&self, post: Post) -> Vec<u8> {
        let id = u64::try_from(self.run).unwrap_or(0) * 1_000_000 + post.order;
        let late = if post.kind == Kind::Update { post.index + 1 } else { 0 };
        let updated = Timestamp::from_second(self.run - 24 * 30 * 3600 + i64::try_from(late).unwrap_or(0))
            .unwrap_or(Timestamp::UNIX_EPOCH);
        let mut body = Vec::with_capacity(self.length);
        for (text, hole) in &self.parts {
            body.extend_from_slice(text.as_bytes());
            match hole {
                Hole::Id => body.extend_from_slice(id.to_string().as_bytes()),
                Hole::Name => body.extend_from_slice(self.name(post.order).as_bytes()),
                Hole::Updated => {
                    body.extend_from_slice(updated.strftime("%Y-%m-%dT%H:%M:%SZ").to_string().as_bytes());
                }
                Hole::End => {}
            }
        }
        body
    }
}

fn signature(secret: &str, body: &[u8]) -> String {
    // A key of any length fits HMAC.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return String::new() };
    mac.update(body);
    BASE64.encode(mac.finalize().into_bytes())
}

/// Cuts a text at its holes.
fn cut(mut text: &str) -> Vec<(String, Hole)> {
    let mut parts = Vec::new();
    loop {
        let next = [(ID, Hole::Id), (NAME, Hole::Name), (UPDATED, Hole::Updated)]
            .into_iter()
            .filter_map(|(mark, hole)| Some((text.find(mark)?, mark, hole)))
            .min_by_key(|(at, ..)| *at);
        let Some((at, mark, hole)) = next else {
            parts.push((text.to_owned(), Hole::End));
            return parts;
        };
        parts.push((text[..at].to_owned(), hole));
        text = &text[at + mark.len()..];
    }
}

/// An order as the storefront tells it, paid.
fn order(skus: &[String], lines: usize, created: &str) -> Value {
    let money = |amount: &str| json!({ "shop_money": { "amount": amount, "currency_code": "USD" }, "presentment_money": { "amount": amount, "currency_code": "USD" } });
    let address = json!({
        "first_name": "Ada", "last_name": "Reed", "name": "Ada Reed", "company": null, "address1": "12 Mill Lane",
        "address2": "", "city": "Bath", "province": "Somerset", "province_code": null, "zip": "BA1 1AA",
        "country": "United Kingdom", "country_code": "GB", "phone": "+44 1225 000000", "latitude": 51.38, "longitude": -2.36
    });
    let items: Vec<Value> = (0..lines)
        .map(|line| {
            json!({
                "id": 9_000_000_000_u64 + u64::try_from(line).unwrap_or(0), "variant_id": 1000 + line, "title": "Tea of the day",
                "name": "Tea of the day - 250 g", "sku": skus[line % skus.len()], "quantity": 2, "current_quantity": 2,
                "fulfillable_quantity": 2, "price": "12.50", "price_set": money("12.50"), "total_discount": "0.00",
                "total_discount_set": money("0.00"), "grams": 270, "requires_shipping": true, "taxable": true, "gift_card": false,
                "fulfillment_service": "manual", "fulfillment_status": null, "vendor": "Bench", "product_exists": true,
                "product_id": 77, "properties": [], "discount_allocations": [],
                "tax_lines": [{ "title": "VAT", "price": "4.17", "rate": 0.2, "price_set": money("4.17"), "channel_liable": false }]
            })
        })
        .collect();
    let subtotal = format!("{}.00", 25 * lines);
    let total = format!("{}.00", 25 * lines + 5);
    // The id's digits are replaced where they stand, so that it stays a number.
    let id: u64 = ID.parse().unwrap_or(0);
    let mut order = json!({
        "id": id, "admin_graphql_api_id": format!("gid://shopify/Order/{ID}"), "name": NAME, "order_number": 1, "number": 1,
        "created_at": created, "updated_at": UPDATED, "processed_at": created, "currency": "USD", "presentment_currency": "USD",
        "financial_status": "paid", "fulfillment_status": null, "test": false, "tags": "", "note": null, "note_attributes": []
    });
    let rest = json!({
        "total_price": total, "total_price_set": money(&total), "current_total_price": total, "subtotal_price": subtotal,
        "subtotal_price_set": money(&subtotal), "total_tax": "20.85", "total_tax_set": money("20.85"), "total_discounts": "0.00",
        "total_outstanding": "0.00", "total_line_items_price": subtotal, "source_name": "web", "email": "ada@example.com",
        "contact_email": "ada@example.com", "phone": null, "confirmed": true, "cancelled_at": null, "closed_at": null,
        "gateway": "bench", "payment_gateway_names": ["bench"],
        "customer": { "id": 42, "email": "ada@example.com", "first_name": "Ada", "last_name": "Reed", "tags": "", "default_address": address },
        "billing_address": address, "shipping_address": address, "line_items": items, "fulfillments": [], "refunds": [],
        "discount_codes": [], "discount_applications": [],
        "shipping_lines": [{ "id": 1, "title": "Standard", "code": "Standard", "price": "5.00", "price_set": money("5.00"), "discounted_price": "5.00", "source": "shopify", "tax_lines": [] }],
        "tax_lines": [{ "title": "VAT", "price": "20.85", "rate": 0.2, "price_set": money("20.85") }]
    });
    // In two parts: the macro goes no deeper.
    if let (Some(order), Value::Object(rest)) = (order.as_object_mut(), rest) {
        order.extend(rest);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn orders(lines: usize, size: usize) -> Result<Orders, String> {
        let shop = Shop { account: "shop".into(), domain: "bench.myshopify.com".into(), secret: "s".into() };
        Orders::new(
            vec![shop],
            &["TEA-01".to_owned()],
            lines,
            size,
            Timestamp::from_second(1_790_000_000).unwrap(),
        )
    }

    #[test]
    fn a_mix_has_its_shares_and_says_what_is_wrong() {
        let mix: Mix = "create=3,update=1,duplicate=1".parse().unwrap();
        let kinds: Vec<Kind> = (0..10).map(|index| mix.post(index).kind).collect();
        assert_eq!(kinds.iter().filter(|kind| **kind == Kind::Create).count(), 6);
        assert_eq!(kinds.iter().filter(|kind| **kind == Kind::Update).count(), 2);
        let created: Vec<u64> = (0..2000)
            .map(|index| mix.post(index))
            .filter(|post| post.kind == Kind::Create)
            .map(|post| post.order)
            .collect();
        assert_eq!(created, (0..1200).collect::<Vec<u64>>(), "each order is created once, in order");
        for orders in [1, 2, 3, 7, 300] {
            let posts = mix.posts_for(orders);
            let made = (0..posts).filter(|index| mix.post(*index).kind == Kind::Create).count();
            assert_eq!(u64::try_from(made).unwrap(), orders);
        }
        assert!("update=1".parse::<Mix>().unwrap_err().contains("create"));
        assert!("create=1,change=2".parse::<Mix>().unwrap_err().contains("duplicate"));
    }

    #[test]
    fn a_body_is_an_order_of_its_own_and_has_the_size_asked_for() {
        let made = orders(5, 8000).unwrap();
        assert_eq!(made.length(), 8000);
        let (path, headers, body) = made.webhook(made_post(Kind::Create, 7, 9));
        let value: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((path.as_str(), value["id"].as_u64()), ("/hooks/shop", Some(1_790_000_000_000_007)));
        assert_eq!(made.number(value["name"].as_str().unwrap()), Some(7));
        assert_eq!(value["line_items"].as_array().unwrap().len(), 5);
        let again = made.webhook(made_post(Kind::Duplicate, 7, 12));
        assert_eq!((&again.1, &again.2), (&headers, &body), "a copy is the same to the last byte");
        let (_, changed, later) = made.webhook(made_post(Kind::Update, 7, 12));
        let later: Value = serde_json::from_slice(&later).unwrap();
        assert_eq!(later["id"], value["id"]);
        assert!(later["updated_at"].as_str() > value["updated_at"].as_str() && changed != headers);
        assert!(orders(5, 100).unwrap_err().contains("at least"));
    }

    fn made_post(kind: Kind, order: u64, index: u64) -> Post {
        Post { kind, order, index }
    }
}
