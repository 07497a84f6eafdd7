//! Checks a document against the schema and makes a tree of what is selected.

use std::collections::{BTreeMap, BTreeSet};

use graphql_parser::Pos;
use graphql_parser::query::{
    Definition, Document, Field as Node, FragmentDefinition, OperationDefinition, Selection, SelectionSet,
    TypeCondition, VariableDefinition,
};
use serde_json::{Map, Value, json};

use super::Problem;
use super::coerce::{self, Variables};
use super::schema::{Kind, Schema, Ty};

/// Query or mutation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OperationKind {
    /// Reads.
    Query,
    /// Changes.
    Mutation,
}

impl OperationKind {
    /// Name of the root type.
    pub fn root(self) -> &'static str {
        match self {
            Self::Query => "Query",
            Self::Mutation => "Mutation",
        }
    }
}

/// What a request asks for.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    /// Query or mutation.
    pub kind: OperationKind,
    /// Fields of the root.
    pub fields: Vec<Selected>,
}

/// One selected field.
#[derive(Debug, Clone)]
pub(crate) struct Selected {
    /// Its key in the answer.
    pub key: String,
    /// Its name in the schema.
    pub name: String,
    /// Checked arguments, defaults filled in; absent ones are absent.
    pub args: Map<String, Value>,
    /// What it gives.
    pub ty: Ty,
    /// Only for objects that fit this type.
    pub on: Option<String>,
    /// The key of `@idempotent`.
    pub idempotent: Option<String>,
    /// Fields below it.
    pub fields: Vec<Selected>,
}

impl Selected {
    /// A text argument.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.args.get(name).and_then(Value::as_str)
    }
    /// A number argument.
    pub fn number(&self, name: &str) -> Option<i64> {
        self.args.get(name).and_then(Value::as_i64)
    }
    /// A yes-or-no argument.
    pub fn flag(&self, name: &str) -> Option<bool> {
        self.args.get(name).and_then(Value::as_bool)
    }
}

pub(super) struct Work<'a> {
    pub(super) schema: &'a Schema,
    fragments: BTreeMap<&'a str, &'a FragmentDefinition<'a, String>>,
    pub(super) with_default: BTreeSet<&'a str>,
    pub(super) given: Variables<'a>,
    pub(super) used: BTreeSet<String>,
    pub(super) problems: Vec<Problem>,
}

/// Parses and checks `text`.
pub(crate) fn prepare(
    schema: &Schema,
    text: &str,
    operation_name: Option<&str>,
    variables: &Value,
) -> Result<Operation, Vec<Problem>> {
    let at = Pos { line: 1, column: 1 };
    let document: Document<'_, String> = graphql_parser::parse_query(text)
        .map_err(|error| vec![Problem::new("parseError", format!("syntax error: {error}"), at)])?;
    let operations: Vec<_> = document
        .definitions
        .iter()
        .filter_map(|definition| match definition {
            Definition::Operation(operation) => Some(operation),
            Definition::Fragment(_) => None,
        })
        .collect();
    let named = |operation: &OperationDefinition<'_, String>| match operation {
        OperationDefinition::Query(it) => it.name.clone(),
        OperationDefinition::Mutation(it) => it.name.clone(),
        _ => None,
    };
    let chosen = match operation_name {
        Some(name) => operations.iter().find(|operation| named(operation).as_deref() == Some(name)),
        None if operations.len() == 1 => operations.first(),
        None => None,
    };
    let Some(chosen) = chosen else {
        return Err(vec![Problem::new("unknownOperation", "An operation name is required".to_owned(), at)]);
    };
    let (kind, definitions, selection) = match chosen {
        OperationDefinition::SelectionSet(set) => (OperationKind::Query, &[][..], set),
        OperationDefinition::Query(it) => {
            (OperationKind::Query, it.variable_definitions.as_slice(), &it.selection_set)
        }
        OperationDefinition::Mutation(it) => {
            (OperationKind::Mutation, it.variable_definitions.as_slice(), &it.selection_set)
        }
        OperationDefinition::Subscription(it) => {
            return Err(vec![Problem::new(
                "missingSubscription",
                "Schema is not configured for subscriptions".to_owned(),
                it.position,
            )]);
        }
    };
    let mut work = Work {
        schema,
        fragments: document
            .definitions
            .iter()
            .filter_map(|definition| match definition {
                Definition::Fragment(fragment) => Some((fragment.name.as_str(), fragment)),
                Definition::Operation(_) => None,
            })
            .collect(),
        with_default: BTreeSet::new(),
        given: Variables::default(),
        used: BTreeSet::new(),
        problems: Vec::new(),
    };
    work.variables(definitions, variables);
    let mut fields = Vec::new();
    work.select(selection, kind.root(), None, &mut fields, 0);
    for definition in definitions {
        if !work.used.contains(&definition.name) {
            let name = &definition.name;
            work.problems.push(Problem::new(
                "variableNotUsed",
                format!("Variable ${name} is declared but not used"),
                definition.position,
            ));
        }
    }
    if work.problems.is_empty() { Ok(Operation { kind, fields }) } else { Err(work.problems) }
}

impl<'a> Work<'a> {
    fn variables(&mut self, definitions: &'a [VariableDefinition<'a, String>], given: &Value) {
        for definition in definitions {
            let (name, ty) = (definition.name.as_str(), Ty::from(&definition.var_type));
            let known = self.schema.get(ty.name());
            if !matches!(known, Some(Kind::Scalar | Kind::Enum(_) | Kind::Input(_))) {
                self.problems.push(Problem::new(
                    "variableRequiresValidType",
                    format!("{} isn't a defined input type (on ${name})", ty.name()),
                    definition.position,
                ));
                continue;
            }
            if definition.default_value.is_some() {
                self.with_default.insert(name);
            }
            let found = given.get(name).cloned();
            let found = match (found, &definition.default_value) {
                (Some(value), _) => Some(value),
                (None, Some(default)) => coerce::constant(default),
                (None, None) if ty.required() => Some(Value::Null),
                (None, None) => None,
            };
            if let Some(found) = found {
                match coerce::value(self.schema, &ty, &found) {
                    Ok(value) => {
                        self.given.values.insert(name.to_owned(), value);
                    }
                    Err((path, why)) => {
                        let place =
                            if path.is_empty() { String::new() } else { format!(" for {}", path.join(".")) };
                        let problem = Problem::new(
                            "INVALID_VARIABLE",
                            format!(
                                "Variable ${name} of type {ty} was provided invalid value{place} ({why})"
                            ),
                            definition.position,
                        );
                        self.problems.push(problem.with(
                            json!({ "value": found, "problems": [{ "path": path, "explanation": why }] }),
                        ));
                    }
                }
            }
            self.given.declared.insert(name, ty);
        }
    }

    fn select(
        &mut self,
        set: &'a SelectionSet<'a, String>,
        parent: &str,
        on: Option<&str>,
        into: &mut Vec<Selected>,
        depth: usize,
    ) {
        if depth > 24 {
            self.problems.push(Problem::new("maxDepth", "Query is too deep".to_owned(), set.span.0));
            return;
        }
        for selection in &set.items {
            match selection {
                Selection::Field(node) => self.field(node, parent, on, into, depth),
                Selection::InlineFragment(fragment) => {
                    let condition =
                        fragment.type_condition.as_ref().map(|TypeCondition::On(name)| name.as_str());
                    self.fragment(
                        condition,
                        &fragment.selection_set,
                        fragment.position,
                        parent,
                        on,
                        into,
                        depth,
                    );
                }
                Selection::FragmentSpread(spread) => {
                    match self.fragments.get(spread.fragment_name.as_str()).copied() {
                        Some(fragment) => {
                            let TypeCondition::On(name) = &fragment.type_condition;
                            self.fragment(
                                Some(name),
                                &fragment.selection_set,
                                spread.position,
                                parent,
                                on,
                                into,
                                depth,
                            );
                        }
                        None => self.problems.push(Problem::new(
                            "useAndDefineFragment",
                            format!("Fragment {} was used, but not defined", spread.fragment_name),
                            spread.position,
                        )),
                    }
                }
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the state of one recursive walk")]
    fn fragment(
        &mut self,
        condition: Option<&'a str>,
        set: &'a SelectionSet<'a, String>,
        at: Pos,
        parent: &str,
        on: Option<&str>,
        into: &mut Vec<Selected>,
        depth: usize,
    ) {
        let Some(condition) = condition else { return self.select(set, parent, on, into, depth + 1) };
        if self.schema.fields(condition).is_none() {
            let message = format!("No such type {condition}, so it can't be a fragment condition");
            self.problems.push(Problem::new("undefinedType", message, at));
        } else if !(self.schema.fits(condition, parent) || self.schema.fits(parent, condition)) {
            let message = format!("Fragment on {condition} can't be spread inside {parent}");
            self.problems.push(Problem::new("cannotSpreadFragment", message, at));
        } else {
            let on = if condition == parent { on } else { Some(condition) };
            self.select(set, condition, on, into, depth + 1);
        }
    }

    fn field(
        &mut self,
        node: &'a Node<'a, String>,
        parent: &str,
        on: Option<&str>,
        into: &mut Vec<Selected>,
        depth: usize,
    ) {
        let key = node.alias.clone().unwrap_or_else(|| node.name.clone());
        if node.name == "__typename" {
            into.push(Selected {
                key,
                name: node.name.clone(),
                args: Map::new(),
                ty: Ty::NonNull(Box::new(Ty::Named("String".to_owned()))),
                on: on.map(str::to_owned),
                idempotent: None,
                fields: Vec::new(),
            });
            return;
        }
        let schema = self.schema;
        let Some(field) = schema.fields(parent).and_then(|fields| fields.get(&node.name)) else {
            let problem = Problem::new(
                "undefinedField",
                format!("Field '{}' doesn't exist on type '{parent}'", node.name),
                node.position,
            );
            self.problems.push(problem.with(json!({ "typeName": parent, "fieldName": node.name })));
            return;
        };
        let args = self.arguments(node, parent, &field.args);
        let (shown, idempotent) = self.directives(node);
        let composite = schema.fields(field.ty.name()).is_some();
        if composite && node.selection_set.items.is_empty() {
            self.problems.push(Problem::new(
                "selectionMismatch",
                format!("Field must have selections (field '{}' returns {} but has no selections. Did you mean '{} {{ ... }}'?)", node.name, field.ty.name(), node.name),
                node.position,
            ));
        }
        if !composite && !node.selection_set.items.is_empty() {
            self.problems.push(Problem::new(
                "selectionMismatch",
                format!(
                    "Selections can't be made on scalars (field '{}' returns {} but has selections)",
                    node.name,
                    field.ty.name()
                ),
                node.position,
            ));
            return;
        }
        let mut fields = Vec::new();
        if composite {
            self.select(&node.selection_set, field.ty.name(), None, &mut fields, depth + 1);
        }
        if !shown {
            return;
        }
        if let Some(same) = into.iter_mut().find(|other| other.key == key && other.on.as_deref() == on) {
            if same.name != node.name || same.args != args {
                let message = format!("Field '{key}' has a field conflict: {} or {}?", same.name, node.name);
                self.problems.push(Problem::new("fieldConflict", message, node.position));
            }
            same.fields.extend(fields);
            return;
        }
        into.push(Selected {
            key,
            name: node.name.clone(),
            args,
            ty: field.ty.clone(),
            on: on.map(str::to_owned),
            idempotent,
            fields,
        });
    }
}
