//! Every shipped connector loads without a problem, and every `[[test]]` block of every shipped mapping passes.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use crossdock::config::embedded::embedded;
use crossdock::connector;

#[test]
fn shipped_connectors_and_mappings_load_without_a_problem() {
    let (registry, problems) = connector::load(&embedded());
    let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert!(told.is_empty(), "{}", told.join("\n\n"));
    assert_eq!(registry.names().collect::<Vec<_>>(), ["easypost", "shiphero", "shopify", "stripe"]);
    let shopify = registry.get("shopify").unwrap();
    assert!(shopify.manifest.webhook.is_some());
}
