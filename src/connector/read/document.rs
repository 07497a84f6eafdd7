//! GraphQL documents beside a manifest: what has to be filled in, and the fragments that they share.

use std::collections::BTreeMap;

use graphql_parser::Pos;
use graphql_parser::query::{
    self, Definition, FragmentDefinition, OperationDefinition, ParseError, Selection, SelectionSet, Type,
    parse_query,
};

use crate::diagnostic::{Diagnostic, nearest};

/// The file beside a manifest whose fragments all documents there may use.
pub(super) const SHARED: &str = "fragments.graphql";

/// A file: its path and what stands in it.
pub(super) type Text<'t> = (&'t str, &'t str);

type Parsed<'t> = query::Document<'t, &'t str>;
type VariableDefinition<'t> = query::VariableDefinition<'t, &'t str>;

/// A document as it is sent.
#[derive(Debug)]
pub(super) struct Document {
    /// With the shared fragments that it uses.
    pub(super) text: String,
    /// The variables that it declares, and whether each must be given.
    pub(super) variables: Vec<(String, bool)>,
}

/// Reads a document that may use fragments of `shared`.
///
/// # Errors
/// One of the two is no GraphQL, the document is not one query or mutation, or it uses a fragment that is nowhere.
pub(super) fn read(file: Text<'_>, shared: Option<Text<'_>>) -> Result<Document, Diagnostic> {
    let parsed = parse(file)?;
    let variables = variables(file.0, &parsed)?;
    let mut fragments = fragments(&parsed);
    let mut wanted = Vec::new();
    for definition in &parsed.definitions {
        spreads(selections(definition), &mut wanted);
    }
    let mut text = file.1.to_owned();
    if wanted.iter().all(|(name, _)| fragments.contains_key(name)) {
        return Ok(Document { text, variables });
    }
    let beside = shared.map(parse).transpose()?;
    let known = beside.as_ref().map(self::fragments).unwrap_or_default();
    while let Some((name, at)) = wanted.pop() {
        if fragments.contains_key(name) {
            continue;
        }
        let Some(fragment) = known.get(name) else {
            let found =
                placed(file.0, at, format!("there is no fragment {name}, neither here nor in {SHARED}"));
            let near = nearest(name, fragments.keys().chain(known.keys()).copied());
            return Err(match near {
                Some(near) => found.help(format!("did you mean `{near}`?")),
                None => found.help(format!("write it in {SHARED}: fragment {name} on … {{ … }}")),
            });
        };
        text.push('\n');
        text.push_str(&fragment.to_string());
        fragments.insert(name, *fragment);
        spreads(&fragment.selection_set, &mut wanted);
    }
    Ok(Document { text, variables })
}

fn parse((path, text): Text<'_>) -> Result<Parsed<'_>, Diagnostic> {
    parse_query(text).map_err(|error| unreadable(path, &error))
}

/// The parser tells the place in its text alone: `query parse error: Parse error at 3:5`, then what it met.
fn unreadable(path: &str, error: &ParseError) -> Diagnostic {
    let told = error.to_string();
    let (head, rest) = told.split_once('\n').unwrap_or((told.as_str(), ""));
    let place = head.rsplit(' ').next().and_then(|place| place.split_once(':'));
    let numbers = place.and_then(|(line, column)| Some((line.parse().ok()?, column.parse().ok()?)));
    let (line, column) = numbers.unwrap_or_default();
    let met: Vec<&str> = rest.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let met = if met.is_empty() { head.to_owned() } else { met.join(", ") };
    Diagnostic { line, column, ..Diagnostic::whole(path, format!("this is no GraphQL document: {met}")) }
}

fn placed(path: &str, at: Pos, message: String) -> Diagnostic {
    Diagnostic { line: at.line, column: at.column, ..Diagnostic::whole(path, message) }
}

fn variables<'t>(path: &str, parsed: &Parsed<'t>) -> Result<Vec<(String, bool)>, Diagnostic> {
    let operations = parsed.definitions.iter().filter_map(|definition| match definition {
        Definition::Operation(operation) => Some(operation),
        Definition::Fragment(_) => None,
    });
    let operations: Vec<_> = operations.collect();
    let [operation] = operations.as_slice() else {
        let many = operations.len();
        let found = Diagnostic::whole(path, format!("it holds {many} queries and mutations"));
        return Err(found.help("a document is one query or one mutation, and fragments"));
    };
    let declared: &[VariableDefinition<'t>] = match operation {
        OperationDefinition::Query(query) => &query.variable_definitions,
        OperationDefinition::Mutation(mutation) => &mutation.variable_definitions,
        OperationDefinition::Subscription(_) => {
            return Err(Diagnostic::whole(path, "a subscription cannot be read over HTTP")
                .help("write a query or a mutation"));
        }
        OperationDefinition::SelectionSet(_) => &[],
    };
    let needed = |one: &VariableDefinition<'t>| {
        matches!(one.var_type, Type::NonNullType(_)) && one.default_value.is_none()
    };
    Ok(declared.iter().map(|one| (one.name.to_owned(), needed(one))).collect())
}

fn fragments<'p, 't>(parsed: &'p Parsed<'t>) -> BTreeMap<&'t str, &'p FragmentDefinition<'t, &'t str>> {
    let fragments = parsed.definitions.iter().filter_map(|definition| match definition {
        Definition::Fragment(fragment) => Some((fragment.name, fragment)),
        Definition::Operation(_) => None,
    });
    fragments.collect()
}

fn selections<'p, 't>(definition: &'p Definition<'t, &'t str>) -> &'p SelectionSet<'t, &'t str> {
    match definition {
        Definition::Fragment(fragment) => &fragment.selection_set,
        Definition::Operation(OperationDefinition::SelectionSet(set)) => set,
        Definition::Operation(OperationDefinition::Query(query)) => &query.selection_set,
        Definition::Operation(OperationDefinition::Mutation(mutation)) => &mutation.selection_set,
        Definition::Operation(OperationDefinition::Subscription(other)) => &other.selection_set,
    }
}

/// The fragments used in `set`, and where.
fn spreads<'t>(set: &SelectionSet<'t, &'t str>, found: &mut Vec<(&'t str, Pos)>) {
    for selection in &set.items {
        match selection {
            Selection::Field(field) => spreads(&field.selection_set, found),
            Selection::InlineFragment(fragment) => spreads(&fragment.selection_set, found),
            Selection::FragmentSpread(spread) => found.push((spread.fragment_name, spread.position)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BESIDE: Text<'_> = (
        "fragments.graphql",
        "fragment Order on Order { id address { ...Place } }\nfragment Place on Address { city }\nfragment Line on Line { sku }\n",
    );

    #[test]
    fn a_document_takes_the_shared_fragments_that_it_uses_and_no_other() {
        let text =
            "query Q($id: ID!, $many: Int! = 5, $after: String) { order(id: $id) { ...Order ...Order } }";
        let document = read(("q.graphql", text), Some(BESIDE)).unwrap();
        let sent: Parsed<'_> = parse_query(&document.text).unwrap();
        assert_eq!(fragments(&sent).into_keys().collect::<Vec<_>>(), ["Order", "Place"]);
        let variables: Vec<_> =
            document.variables.iter().map(|(name, needed)| (name.as_str(), *needed)).collect();
        assert_eq!(variables, [("id", true), ("many", false), ("after", false)]);
    }

    #[test]
    fn a_fragment_of_its_own_comes_before_a_shared_one() {
        let text = "{ order { ...Place } } fragment Place on Address { zip }";
        assert_eq!(read(("q.graphql", text), Some(BESIDE)).unwrap().text, text);
    }

    #[test]
    fn what_cannot_be_sent_is_told_with_its_place() {
        let told = |text| read(("q.graphql", text), Some(BESIDE)).unwrap_err().to_string();
        insta::assert_snapshot!(
            [
                told("{ order {\n  ...Plaze\n} }"),
                told("{ order {\n  ...Customer\n} }"),
                told("query Q {\n  order(id: ) { id }\n}"),
                told("fragment Place on Address { city }"),
                told("query A { a }\nquery B { b }"),
                told("subscription A { a }"),
            ]
            .join("\n")
        );
    }
}
