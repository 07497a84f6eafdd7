//! The schema, read from its definition language.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use graphql_parser::schema::{self as sdl, Definition, TypeDefinition};
use serde_json::Value;

/// A type with its wrappers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ty {
    /// By name.
    Named(String),
    /// A list.
    List(Box<Ty>),
    /// Never null.
    NonNull(Box<Ty>),
}

impl Ty {
    /// The name inside all wrappers.
    pub fn name(&self) -> &str {
        match self {
            Self::Named(name) => name,
            Self::List(inner) | Self::NonNull(inner) => inner.name(),
        }
    }
    /// Whether null is refused.
    pub fn required(&self) -> bool {
        matches!(self, Self::NonNull(_))
    }
}

impl fmt::Display for Ty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => f.write_str(name),
            Self::List(inner) => write!(f, "[{inner}]"),
            Self::NonNull(inner) => write!(f, "{inner}!"),
        }
    }
}

impl From<&graphql_parser::query::Type<'_, String>> for Ty {
    fn from(from: &graphql_parser::query::Type<'_, String>) -> Self {
        use graphql_parser::query::Type;
        match from {
            Type::NamedType(name) => Self::Named(name.clone()),
            Type::ListType(inner) => Self::List(Box::new(Self::from(inner.as_ref()))),
            Type::NonNullType(inner) => Self::NonNull(Box::new(Self::from(inner.as_ref()))),
        }
    }
}

/// An argument, or a field of an input object.
#[derive(Debug, Clone)]
pub(crate) struct Input {
    /// Its type.
    pub ty: Ty,
    /// What stands for an absent one.
    pub default: Option<Value>,
}

/// A field of an object or interface.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    /// What it gives.
    pub ty: Ty,
    /// What it takes.
    pub args: BTreeMap<String, Input>,
}

/// What a name stands for.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    /// A leaf with free content.
    Scalar,
    /// A leaf with these words.
    Enum(BTreeSet<String>),
    /// An object, with the interfaces that it has.
    Object(BTreeMap<String, Field>, Vec<String>),
    /// An interface.
    Interface(BTreeMap<String, Field>),
    /// What arguments take.
    Input(BTreeMap<String, Input>),
}

/// All types.
#[derive(Debug)]
pub(crate) struct Schema {
    types: BTreeMap<String, Kind>,
}

impl Schema {
    /// Reads the definition language. The texts are part of this program, so an error in one is a bug that the tests find.
    pub fn read(text: &str) -> Result<Self, String> {
        let document = graphql_parser::parse_schema::<String>(text).map_err(|error| error.to_string())?;
        let mut types: BTreeMap<String, Kind> = ["String", "Int", "Float", "Boolean", "ID"]
            .into_iter()
            .map(|name| (name.to_owned(), Kind::Scalar))
            .collect();
        for definition in &document.definitions {
            let Definition::TypeDefinition(definition) = definition else { continue };
            let (name, kind) = match definition {
                TypeDefinition::Scalar(it) => (&it.name, Kind::Scalar),
                TypeDefinition::Enum(it) => {
                    (&it.name, Kind::Enum(it.values.iter().map(|value| value.name.clone()).collect()))
                }
                TypeDefinition::Object(it) => {
                    (&it.name, Kind::Object(fields(&it.fields), it.implements_interfaces.clone()))
                }
                TypeDefinition::Interface(it) => (&it.name, Kind::Interface(fields(&it.fields))),
                TypeDefinition::InputObject(it) => (&it.name, Kind::Input(inputs(&it.fields))),
                TypeDefinition::Union(it) => return Err(format!("union {} is not supported", it.name)),
            };
            types.insert(name.clone(), kind);
        }
        let schema = Self { types };
        schema.check()?;
        Ok(schema)
    }

    /// The type with this name.
    pub fn get(&self, name: &str) -> Option<&Kind> {
        self.types.get(name)
    }

    /// The fields of an object or interface.
    pub fn fields(&self, name: &str) -> Option<&BTreeMap<String, Field>> {
        match self.types.get(name)? {
            Kind::Object(fields, _) | Kind::Interface(fields) => Some(fields),
            _ => None,
        }
    }

    /// Whether a value of type `object` fits a fragment on `condition`.
    pub fn fits(&self, object: &str, condition: &str) -> bool {
        object == condition
            || matches!(self.types.get(object), Some(Kind::Object(_, interfaces)) if interfaces.iter().any(|it| it == condition))
    }

    fn check(&self) -> Result<(), String> {
        let known = |ty: &Ty, place: &str| {
            if self.types.contains_key(ty.name()) {
                Ok(())
            } else {
                Err(format!("{place}: no type {}", ty.name()))
            }
        };
        for (name, kind) in &self.types {
            match kind {
                Kind::Object(fields, _) | Kind::Interface(fields) => {
                    for (field, it) in fields {
                        known(&it.ty, &format!("{name}.{field}"))?;
                        for (arg, input) in &it.args {
                            known(&input.ty, &format!("{name}.{field}({arg})"))?;
                        }
                    }
                }
                Kind::Input(inputs) => {
                    for (field, input) in inputs {
                        known(&input.ty, &format!("{name}.{field}"))?;
                    }
                }
                Kind::Scalar | Kind::Enum(_) => {}
            }
        }
        Ok(())
    }
}

fn fields(from: &[sdl::Field<'_, String>]) -> BTreeMap<String, Field> {
    from.iter()
        .map(|field| {
            (field.name.clone(), Field { ty: Ty::from(&field.field_type), args: inputs(&field.arguments) })
        })
        .collect()
}

fn inputs(from: &[sdl::InputValue<'_, String>]) -> BTreeMap<String, Input> {
    from.iter()
        .map(|input| {
            let default = input.default_value.as_ref().and_then(super::coerce::constant);
            (input.name.clone(), Input { ty: Ty::from(&input.value_type), default })
        })
        .collect()
}
