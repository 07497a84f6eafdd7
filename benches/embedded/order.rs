//! Orders of about 6 KB, as the storefront posts them: made before the clock starts.

use base64::Engine as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};

use crate::SECRET;

/// What people read on order `number`.
pub fn name(number: usize) -> String {
    format!("#B{number}")
}

/// The request that posts order `number` to `/hooks/shop`, from its first byte to its last.
pub fn request(number: usize) -> Vec<u8> {
    let body = body(number);
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(&body);
    let signature = base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes());
    let head = format!(
        "POST /hooks/shop HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nX-Shopify-Topic: orders/create\r\n\
         X-Shopify-Shop-Domain: bench.myshopify.com\r\nX-Shopify-Webhook-Id: bench-{number}\r\n\
         X-Shopify-Hmac-Sha256: {signature}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.into_bytes(), body].concat()
}

/// An order with five lines.
pub fn body(number: usize) -> Vec<u8> {
    let money = |amount: &str| json!({ "shop_money": { "amount": amount, "currency_code": "USD" }, "presentment_money": { "amount": amount, "currency_code": "USD" } });
    let address = json!({ "first_name": "Ada", "last_name": "Reed", "name": "Ada Reed", "company": null, "address1": "12 Mill Lane", "address2": "", "city": "Bath", "province": "Somerset", "province_code": null, "zip": "BA1 1AA", "country": "United Kingdom", "country_code": "GB", "phone": "+44 1225 000000", "latitude": 51.38, "longitude": -2.36 });
    let lines: Vec<Value> = (0..5)
        .map(|line| {
            json!({
                "id": 9_000_000_000_u64 + u64::try_from(number * 5 + line).unwrap(), "variant_id": 1000 + line, "title": "Tea of the day", "name": "Tea of the day - 250 g",
                "sku": format!("TEA-{line:02}"), "quantity": 2, "current_quantity": 2, "fulfillable_quantity": 2, "price": "12.50", "price_set": money("12.50"),
                "total_discount": "0.00", "total_discount_set": money("0.00"), "grams": 270, "requires_shipping": true, "taxable": true, "gift_card": false,
                "fulfillment_service": "manual", "fulfillment_status": null, "vendor": "Bench", "product_exists": true, "product_id": 77, "properties": [], "discount_allocations": [],
                "tax_lines": [{ "title": "VAT", "price": "4.17", "rate": 0.2, "price_set": money("4.17"), "channel_liable": false }]
            })
        })
        .collect();
    let id = 5_000_000_000_u64 + u64::try_from(number).unwrap();
    let body = json!({
        "id": id, "admin_graphql_api_id": format!("gid://shopify/Order/{id}"), "name": name(number), "order_number": number, "number": number,
        "created_at": "2026-03-01T10:00:00-05:00", "updated_at": "2026-03-01T10:00:01-05:00", "processed_at": "2026-03-01T10:00:00-05:00",
        "currency": "USD", "presentment_currency": "USD", "financial_status": "paid", "fulfillment_status": null, "test": false, "tags": "", "note": null, "note_attributes": [],
        "total_price": "130.00", "total_price_set": money("130.00"), "current_total_price": "130.00", "subtotal_price": "125.00", "subtotal_price_set": money("125.00"),
        "total_tax": "20.85", "total_tax_set": money("20.85"), "total_discounts": "0.00", "total_outstanding": "0.00", "total_line_items_price": "125.00", "source_name": "web",
        "email": "ada@example.com", "contact_email": "ada@example.com", "phone": null, "confirmed": true, "cancelled_at": null, "closed_at": null, "gateway": "bench", "payment_gateway_names": ["bench"],
        "customer": { "id": 42, "email": "ada@example.com", "first_name": "Ada", "last_name": "Reed", "tags": "", "default_address": address },
        "billing_address": address, "shipping_address": address, "line_items": lines, "fulfillments": [], "refunds": [], "discount_codes": [], "discount_applications": [],
        "shipping_lines": [{ "id": 1, "title": "Standard", "code": "Standard", "price": "5.00", "price_set": money("5.00"), "discounted_price": "5.00", "source": "shopify", "tax_lines": [] }],
        "tax_lines": [{ "title": "VAT", "price": "20.85", "rate": 0.2, "price_set": money("20.85") }]
    });
    serde_json::to_vec(&body).unwrap()
}
