//! Orders to show: a plain one, one that has been through a lot, and a house full.

use crossdock::canonical::fact::{
    Decision, Header, Line, Movement, Placed, Progress, Recorded, Scan, Shipped, TrackingStatus,
};
use crossdock::canonical::order::{Axes, HoldState, OrderLine};
use crossdock::canonical::schema::Country;
use crossdock::canonical::{
    AccountId, Address, Body, Class, ClientId, EntityId, Exception, ExternalRef, Fact, Intent, IntentState,
    MessageId, Order, Phase, When,
};
use crossdock::ports::{LaneState, LimitState, PollState, Store};
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::house::House;

/// An order to store.
pub struct Seed {
    pub order: Order,
    pub facts: Vec<Fact>,
    pub intents: Vec<Intent>,
    pub exceptions: Vec<Exception>,
}

/// A plain order: two lines, one shipment's worth.
pub fn order(house: &House, client: &str, shop: &str, number: u32, phase: Phase) -> Seed {
    let (client, storefront) = (ClientId::from(client), AccountId::from(shop));
    let id = EntityId::order(&client, &storefront, &number.to_string());
    let mut order = Order::empty(id, client, storefront);
    order.r#ref = format!("55{number}0001");
    order.number = Some(format!("#{number}"));
    order.placed_at = Some(When::utc(house.ago(i64::from(2000 - number.min(1999)) * 97)));
    order.channel = Some("web".to_owned());
    order.total = "84.40 EUR".parse().ok();
    order.phase = phase;
    order.axes = Axes { sale: "open".into(), payment: "authorised".into(), ..Axes::default() };
    order.lines = vec![
        OrderLine {
            r#ref: "1".into(),
            sku: Some("TEA-01".into()),
            title: Some("First flush Darjeeling, 100 g tin".into()),
            ships: true,
            ordered: 2,
            unit_price: "18.90 EUR".parse().ok(),
            ..OrderLine::default()
        },
        OrderLine {
            r#ref: "2".into(),
            sku: Some("MUG-BLUE".into()),
            title: Some("Stoneware mug, blue".into()),
            ships: true,
            ordered: 1,
            unit_price: "39.90 EUR".parse().ok(),
            ..OrderLine::default()
        },
    ];
    Seed { order, facts: Vec::new(), intents: Vec::new(), exceptions: Vec::new() }
}

pub fn exception(
    house: &House,
    cause: &str,
    kind: &str,
    message: &str,
    help: &str,
    entity: Option<EntityId>,
) -> Exception {
    Exception {
        id: 0,
        cause: cause.to_owned(),
        kind: kind.to_owned(),
        message: message.to_owned(),
        help: Some(help.to_owned()),
        account: Some("acme-shop".into()),
        client: Some("acme".into()),
        entity,
        message_id: None,
        intent: None,
        raised: house.ago(600),
        resolved: None,
        resolution: None,
    }
}

fn fact(house: &House, account: &str, body: Body, header: Header, message: MessageId, ago: i64) -> Fact {
    let header = Header { at: Some(When::utc(house.ago(ago))), ..header };
    let account = AccountId::from(account);
    Fact {
        id: Fact::identity(&account, &header, &body),
        rule: body.kind().0.split('.').next_back().unwrap_or_default().to_owned(),
        account,
        header,
        heard: house.ago(ago - 2),
        body,
        message,
        mapping: "shopify/order@1a2b3c4d".to_owned(),
    }
}

pub fn intent(
    house: &House,
    entity: &EntityId,
    slot: &str,
    account: &str,
    command: &str,
    ago: i64,
) -> Intent {
    Intent {
        id: Intent::id_of(entity, slot, 0),
        entity: entity.clone(),
        slot: slot.to_owned(),
        generation: 0,
        account: account.into(),
        command: command.to_owned(),
        class: Class::Order,
        args: serde_json::Map::new(),
        state: IntentState::Pending,
        attempts: 0,
        due: house.ago(ago),
        created: house.ago(ago),
        sent_digest: String::new(),
        sent_content: None,
        error: None,
    }
}

fn of<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

/// An order that has been through a lot, with raw messages behind its facts.
#[expect(clippy::too_many_lines, reason = "one order with all that can be on it")]
pub async fn rich(house: &House) -> EntityId {
    let raw = r##"{"id":5510010001,"name":"#1001","email":"ada@example.com","total_price":"84.40","currency":"EUR","customer":{"id":7,"first_name":"Ada","last_name":"Lovelace"},"line_items":[{"id":1,"sku":"TEA-01","quantity":2,"price":"18.90"},{"id":2,"sku":"MUG-BLUE","quantity":1,"price":"39.90"}],"shipping_address":{"address1":"12 St James's Square","city":"London","zip":"SW1Y 4JH","country_code":"GB"}}"##;
    let placed_in = house.message("acme-shop", "orders/create", raw, 9000).await;
    let paid_in = house
        .message(
            "acme-pay",
            "payment_intent.amount_capturable_updated",
            "{\"id\":\"evt_1\",\"amount\":8440}",
            8990,
        )
        .await;
    let accepted_in = house.message("east", "order_create", "{\"order_id\":\"T3JkZXI6OTk=\"}", 8800).await;
    let shipped_in = house
        .message(
            "east",
            "Shipment Update",
            "{\"shipment_id\":991,\"tracking_number\":\"1Z999AA10123456784\"}",
            4000,
        )
        .await;
    let scan_in = house.message("post", "tracker.updated", "{\"status\":\"in_transit\"}", 1200).await;

    let mut seed = order(house, "acme", "acme-shop", 1001, Phase::PartlyShipped);
    let id = seed.order.id.clone();
    let o = &mut seed.order;
    o.axes = Axes {
        sale: "open".into(),
        payment: "paid".into(),
        fulfilment: "partly_shipped".into(),
        delivery: "in_transit".into(),
        returns: "none".into(),
    };
    o.contact.email = Some("ada@example.com".into());
    o.contact.phone = Some("+44 20 7946 0991".into());
    o.contact.note = Some("Please ring twice.".into());
    o.contact.ship_to = Some(Address {
        name: Some("Ada Lovelace".into()),
        street: vec!["12 St James's Square".into()],
        city: Some("London".into()),
        postal_code: Some("SW1Y 4JH".into()),
        country: Some(Country("GB".into())),
        ..Address::default()
    });
    o.ship_method = Some("Express".into());
    o.tags = vec!["vip".into(), "gift".into()];
    o.refs = vec![
        ExternalRef::of_account(&"east".into(), "warehouse_order", "T3JkZXI6OTk="),
        ExternalRef::of_account(&"acme-pay".into(), "payment", "pi_3OaKbL2eZvKYlo2C1"),
    ];
    o.holds = vec![HoldState {
        hold: "address_check".into(),
        by: "flow".into(),
        reason: Some("Maria checks".into()),
    }];
    o.waits = vec!["stock:MUG-BLUE".into()];
    for (line, gone) in o.lines.iter_mut().zip([2, 0]) {
        (line.released, line.allocated, line.picked, line.packed, line.shipped) =
            (line.ordered, line.ordered, gone, gone, gone);
    }
    o.payments = vec![of(json!({
        "account": "acme-pay", "ref": "pi_3OaKbL2eZvKYlo2C1", "gateway": "stripe",
        "authorised": "84.40 EUR", "captured": "84.40 EUR"
    }))];
    o.releases =
        vec![of(json!({ "warehouse": "east", "ref": "T3JkZXI6OTk=", "state": "accepted", "heard": true }))];
    o.shipments = vec![of(json!({
        "account": "east", "ref": "991", "carrier": "UPS", "service": "Ground", "at": When::utc(house.ago(4000)),
        "lines": [{ "quantity": 2, "sku": "TEA-01" }],
        "packages": [{ "tracking": "1Z999AA10123456784", "url": "https://example.com/track/1Z999AA10123456784" }],
        "recorded": "gid://shopify/Fulfillment/4412", "status": "in_transit",
        "events": [{
            "tracking": "1Z999AA10123456784", "status": "in_transit", "at": When::utc(house.ago(1200)),
            "description": "Departed facility", "place": "Leipzig, DE"
        }]
    }))];

    let header = |order: Option<&str>| Header { order: order.map(str::to_owned), ..Header::default() };
    let store = || header(Some("5510010001"));
    let lines: Vec<Line> = of(
        json!([{"ref": "1", "quantity": 2, "sku": "TEA-01"}, {"ref": "2", "quantity": 1, "sku": "MUG-BLUE"}]),
    );
    let mut placed: Placed = of(json!({"total": "84.40 EUR", "email": "ada@example.com"}));
    placed.lines = lines;
    let money = || of::<Movement>(json!({"amount": "84.40 EUR", "gateway": "stripe"}));
    let progress = |reason: Option<&str>| {
        of::<Progress>(json!({"lines": [{"quantity": 2, "sku": "TEA-01"}], "reason": reason}))
    };
    let shipped: Shipped = of(
        json!({"lines": [{"quantity": 2, "sku": "TEA-01"}], "packages": [{"tracking": "1Z999AA10123456784"}], "carrier": "UPS", "service": "Ground"}),
    );
    let recorded: Recorded =
        of(json!({"packages": [{"tracking": "1Z999AA10123456784"}], "status": "success"}));
    let scan: Scan = of(
        json!({"status": TrackingStatus("in_transit".into()), "description": "Departed facility", "place": "Leipzig, DE", "carrier": "UPS"}),
    );
    let decision: Decision = of(
        json!({"what": "release_hold", "target": "high_value", "by": "maria", "note": "called the buyer"}),
    );
    seed.facts = vec![
        fact(house, "acme-shop", Body::Placed(placed), store(), placed_in, 9000),
        fact(house, "acme-pay", Body::Authorised(money()), header(None), paid_in, 8990),
        Fact::ours(header(None), Body::Decision(decision), house.ago(8900), MessageId(0)),
        fact(house, "east", Body::Accepted(progress(None)), header(None), accepted_in, 8800),
        fact(house, "east", Body::Allocated(progress(None)), header(None), accepted_in, 8700),
        fact(house, "east", Body::Shipped(shipped), header(None), shipped_in, 4000),
        fact(house, "acme-pay", Body::Captured(money()), header(None), paid_in, 3980),
        fact(house, "acme-shop", Body::Recorded(recorded), store(), placed_in, 3970),
        fact(house, "post", Body::Scan(scan), header(None), scan_in, 1200),
    ];
    let release = intent(house, &id, "release/east", "east", "order.create", 8895);
    let capture = intent(house, &id, "capture/pi_3OaKbL2eZvKYlo2C1", "acme-pay", "payment.capture", 3990);
    let record = intent(house, &id, "fulfilment/991", "acme-shop", "fulfilment.create", 3989);
    let track = intent(house, &id, "tracker/1Z999AA10123456784", "post", "tracker.create", 3988);
    let note = intent(house, &id, "note/late", "acme-shop", "order.tag", 30);
    seed.intents = vec![release.clone(), capture.clone(), record.clone(), track.clone(), note];
    seed.exceptions = vec![exception(
        house,
        "sku:acme-shop:MUG-BLUE",
        "unknown_sku",
        "acme-shop sells `MUG-BLUE`, and lists/acme-skus.csv has no row for it",
        "add a row to lists/acme-skus.csv, then try the cause again",
        Some(id.clone()),
    )];
    house.put(seed).await;
    house.settle(&id, &release, IntentState::Done, "200: done, T3JkZXI6OTk=").await;
    house.settle(&id, &capture, IntentState::Done, "200: done, succeeded").await;
    house.settle(&id, &record, IntentState::Stuck, "no answer within 10 s").await;
    house.settle(&id, &track, IntentState::Retry, "503: down for maintenance").await;
    id
}

/// A busy house: orders in all phases, exceptions of several causes, lanes in several states.
pub async fn busy(house: &House) -> EntityId {
    for number in 1002..1064_u32 {
        let phase = Phase::ALL[usize::try_from(number * 7 % 16).unwrap()];
        let (client, shop) = if number % 3 == 0 { ("zen", "zen-shop") } else { ("acme", "acme-shop") };
        let mut seed = order(house, client, shop, number, phase);
        let id = seed.order.id.clone();
        if number % 9 == 0 {
            seed.exceptions = vec![exception(
                house,
                "sku:acme-shop:TEA-99",
                "unknown_sku",
                "acme-shop sells `TEA-99`, and lists/acme-skus.csv has no row for it",
                "add a row to lists/acme-skus.csv, then try the cause again",
                Some(id.clone()),
            )];
        }
        if number == 1040 {
            seed.exceptions = vec![exception(
                house,
                "bad_address",
                "bad_address",
                "the address lacks a street and a city",
                "correct it in the store; its update brings the order back",
                Some(id),
            )];
        }
        house.put(seed).await;
    }
    let lane = |state: &str| LaneState {
        state: state.to_owned(),
        last_contact: Some(house.ago(4)),
        last_success: Some(house.ago(4)),
        limits: vec![LimitState { name: "graphql".into(), size: 2000, left: 1730, refill: "100/s".into() }],
        polls: vec![PollState {
            name: "orders".into(),
            last: Some(house.ago(64)),
            next: None,
            items: 12,
            error: None,
        }],
        ..LaneState::default()
    };
    house.lane("acme-shop", &lane("idle")).await;
    house.lane("zen-shop", &lane("busy")).await;
    let down = LaneState {
        reason: Some("five errors in a row: its breaker is open".into()),
        until: Some(house.now + SignedDuration::from_secs(25)),
        last_error: Some("503 from https://public-api.example.com/graphql: down for maintenance".into()),
        failures: 5,
        waiting: 14,
        last_success: Some(house.ago(310)),
        ..lane("paused")
    };
    house.lane("east", &down).await;
    house.lane("acme-pay", &LaneState { polls: Vec::new(), ..lane("idle") }).await;
    house.store.count(&"acme-shop".into(), "bad_signature").await.unwrap();
    rich(house).await
}
