//! The inbox: which shard works on a message.

use crate::canonical::{AccountId, ids};
use crate::connector::manifest::{Manifest, Source};
use crate::connector::webhook;
use crate::ports;

/// The shard of a message of `account`: by what the manifest says it is about, else by its body. Messages about one
/// thing share a shard, so that two workers seldom meet at one entity; shards only lower contention, they are no lock.
#[must_use]
pub fn shard(account: &AccountId, manifest: &Manifest, headers: &[(String, String)], body: &[u8]) -> u16 {
    let about: &[Source] = manifest.webhook.as_ref().map_or(&[], |webhook| &webhook.about);
    let name = webhook::about(about, headers, body);
    let name = name.unwrap_or_else(|| hex::encode(ids::digest(&[&String::from_utf8_lossy(body)])));
    ports::shard(account, &name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::config::embedded::embedded;
    use crate::connector;
    use crate::ports::INBOUND_SHARDS;

    #[test]
    fn messages_about_one_order_share_a_shard_and_orders_spread() {
        let (registry, problems) = connector::load(&embedded());
        assert!(problems.is_empty(), "{problems:?}");
        let place = |connector: &str, body: &str| {
            shard(&AccountId::from("it"), &registry.get(connector).unwrap().manifest, &[], body.as_bytes())
        };
        for (connector, bodies) in [
            (
                "shopify",
                [
                    r#"{"id": 71, "line_items": [{"id": 5}]}"#,
                    r#"{"id": 9, "order_id": 71}"#,
                    r#"{"order_edit": {"id": 3, "order_id": 71}}"#,
                    r#"{"id": "gid://shopify/Order/71", "name": "1001"}"#,
                ],
            ),
            (
                "shiphero",
                [
                    r#"{"webhook_type": "Shipment Update", "fulfillment": {"order_id": 1, "partner_order_id": "71"}}"#,
                    r#"{"webhook_type": "Order Allocated", "order_id": 2, "partner_order_id": "71"}"#,
                    r#"{"node": {"id": "T3", "partner_order_id": "71"}}"#,
                    r#"{"node": {"id": "T4", "order": {"partner_order_id": "71"}}}"#,
                ],
            ),
            (
                "stripe",
                [
                    r#"{"id": "evt_1", "data": {"object": {"id": "71", "metadata": {}}}}"#,
                    r#"{"id": "evt_2", "data": {"object": {"id": "ch_1", "payment_intent": "71"}}}"#,
                    r#"{"id": "71", "object": "payment_intent"}"#,
                    r#"{"id": "re_1", "payment_intent": "71"}"#,
                ],
            ),
            (
                "easypost",
                [
                    r#"{"id": "evt_1", "result": {"id": "trk_1", "tracking_code": "71"}}"#,
                    r#"{"id": "evt_2", "result": {"id": "trk_2", "tracking_code": "71"}}"#,
                    r#"{"id": "trk_1", "tracking_code": "71"}"#,
                    r#"{"tracking_code": "71"}"#,
                ],
            ),
        ] {
            let shards: BTreeSet<u16> = bodies.iter().map(|body| place(connector, body)).collect();
            assert_eq!(shards.len(), 1, "{connector}");
        }
        let spread: BTreeSet<u16> =
            (0..400).map(|id| place("shopify", &format!(r#"{{"id": {id}}}"#))).collect();
        assert_eq!(spread.len(), usize::from(INBOUND_SHARDS));
        let unread: BTreeSet<u16> = (0..400).map(|n| place("shopify", &format!("no JSON {n}"))).collect();
        assert_eq!(unread.len(), usize::from(INBOUND_SHARDS));
    }
}
