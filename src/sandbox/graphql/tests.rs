use serde_json::{Value, json};

use super::*;

const SDL: &str = r"
interface Node { id: ID! }
enum Sort { ID UPDATED_AT }
input Line { sku: String! quantity: Int! note: String }
input Make { number: String! lines: [Line!]! reason: Sort }
type Thing implements Node { id: ID! name: String things(first: Int, after: String, reverse: Boolean = false): ThingConnection! }
type Edge { cursor: String! node: Thing! }
type PageInfo { hasNextPage: Boolean! endCursor: String }
type ThingConnection { nodes: [Thing!]! edges: [Edge!]! pageInfo: PageInfo! }
type Made { thing: Thing }
type Query { thing(id: ID!): Thing node(id: ID!): Node things(first: Int, after: String, sort: Sort = ID): ThingConnection! }
type Mutation { make(input: Make!): Made }
";

struct Fixed(Value);
impl Resolver for Fixed {
    fn root(&mut self, _: &Selected) -> Result<Value, FieldError> {
        Ok(self.0.clone())
    }
}

fn refused(text: &str, variables: &Value) -> Vec<&'static str> {
    let schema = Schema::read(SDL).unwrap();
    prepare(&schema, text, None, variables)
        .err()
        .unwrap_or_default()
        .iter()
        .map(|problem| problem.code)
        .collect()
}

#[test]
fn answers_exactly_what_was_selected() {
    let schema = Schema::read(SDL).unwrap();
    let text = "query($id: ID!) { one: thing(id: $id) { __typename ...Id name } } fragment Id on Node { id }";
    let operation = prepare(&schema, text, None, &json!({ "id": 7 })).unwrap();
    assert_eq!(operation.fields[0].text("id"), Some("7"));
    let mut resolver = Fixed(json!({ "id": "7", "name": null, "secret": 1 }));
    let (data, errors) = execute(&schema, &operation, &mut resolver);
    assert_eq!(
        (data, errors),
        (json!({ "one": { "__typename": "Thing", "id": "7", "name": null } }), vec![])
    );
}

#[test]
fn refuses_what_the_schema_does_not_know() {
    let none = json!({});
    assert_eq!(refused("{ thing(id: 1) { colour } }", &none), ["undefinedField"]);
    assert_eq!(refused("{ thing { id } }", &none), ["missingRequiredArguments"]);
    assert_eq!(refused("{ thing(id: 1, x: 2) { id } }", &none), ["argumentNotAccepted"]);
    assert_eq!(refused("{ thing(id: 1) }", &none), ["selectionMismatch"]);
    assert_eq!(refused("{ thing(id: true) { id } }", &none), ["argumentLiteralsIncompatible"]);
    assert_eq!(refused("{ things(sort: NAME) { nodes { id } } }", &none), ["argumentLiteralsIncompatible"]);
    assert_eq!(refused("query($a: ID!) { thing(id: 1) { id } }", &json!({ "a": "1" })), ["variableNotUsed"]);
    assert_eq!(refused("query($a: ID) { thing(id: $a) { id } }", &json!({ "a": "1" })), ["variableMismatch"]);
    assert_eq!(refused("{ thing(id: $a) { id } }", &none), ["variableNotDefined"]);
    assert_eq!(refused("{ thing(id: ", &none), ["parseError"]);
    assert_eq!(refused("query($a: Nope) { thing(id: $a) { id } }", &none)[0], "variableRequiresValidType");
}

#[test]
fn variables_are_checked_to_the_bottom() {
    let text = "mutation($input: Make!) { make(input: $input) { thing { id } } }";
    let good =
        json!({ "input": { "number": "1", "lines": [{ "sku": "A", "quantity": 1 }], "reason": "ID" } });
    assert!(refused(text, &good).is_empty());
    for (path, bad) in [
        ("/input/lines/0/quantity", json!("1")),
        ("/input/lines/0/quantity", json!(3_000_000_000_i64)),
        ("/input/lines/0/sku", Value::Null),
        ("/input/number", json!(1)),
        ("/input/reason", json!("NAME")),
        ("/input", json!({ "number": "1" })),
        ("/input", json!({ "number": "1", "lines": [], "colour": 1 })),
    ] {
        let mut variables = good.clone();
        *variables.pointer_mut(path).unwrap() = bad;
        assert_eq!(refused(text, &variables), ["INVALID_VARIABLE"], "{path}");
    }
    assert_eq!(refused(text, &json!({})), ["INVALID_VARIABLE"]);
}

#[test]
fn pages_stay_right_while_the_list_changes() {
    let schema = Schema::read(SDL).unwrap();
    let item = |id: &str, sort: &str| json!({ "id": id, "__sort": sort });
    let mut list = vec![item("1", "a"), item("2", "b"), item("3", "c")];
    let ask = |list: &[Value], after: Option<&str>| {
        let text = "query($after: String) { things(first: 2, after: $after) { nodes { id } pageInfo { hasNextPage endCursor } } }";
        let operation = prepare(&schema, text, None, &json!({ "after": after })).unwrap();
        execute(&schema, &operation, &mut Fixed(json!(list))).0["things"].clone()
    };
    let first = ask(&list, None);
    assert_eq!(first["nodes"], json!([{ "id": "1" }, { "id": "2" }]));
    assert_eq!(first["pageInfo"]["hasNextPage"], json!(true));
    list.remove(0);
    list.push(item("1", "d"));
    let second = ask(&list, first["pageInfo"]["endCursor"].as_str());
    assert_eq!(second["nodes"], json!([{ "id": "3" }, { "id": "1" }]));
    assert_eq!(second["pageInfo"]["hasNextPage"], json!(false));
}
