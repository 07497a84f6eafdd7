//! Labels: a shipment is made with its rates, bought once, and given back while it was not used.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{error, not_found, page, payload};
use crate::ports::HttpResponse;
use crate::sandbox::http::{self, Request};
use crate::sandbox::world::World;

/// A shipment, with its label once it is bought.
#[derive(Debug, Clone)]
pub(crate) struct Label {
    pub id: String,
    pub reference: Option<String>,
    created: Timestamp,
    updated: Timestamp,
    given: Value,
    rates: Vec<(String, &'static str, &'static str, &'static str)>,
    pub bought: Option<(String, String)>,
    tracker: Option<usize>,
    pub refunded: bool,
}

fn view(world: &World, it: &Label) -> Value {
    let rates: Vec<Value> = it.rates.iter().map(|rate| rate_of(it, rate)).collect();
    let selected = it.bought.as_ref().and_then(|(rate, _)| it.rates.iter().find(|(id, ..)| id == rate));
    let tracker = it.tracker.and_then(|index| world.carrier.trackers.get(index)).map(payload::tracker);
    let label = it.bought.as_ref().map(|_| {
        json!({
            "id": format!("pl_{}", it.id.trim_start_matches("shp_")),
            "object": "PostageLabel",
            "created_at": payload::time(it.updated),
            "updated_at": payload::time(it.updated),
            "label_date": payload::time(it.updated),
            "label_file_type": "image/png",
            "label_resolution": 300,
            "label_size": "4x6",
            "label_type": "default",
            "label_url": format!("https://easypost-files.example/labels/{}.png", it.id),
        })
    });
    json!({
        "id": it.id,
        "object": "Shipment",
        "mode": "test",
        "created_at": payload::time(it.created),
        "updated_at": payload::time(it.updated),
        "reference": it.reference,
        "is_return": false,
        "status": if it.bought.is_some() { "pre_transit" } else { "unknown" },
        "tracking_code": it.bought.as_ref().map(|(_, code)| code.clone()),
        "to_address": it.given.get("to_address"),
        "from_address": it.given.get("from_address"),
        "return_address": it.given.get("from_address"),
        "buyer_address": it.given.get("to_address"),
        "parcel": it.given.get("parcel"),
        "customs_info": it.given.get("customs_info"),
        "options": it.given.get("options").cloned().unwrap_or_else(|| json!({})),
        "messages": [],
        "rates": rates,
        "selected_rate": selected.map(|rate| rate_of(it, rate)),
        "postage_label": label,
        "tracker": tracker,
        "refund_status": if it.refunded { json!("submitted") } else { Value::Null },
        "insurance": null,
        "scan_form": null,
        "batch_id": null,
        "batch_status": null,
        "batch_message": null,
        "forms": [],
        "fees": [],
    })
}

fn rate_of(
    it: &Label,
    (id, carrier, service, price): &(String, &'static str, &'static str, &'static str),
) -> Value {
    json!({
        "id": id,
        "object": "Rate",
        "mode": "test",
        "created_at": payload::time(it.created),
        "updated_at": payload::time(it.created),
        "carrier": carrier,
        "service": service,
        "rate": price,
        "currency": "USD",
        "retail_rate": price,
        "retail_currency": "USD",
        "list_rate": price,
        "list_currency": "USD",
        "billing_type": "easypost",
        "delivery_days": 3,
        "delivery_date": null,
        "delivery_date_guaranteed": false,
        "est_delivery_days": 3,
        "shipment_id": it.id,
        "carrier_account_id": "ca_sandbox",
    })
}

pub(super) fn create(world: &mut World, body: &Value) -> HttpResponse {
    let given = body.get("shipment").cloned().unwrap_or(Value::Null);
    for part in ["to_address", "from_address", "parcel"] {
        if given.get(part).is_none_or(Value::is_null) {
            return error(
                422,
                "PARAMETER.REQUIRED",
                "Missing required parameter.",
                &[(part, "cannot be blank")],
            );
        }
    }
    let now = world.now;
    let id = world.carrier.id("shp");
    let mut rate = |carrier, service, price| (world.carrier.id("rate"), carrier, service, price);
    let rates = vec![
        rate("USPS", "GroundAdvantage", "6.41"),
        rate("USPS", "Priority", "8.94"),
        rate("UPSDAP", "Ground", "11.20"),
    ];
    let reference = given.get("reference").and_then(Value::as_str).map(str::to_owned);
    let label = Label {
        id,
        reference,
        created: now,
        updated: now,
        given,
        rates,
        bought: None,
        tracker: None,
        refunded: false,
    };
    let service = label.given.get("service").and_then(Value::as_str).map(str::to_owned);
    let chosen = service
        .as_ref()
        .and_then(|service| label.rates.iter().find(|(_, _, own, _)| own == service))
        .cloned();
    if service.is_some() && chosen.is_none() {
        return error(
            422,
            "SHIPMENT.POSTAGE.FAILURE",
            "Unable to purchase postage: no rate for this service",
            &[],
        );
    }
    world.carrier.labels.push(label);
    let index = world.carrier.labels.len() - 1;
    if let Some(chosen) = chosen {
        post(world, index, chosen);
    }
    let label = world.carrier.labels[index].clone();
    http::json(201, &view(world, &label))
}

/// Buys the label at a rate.
fn post(world: &mut World, index: usize, chosen: (String, &'static str, &'static str, &'static str)) {
    let (now, id) = (world.now, world.carrier.labels[index].id.clone());
    let code = format!("94001{:017}", index + 1);
    let tracker = super::create(world, &code, Some(chosen.1), Some(id));
    let label = &mut world.carrier.labels[index];
    label.bought = Some((chosen.0, code));
    label.tracker = Some(tracker);
    label.updated = now;
}

pub(super) fn show(world: &World, id: &str) -> HttpResponse {
    let found =
        world.carrier.labels.iter().find(|label| label.id == id || label.reference.as_deref() == Some(id));
    found.map_or_else(not_found, |label| http::json(200, &view(world, label)))
}

pub(super) fn list(world: &World, request: &Request<'_>) -> HttpResponse {
    let purchased = request.parameter("purchased").is_none_or(|text| text == "true");
    let all = world.carrier.labels.iter().filter(|label| !purchased || label.bought.is_some());
    let all = all.map(|label| (label.id.clone(), label.created, view(world, label))).collect();
    page("shipments", all, request)
}

pub(super) fn buy(world: &mut World, id: &str, body: &Value) -> HttpResponse {
    let Some(index) = world.carrier.labels.iter().position(|label| label.id == id) else {
        return not_found();
    };
    let Some(rate) = body.pointer("/rate/id").and_then(Value::as_str) else {
        return error(
            422,
            "PARAMETER.REQUIRED",
            "Missing required parameter.",
            &[("rate", "cannot be blank")],
        );
    };
    let label = &world.carrier.labels[index];
    if label.bought.is_some() {
        return error(422, "SHIPMENT.POSTAGE.EXISTS", "Postage already exists for this shipment", &[]);
    }
    let Some(chosen) = label.rates.iter().find(|(own, ..)| own == rate).cloned() else {
        return error(
            422,
            "SHIPMENT.POSTAGE.FAILURE",
            "Unable to purchase postage: the rate is not valid for this shipment",
            &[],
        );
    };
    post(world, index, chosen);
    let label = world.carrier.labels[index].clone();
    http::json(200, &view(world, &label))
}

pub(super) fn refund(world: &mut World, id: &str) -> HttpResponse {
    let now = world.now;
    let Some(label) = world.carrier.labels.iter_mut().find(|label| label.id == id) else {
        return not_found();
    };
    if label.bought.is_none() {
        return error(
            422,
            "SHIPMENT.REFUND.UNAVAILABLE",
            "Refund request unavailable: no postage was bought",
            &[],
        );
    }
    label.refunded = true;
    label.updated = now;
    let label = label.clone();
    http::json(200, &view(world, &label))
}
