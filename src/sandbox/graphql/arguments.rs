//! Arguments and directives of a field.

use std::collections::BTreeMap;

use graphql_parser::Pos;
use graphql_parser::query::{Field as Node, Value as Literal};
use serde_json::{Map, Value, json};

use super::prepare::Work;
use super::schema::Input;
use super::{Problem, coerce};

impl<'a> Work<'a> {
    pub(super) fn arguments(
        &mut self,
        node: &'a Node<'a, String>,
        parent: &str,
        known: &BTreeMap<String, Input>,
    ) -> Map<String, Value> {
        let mut args = Map::new();
        let place = &node.name;
        for (name, literal) in &node.arguments {
            self.mark(literal, node.position);
            let Some(input) = known.get(name) else {
                let problem = Problem::new(
                    "argumentNotAccepted",
                    format!("Field '{place}' doesn't accept argument '{name}'"),
                    node.position,
                );
                self.problems
                    .push(problem.with(json!({ "name": place, "typeName": parent, "argumentName": name })));
                continue;
            };
            if let Literal::Variable(variable) = literal {
                self.position(variable, name, input, node.position);
            }
            match coerce::literal(self.schema, &input.ty, literal, &self.given) {
                Ok(Some(value)) => {
                    args.insert(name.clone(), value);
                }
                Ok(None) => {}
                Err(_) if matches!(literal, Literal::Variable(_)) => {}
                Err((path, why)) => {
                    let inner = path.iter().fold(name.clone(), |all, step| format!("{all}.{step}"));
                    self.problems.push(Problem::new(
                        "argumentLiteralsIncompatible",
                        format!("Argument '{inner}' on Field '{place}' {why}"),
                        node.position,
                    ));
                }
            }
        }
        for (name, input) in known {
            if args.contains_key(name) {
                continue;
            }
            if let Some(default) = &input.default {
                args.insert(name.clone(), default.clone());
            } else if input.ty.required() && !node.arguments.iter().any(|(given, _)| given == name) {
                let problem = Problem::new(
                    "missingRequiredArguments",
                    format!("Field '{place}' is missing required arguments: {name}"),
                    node.position,
                );
                self.problems
                    .push(problem.with(json!({ "className": "Field", "name": place, "arguments": name })));
            }
        }
        args
    }

    /// Whether the field is shown, and the key of `@idempotent`.
    pub(super) fn directives(&mut self, node: &'a Node<'a, String>) -> (bool, Option<String>) {
        let (mut shown, mut key) = (true, None);
        for directive in &node.directives {
            let mut given = BTreeMap::new();
            for (name, literal) in &directive.arguments {
                self.mark(literal, directive.position);
                let value = match literal {
                    Literal::Variable(variable) => self.given.values.get(variable).cloned(),
                    other => coerce::constant(other),
                };
                given.insert(name.as_str(), value.unwrap_or(Value::Null));
            }
            let condition = given.get("if");
            // A variable without a value was complained about where it is declared.
            let yes = condition.and_then(Value::as_bool);
            match (directive.name.as_str(), condition) {
                ("include", Some(_)) => shown &= yes.unwrap_or(true),
                ("skip", Some(_)) => shown &= !yes.unwrap_or(false),
                ("idempotent", _) if given.contains_key("key") => {
                    key = given.get("key").and_then(Value::as_str).map(str::to_owned);
                }
                ("include" | "skip" | "idempotent", _) => {
                    let message = format!("Directive '{}' is missing required arguments", directive.name);
                    self.problems.push(Problem::new("missingRequiredArguments", message, directive.position));
                }
                _ => {
                    let message = format!("Directive @{} is not defined", directive.name);
                    self.problems.push(Problem::new("undefinedDirective", message, directive.position));
                }
            }
        }
        (shown, key)
    }

    /// Notes the variables that a literal uses, and those that nobody declared.
    fn mark(&mut self, literal: &Literal<'_, String>, at: Pos) {
        match literal {
            Literal::Variable(name) => {
                self.used.insert(name.clone());
                if !self.given.declared.contains_key(name.as_str())
                    && !self.problems.iter().any(|problem| problem.code == "variableRequiresValidType")
                {
                    let message = format!("Variable ${name} is used but not declared");
                    self.problems.push(Problem::new("variableNotDefined", message, at));
                }
            }
            Literal::List(items) => items.iter().for_each(|item| self.mark(item, at)),
            Literal::Object(fields) => fields.values().for_each(|value| self.mark(value, at)),
            _ => {}
        }
    }

    /// A variable's declared type must fit where it is used.
    fn position(&mut self, variable: &str, argument: &str, input: &Input, at: Pos) {
        let Some(declared) = self.given.declared.get(variable) else { return };
        let strict = !(self.with_default.contains(variable) || input.default.is_some());
        if !coerce::compatible(declared, &input.ty, strict) {
            let what = if declared.name() == input.ty.name() { "Nullability" } else { "Type" };
            let message = format!(
                "{what} mismatch on variable ${variable} and argument {argument} ({declared} / {})",
                input.ty
            );
            self.problems.push(Problem::new("variableMismatch", message, at));
        }
    }
}
