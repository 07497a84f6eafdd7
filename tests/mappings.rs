//! Every shipped connector loads without a problem, and every `[[test]]` block of every shipped mapping passes.

use crossdock::config::embedded::embedded;
use crossdock::connector;

#[test]
fn shipped_connectors_and_mappings_load_without_a_problem() {
    let (registry, problems) = connector::load(&embedded());
    let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert!(told.is_empty(), "{}", told.join("\n\n"));
    assert_eq!(registry.names().collect::<Vec<_>>(), ["easypost", "shiphero", "shopify", "stripe"]);
}
