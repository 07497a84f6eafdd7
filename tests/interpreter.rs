//! What a manifest makes of requests and answers.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use crossdock::config::Sources;
use crossdock::connector::classify::{Outcome, Verdict, classify};
use crossdock::connector::manifest::{ErrorClass, Manifest, Once, TopicAction};
use crossdock::connector::page::{self, AnswerError, PageState};
use crossdock::connector::request::{Fill, RequestError, authorise, build, build_read, form};
use crossdock::connector::webhook::{self, HookError};
use crossdock::connector::{self, auth};
use crossdock::ports::{HttpError, HttpRequest, HttpResponse};
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

const MANIFEST: &str = r#"
[connector]
serves = ["storefront"]
[setting.shop]
[setting.account]
default = ""
[secret.token]
[secret.refresh]
[http]
base    = "https://{setting.shop}/api"
headers = { X-Token = "{secret.token}", X-Version = "7", X-Account = "{setting.account}" }
graphql = "/graphql"
[auth]
kind    = "oauth2"
url     = "/token?shop={setting.shop}"
fields  = { grant_type = "refresh_token", refresh_token = "{secret.refresh}" }
rotates = "refresh_token"
[limit.calls]
size        = 10
refill      = "2/s"
retry_after = "error.wait"
[webhook]
topic    = "type"
event_id = { header = "X-Id" }
belongs  = { header = "X-Shop", equals = "{setting.shop}" }
[webhook.signature]
scheme = "none"
why    = "a test"
[webhook.topics]
"*"            = "ignore"
"order.*"      = "order"
"order.thin"   = { reread = "order", id = "data.id" }
[poll.orders]
graphql   = "orders.graphql"
variables = { first = 50, after = "{page}", query = "updated_at:>='{since}'", nested = { list = ["{page}", "x"] } }
items     = "data.orders.nodes"
page      = { next = "data.orders.pageInfo.endCursor", while = { "data.orders.pageInfo.hasNextPage" = true } }
since     = { from = "updatedAt", overlap = "5m" }
every     = "2m"
mapping   = "order"
[poll.events]
path    = "/events"
query   = { starting_after = "{page}", "created[gte]" = "{since}", limit = 100 }
items   = "data"
page    = { last = "id", while = { has_more = true } }
since   = { from = "created", overlap = "1h", format = "unix", first = "1d" }
every   = "5m"
mapping = "order"
[read.numbered]
path  = "/things"
query = { page = "{page}" }
page  = { number = 1 }
[read.linked]
path  = "/linked"
items = "$"
page  = { link = true }
[read.order]
path    = "/orders/{id}"
headers = { X-Key = "{key}" }
mapping = "order"
[command.order.cancel]
method = "DELETE"
path   = "/orders/{order.ref}/lines/{needs.found[0].id}"
once   = { repeat = true }
[command.payment.capture]
path  = "/payments/{payment}/capture"
body  = "form"
out   = "capture"
once  = { key = "Idempotency-Key", ttl = "24h" }
ok    = { "data.*.id" = { exists = true } }
[[error]]
when    = { status = 200, "errors[*].extensions.code" = "THROTTLED" }
class   = "rate_limited"
[[error]]
when    = { "data.*.userErrors[*].message" = { contains = "Already" } }
command = "payment.capture"
class   = "duplicate"
message = "data.*.userErrors[*].message"
[[error]]
when    = { "data.*.userErrors" = { exists = true } }
class   = "rejected"
[[error]]
when    = { "error.code" = { ge = 5000, } }
class   = "retry"
"#;

fn manifest() -> Manifest {
    let mut sources = Sources::default();
    sources.insert("connectors/x/connector.toml", MANIFEST);
    sources.insert(
        "connectors/x/orders.graphql",
        "query Orders($first: Int!, $after: String, $query: String, $nested: X) { x }",
    );
    sources.insert("mappings/x/order.in.toml", "[fact.placed]\nis = \"order.placed\"\norder = \"id\"\n");
    sources.insert("mappings/x/capture.out.toml", "[body]\namount = \"amount\"\n");
    let (registry, problems) = connector::load(&sources);
    assert!(registry.get("x").is_some(), "{problems:?}");
    registry.get("x").unwrap().manifest.clone()
}

fn fill() -> Fill {
    let secret = |text: &str| vec![SecretString::from(text.to_owned())];
    Fill {
        settings: BTreeMap::from([
            ("shop".to_owned(), "acme.example.com".to_owned()),
            ("account".to_owned(), String::new()),
        ]),
        secrets: BTreeMap::from([
            ("token".to_owned(), secret("t0ken")),
            ("refresh".to_owned(), secret("r3fresh")),
        ]),
        ..Fill::default()
    }
}

fn header<'r>(request: &'r HttpRequest, name: &str) -> Option<&'r str> {
    request.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> HttpResponse {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    HttpResponse { status, headers, body: Bytes::from(body.to_owned()) }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn holes_in_a_path_are_escaped_and_credentials_come_last() {
    let manifest = manifest();
    let source = json!({ "order": { "ref": "a/b?c#d é" }, "needs": { "found": [{ "id": 7 }] } });
    let fill = fill().about(source);
    let made = build(&manifest, &manifest.commands["order.cancel"].request, None, &fill).unwrap().request;
    assert_eq!(made.method, "DELETE");
    assert_eq!(made.url, "https://acme.example.com/api/orders/a%2Fb%3Fc%23d%20%C3%A9/lines/7");
    assert_eq!(header(&made, "X-Version"), Some("7"));
    assert_eq!(header(&made, "X-Account"), None, "what comes out empty is left out");
    let stored = serde_json::to_string(&made).unwrap();
    assert!(!stored.contains("t0ken") && header(&made, "X-Token").is_none());
    let with_token = Fill { token: Some(SecretString::from("acc3ss".to_owned())), ..fill };
    let sent = authorise(&manifest, made, &with_token);
    assert_eq!(header(&sent, "X-Token"), Some("t0ken"));
    assert_eq!(header(&sent, "Authorization"), Some("Bearer acc3ss"));
    let again = authorise(&manifest, sent.clone(), &with_token);
    assert_eq!(again, sent, "credentials are set, not added twice");
}

#[test]
fn a_hole_without_a_value_makes_no_request() {
    let manifest = manifest();
    let spec = &manifest.commands["order.cancel"].request;
    let found = build(&manifest, spec, None, &fill().about(json!({ "order": {} })));
    assert!(matches!(found, Err(RequestError::Unfilled(_))), "{found:?}");
    // A step of dots must not climb.
    let source = json!({ "order": { "ref": ".." }, "needs": { "found": [{ "id": "." }] } });
    let made = build(&manifest, spec, None, &fill().about(source));
    assert!(matches!(made, Err(RequestError::Step(_))), "{made:?}");
    // And an empty id must not name the list of all.
    let source = json!({ "order": { "ref": "" }, "needs": { "found": [{ "id": "1" }] } });
    let made = build(&manifest, spec, None, &fill().about(source));
    assert!(matches!(made, Err(RequestError::Unfilled(_))), "{made:?}");
}

#[test]
fn base_url_overrides_the_base() {
    let manifest = manifest();
    let mut fill = fill().with("id", "1").with("key", "k");
    fill.settings.insert("base_url".to_owned(), "http://127.0.0.1:9/shopify/".to_owned());
    let made = build_read(&manifest, &manifest.reads["order"], &fill).unwrap().request;
    assert_eq!(made.url, "http://127.0.0.1:9/shopify/orders/1");
    fill.settings.insert("base_url".to_owned(), "nonsense".to_owned());
    assert!(matches!(build_read(&manifest, &manifest.reads["order"], &fill), Err(RequestError::Url(..))));
    let broken = fill.with("key", "a\r\nX-Evil: 1");
    let mut broken = broken;
    broken.settings.remove("base_url");
    let found = build_read(&manifest, &manifest.reads["order"], &broken);
    assert_eq!(found, Err(RequestError::Header("X-Key".to_owned())));
}

#[test]
fn graphql_variables_are_filled_and_empty_ones_left_out() {
    let manifest = manifest();
    let poll = &manifest.polls["orders"];
    let made = build_read(&manifest, poll, &fill().with("since", "2026-01-01T00:00:00Z")).unwrap().request;
    assert_eq!((made.method.as_str(), made.url.as_str()), ("POST", "https://acme.example.com/api/graphql"));
    let body: Value = serde_json::from_slice(&made.body).unwrap();
    let expected =
        json!({ "first": 50, "query": "updated_at:>='2026-01-01T00:00:00Z'", "nested": { "list": ["x"] } });
    assert_eq!(body["variables"], expected);
    assert!(body["query"].as_str().unwrap().starts_with("query Orders"));
    let next = build_read(&manifest, poll, &fill().with("since", "x").with("page", "c2")).unwrap().request;
    let body: Value = serde_json::from_slice(&next.body).unwrap();
    assert_eq!(
        (&body["variables"]["after"], &body["variables"]["nested"]["list"]),
        (&json!("c2"), &json!(["c2", "x"]))
    );
    let out = Some(json!({ "first": 1, "more": true }));
    let merged = build(&manifest, &poll.request, out, &fill()).unwrap().request;
    let body: Value = serde_json::from_slice(&merged.body).unwrap();
    assert_eq!((&body["variables"]["first"], &body["variables"]["more"]), (&json!(1), &json!(true)));
}

#[test]
fn forms_nest_with_brackets() {
    let value = json!({ "amount": 1250, "a": { "b": [{ "c": "x y" }, null], "d": true }, "none": null });
    assert_eq!(form(&value), "a%5Bb%5D%5B0%5D%5Bc%5D=x+y&a%5Bd%5D=true&amount=1250");
    let manifest = manifest();
    let command = &manifest.commands["payment.capture"];
    let fill = fill().about(json!({ "payment": "pi_1" })).with("key", "0123");
    let made = build(&manifest, &command.request, Some(json!({ "amount": 5 })), &fill).unwrap().request;
    assert_eq!(&made.body[..], b"amount=5");
    assert_eq!(header(&made, "Content-Type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(header(&made, "Idempotency-Key"), Some("0123"));
    assert!(matches!(&command.once, Once::Key { ttl, .. } if *ttl == Duration::from_hours(24)));
    let wrong = build(&manifest, &command.request, Some(json!([1])), &fill);
    assert!(matches!(wrong, Err(RequestError::Body(_))), "{wrong:?}");
}

#[test]
fn query_parameters_that_are_empty_are_left_out() {
    let manifest = manifest();
    let poll = &manifest.polls["events"];
    let made = build_read(&manifest, poll, &fill().with("since", "170")).unwrap().request;
    assert_eq!(made.url, "https://acme.example.com/api/events?created%5Bgte%5D=170&limit=100");
    let made = build_read(&manifest, poll, &fill().with("since", "170").with("page", "e/1")).unwrap().request;
    assert!(made.url.contains("starting_after=e%2F1"), "{}", made.url);
}

#[test]
fn cursor_pages_follow_while_the_partner_says_so() {
    let manifest = manifest();
    let poll = &manifest.polls["orders"];
    let body = |more: bool, cursor: &str| {
        json!({ "data": { "orders": { "nodes": [
            { "id": 1, "updatedAt": "2026-01-02T00:00:00Z", "total": 1.10 },
            { "id": 2, "updatedAt": "2026-01-01T21:00:00-05:00" },
        ], "pageInfo": { "hasNextPage": more, "endCursor": cursor } } } })
        .to_string()
        .replace("1.1", "1.10")
    };
    let first = page::read(poll, &answer(200, &[], &body(true, "c1")), &PageState::default()).unwrap();
    assert_eq!(first.next.as_deref(), Some("c1"));
    assert_eq!(first.newest, Some(at("2026-01-02T02:00:00Z")));
    assert_eq!(first.items.len(), 2);
    assert!(std::str::from_utf8(&first.items[0]).unwrap().contains("1.10"), "numbers keep their text");
    let end =
        page::read(poll, &answer(200, &[], &body(false, "c1")), &PageState { page: Some("c1".to_owned()) });
    assert_eq!(end.unwrap().next, None);
    let again =
        page::read(poll, &answer(200, &[], &body(true, "c1")), &PageState { page: Some("c1".to_owned()) });
    assert_eq!(again, Err(AnswerError::SamePage("c1".to_owned())));
    let lost = page::read(poll, &answer(200, &[], &body(true, "")), &PageState::default());
    assert!(matches!(lost, Err(AnswerError::NoNext(_))), "{lost:?}");
}

#[test]
fn a_cursor_never_moves_on_an_answer_that_is_no_page() {
    let manifest = manifest();
    let poll = &manifest.polls["orders"];
    let read = |body: &str| page::read(poll, &answer(200, &[], body), &PageState::default());
    assert!(matches!(read("<html>"), Err(AnswerError::Unreadable(_))));
    assert!(matches!(read(r#"{"data":null}"#), Err(AnswerError::NoItems(_))));
    let item = r#"{"data":{"orders":{"nodes":[{"updatedAt":"soon"}],"pageInfo":{"hasNextPage":false}}}}"#;
    assert!(matches!(read(item), Err(AnswerError::NoTime(1, ..))));
    let none = read(r#"{"data":{"orders":{"nodes":[],"pageInfo":{"hasNextPage":false}}}}"#).unwrap();
    assert_eq!((none.items.len(), none.next, none.newest), (0, None, None));
}

#[test]
fn answers_in_xml_and_forms_are_read_alike() {
    let manifest = manifest();
    let poll = &manifest.polls["orders"];
    let xml = "<?xml version=\"1.0\"?>\n<data><orders><nodes><id>007</id><updatedAt>2026-01-02T00:00:00Z</updatedAt></nodes>\
               <nodes><id>8</id><updatedAt>2026-01-01T00:00:00Z</updatedAt></nodes>\
               <pageInfo><hasNextPage>true</hasNextPage><endCursor>c2</endCursor></pageInfo></orders></data>";
    let found = page::read(poll, &answer(200, &[], xml), &PageState::default()).unwrap();
    assert_eq!((found.next.as_deref(), found.newest), (Some("c2"), Some(at("2026-01-02T00:00:00Z"))));
    assert_eq!(found.items[0].as_ref(), br#"{"id":"007","updatedAt":"2026-01-02T00:00:00Z"}"#);

    let form = answer(
        200,
        &[("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")],
        "access_token=t1&expires_in=60&refresh_token=r%2F2",
    );
    let token = auth::read_token(&manifest.auth, &form).unwrap();
    assert_eq!(token.access.expose_secret(), "t1");
    assert_eq!(token.refresh.unwrap().expose_secret(), "r/2");
    assert_eq!(token.expires, Some(Duration::from_mins(1)));
}

#[test]
fn pages_by_last_item_by_number_and_by_link() {
    let manifest = manifest();
    let events = &manifest.polls["events"];
    let body =
        r#"{"has_more":true,"data":[{"id":"e1","created":1700000000},{"id":"e2","created":1600000000}]}"#;
    let found = page::read(events, &answer(200, &[], body), &PageState::default()).unwrap();
    assert_eq!(
        (found.next.as_deref(), found.newest),
        (Some("e2"), Some(Timestamp::from_second(1_700_000_000).unwrap()))
    );
    let last =
        page::read(events, &answer(200, &[], r#"{"has_more":false,"data":[]}"#), &PageState::default());
    assert_eq!(last.unwrap().next, None);

    let numbered = &manifest.reads["numbered"];
    let one = page::first(numbered);
    assert_eq!(one.as_deref(), Some("1"));
    let found = page::read(numbered, &answer(200, &[], "[1,2]"), &PageState { page: one }).unwrap();
    assert_eq!((found.items.len(), found.next.as_deref()), (2, Some("2")));
    let end = page::read(numbered, &answer(200, &[], "[]"), &PageState { page: found.next }).unwrap();
    assert_eq!(end.next, None);

    let linked = &manifest.reads["linked"];
    let link = [(
        "link",
        r#"<https://acme.example.com/api/linked?p=1>; rel="prev", <https://acme.example.com/api/linked?p=3>; rel="next""#,
    )];
    let found = page::read(linked, &answer(200, &link, "[{}]"), &PageState::default()).unwrap();
    let next = found.next.unwrap();
    let made = build_read(&manifest, linked, &fill().with("page", &next)).unwrap().request;
    assert_eq!(made.url, "https://acme.example.com/api/linked?p=3");
    let elsewhere = build_read(&manifest, linked, &fill().with("page", "https://evil.example.com/x"));
    assert!(matches!(elsewhere, Err(RequestError::ForeignPage(_))), "credentials stay with the partner");
}

#[test]
fn since_looks_back_and_never_ahead() {
    let manifest = manifest();
    let rfc = manifest.polls["orders"].since.as_ref().unwrap();
    let now = at("2026-03-01T12:00:00Z");
    assert_eq!(page::since_text(rfc, Some(at("2026-03-01T11:00:00.9Z")), now), "2026-03-01T10:55:00Z");
    assert_eq!(page::since_text(rfc, None, now), "2026-03-01T11:00:00Z");
    assert_eq!(page::since_text(rfc, Some(at("2027-01-01T00:00:00Z")), now), "2026-03-01T11:55:00Z");
    let unix = manifest.polls["events"].since.as_ref().unwrap();
    assert_eq!(page::since_text(unix, None, at("1970-01-02T00:00:10Z")), "10");
    assert_eq!(page::since_text(unix, Some(at("1970-01-01T02:00:00Z")), now), "3600");
}

#[expect(clippy::needless_pass_by_value, reason = "calls read better")]
fn judge(what: &str, answer: Result<HttpResponse, HttpError>) -> Verdict {
    let manifest = manifest();
    let ok = manifest.commands.get(what).map(|command| command.ok.clone()).unwrap_or_default();
    classify(&manifest, what, &ok, &answer)
}

#[test]
fn answers_are_classified_by_rules_then_by_status() {
    use ErrorClass::{Config, Duplicate, RateLimited, RefreshToken, Rejected, Retry, Unknown};
    let done = r#"{"data":{"capture":{"id":"1"}}}"#;
    let cases: &[(u16, &str, Outcome)] = &[
        (200, done, Outcome::Done),
        (200, r#"{"data":{"capture":{"id":null}}}"#, Outcome::Failed(Unknown)),
        (200, "<html>", Outcome::Failed(Unknown)),
        (200, r#"{"errors":[{"message":"no field x"}]}"#, Outcome::Failed(Rejected)),
        (200, r#"{"errors":[{"extensions":{"code":"THROTTLED"}}]}"#, Outcome::Failed(RateLimited)),
        (
            200,
            r#"{"data":{"x":{"userErrors":[{"message":"was already captured"}]}}}"#,
            Outcome::Failed(Duplicate),
        ),
        (200, r#"{"data":{"x":{"userErrors":[{"message":"bad"}]}}}"#, Outcome::Failed(Rejected)),
        (200, r#"{"data":{"x":{"userErrors":[],"id":"1"}}}"#, Outcome::Done),
        (422, r#"{"error":{"code":5001}}"#, Outcome::Failed(Retry)),
        (422, r#"{"error":{"code":12}}"#, Outcome::Failed(Rejected)),
        (429, "", Outcome::Failed(RateLimited)),
        (401, "", Outcome::Failed(RefreshToken)),
        (403, "", Outcome::Failed(Config)),
        (302, "", Outcome::Failed(Config)),
        (404, "", Outcome::Failed(Rejected)),
        (408, "", Outcome::Failed(Unknown)),
        (500, "", Outcome::Failed(Unknown)),
        (503, "", Outcome::Failed(Unknown)),
    ];
    for (status, body, expected) in cases {
        let found = judge("payment.capture", Ok(answer(*status, &[], body)));
        assert_eq!(found.class, *expected, "{status} {body}: {}", found.message);
    }
    // The rule for one command is none for others.
    let other =
        judge("read.order", Ok(answer(200, &[], r#"{"data":{"x":{"userErrors":[{"message":"already"}]}}}"#)));
    assert_eq!(other.class, Outcome::Failed(Rejected));
    assert_eq!(judge("x", Err(HttpError::NotSent("refused".to_owned()))).class, Outcome::Failed(Retry));
    assert_eq!(judge("x", Err(HttpError::NoAnswer("cut".to_owned()))).class, Outcome::Failed(Unknown));
}

#[test]
fn verdicts_carry_the_partners_words_and_wait() {
    let found = judge("x", Ok(answer(422, &[], r#"{"error":{"code":1,"message":"No such  thing"}}"#)));
    assert_eq!(found.message, "HTTP 422: No such thing");
    assert_eq!(judge("x", Ok(answer(500, &[], ""))).message, "HTTP 500");
    let long = judge("x", Ok(answer(500, &[], &"ä".repeat(5000))));
    assert!(long.message.chars().count() < 330);
    let wait = judge("x", Ok(answer(429, &[("Retry-After", "7")], "")));
    assert_eq!(wait.retry_after, Some(Duration::from_secs(7)));
    let wait = judge("x", Ok(answer(429, &[], r#"{"error":{"wait":"250 ms"}}"#)));
    assert_eq!(wait.retry_after, Some(Duration::from_millis(250)));
    assert!(
        judge(
            "payment.capture",
            Ok(answer(200, &[], r#"{"data":{"x":{"userErrors":[{"message":"Already"}]}}}"#))
        )
        .is_done()
    );
}

#[test]
fn webhooks_are_read_by_their_envelope() {
    let manifest = manifest();
    let hook = manifest.webhook.as_ref().unwrap();
    let settings = |name: &str| (name == "setting.shop").then(|| "acme.example.com".to_owned());
    let read = |shop: &str, body: &str| {
        let headers =
            [("x-id", "e1"), ("X-Shop", shop)].map(|(name, value)| (name.to_owned(), value.to_owned()));
        webhook::read(hook, &headers, body.as_bytes(), &settings)
    };
    let found = read("ACME.example.com", r#"{"type":"order.created"}"#).unwrap();
    assert_eq!((found.topic.as_str(), found.event_id.as_deref()), ("order.created", Some("e1")));
    assert_eq!(found.action, TopicAction::Map("order".to_owned()));
    let thin = read("acme.example.com", r#"{"type":"order.thin","data":{"id":7}}"#).unwrap().action;
    assert_eq!(
        thin,
        TopicAction::Reread { read: "order".to_owned(), id: "data.id".to_owned() },
        "the most exact wins"
    );
    assert_eq!(read("acme.example.com", r#"{"type":"x"}"#).unwrap().action, TopicAction::Ignore);
    assert!(matches!(read("other.example.com", r#"{"type":"x"}"#), Err(HookError::NotOurs { .. })));
    assert!(matches!(read("acme.example.com", "{"), Err(HookError::Unreadable(_))));
    assert!(matches!(read("acme.example.com", "{}"), Err(HookError::NoTopic(_))));
}

#[test]
fn access_tokens_are_asked_for_and_read() {
    let manifest = manifest();
    let made = auth::token_request(&manifest, &fill()).unwrap().unwrap();
    assert_eq!(made.url, "https://acme.example.com/api/token?shop=acme.example.com");
    assert_eq!(&made.body[..], b"grant_type=refresh_token&refresh_token=r3fresh");
    let body = r#"{"access_token":"a","expires_in":3600,"refresh_token":"next"}"#;
    let token = auth::read_token(&manifest.auth, &answer(200, &[], body)).unwrap();
    assert_eq!((token.access.expose_secret(), token.expires), ("a", Some(Duration::from_hours(1))));
    assert_eq!(token.refresh.unwrap().expose_secret(), "next");
    let refused = auth::read_token(&manifest.auth, &answer(400, &[], r#"{"error":"invalid_grant"}"#));
    assert_eq!(refused.unwrap_err(), "HTTP 400: invalid_grant");
    assert!(auth::read_token(&manifest.auth, &answer(200, &[], "x")).is_err());
}
