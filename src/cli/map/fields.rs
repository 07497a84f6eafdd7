//! `crossdock map fields`: what a mapping can say.

use std::process::ExitCode;

use super::unknown;
use crate::canonical::fact::{Header, KINDS};
use crate::canonical::schema::{Field, Ty};
use crate::cli::{Done, say};

pub(super) fn fields(kind: Option<&str>) -> Done {
    let partners = || KINDS.iter().filter(|info| !info.ours());
    let Some(kind) = kind else {
        for info in partners() {
            say(format_args!("{:<28} {}", info.kind.0, info.doc.trim()));
        }
        return Ok(ExitCode::SUCCESS);
    };
    let Some(info) = partners().find(|info| info.kind.0 == kind) else {
        return Err(unknown("kind of fact", kind, &partners().map(|info| info.kind.0).collect::<Vec<_>>()));
    };
    say(info.doc.trim());
    list_fields(info.fields, "");
    say("\nof every fact:");
    list_fields(Header::FIELDS, "");
    Ok(ExitCode::SUCCESS)
}

fn list_fields(fields: &[Field], around: &str) {
    for field in fields {
        let required = if field.required { ", required" } else { "" };
        let name = format!("{around}{}", field.name);
        say(format_args!("  {name:<26} {}{required}. {}", ty_name(field.ty), field.doc.trim()));
        match field.ty {
            Ty::Record(inner) => list_fields(inner, &format!("{name}.")),
            Ty::List(Ty::Record(inner)) => list_fields(inner, &format!("{name}[].")),
            _ => {}
        }
    }
}

fn ty_name(ty: Ty) -> String {
    match ty {
        Ty::Text => "text".to_owned(),
        Ty::Word(words) => format!("one of {}", words.join(", ")),
        Ty::Integer => "whole number".to_owned(),
        Ty::Quantity => "quantity".to_owned(),
        Ty::Decimal => "decimal".to_owned(),
        Ty::Money => "money".to_owned(),
        Ty::Time => "time".to_owned(),
        Ty::Bool => "yes or no".to_owned(),
        Ty::Weight => "weight".to_owned(),
        Ty::Country => "country".to_owned(),
        Ty::Currency => "currency".to_owned(),
        Ty::Record(_) => "fields".to_owned(),
        Ty::List(Ty::Record(_)) => "rows".to_owned(),
        Ty::List(inner) => format!("list of {}", ty_name(*inner)),
        Ty::Extra => "free fields of text".to_owned(),
    }
}
