//! What is shipped loads without a finding.

use crossdock::config::embedded;
use crossdock::connector;
use crossdock::diagnostic::Severity;

#[test]
fn shipped_connectors_and_mappings_have_no_problems() {
    let (registry, problems) = connector::load(&embedded());
    for found in &problems {
        println!("{found}");
    }
    assert!(problems.iter().all(|found| found.severity != Severity::Error), "{} problems", problems.len());
    for name in ["shopify", "shiphero", "easypost", "stripe"] {
        registry.get(name).expect("is shipped");
    }
}
