//! `crossdock map run|explain`: one payload.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::{Input, Mapping, prepare};
use crate::cli::{Done, Failure, Globals, client, complain, say};
use crate::map::{RecordError, SyntaxKind, explain, show};

/// See [`super::Map`].
#[derive(Debug, Args)]
pub struct Explain {
    #[command(flatten)]
    input: Input,
    /// Only the field of this name; where there is none, those whose name contains it.
    #[arg(long)]
    field: Option<String>,
    /// Print a JSON object.
    #[arg(long)]
    json: bool,
}

impl Explain {
    /// 0 when the payload could be read.
    pub(super) fn run(self, globals: &Globals) -> Done {
        let prepared = prepare(globals, &self.input)?;
        let Mapping::In(inbound) = prepared.mapping else {
            return Err(Failure("only mappings of what a partner says can be explained".to_owned()));
        };
        let Some(inbound) = inbound else { return Ok(ignored(&self.input.topic)) };
        let node = inbound.read(&prepared.payload)?;
        let mut told = explain::explain(&inbound, &node, &prepared.context);
        let sources = prepared.sources;
        let (connector, name) = (self.input.connector.as_str(), prepared.name.as_str());
        let overlays =
            show::overlays(&sources, connector, name, prepared.client.as_ref(), prepared.account.as_ref());
        if let Ok(shown) = show::show(&sources, &crate::config::embedded(), connector, name, &overlays) {
            told.add_rules(&shown);
        }
        if let Some(part) = &self.field {
            told.only(part);
            if told.facts.is_empty() {
                complain(format_args!("no fact has a field `{part}`; `crossdock map fields` lists them"));
            }
        }
        if self.json {
            client::json(&told)?;
        } else {
            show(&told, self.field.is_some());
        }
        Ok(ExitCode::SUCCESS)
    }
}

pub(super) fn run(globals: &Globals, input: &Input) -> Done {
    let super::Prepared { mapping, context, payload, .. } = prepare(globals, input)?;
    match mapping {
        Mapping::In(None) => {
            say("[]");
            Ok(ignored(&input.topic))
        }
        Mapping::In(Some(inbound)) => {
            let node = match inbound.read(&payload) {
                Ok(node) => node,
                Err(error) => {
                    say("[]");
                    let title = inbound.syntax().kind.title();
                    return Err(Failure(format!("{}: no {title}: {error}", input.file)));
                }
            };
            let mapped = inbound.run(&node, &context);
            let facts: Vec<Value> = mapped.facts.iter().map(crate::map::MappedFact::to_json).collect();
            say(serde_json::to_string_pretty(&facts)?);
            mapped.errors.iter().for_each(tell);
            if mapped.nothing {
                complain("the message means nothing, and that is in order");
            }
            let failed = facts.is_empty() && !mapped.errors.is_empty();
            Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
        }
        Mapping::Out(outbound) => {
            let source: Value = serde_json::from_slice(&payload)?;
            if outbound.syntax().kind != SyntaxKind::Json {
                return match outbound.bytes(&source, &context) {
                    Ok(body) => {
                        say(String::from_utf8_lossy(&body).trim_end());
                        Ok(ExitCode::SUCCESS)
                    }
                    Err(error) => {
                        tell(&error);
                        Ok(ExitCode::FAILURE)
                    }
                };
            }
            match outbound.encode_with(&source, &context) {
                Ok(body) => {
                    say(serde_json::to_string_pretty(&body)?);
                    Ok(ExitCode::SUCCESS)
                }
                Err(error) => {
                    tell(&error);
                    Ok(ExitCode::FAILURE)
                }
            }
        }
    }
}

/// An error of a payload, and what to do about it.
fn tell(error: &RecordError) {
    complain(format_args!("{}: {}", error.cause, error.message));
    if let Some(help) = &error.help {
        complain(format_args!("    {help}"));
    }
}

fn ignored(topic: &str) -> ExitCode {
    complain(format_args!("the manifest ignores the topic `{topic}`"));
    ExitCode::SUCCESS
}

fn show(told: &explain::Explanation, only_fields: bool) {
    say(&told.mapping);
    for fact in &told.facts {
        if only_fields && fact.fields.is_empty() {
            continue;
        }
        match &fact.silent {
            Some(why) => say(format_args!("\n{} does not fire: {why}  [{}]", fact.rule, fact.place)),
            None => say(format_args!("\n{}  [{}]", fact.rule, fact.place)),
        }
        // What the mapping never gives comes last and short.
        let (ruled, unruled): (Vec<_>, Vec<_>) = fact.fields.iter().partition(|field| field.place.is_some());
        ruled.iter().for_each(say);
        if !unruled.is_empty() {
            let names: Vec<&str> = unruled.iter().map(|field| field.field.as_str()).collect();
            say(format_args!("  no rule for: {}", names.join(", ")));
        }
    }
    for error in &told.errors {
        say(format_args!("\n{}: {}", error.cause, error.message));
        if let Some(help) = &error.help {
            say(format_args!("    {help}"));
        }
    }
    if !only_fields && !told.unread.is_empty() {
        say("\nnot read:");
        for unread in &told.unread {
            say(format_args!("  {} ({})", unread.path, unread.example));
        }
    }
}
