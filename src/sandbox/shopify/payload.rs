//! Shopify's webhooks, in the form of its REST API. Times carry the store's offset.

use jiff::Timestamp;
use jiff::tz::offset;
use serde_json::{Value, json};

use super::{Line, Place, StoreOrder, Transaction};
use crate::sandbox::world::World;

/// `2021-12-31T19:00:00-05:00`.
pub(super) fn time(at: Timestamp) -> String {
    offset(-5).to_datetime(at).strftime("%Y-%m-%dT%H:%M:%S-05:00").to_string()
}

/// Minor units as text in major ones.
pub(super) fn major(minor: i64, currency: &str) -> String {
    if currency == "JPY" {
        return minor.to_string();
    }
    let sign = if minor < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", minor.abs() / 100, minor.abs() % 100)
}

fn set(minor: i64, currency: &str) -> Value {
    let money = json!({ "amount": major(minor, currency), "currency_code": currency });
    json!({ "shop_money": money, "presentment_money": money })
}

fn address(place: &Place) -> Value {
    json!({
        "first_name": place.first,
        "last_name": place.last,
        "name": format!("{} {}", place.first, place.last),
        "company": null,
        "address1": place.street,
        "address2": null,
        "city": place.city,
        "zip": place.zip,
        "province": place.province.0,
        "province_code": place.province.1,
        "country": "United States",
        "country_code": "US",
        "phone": place.phone,
        "latitude": null,
        "longitude": null,
    })
}

fn line(order: &StoreOrder, it: &Line) -> Value {
    let fulfilled = match it.fulfilled {
        0 => Value::Null,
        some if some >= it.current => json!("fulfilled"),
        _ => json!("partial"),
    };
    json!({
        "id": it.id,
        "admin_graphql_api_id": format!("gid://shopify/LineItem/{}", it.id),
        "attributed_staffs": [],
        "current_quantity": it.current,
        "fulfillable_quantity": if order.cancelled.is_some() { 0 } else { it.current - it.fulfilled },
        "fulfillment_service": "manual",
        "fulfillment_status": fulfilled,
        "gift_card": false,
        "grams": it.grams,
        "name": it.title,
        "price": major(it.price, &order.currency),
        "price_set": set(it.price, &order.currency),
        "product_exists": true,
        "product_id": it.variant / 10,
        "properties": [],
        "quantity": it.quantity,
        "requires_shipping": true,
        "sales_line_item_group_id": null,
        "sku": it.sku,
        "taxable": true,
        "title": it.title,
        "total_discount": "0.00",
        "total_discount_set": set(0, &order.currency),
        "variant_id": it.variant,
        "variant_inventory_management": "shopify",
        "variant_title": null,
        "vendor": "Tea House",
        "tax_lines": [],
        "duties": [],
        "discount_allocations": [],
    })
}

fn transaction(order: &StoreOrder, it: &Transaction) -> Value {
    json!({
        "id": it.id,
        "admin_graphql_api_id": format!("gid://shopify/OrderTransaction/{}", it.id),
        "amount": major(it.amount, &order.currency),
        "authorization": order.payment,
        "created_at": time(it.at),
        "currency": order.currency,
        "device_id": null,
        "error_code": null,
        "gateway": "stripe",
        "kind": it.kind,
        "location_id": null,
        "message": "Transaction approved",
        "order_id": order.id,
        "parent_id": it.parent,
        "payment_id": format!("{}.{}", order.name(), it.id % 100),
        "processed_at": time(it.at),
        "receipt": {},
        "source_name": "web",
        "status": "success",
        "test": order.spec.test,
        "user_id": null,
    })
}

fn refunds(order: &StoreOrder) -> Vec<Value> {
    let moves: Vec<&Transaction> = order.transactions.iter().filter(|it| it.kind == "refund").collect();
    order
        .refunds
        .iter()
        .zip(moves)
        .map(|(refund, moved)| {
            let lines: Vec<Value> = refund
                .lines
                .iter()
                .filter_map(|(id, quantity)| {
                    let own = order.line(*id)?;
                    let subtotal = own.price * quantity;
                    Some(json!({
                        "id": refund.id * 10 + id % 10,
                        "line_item": line(order, own),
                        "line_item_id": id,
                        "location_id": null,
                        "quantity": quantity,
                        "restock_type": "no_restock",
                        "subtotal": major(subtotal, &order.currency).parse::<serde_json::Number>().ok(),
                        "subtotal_set": set(subtotal, &order.currency),
                        "total_tax": 0,
                        "total_tax_set": set(0, &order.currency),
                    }))
                })
                .collect();
            json!({
                "id": refund.id,
                "admin_graphql_api_id": format!("gid://shopify/Refund/{}", refund.id),
                "created_at": time(refund.created),
                "duties": [],
                "note": refund.note,
                "order_adjustments": [],
                "order_id": order.id,
                "processed_at": time(refund.created),
                "refund_line_items": lines,
                "refund_shipping_lines": [],
                "restock": false,
                "return": null,
                "total_duties_set": set(0, &order.currency),
                "transactions": [transaction(order, moved)],
                "user_id": 548_380_009,
            })
        })
        .collect()
}

fn fulfilment(world: &World, order: &StoreOrder, index: usize) -> Value {
    let it = &order.fulfilments[index];
    let lines: Vec<Value> = it
        .lines
        .iter()
        .filter_map(|(id, quantity)| {
            let mut value = line(order, order.line(*id)?);
            value["quantity"] = json!(quantity);
            Some(value)
        })
        .collect();
    json!({
        "id": it.id,
        "admin_graphql_api_id": format!("gid://shopify/Fulfillment/{}", it.id),
        "created_at": time(it.created),
        "destination": order.place.as_ref().map(address),
        "email": order.email,
        "line_items": lines,
        "location_id": world.settings.location,
        "name": format!("{}.{}", order.name(), index + 1),
        "order_id": order.id,
        "origin_address": {},
        "receipt": {},
        "service": "manual",
        "shipment_status": null,
        "status": "success",
        "tracking_company": it.company,
        "tracking_number": it.numbers.first(),
        "tracking_numbers": it.numbers,
        "tracking_url": it.urls.first(),
        "tracking_urls": it.urls,
        "updated_at": time(it.updated),
    })
}

fn customer(it: &StoreOrder) -> Option<Value> {
    it.place.as_ref().map(|place| {
        json!({
            "id": 115_310_627_000_000_u64 + it.number,
            "email": it.email,
            "first_name": place.first,
            "last_name": place.last,
            "admin_graphql_api_id": format!("gid://shopify/Customer/{}", 115_310_627_000_000_u64 + it.number),
        })
    })
}

/// The order in the form of the REST API.
fn order(world: &World, it: &StoreOrder) -> Value {
    let currency = it.currency.as_str();
    let money = |minor: i64| (json!(major(minor, currency)), set(minor, currency));
    let whole = it.lines.iter().all(|line| line.fulfilled >= line.current);
    let fulfilled = match (it.fulfilments.is_empty(), whole) {
        (true, _) => Value::Null,
        (false, true) => json!("fulfilled"),
        (false, false) => json!("partial"),
    };
    let paid = it.financial != "pending" && it.financial != "authorized";
    let outstanding = if paid { 0 } else { it.total(true) };
    let mut value = json!({
        "id": it.id,
        "admin_graphql_api_id": it.gid(),
        "app_id": 580_111,
        "buyer_accepts_marketing": false,
        "cancel_reason": it.cancelled.map(|(_, reason)| reason),
        "cancelled_at": it.cancelled.map(|(at, _)| time(at)),
        "closed_at": null,
        "confirmed": true,
        "contact_email": it.email,
        "created_at": time(it.created),
        "currency": currency,
        "customer_locale": "en",
        "discount_codes": [],
        "email": it.email,
        "estimated_taxes": false,
        "financial_status": it.financial,
        "fulfillment_status": fulfilled,
        "location_id": null,
        "name": it.name(),
        "note": it.note,
        "note_attributes": [],
        "number": it.number - 1000,
        "order_number": it.number,
        "payment_gateway_names": ["stripe"],
        "phone": null,
        "po_number": null,
        "presentment_currency": currency,
        "processed_at": time(it.created),
        "source_name": "web",
        "tags": it.tags.join(", "),
    });
    let more = json!({
        "tax_exempt": false,
        "tax_lines": [],
        "taxes_included": false,
        "test": it.spec.test,
        "total_tip_received": "0.00",
        "total_weight": it.lines.iter().map(|line| line.grams * u64::try_from(line.quantity).unwrap_or(0)).sum::<u64>(),
        "updated_at": time(it.updated),
        "user_id": null,
        "billing_address": it.place.as_ref().map(address),
        "shipping_address": it.place.as_ref().map(address),
        "customer": customer(it),
        "discount_applications": [],
        "payment_terms": null,
        "total_outstanding": major(outstanding, currency),
        "line_items": it.lines.iter().map(|own| line(it, own)).collect::<Vec<_>>(),
        "fulfillments": (0..it.fulfilments.len()).map(|index| fulfilment(world, it, index)).collect::<Vec<_>>(),
        "refunds": refunds(it),
        "returns": [],
    });
    if let (Some(value), Value::Object(more)) = (value.as_object_mut(), more) {
        value.extend(more);
    }
    value["shipping_lines"] = json!([{
            "id": 369_256_000_000_u64 + it.number,
            "carrier_identifier": null,
            "code": it.method,
            "discounted_price": major(it.shipping, currency),
            "discounted_price_set": set(it.shipping, currency),
            "is_removed": false,
            "phone": null,
            "price": major(it.shipping, currency),
            "price_set": set(it.shipping, currency),
            "source": "shopify",
            "title": it.method,
            "tax_lines": [],
            "discount_allocations": [],
    }]);
    for (name, minor) in [
        ("total_price", it.total(false)),
        ("subtotal_price", it.goods(false)),
        ("total_line_items_price", it.goods(false)),
        ("current_total_price", it.total(true)),
        ("current_subtotal_price", it.goods(true)),
        ("total_tax", 0),
        ("current_total_tax", 0),
        ("total_discounts", 0),
        ("current_total_discounts", 0),
    ] {
        let (text, both) = money(minor);
        value[name] = text;
        value[format!("{name}_set")] = both;
    }
    value["total_shipping_price_set"] = set(it.shipping, currency);
    value
}

fn tell(world: &mut World, topic: &str, body: &Value) {
    world.shop.webhooks += 1;
    let id = world.dice.uuid();
    let headers = [
        ("Content-Type", "application/json".to_owned()),
        ("User-Agent", "Shopify-Captain-Hook".to_owned()),
        ("X-Shopify-Topic", topic.to_owned()),
        ("X-Shopify-Shop-Domain", world.settings.shop.clone()),
        ("X-Shopify-API-Version", "2026-07".to_owned()),
        ("X-Shopify-Webhook-Id", id),
        ("X-Shopify-Event-Id", format!("event-{}", world.shop.webhooks)),
        ("X-Shopify-Triggered-At", world.now.to_string()),
        ("X-Shopify-Test", "false".to_owned()),
    ];
    let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    world.webhook("shopify", topic, headers, body.to_string());
}

pub(super) fn tell_order(world: &mut World, index: usize, topic: &str) {
    let body = order(world, &world.shop.orders[index]);
    tell(world, topic, &body);
}

pub(super) fn tell_edit(world: &mut World, index: usize, added: &[(u64, i64)], removed: &[(u64, i64)]) {
    let id = world.shop.id(78_912_000_000);
    let rows = |from: &[(u64, i64)]| {
        from.iter().map(|(id, delta)| json!({ "id": id, "delta": delta })).collect::<Vec<_>>()
    };
    let body = json!({ "order_edit": {
        "id": id,
        "app_id": null,
        "created_at": time(world.now),
        "committed_at": time(world.now),
        "notify_customer": false,
        "order_id": world.shop.orders[index].id,
        "staff_note": "",
        "user_id": null,
        "line_items": { "additions": rows(added), "removals": rows(removed) },
        "discounts": { "line_item": { "additions": [], "removals": [] } },
        "shipping_lines": { "additions": [], "removals": [] },
    } });
    tell(world, "orders/edited", &body);
}

pub(super) fn tell_refund(world: &mut World, index: usize) {
    if let Some(body) = refunds(&world.shop.orders[index]).pop() {
        tell(world, "refunds/create", &body);
    }
}

pub(super) fn tell_fulfilment(world: &mut World, index: usize, id: u64, topic: &str) {
    let order = &world.shop.orders[index];
    let Some(at) = order.fulfilments.iter().position(|it| it.id == id) else { return };
    let body = fulfilment(world, order, at);
    tell(world, topic, &body);
}

pub(super) fn tell_level(world: &mut World, item: usize) {
    let it = &world.shop.items[item];
    let location = world.settings.location;
    let body = json!({
        "inventory_item_id": it.id,
        "location_id": location,
        "available": it.available,
        "updated_at": time(it.updated),
        "admin_graphql_api_id": format!("gid://shopify/InventoryLevel/{location}?inventory_item_id={}", it.id),
    });
    tell(world, "inventory_levels/update", &body);
}

pub(super) fn tell_return(world: &mut World, index: usize, id: u64, topic: &str) {
    let order = &world.shop.orders[index];
    let Some(it) = order.returns.iter().find(|it| it.id == id) else { return };
    let rows: Vec<Value> = it
        .lines
        .iter()
        .map(|(line, quantity)| {
            json!({
                "id": it.id * 10 + line % 10,
                "admin_graphql_api_id": format!("gid://shopify/ReturnLineItem/{}", it.id * 10 + line % 10),
                "quantity": quantity,
                "return_reason": "unwanted",
                "return_reason_note": "",
                "customer_note": null,
                "fulfillment_line_item": {
                    "id": line + 55,
                    "admin_graphql_api_id": format!("gid://shopify/FulfillmentLineItem/{}", line + 55),
                    "line_item": { "id": line, "admin_graphql_api_id": format!("gid://shopify/LineItem/{line}") },
                },
            })
        })
        .collect();
    let body = json!({
        "id": it.id,
        "admin_graphql_api_id": format!("gid://shopify/Return/{}", it.id),
        "name": format!("{}-R1", order.name()),
        "status": it.status.to_lowercase(),
        "order": { "id": order.id, "admin_graphql_api_id": order.gid() },
        "total_return_line_items": rows.len(),
        "return_line_items": rows,
    });
    tell(world, topic, &body);
}

pub(super) fn tell_dispute(world: &mut World, id: u64, topic: &str) {
    let Some(it) = world.shop.disputes.iter().find(|it| it.id == id) else { return };
    let Some(order) = world.shop.find(it.order).map(|index| &world.shop.orders[index]) else { return };
    let body = json!({
        "id": it.id,
        "order_id": it.order,
        "type": "chargeback",
        "amount": major(order.total(false), &order.currency),
        "currency": order.currency,
        "reason": "fraudulent",
        "network_reason_code": "4837",
        "status": it.status.to_lowercase(),
        "evidence_due_by": null,
        "evidence_sent_on": null,
        "finalized_on": null,
        "initiated_at": time(it.initiated),
    });
    tell(world, topic, &body);
}
