//! The examples of the manual compile.

use super::super::{Outbound, test};
use super::*;

const MANUAL: &str = include_str!("../../../docs/mappings.md");

fn blocks(kind: &str) -> Vec<&'static str> {
    let fence = format!("```toml {kind}\n");
    MANUAL.split(&fence).skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

pub(in crate::map) fn compile_all() {
    for text in blocks("in") {
        let _ = test::run_tests(&sources(text), "shop", "order");
    }
}

#[test]
fn examples_compile_and_their_tests_pass() {
    for text in blocks("in") {
        assert_eq!(problems(text), Vec::<String>::new(), "{text}");
        for outcome in test::run_tests(&sources(text), "shop", "order") {
            assert_eq!(outcome.differences, Vec::<String>::new());
        }
    }
    for text in blocks("out") {
        let mut sources = Sources::default();
        sources.insert("mappings/shop/send.out.toml", text);
        let compiled = Outbound::compile(&sources, "shop", "send", &[]);
        assert!(compiled.is_ok(), "{compiled:?}");
    }
    for text in blocks("overlay") {
        let mut sources = Sources::default();
        sources.insert("mappings/shopify/order.in.toml", EXAMPLE);
        sources.insert("lists/gateways.csv", "shopify,crossdock\n");
        let path = "mappings/clients/acme/shopify/order.toml".to_owned();
        sources.insert(path.clone(), text);
        let compiled = Inbound::compile(&sources, "shopify", "order", &[path]);
        assert!(compiled.is_ok(), "{compiled:?}");
    }
    assert_eq!((blocks("in").len(), blocks("out").len(), blocks("overlay").len()), (5, 1, 1));
}
