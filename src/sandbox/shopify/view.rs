//! Shopify's objects, as the GraphQL Admin API shows them. Times are UTC.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::payload::major;
use super::{Fulfilment, Item, Line, Place, StoreDispute, StoreOrder, StoreReturn, Transaction};
use crate::sandbox::settings::Settings;
use crate::sandbox::world::World;

/// `2021-12-31T19:00:00Z`.
pub(super) fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A value by which a list is sorted: whole seconds, then the id.
pub(super) fn by_time(at: Timestamp) -> String {
    format!("{:015}", at.as_second())
}

fn money(minor: i64, currency: &str) -> Value {
    let one = json!({ "amount": major(minor, currency), "currencyCode": currency });
    json!({ "shopMoney": one, "presentmentMoney": one })
}

fn address(order: &StoreOrder, place: &Place) -> Value {
    let street =
        [place.street.clone(), place.city.clone(), Some(format!("{} {}", place.province.1, place.zip))];
    json!({
        "__typename": "MailingAddress",
        "id": format!("gid://shopify/MailingAddress/{}?model_name=Address", 900_000_000_000_u64 + order.number),
        "name": format!("{} {}", place.first, place.last),
        "firstName": place.first,
        "lastName": place.last,
        "company": null,
        "address1": place.street,
        "address2": null,
        "city": place.city,
        "province": place.province.0,
        "provinceCode": place.province.1,
        "zip": place.zip,
        "country": "United States",
        "countryCodeV2": "US",
        "phone": place.phone,
        "formatted": street.into_iter().flatten().collect::<Vec<_>>(),
    })
}

fn line(order: &StoreOrder, it: &Line) -> Value {
    let currency = order.currency.as_str();
    json!({
        "__typename": "LineItem",
        "__sort": format!("{:020}", it.id),
        "id": format!("gid://shopify/LineItem/{}", it.id),
        "sku": it.sku,
        "name": it.title,
        "title": it.title,
        "variantTitle": null,
        "vendor": "Tea House",
        "quantity": it.quantity,
        "currentQuantity": it.current,
        "unfulfilledQuantity": it.current - it.fulfilled,
        "refundableQuantity": it.current,
        "nonFulfillableQuantity": 0,
        "requiresShipping": true,
        "isGiftCard": false,
        "taxable": true,
        "variant": null,
        "customAttributes": [],
        "originalUnitPriceSet": money(it.price, currency),
        "discountedUnitPriceSet": money(it.price, currency),
        "originalTotalSet": money(it.price * it.quantity, currency),
        "discountedTotalSet": money(it.price * it.quantity, currency),
        "totalDiscountSet": money(0, currency),
        "discountAllocations": [],
        "taxLines": [],
    })
}

fn transaction(order: &StoreOrder, it: &Transaction) -> Value {
    let mut value = json!({
        "__typename": "OrderTransaction",
        "id": format!("gid://shopify/OrderTransaction/{}", it.id),
        "kind": it.kind.to_uppercase(),
        "status": "SUCCESS",
        "gateway": "stripe",
        "formattedGateway": "Stripe",
        "createdAt": time(it.at),
        "processedAt": time(it.at),
        "errorCode": null,
        "amountSet": money(it.amount, &order.currency),
        "parentTransaction": null,
        "paymentId": format!("{}.{}", order.name(), it.id % 100),
        "authorizationCode": order.payment,
        "test": order.spec.test,
        "manuallyCapturable": false,
        "receiptJson": "{}",
    });
    if let Some(parent) = it.parent.and_then(|id| order.transactions.iter().find(|other| other.id == id)) {
        value["parentTransaction"] = transaction(order, parent);
    }
    value
}

/// A fulfilment; its order only with number and names, not with all below it.
pub(super) fn fulfilment(settings: &Settings, order: &StoreOrder, it: &Fulfilment, deep: bool) -> Value {
    let lines: Vec<Value> = it
        .lines
        .iter()
        .filter_map(|(id, quantity)| {
            Some(json!({
                "__typename": "FulfillmentLineItem",
                "id": format!("gid://shopify/FulfillmentLineItem/{}", it.id + id % 1000),
                "quantity": quantity,
                "lineItem": line(order, order.line(*id)?),
            }))
        })
        .collect();
    let tracking: Vec<Value> = it
        .numbers
        .iter()
        .enumerate()
        .map(|(index, number)| json!({ "number": number, "company": it.company, "url": it.urls.get(index) }))
        .collect();
    let place = order.fulfilments.iter().position(|own| own.id == it.id).unwrap_or(0);
    json!({
        "__typename": "Fulfillment",
        "id": format!("gid://shopify/Fulfillment/{}", it.id),
        "legacyResourceId": it.id.to_string(),
        "name": format!("{}-F{}", order.name(), place + 1),
        "status": "SUCCESS",
        "displayStatus": "FULFILLED",
        "createdAt": time(it.created),
        "updatedAt": time(it.updated),
        "requiresShipping": true,
        "totalQuantity": it.lines.iter().map(|(_, quantity)| quantity).sum::<i64>(),
        "order": if deep { self::order(settings, order) } else { json!({ "__typename": "Order", "id": order.gid(), "name": order.name(), "legacyResourceId": order.id.to_string() }) },
        "location": location(settings),
        "trackingInfo": tracking,
        "fulfillmentLineItems": lines,
    })
}

pub(super) fn location(settings: &Settings) -> Value {
    json!({
        "__typename": "Location",
        "id": format!("gid://shopify/Location/{}", settings.location),
        "name": "Main warehouse",
        "isActive": true,
        "legacyResourceId": settings.location.to_string(),
    })
}

pub(super) fn fulfilment_order(settings: &Settings, order: &StoreOrder) -> Value {
    let id = order.fulfilment_order();
    let status = order.open_status();
    let open = status == "OPEN" || status == "IN_PROGRESS";
    let lines: Vec<Value> = order
        .lines
        .iter()
        .map(|it| {
            json!({
                "__typename": "FulfillmentOrderLineItem",
                "__sort": format!("{:020}", it.id),
                "id": format!("gid://shopify/FulfillmentOrderLineItem/{}", fulfilment_order_line(it.id)),
                "sku": it.sku,
                "productTitle": it.title,
                "remainingQuantity": if open { it.current - it.fulfilled } else { 0 },
                "totalQuantity": it.current,
                "requiresShipping": true,
                "lineItem": line(order, it),
            })
        })
        .collect();
    let actions = if open {
        vec![
            json!({ "action": "CREATE_FULFILLMENT" }),
            json!({ "action": "HOLD" }),
            json!({ "action": "MOVE" }),
        ]
    } else {
        vec![]
    };
    json!({
        "__typename": "FulfillmentOrder",
        "__sort": by_time(order.updated),
        "id": format!("gid://shopify/FulfillmentOrder/{id}"),
        "orderId": order.gid(),
        "orderName": order.name(),
        "orderProcessedAt": time(order.created),
        "status": status,
        "requestStatus": "UNSUBMITTED",
        "createdAt": time(order.created),
        "updatedAt": time(order.updated),
        "order": { "__typename": "Order", "id": order.gid(), "name": order.name(), "legacyResourceId": order.id.to_string() },
        "fulfillmentHolds": [],
        "supportedActions": actions,
        "assignedLocation": { "name": "Main warehouse", "countryCode": "US", "location": location(settings) },
        "lineItems": lines,
    })
}

/// The number of a fulfilment order's line, from the line's.
pub(super) fn fulfilment_order_line(line: u64) -> u64 {
    line + 77
}

fn refund(order: &StoreOrder, index: usize) -> Value {
    let it = &order.refunds[index];
    let currency = order.currency.as_str();
    let moved = order.transactions.iter().filter(|moved| moved.kind == "refund").nth(index);
    let lines: Vec<Value> = it
        .lines
        .iter()
        .filter_map(|(id, quantity)| {
            let own = order.line(*id)?;
            Some(json!({
                "id": format!("gid://shopify/RefundLineItem/{}", it.id * 10 + id % 10),
                "quantity": quantity,
                "restockType": "NO_RESTOCK",
                "restocked": false,
                "lineItem": line(order, own),
                "subtotalSet": money(own.price * quantity, currency),
            }))
        })
        .collect();
    json!({
        "__typename": "Refund",
        "id": format!("gid://shopify/Refund/{}", it.id),
        "legacyResourceId": it.id.to_string(),
        "createdAt": time(it.created),
        "updatedAt": time(it.created),
        "note": it.note,
        "totalRefundedSet": money(it.amount, currency),
        "refundLineItems": lines,
        "transactions": moved.map(|moved| transaction(order, moved)).into_iter().collect::<Vec<_>>(),
    })
}

fn returned(order: &StoreOrder, it: &StoreReturn) -> Value {
    let rows: Vec<Value> = it
        .lines
        .iter()
        .filter_map(|(id, quantity)| {
            let own = order.line(*id)?;
            Some(json!({
                "__typename": "ReturnLineItem",
                "__sort": format!("{id:020}"),
                "id": format!("gid://shopify/ReturnLineItem/{}", it.id * 10 + id % 10),
                "quantity": quantity,
                "customerNote": null,
                "returnReason": "UNWANTED",
                "returnReasonNote": "",
                "fulfillmentLineItem": {
                    "__typename": "FulfillmentLineItem",
                    "id": format!("gid://shopify/FulfillmentLineItem/{}", id + 55),
                    "quantity": quantity,
                    "lineItem": line(order, own),
                },
            }))
        })
        .collect();
    json!({
        "__typename": "Return",
        "__sort": format!("{:020}", it.id),
        "id": format!("gid://shopify/Return/{}", it.id),
        "name": format!("{}-R1", order.name()),
        "status": it.status,
        "createdAt": time(it.created),
        "totalQuantity": it.lines.iter().map(|(_, quantity)| quantity).sum::<i64>(),
        "order": { "__typename": "Order", "id": order.gid(), "name": order.name(), "updatedAt": time(order.updated) },
        "returnLineItems": rows,
    })
}

/// The return with this number, of whatever order.
pub(super) fn return_of(orders: &[StoreOrder], id: u64) -> Option<Value> {
    orders.iter().find_map(|order| order.returns.iter().find(|it| it.id == id).map(|it| returned(order, it)))
}

pub(super) fn dispute(order: Option<&StoreOrder>, it: &StoreDispute) -> Value {
    let (total, currency) = order.map_or((0, "USD"), |order| (order.total(false), order.currency.as_str()));
    json!({
        "__typename": "ShopifyPaymentsDispute",
        "__sort": format!("{:020}", it.id),
        "id": format!("gid://shopify/ShopifyPaymentsDispute/{}", it.id),
        "legacyResourceId": it.id.to_string(),
        "type": "CHARGEBACK",
        "status": it.status,
        "initiatedAt": time(it.initiated),
        "evidenceDueBy": null,
        "evidenceSentOn": null,
        "finalizedOn": null,
        "amount": { "amount": major(total, currency), "currencyCode": currency },
        "reasonDetails": { "networkReasonCode": "4837", "reason": "FRAUDULENT" },
        "order": order.map(|order| json!({ "__typename": "Order", "id": order.gid(), "name": order.name() })),
    })
}

pub(super) fn order(settings: &Settings, it: &StoreOrder) -> Value {
    let currency = it.currency.as_str();
    let (total, now) = (it.total(false), it.total(true));
    let moved = |kind: &str| -> i64 {
        it.transactions.iter().filter(|moved| moved.kind == kind).map(|moved| moved.amount).sum()
    };
    let authorised = if it.financial == "authorized" { moved("authorization") } else { 0 };
    let received = moved("sale");
    let whole = it.lines.iter().all(|line| line.fulfilled >= line.current);
    let place = it.place.as_ref().map(|place| address(it, place));
    let shipping_line = json!({
        "id": format!("gid://shopify/ShippingLine/{}", 369_256_000_000_u64 + it.number),
        "title": it.method,
        "code": it.method,
        "source": "shopify",
        "isRemoved": false,
        "originalPriceSet": money(it.shipping, currency),
        "discountedPriceSet": money(it.shipping, currency),
        "currentDiscountedPriceSet": money(it.shipping, currency),
        "taxLines": [],
    });
    let mut value = json!({
        "__typename": "Order",
        "__sort": by_time(it.updated),
        "id": it.gid(),
        "legacyResourceId": it.id.to_string(),
        "name": it.name(),
        "number": it.number - 1000,
        "confirmed": true,
        "createdAt": time(it.created),
        "updatedAt": time(it.updated),
        "processedAt": time(it.created),
        "cancelledAt": it.cancelled.map(|(at, _)| time(at)),
        "cancelReason": it.cancelled.map(|(_, reason)| reason.to_uppercase()),
        "closedAt": null,
        "closed": false,
        "test": it.spec.test,
        "email": it.email,
        "phone": null,
        "note": it.note,
        "tags": it.tags,
        "sourceName": "web",
        "currencyCode": currency,
        "presentmentCurrencyCode": currency,
        "paymentGatewayNames": ["stripe"],
        "displayFinancialStatus": it.financial.to_uppercase(),
        "displayFulfillmentStatus": if it.fulfilments.is_empty() { "UNFULFILLED" } else if whole { "FULFILLED" } else { "PARTIALLY_FULFILLED" },
        "fullyPaid": received == total,
        "capturable": authorised > 0,
        "unpaid": received == 0,
        "requiresShipping": true,
        "edited": it.edited,
        "taxesIncluded": false,
        "customerLocale": "en",
        "customAttributes": [],
        "discountCodes": [],
        "shippingAddress": place,
        "billingAddress": place,
        "taxLines": [],
    });
    for (name, minor) in [
        ("totalPriceSet", total),
        ("originalTotalPriceSet", total),
        ("currentTotalPriceSet", now),
        ("subtotalPriceSet", it.goods(false)),
        ("currentSubtotalPriceSet", it.goods(true)),
        ("totalTaxSet", 0),
        ("currentTotalTaxSet", 0),
        ("totalDiscountsSet", 0),
        ("currentTotalDiscountsSet", 0),
        ("totalShippingPriceSet", it.shipping),
        ("totalCapturableSet", authorised),
        ("totalReceivedSet", received),
        ("totalRefundedSet", it.refunded()),
        ("totalOutstandingSet", now - received),
        ("netPaymentSet", received - it.refunded()),
    ] {
        value[name] = money(minor, currency);
    }
    value["shippingLine"] = shipping_line.clone();
    value["shippingLines"] = json!([shipping_line]);
    value["lineItems"] = it.lines.iter().map(|own| line(it, own)).collect();
    value["fulfillments"] = it.fulfilments.iter().map(|own| fulfilment(settings, it, own, false)).collect();
    value["fulfillmentOrders"] = json!([fulfilment_order(settings, it)]);
    value["returnStatus"] = json!(it.return_status());
    value["returns"] = it.returns.iter().map(|own| returned(it, own)).collect();
    value["refunds"] = (0..it.refunds.len()).map(|index| refund(it, index)).collect();
    value["transactions"] = it.transactions.iter().map(|own| transaction(it, own)).collect();
    value
}

/// The item with its level; the level with the bare item.
pub(super) fn item(world: &World, it: &Item) -> Value {
    let bare = json!({
        "__typename": "InventoryItem",
        "__sort": format!("{:020}", it.id),
        "id": format!("gid://shopify/InventoryItem/{}", it.id),
        "legacyResourceId": it.id.to_string(),
        "sku": it.sku,
        "tracked": true,
        "requiresShipping": true,
        "createdAt": "2020-01-01T00:00:00Z",
        "updatedAt": time(it.updated),
    });
    let mut value = bare.clone();
    let one = level(world, it, &bare);
    value["inventoryLevel"] = one.clone();
    value["inventoryLevels"] = json!([one]);
    value
}

fn level(world: &World, it: &Item, bare: &Value) -> Value {
    let committed: i64 = world
        .shop
        .orders
        .iter()
        .filter(|order| order.cancelled.is_none())
        .flat_map(|order| &order.lines)
        .filter(|line| line.sku == it.sku)
        .map(|line| line.current - line.fulfilled)
        .sum();
    let quantity = |name: &str, quantity: i64| json!({ "__typename": "InventoryQuantity", "id": format!("gid://shopify/InventoryQuantity/{}?name={name}", it.id), "name": name, "quantity": quantity, "updatedAt": time(it.updated) });
    json!({
        "__typename": "InventoryLevel",
        "id": format!("gid://shopify/InventoryLevel/{}?inventory_item_id={}", world.settings.location, it.id),
        "createdAt": "2020-01-01T00:00:00Z",
        "updatedAt": time(it.updated),
        "isActive": true,
        "item": bare,
        "location": location(&world.settings),
        "quantities": [
            quantity("available", it.available),
            quantity("on_hand", it.available + committed),
            quantity("committed", committed),
            quantity("incoming", 0),
            quantity("reserved", 0),
            quantity("damaged", 0),
        ],
    })
}
