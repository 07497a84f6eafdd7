//! Orders as a shop posts them, of our own making: five lines make about six kilobytes.

use std::fmt::Write as _;

/// The bytes of an order with so many lines.
pub fn body(lines: usize) -> Vec<u8> {
    let address = |name: &str, house: &str| {
        format!(
            r#"{{"first_name":"Ada","last_name":"Reed","name":"{name}","company":null,"address1":"{house} Mill Lane","address2":"Flat 3","city":"Bath","province":"Somerset","province_code":null,"zip":"BA1 1AA","country":"United Kingdom","country_code":"GB","phone":"+44 1225 000000","latitude":51.38,"longitude":-2.36}}"#
        )
    };
    let mut rows = String::new();
    for line in 0..lines {
        let comma = if line > 0 { "," } else { "" };
        let id = 9_000_000_000_u64 + u64::try_from(line).unwrap_or_default();
        let _ = write!(
            rows,
            r#"{comma}{{"id":{id},"admin_graphql_api_id":"gid://shop/LineItem/{id}","variant_id":{variant},"product_id":77,"title":"Tea of the day","name":"Tea of the day - 250 g \"best before\"","variant_title":"250 g","sku":"TEA-{line:02}","vendor":"Bench","quantity":2,"current_quantity":2,"fulfillable_quantity":2,"fulfillment_service":"manual","fulfillment_status":null,"price":"12.50","price_set":{{"shop_money":{{"amount":"12.50","currency_code":"GBP"}},"presentment_money":{{"amount":"12.50","currency_code":"GBP"}}}},"total_discount":"0.00","grams":270,"requires_shipping":true,"taxable":true,"gift_card":false,"product_exists":true,"properties":[],"discount_allocations":[],"tax_lines":[{{"title":"VAT","price":"4.17","rate":0.2,"channel_liable":false}}]}}"#,
            variant = 1000 + line,
        );
    }
    format!(
        r##"{{"id":5000000001,"admin_graphql_api_id":"gid://shop/Order/5000000001","app_id":580111,"browser_ip":"203.0.113.7","buyer_accepts_marketing":false,"cancel_reason":null,"cancelled_at":null,"cart_token":null,"checkout_id":37119112345,"closed_at":null,"confirmed":true,"contact_email":"ada@example.com","created_at":"2026-03-01T10:00:00-05:00","currency":"GBP","current_total_price":"130.00","customer_locale":"en-GB","email":"ada@example.com","estimated_taxes":false,"financial_status":"paid","fulfillment_status":null,"gateway":"bench","name":"#B1001","note":"Leave it with the neighbour,\nplease","note_attributes":[],"number":1,"order_number":1001,"payment_gateway_names":["bench"],"phone":null,"presentment_currency":"GBP","processed_at":"2026-03-01T10:00:00-05:00","reference":null,"source_name":"web","subtotal_price":"125.00","tags":"vip, spring","taxes_included":false,"test":false,"token":"b1946ac92492d2347c6235b4d2611184","total_discounts":"0.00","total_line_items_price":"125.00","total_outstanding":"0.00","total_price":"130.00","total_tax":"20.85","total_weight":2700,"updated_at":"2026-03-01T10:00:01-05:00","user_id":null,"customer":{{"id":42,"email":"ada@example.com","first_name":"Ada","last_name":"Reed","tags":"","currency":"GBP"}},"billing_address":{billing},"shipping_address":{shipping},"line_items":[{rows}],"fulfillments":[],"refunds":[],"discount_codes":[],"shipping_lines":[{{"id":1,"title":"Standard","code":"STD","price":"5.00","discounted_price":"5.00","source":"shop","tax_lines":[]}}],"tax_lines":[{{"title":"VAT","price":"20.85","rate":0.2}}]}}"##,
        billing = address("Reed & Daughters", "14"),
        shipping = address("Ada Reed", "12"),
    )
    .into_bytes()
}
