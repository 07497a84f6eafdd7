//! What the fuzz targets share.
//!
//! ```console
//! $ cargo install cargo-fuzz
//! $ scripts/fuzz 60 payload_x12
//! ```

use std::sync::LazyLock;

use crossdock::config::Sources;
use crossdock::map::{Context, Inbound, Outbound, SyntaxKind, explain};
use serde_json::json;

/// Mappings of the recipes, one a format.
const RECIPES: [(SyntaxKind, &str); 6] = [
    (SyntaxKind::Json, include_str!("../../docs/recipes/07-refunds/order.in.toml")),
    (SyntaxKind::Form, "[mapping]\nformat = \"form\"\n[fact.a]\nis = \"order.closed\"\norder = \"order[0].id\"\nat = \"at\"\n"),
    (SyntaxKind::Xml, include_str!("../../docs/recipes/20-xml-tracking/order.in.toml")),
    (SyntaxKind::Csv, include_str!("../../docs/recipes/19-csv-orders/order.in.toml")),
    (SyntaxKind::X12, include_str!("../../docs/recipes/22-x12-ship-notice/order.in.toml")),
    (SyntaxKind::Edifact, include_str!("../../docs/recipes/23-edifact-order/order.in.toml")),
];

static MAPPINGS: LazyLock<Vec<(SyntaxKind, Inbound)>> = LazyLock::new(|| {
    let compiled = RECIPES.iter().map(|(kind, text)| {
        let mut sources = Sources::default();
        sources.insert("mappings/fuzz/order.in.toml", *text);
        (*kind, Inbound::compile(&sources, "fuzz", "order", &[]).expect("a recipe compiles"))
    });
    compiled.collect()
});

/// Reads the bytes, and maps and explains what was read.
pub fn payload(kind: SyntaxKind, bytes: &[u8]) {
    for (_, inbound) in MAPPINGS.iter().filter(|(known, _)| *known == kind) {
        let Ok(node) = inbound.read(bytes) else { continue };
        let mapped = inbound.run(&node, &Context::default());
        assert!(mapped.nothing || !mapped.facts.is_empty() || !mapped.errors.is_empty());
        assert!(mapped.errors.iter().all(|error| error.kind != "internal"), "{:?}", mapped.errors);
        assert_eq!(inbound.run_bytes(bytes, &Context::default()), mapped, "what is not wanted matters");
        let told = explain::explain(inbound, &node, &Context::default());
        assert!(!told.mapping.is_empty());
    }
}

/// Compiles the text both ways, and runs what compiles.
pub fn mapping(text: &str) {
    let mut sources = Sources::default();
    sources.insert("mappings/fuzz/order.in.toml", text);
    sources.insert("mappings/fuzz/send.out.toml", text);
    let document = json!({"id": 7, "total": "12.50", "at": "2025-01-02T03:04:05Z", "rows": [{"id": 1, "n": 2}]});
    let text = document.to_string();
    if let Ok(inbound) = Inbound::compile(&sources, "fuzz", "order", &[])
        && let Ok(node) = inbound.read(text.as_bytes())
    {
        let _ = inbound.run(&node, &Context::default());
    }
    if let Ok(outbound) = Outbound::compile(&sources, "fuzz", "send", &[]) {
        let _ = outbound.bytes(&document, &Context::default());
    }
}
