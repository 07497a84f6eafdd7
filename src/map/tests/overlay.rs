//! Overlays change single fields.

use super::*;

const CLIENT: &str = "mappings/clients/acme/shop/order.toml";

fn with_overlay(overlay: &str) -> Result<Inbound, Vec<String>> {
    let mut sources = sources(EXAMPLE);
    sources.insert(CLIENT, overlay);
    Inbound::compile(&sources, "shop", "order", &[CLIENT.to_owned()])
        .map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

fn facts_with(overlay: &str) -> Vec<Value> {
    let inbound = with_overlay(overlay).unwrap_or_else(|problems| panic!("{}", problems.join("\n")));
    let node = Node::parse_json(ORDER.as_bytes()).unwrap();
    let mapped = inbound.run(&node, &Context::default());
    assert_eq!(mapped.errors, []);
    mapped.facts.iter().map(MappedFact::to_json).collect()
}

fn warnings(overlay: &str) -> Vec<String> {
    with_overlay(overlay).unwrap().warnings().iter().map(ToString::to_string).collect()
}

const HEAD: &str = "[overlay]\nof = \"shop/order\"\n";

pub(in crate::map) fn compile_all() {
    let _ = with_overlay(HEAD);
}

#[test]
fn field_by_field() {
    let found = facts_with(&format!(
        "{HEAD}[fact.placed]\ngift_note = \"note_attributes[name='colour'].value\"\nphone = {{ unset = true }}\n\
         extra.colour = \"note_attributes[0].value\"\n\
         [fact.placed.lines]\nwhere_also = {{ sku = \"IPOD-RED\" }}\ntitle = \"sku\"\n\
         [fact.placed.ship_to]\ncompany = {{ const = \"ACME\" }}\n\
         [[fact.placed.charges]]\npart = \"shipping\"\ntitle = {{ const = \"Freight\" }}\n\
         [lookup.gateway.rows]\nbogus = \"affirm\"\n[fragment.address]\ncity = {{ const = \"Bern\" }}\n\
         [fact.paid]\nunset = true\n[fact.extra]\nis = \"order.closed\"\norder = \"id\"\n"
    ));
    let placed = &found[0];
    assert_eq!(placed["gift_note"], "red");
    assert_eq!(placed.get("phone"), None);
    assert_eq!(placed["extra"], json!({"po":"PO-7","colour":"red"}));
    assert_eq!(placed["lines"].as_array().unwrap().len(), 1);
    assert_eq!(placed["lines"][0]["title"], "IPOD-RED");
    assert_eq!(placed["lines"][0]["weight"], "0");
    assert_eq!((&placed["ship_to"]["company"], &placed["ship_to"]["city"]), (&json!("ACME"), &json!("Bern")));
    assert_eq!(placed["charges"], json!([{"kind":"shipping","title":"Freight","amount":"4.00 USD"}]));
    let rules: Vec<&str> = found.iter().map(|fact| fact["fact"].as_str().unwrap()).collect();
    assert_eq!(rules, ["placed", "refunded", "extra"]);
    assert_eq!(found[1]["gateway"], "affirm");
}

#[test]
fn the_version_tells_the_overlay() {
    assert_ne!(with_overlay(HEAD).unwrap().version(), compile(EXAMPLE).version());
}

#[test]
fn an_error_names_the_overlay() {
    let problems = with_overlay(&format!("{HEAD}[fact.placed]\nemail = {{ pth = \"x\" }}\n")).unwrap_err();
    assert!(
        problems.iter().all(|found| found.starts_with("mappings/clients/acme/shop/order.toml:4:")),
        "{problems:?}"
    );
}

#[test]
fn slips_in_overlays() {
    for (overlay, said) in [
        ("[fact.placed]\nnote = \"x\"\n".to_owned(), "1:2: an overlay begins with [overlay]"),
        (
            "[overlay]\nof = \"shop/ordr\"\n".to_owned(),
            "2:6: this overlay is of `shop/ordr`, and its path says `shop/order`",
        ),
        ("[overlay]\nfo = \"x\"\n".to_owned(), "the overlay does not say of what"),
        (
            format!("{HEAD}[fact.plced]\nnote = \"x\"\n"),
            "3:7: there is no fact `plced` in the mapping; did you mean `placed`?",
        ),
        (
            format!("{HEAD}[[fact.placed.charges]]\ntitle = \"x\"\n"),
            "does not say which it means; write `part",
        ),
        (
            format!("{HEAD}[facts.placed]\nnote = \"x\"\n"),
            "`facts` cannot stand in an overlay; did you mean `fact`?",
        ),
    ] {
        let found = with_overlay(&overlay).unwrap_err();
        assert!(found.iter().any(|found| found.contains(said)), "{said}: {found:#?}");
    }
}

#[test]
fn what_changes_nothing_is_told() {
    assert_eq!(
        warnings(&format!("{HEAD}[fact.placed]\norder = \"id\"\n")),
        [
            "mappings/clients/acme/shop/order.toml:4:1: warning: `fact.placed.order` is the same in the mapping; take it out \
          of the overlay"
        ]
    );
    assert!(
        warnings(&format!("{HEAD}[fact.placed]\nnumber = {{ unset = true }}\n"))[0]
            .contains("there is no `fact.placed.number` to unset")
    );
}

#[test]
fn an_overlay_remembers_what_it_replaced() {
    let overlay = |was: &str| {
        format!("{HEAD}was = {{ \"fact.placed.gift_note\" = \"{was}\" }}\n[fact.placed]\ngift_note = \"x\"\n")
    };
    let found = warnings(&overlay("00000000"));
    let told = &found[0];
    assert!(told.contains("3:9: warning: the mapping's rule for `fact.placed.gift_note`, which this overlay replaces, changed"), "{told}");
    let digest = told.rsplit('"').nth(1).unwrap();
    assert_eq!(warnings(&overlay(digest)), Vec::<String>::new());
    let mut sources = sources(EXAMPLE);
    sources.insert(CLIENT, overlay(digest));
    assert_eq!(
        super::super::replaced_by(&sources, "shop", "order", CLIENT),
        Ok(vec![("fact.placed.gift_note".to_owned(), digest.to_owned())])
    );
}
