//! EasyPost's objects.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{STEPS, Tracker};

/// `2024-08-02T19:26:52Z`.
pub(super) fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn place(index: usize) -> Value {
    let (city, state, zip) = match index {
        0 => (Value::Null, Value::Null, Value::Null),
        1 | 2 => (json!("HOUSTON"), json!("TX"), json!("77063")),
        _ => (json!("CHARLESTON"), json!("SC"), json!("29401")),
    };
    json!({ "object": "TrackingLocation", "city": city, "state": state, "country": "US", "zip": zip })
}

pub(super) fn tracker(it: &Tracker) -> Value {
    let details: Vec<Value> = it
        .reached
        .iter()
        .zip(STEPS)
        .enumerate()
        .filter(|_| it.known)
        .map(|(index, (at, (status, detail, message)))| {
            json!({
                "object": "TrackingDetail",
                "message": message,
                "description": null,
                "status": status,
                "status_detail": detail,
                "datetime": time(*at),
                "source": it.carrier,
                "carrier_code": null,
                "tracking_location": place(index),
                "est_delivery_date": null,
            })
        })
        .collect();
    let last = it.reached.len().saturating_sub(1).min(STEPS.len() - 1);
    let detail = if it.known { STEPS[last].1 } else { "unknown" };
    let delivered = it.status() == "delivered";
    json!({
        "id": it.id,
        "object": "Tracker",
        "mode": "test",
        "tracking_code": it.code,
        "status": it.status(),
        "status_detail": detail,
        "created_at": time(it.created),
        "updated_at": time(it.updated),
        "signed_by": if delivered { json!("FRONT DESK") } else { Value::Null },
        "weight": 17.6,
        "est_delivery_date": null,
        "shipment_id": it.shipment,
        "carrier": it.carrier,
        "tracking_details": details,
        "carrier_detail": {
            "object": "CarrierDetail",
            "service": "First-Class Package Service",
            "container_type": null,
            "est_delivery_date_local": null,
            "est_delivery_time_local": null,
            "origin_location": "HOUSTON TX, 77001",
            "origin_tracking_location": place(1),
            "destination_location": "CHARLESTON SC, 29401",
            "destination_tracking_location": null,
            "guaranteed_delivery_date": null,
            "alternate_identifier": null,
            "initial_delivery_attempt": null,
        },
        "finalized": delivered,
        "is_return": false,
        "public_url": format!("https://track.easypost.com/{}", it.id),
    })
}
