//! Whatever comes, a mapping neither panics nor runs on.

use proptest::prelude::*;

use super::super::{Syntax, SyntaxKind};
use super::*;

/// Any JSON that looks a little like an order: keys of the example, values of every kind.
fn payload() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        Just("refund".to_owned()),
        Just("success".to_owned()),
        Just("USD".to_owned()),
        Just("2024-05-01T00:00:00Z".to_owned()),
        Just("99999999999999999999999999999999.99".to_owned()),
        "-?[0-9]{1,30}(\\.[0-9]{1,30})?",
        "\\PC{0,12}",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    let keys = prop::sample::select(vec![
        "orders",
        "order",
        "id",
        "currency",
        "created_at",
        "updated_at",
        "total_price",
        "total_outstanding",
        "tags",
        "email",
        "note_attributes",
        "name",
        "value",
        "shipping_address",
        "billing_address",
        "first_name",
        "country_code",
        "line_items",
        "quantity",
        "grams",
        "sku",
        "gift_card",
        "discount_allocations",
        "discount_application_index",
        "amount",
        "shipping_lines",
        "price",
        "refunds",
        "transactions",
        "kind",
        "status",
        "gateway",
        "financial_status",
    ]);
    leaf.prop_recursive(6, 60, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(keys.clone().prop_map(str::to_owned), inner, 0..10)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_payload_ends_as_facts_errors_or_nothing(payload in payload()) {
        let inbound = compile(EXAMPLE);
        let text = payload.to_string();
        let node = Node::parse_json(text.as_bytes()).unwrap();
        let mapped = inbound.run(&node, &Context::default());
        prop_assert!(mapped.nothing || !mapped.facts.is_empty() || !mapped.errors.is_empty());
        for fact in &mapped.facts {
            let body: crate::canonical::Body =
                serde_json::from_str(&serde_json::to_string(&fact.body).unwrap()).unwrap();
            prop_assert_eq!(&body, &fact.body);
        }
        let again = inbound.run(&node, &Context::default());
        prop_assert_eq!(&again, &mapped);
        let from_bytes = inbound.run_bytes(text.as_bytes(), &Context::default());
        prop_assert_eq!(from_bytes, mapped);
        let told = super::super::explain::explain(&inbound, &node, &Context::default());
        prop_assert!(!told.mapping.is_empty());
    }

    #[test]
    fn any_text_as_a_mapping_is_compiled_or_refused(text in "(\\[(fact|mapping|lookup|fragment)\\.?[a-z]{0,3}\\]\n)?([a-z]{1,5} = (\"\\PC{0,8}\"|\\{ (path|first|expr|sum) = \"\\PC{0,8}\" \\})\n){0,5}") {
        let _ = Inbound::compile(&sources(&text), "shop", "order", &[]);
    }
}

/// Puts `value` somewhere into `payload`; `seed` says where.
fn put(place: &mut Value, seed: usize, value: Value) {
    let (turn, seed) = (seed % 7, seed / 7);
    match place {
        Value::Array(items) if turn != 0 && seed > 0 && !items.is_empty() => {
            let count = items.len();
            put(&mut items[seed % count], seed / count, value);
        }
        Value::Object(fields) if turn != 0 && seed > 0 && !fields.is_empty() => {
            let count = fields.len();
            if let Some((_, inner)) = fields.iter_mut().nth(seed % count) {
                put(inner, seed / count, value);
            }
        }
        _ => *place = value,
    }
}

/// The shipped mappings, and the inputs of their tests.
struct Shipped {
    mappings: Vec<(String, Inbound)>,
    inputs: Vec<(String, Value)>,
}

static SHIPPED: std::sync::LazyLock<Shipped> = std::sync::LazyLock::new(|| {
    let sources = crate::config::embedded();
    let mappings = super::super::test::mappings(&sources)
        .into_iter()
        .filter_map(|(connector, name)| {
            let inbound = Inbound::compile(&sources, &connector, &name, &[]).ok()?;
            Some((connector, inbound))
        })
        .collect();
    let inputs = sources
        .under("mappings/")
        .filter_map(|(path, text)| {
            let (connector, _) = path.strip_prefix("mappings/")?.split_once("/tests/")?;
            Some((connector.to_owned(), serde_json::from_str(text).ok()?))
        })
        .collect();
    Shipped { mappings, inputs }
});

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn shipped_mappings_stand_whatever_a_partner_sends(
        input in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<usize>(), payload()), 0..6),
    ) {
        if !SHIPPED.inputs.is_empty() {
            let (connector, payload) = input.get(&SHIPPED.inputs);
            let mut payload = payload.clone();
            for (seed, value) in changes {
                put(&mut payload, seed, value);
            }
            let text = payload.to_string();
            let node = Node::parse_json(text.as_bytes()).unwrap();
            for (_, inbound) in SHIPPED.mappings.iter().filter(|(name, _)| name == connector) {
                let mapped = inbound.run(&node, &Context::default());
                prop_assert!(mapped.nothing || !mapped.facts.is_empty() || !mapped.errors.is_empty());
                prop_assert!(mapped.errors.iter().all(|error| error.kind != "internal"), "{:?}", mapped.errors);
                let from_bytes = inbound.run_bytes(text.as_bytes(), &Context::default());
                prop_assert_eq!(from_bytes, mapped, "what is not wanted matters");
            }
        }
    }
}

/// Payloads of each format, good ones, to be spoiled.
const SEEDS: [(SyntaxKind, &str, &str); 6] = [
    (
        SyntaxKind::Json,
        include_str!("../../../docs/recipes/07-refunds/order.in.toml"),
        include_str!("../../../docs/recipes/07-refunds/sample.json"),
    ),
    (
        SyntaxKind::Form,
        "[mapping]\nformat = \"form\"\n[fact.a]\nis = \"order.closed\"\norder = \"o[0].id\"\nat = \"at\"\n",
        "o[0][id]=7&o[1][id]=8&at=2025-01-02T03:04:05Z&x[]=%41+b",
    ),
    (
        SyntaxKind::Xml,
        include_str!("../../../docs/recipes/20-xml-tracking/order.in.toml"),
        include_str!("../../../docs/recipes/20-xml-tracking/sample.xml"),
    ),
    (
        SyntaxKind::Csv,
        include_str!("../../../docs/recipes/19-csv-orders/order.in.toml"),
        include_str!("../../../docs/recipes/19-csv-orders/sample.csv"),
    ),
    (
        SyntaxKind::X12,
        include_str!("../../../docs/recipes/22-x12-ship-notice/order.in.toml"),
        include_str!("../../../docs/recipes/22-x12-ship-notice/sample.edi"),
    ),
    (
        SyntaxKind::Edifact,
        include_str!("../../../docs/recipes/23-edifact-order/order.in.toml"),
        include_str!("../../../docs/recipes/23-edifact-order/sample.edi"),
    ),
];

static COMPILED: std::sync::LazyLock<Vec<Inbound>> =
    std::sync::LazyLock::new(|| SEEDS.iter().map(|(_, mapping, _)| compile(mapping)).collect());

/// One change of some bytes.
#[derive(Debug, Clone)]
enum Spoil {
    Put(prop::sample::Index, Vec<u8>),
    Over(prop::sample::Index, u8),
    Cut(prop::sample::Index, usize),
    Twice(prop::sample::Index, usize),
}

fn spoil() -> impl Strategy<Value = Spoil> {
    let bit = prop_oneof![
        Just(b"'".to_vec()),
        Just(b"~".to_vec()),
        Just(b"*".to_vec()),
        Just(b"+:?".to_vec()),
        Just(b"<a b='1'>".to_vec()),
        Just(b"</a>&#x0;&amp;".to_vec()),
        Just(b"\";\"\"".to_vec()),
        Just(b"[][[0]]=".to_vec()),
        Just(b"{\"a\":[".to_vec()),
        Just(b"ISA*00*".to_vec()),
        Just(b"HL*9*9*I~".to_vec()),
        Just(b"UNA:+.? '".to_vec()),
        prop::collection::vec(any::<u8>(), 0..6),
    ];
    prop_oneof![
        (any::<prop::sample::Index>(), bit).prop_map(|(at, bytes)| Spoil::Put(at, bytes)),
        (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(at, byte)| Spoil::Over(at, byte)),
        (any::<prop::sample::Index>(), 0_usize..60).prop_map(|(at, count)| Spoil::Cut(at, count)),
        (any::<prop::sample::Index>(), 0_usize..60).prop_map(|(at, count)| Spoil::Twice(at, count)),
    ]
}

fn spoiled(text: &[u8], changes: &[Spoil]) -> Vec<u8> {
    let mut bytes = text.to_vec();
    for change in changes {
        if bytes.is_empty() {
            break;
        }
        match change {
            Spoil::Put(at, more) => {
                let at = at.index(bytes.len());
                bytes.splice(at..at, more.iter().copied());
            }
            Spoil::Over(at, byte) => {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            Spoil::Cut(at, count) => {
                let at = at.index(bytes.len());
                let end = (at + count).min(bytes.len());
                bytes.drain(at..end);
            }
            Spoil::Twice(at, count) => {
                let at = at.index(bytes.len());
                let end = (at + count).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn any_bytes_in_any_format_end_as_facts_errors_or_nothing(
        which in 0_usize..SEEDS.len(),
        changes in prop::collection::vec(spoil(), 0..8),
        noise in prop::collection::vec(any::<u8>(), 0..120),
    ) {
        let (kind, _, sample) = SEEDS[which];
        let _ = Syntax::of(kind).read(&noise);
        let bytes = spoiled(sample.as_bytes(), &changes);
        if let Ok(node) = COMPILED[which].read(&bytes) {
            let mapped = COMPILED[which].run(&node, &Context::default());
            prop_assert!(mapped.nothing || !mapped.facts.is_empty() || !mapped.errors.is_empty());
            prop_assert!(mapped.errors.iter().all(|error| error.kind != "internal"), "{:?}", mapped.errors);
            prop_assert_eq!(COMPILED[which].run_bytes(&bytes, &Context::default()), mapped);
        } else {
            let mapped = COMPILED[which].run_bytes(&bytes, &Context::default());
            prop_assert!(mapped.facts.is_empty() && mapped.errors.len() == 1, "{:?}", mapped);
        }
    }

    #[test]
    fn any_mapping_is_compiled_or_refused_and_then_runs(
        which in 0_usize..SEEDS.len(),
        changes in prop::collection::vec(spoil(), 1..6),
    ) {
        let (_, mapping, sample) = SEEDS[which];
        let Ok(text) = String::from_utf8(spoiled(mapping.as_bytes(), &changes)) else { return Ok(()) };
        match Inbound::compile(&sources(&text), "shop", "order", &[]) {
            Ok(inbound) => {
                if let Ok(node) = inbound.read(sample.as_bytes()) {
                    let mapped = inbound.run(&node, &Context::default());
                    prop_assert_eq!(inbound.run_bytes(sample.as_bytes(), &Context::default()), mapped);
                }
            }
            Err(problems) => {
                prop_assert!(!problems.is_empty());
                for found in problems {
                    prop_assert!(!found.file.is_empty(), "{found}");
                }
            }
        }
    }
}
