//! Shopify's queries and its search language, as far as it is used.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Selected, StoreOrder, number, view};
use crate::sandbox::world::World;

/// A code and a message.
pub(super) type Refusal = (&'static str, String);

pub(super) fn run(world: &World, field: &Selected) -> Result<Value, Refusal> {
    let (shop, settings) = (&world.shop, &world.settings);
    let id = field.text("id").unwrap_or("");
    if field.ty.name().ends_with("Connection") && field.number("first").or(field.number("last")).is_none() {
        return Err((
            "MISSING_PAGINATION_BOUNDARIES",
            format!("you must provide one of first or last (on {})", field.name),
        ));
    }
    if field.number("first").or(field.number("last")).is_some_and(|count| !(0..=250).contains(&count)) {
        return Err(("ARGUMENT_ERROR", format!("{} must be between 0 and 250", field.name)));
    }
    let terms = terms(field.text("query").unwrap_or(""));
    match field.name.as_str() {
        "shop" => Ok(json!({
            "__typename": "Shop", "id": "gid://shopify/Shop/548380009", "name": "Tea House", "myshopifyDomain": settings.shop,
            "currencyCode": "USD", "ianaTimezone": "America/New_York", "email": "shop@example.com",
        })),
        "node" => Ok(node(world, id)),
        "order" => {
            Ok(shop.by_gid(id).map_or(Value::Null, |index| view::order(settings, &shop.orders[index])))
        }
        "orders" => Ok(orders(world, field, &terms)),
        "fulfillment" => {
            let found =
                shop.orders.iter().flat_map(|order| order.fulfilments.iter().map(move |it| (order, it)));
            let wanted = number(id, "Fulfillment");
            let found = found
                .filter(|(_, it)| Some(it.id) == wanted)
                .map(|(order, it)| view::fulfilment(settings, order, it, true))
                .next();
            Ok(found.unwrap_or(Value::Null))
        }
        "fulfillmentOrder" => {
            let wanted = number(id, "FulfillmentOrder");
            let found = shop.orders.iter().find(|order| Some(order.fulfilment_order()) == wanted);
            Ok(found.map_or(Value::Null, |order| view::fulfilment_order(settings, order)))
        }
        "fulfillmentOrders" => Ok(fulfilment_orders(world, field, &terms)),
        "inventoryItem" => {
            let wanted = number(id, "InventoryItem");
            Ok(shop
                .items
                .iter()
                .find(|it| Some(it.id) == wanted)
                .map_or(Value::Null, |it| view::item(world, it)))
        }
        "inventoryLevel" => {
            let wanted = id.rsplit_once('=').and_then(|(_, item)| item.parse::<u64>().ok());
            let found = shop.items.iter().find(|it| Some(it.id) == wanted);
            Ok(found.map_or(Value::Null, |it| view::item(world, it)["inventoryLevel"].take()))
        }
        "inventoryItems" => {
            let found = shop.items.iter().filter(|it| {
                terms.iter().all(|term| match term.field.as_str() {
                    "sku" => it.sku == term.value,
                    "id" => it.id.to_string() == term.value,
                    _ => true,
                })
            });
            Ok(found.map(|it| view::item(world, it)).collect())
        }
        "productVariants" => {
            let found = shop
                .items
                .iter()
                .filter(|it| terms.iter().all(|term| term.field != "sku" || it.sku == term.value));
            Ok(found
                .map(|it| {
                    json!({
                        "__typename": "ProductVariant",
                        "id": format!("gid://shopify/ProductVariant/{}", it.id + 40_000_000_000),
                        "legacyResourceId": (it.id + 40_000_000_000).to_string(),
                        "sku": it.sku,
                        "title": "Default Title",
                        "displayName": it.title,
                        "price": super::payload::major(it.price, "USD"),
                        "inventoryItem": view::item(world, it),
                        "inventoryQuantity": it.available,
                    })
                })
                .collect())
        }
        "location" => Ok(view::location(settings)),
        "locations" => Ok(json!([view::location(settings)])),
        "job" => Ok(json!({ "__typename": "Job", "id": id, "done": true })),
        "return" => Ok(number(id, "Return")
            .and_then(|wanted| view::return_of(&shop.orders, wanted))
            .unwrap_or(Value::Null)),
        "refund" => Ok(Value::Null),
        "disputes" => Ok(disputes(world, &terms)),
        other => Err(("NOT_IMPLEMENTED", format!("{other} is not simulated"))),
    }
}

fn disputes(world: &World, terms: &[Term]) -> Value {
    let shop = &world.shop;
    let found = shop.disputes.iter().filter(|it| {
        terms.iter().all(|term| match term.field.as_str() {
            "initiated_at" => compare(it.initiated, term),
            "id" => it.id.to_string() == term.value,
            _ => true,
        })
    });
    found.map(|it| view::dispute(shop.find(it.order).map(|index| &shop.orders[index]), it)).collect()
}

fn orders(world: &World, field: &Selected, terms: &[Term]) -> Value {
    let mut found: Vec<&StoreOrder> =
        world.shop.orders.iter().filter(|order| order_fits(order, terms)).collect();
    let created = field.text("sortKey") != Some("UPDATED_AT");
    found.sort_by_key(|order| (if created { order.created } else { order.updated }.as_second(), order.id));
    let found = found.into_iter().map(|order| {
        let mut value = view::order(&world.settings, order);
        if created {
            value["__sort"] = json!(view::by_time(order.created));
        }
        value
    });
    Value::Array(found.collect())
}

fn fulfilment_orders(world: &World, field: &Selected, terms: &[Term]) -> Value {
    let closed = field.flag("includeClosed") == Some(true);
    let mut found: Vec<&StoreOrder> = world
        .shop
        .orders
        .iter()
        .filter(|order| closed || matches!(order.open_status(), "OPEN" | "IN_PROGRESS"))
        .filter(|order| order_fits(order, terms))
        .collect();
    let by_id = field.text("sortKey") != Some("UPDATED_AT");
    found.sort_by_key(|order| (if by_id { 0 } else { order.updated.as_second() }, order.fulfilment_order()));
    let found = found.into_iter().map(|order| {
        let mut value = view::fulfilment_order(&world.settings, order);
        if by_id {
            value["__sort"] = json!("");
        }
        value
    });
    Value::Array(found.collect())
}

pub(super) fn node(world: &World, id: &str) -> Value {
    world.shop.by_gid(id).map_or(Value::Null, |index| view::order(&world.settings, &world.shop.orders[index]))
}

/// One term of a search.
#[derive(Debug, PartialEq, Eq)]
struct Term {
    field: String,
    test: String,
    value: String,
}

/// `updated_at:>='2026-01-01T00:00:00Z' AND status:open`.
fn terms(query: &str) -> Vec<Term> {
    let mut out = Vec::new();
    let mut rest = query.trim();
    while !rest.is_empty() {
        let Some((field, after)) = rest.split_once(':') else { break };
        let field = field.trim().trim_start_matches("AND ").trim().to_owned();
        let cut = after.find(|letter: char| !"<>=".contains(letter)).unwrap_or(after.len());
        let (test, after) = after.split_at(cut);
        let after = after.trim_start();
        let (value, left) = match after.chars().next() {
            Some(quote @ ('\'' | '"')) => after[1..].split_once(quote).unwrap_or((&after[1..], "")),
            _ => after.split_once(' ').unwrap_or((after, "")),
        };
        out.push(Term { field, test: test.to_owned(), value: value.to_owned() });
        rest = left.trim_start();
        rest = rest.strip_prefix("AND ").unwrap_or(rest).trim_start();
    }
    out
}

fn order_fits(order: &StoreOrder, terms: &[Term]) -> bool {
    terms.iter().all(|term| match term.field.as_str() {
        "return_status" => order.return_status().eq_ignore_ascii_case(&term.value),
        "-return_status" => !order.return_status().eq_ignore_ascii_case(&term.value),
        "updated_at" => compare(order.updated, term),
        "created_at" | "processed_at" => compare(order.created, term),
        "id" => order.id.to_string() == term.value,
        "name" => order.name().trim_start_matches('#') == term.value.trim_start_matches('#'),
        "tag" => order.tags.contains(&term.value),
        "financial_status" => order.financial == term.value,
        // What the real one does not know, it leaves out of the search.
        _ => true,
    })
}

fn compare(at: Timestamp, term: &Term) -> bool {
    let Ok(bound) = term.value.parse::<Timestamp>() else { return true };
    let (at, bound) = (at.as_second(), bound.as_second());
    match term.test.as_str() {
        ">=" => at >= bound,
        ">" => at > bound,
        "<=" => at <= bound,
        "<" => at < bound,
        _ => at == bound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_search_language() {
        let found = terms("updated_at:>='2026-01-01T00:00:00Z' AND name:#1001 sku:'TEA 01'");
        let flat: Vec<_> =
            found.iter().map(|it| (it.field.as_str(), it.test.as_str(), it.value.as_str())).collect();
        assert_eq!(
            flat,
            [("updated_at", ">=", "2026-01-01T00:00:00Z"), ("name", "", "#1001"), ("sku", "", "TEA 01")]
        );
    }
}
