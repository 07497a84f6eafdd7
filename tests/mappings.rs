//! Every shipped connector loads without a problem, and every `[[test]]` block of every shipped mapping passes.

use crossdock::config::embedded::embedded;
use crossdock::connector;
use crossdock::diagnostic::Severity;
use crossdock::map;

#[test]
fn shipped_connectors_and_mappings_load_without_a_problem() {
    let (registry, problems) = connector::load(&embedded());
    let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert!(told.is_empty(), "{}", told.join("\n\n"));
    assert_eq!(registry.names().collect::<Vec<_>>(), ["easypost", "shiphero", "shopify", "stripe"]);
}

#[test]
fn every_test_of_every_shipped_mapping_passes() {
    let sources = embedded();
    let mut wrong = Vec::new();
    for (connector, name) in map::test::mappings(&sources) {
        let outcomes = map::test::run_tests(&sources, &connector, &name);
        if outcomes.is_empty() {
            wrong.push(format!("{connector}/{name} has no test"));
        }
        for outcome in outcomes.iter().filter(|outcome| !outcome.passed()) {
            wrong.push(format!(
                "{} ({}): {}",
                outcome.place,
                outcome.input,
                outcome.differences.join("\n    ")
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn in_shipped_mappings_nothing_strikes() {
    let sources = embedded();
    let found: Vec<String> = map::test::mappings(&sources)
        .iter()
        .flat_map(|(connector, name)| map::lint::lint(&sources, connector, name).unwrap())
        .filter(|one| one.found.severity != Severity::Hint)
        .map(|one| format!("{} [{}]", one.found, one.name))
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}
