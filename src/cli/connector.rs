//! `crossdock connector list|show`.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{Done, Failure, Globals, files, say, unknown};
use crate::config::Sources;
use crate::connector::Registry;
use crate::connector::manifest::{Auth, Manifest, Once, Signature, TopicAction};

/// See [`super::Cli`].
#[derive(Debug, Args)]
pub struct Connector {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// All connectors: what they serve and where they come from; then partners of whom only mappings are there.
    List {
        /// Print a JSON array.
        #[arg(long)]
        json: bool,
    },
    /// What one connector says: settings, secrets, limits, webhooks, polls, commands, mappings.
    Show {
        /// The connector's name.
        name: String,
        /// Print a JSON object.
        #[arg(long)]
        json: bool,
    },
}

impl Connector {
    /// 0, or 1 when there is no such connector.
    ///
    /// # Errors
    /// When there is no such connector.
    pub fn run(self, globals: &Globals) -> Done {
        // Connectors can be looked at before there is a config.
        let (sources, _) = files::read_dir_over(crate::config::embedded(), &globals.config);
        let (registry, problems) = crate::connector::load(&sources);
        match self.what {
            What::List { json } => list(&sources, &registry, json)?,
            What::Show { name, json } => {
                let Some(connector) = registry.get(&name) else {
                    problems.iter().filter(|found| found.file.contains(&name)).for_each(super::check::print);
                    let known: Vec<&str> = registry.names().collect();
                    return Err(unknown("connector", &name, &known));
                };
                let mut shown = describe(&connector.manifest);
                shown["origin"] = json!(origin(&sources, &name));
                shown["mappings"] = json!({
                    "in": connector.inbound.keys().collect::<Vec<_>>(),
                    "out": connector.outbound.keys().collect::<Vec<_>>(),
                });
                if json { say(serde_json::to_string_pretty(&shown)?) } else { outline(&shown, 0) }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn list(sources: &Sources, registry: &Registry, as_json: bool) -> Result<(), Failure> {
    if as_json {
        let all: Vec<Value> = registry
            .all()
            .map(|connector| {
                let manifest = &connector.manifest;
                json!({ "name": manifest.name, "title": manifest.title, "serves": manifest.serves,
                        "origin": origin(sources, &manifest.name) })
            })
            .chain(mappings_only(sources, registry).into_iter().map(|(name, mappings)| {
                json!({ "name": name, "serves": [], "mappings": mappings, "origin": origin(sources, &name) })
            }))
            .collect();
        say(serde_json::to_string_pretty(&all)?);
        return Ok(());
    }
    for connector in registry.all() {
        let Manifest { name, title, serves, commands, .. } = &connector.manifest;
        let commands: Vec<&str> = commands.keys().map(String::as_str).collect();
        say(format_args!("{name:<12} {title:<16} {:<12} {}", serves.join(", "), commands.join(" ")));
    }
    for (name, mappings) in mappings_only(sources, registry) {
        say(format_args!("{name:<16} mappings only: {}", mappings.join(" ")));
    }
    Ok(())
}

/// Partners whose payloads can be mapped (`crossdock map run`), but that have no manifest yet.
fn mappings_only(sources: &Sources, registry: &Registry) -> Vec<(String, Vec<String>)> {
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    for (name, mapping) in crate::map::test::mappings(sources) {
        match found.last_mut() {
            Some((known, mappings)) if *known == name => mappings.push(mapping),
            _ if registry.get(&name).is_none() => found.push((name, vec![mapping])),
            _ => {}
        }
    }
    found
}

/// `shipped`, or `local` when a file beside the config replaces or adds something.
fn origin(sources: &Sources, name: &str) -> &'static str {
    let shipped = crate::config::embedded();
    let same = [format!("connectors/{name}/"), format!("mappings/{name}/")]
        .iter()
        .all(|folder| sources.under(folder).eq(shipped.under(folder)));
    if same { "shipped" } else { "local" }
}

fn describe(manifest: &Manifest) -> Value {
    let auth = match &manifest.auth {
        Auth::None
            if manifest.http.headers.values().any(|header| header.to_string().contains("{secret.")) =>
        {
            "header"
        }
        Auth::None => "none",
        Auth::Bearer { .. } => "bearer",
        Auth::Basic { .. } => "basic",
        Auth::OAuth2 { .. } => "oauth2",
    };
    let settings = manifest.settings.iter().map(|(name, setting)| {
        (
            name.clone(),
            json!({ "doc": setting.doc, "default": setting.default, "required": setting.default.is_none() }),
        )
    });
    let secrets = manifest.secrets.iter().map(|(name, secret)| {
        (name.clone(), json!({ "doc": secret.doc, "several": secret.several, "optional": secret.optional }))
    });
    let limits = manifest.limits.iter().map(|(name, limit)| {
        let refill = format!("{}/{:?}", limit.refill, limit.per);
        (
            name.clone(),
            json!({ "size": limit.size, "refill": refill, "cost": limit.cost, "applies": limit.applies }),
        )
    });
    let webhook = manifest.webhook.as_ref().map(|webhook| {
        let signature = match &webhook.signature {
            Signature::None { why } => json!({ "scheme": "none", "why": why }),
            Signature::Hmac(scheme) => json!({
                "scheme": format!("hmac-{:?}", scheme.digest).to_lowercase(), "header": scheme.headers,
                "signed": scheme.signed.to_string(), "secret": scheme.secret,
                "tolerance_seconds": scheme.tolerance.map(|tolerance| tolerance.as_secs()),
            }),
        };
        let topics = webhook.topics.iter().map(|(pattern, action)| {
            let action = match action {
                TopicAction::Map(mapping) => mapping.clone(),
                TopicAction::Ignore => "ignore".to_owned(),
                TopicAction::Reread { read, id } => format!("reread {read} by {id}"),
            };
            (pattern.clone(), Value::String(action))
        });
        json!({ "topic": webhook.topic.to_string(), "event_id": webhook.event_id.as_ref().map(ToString::to_string),
                "signature": signature, "topics": topics.collect::<serde_json::Map<_, _>>() })
    });
    let polls = manifest.polls.iter().map(|(name, poll)| {
        (
            name.clone(),
            json!({ "every_seconds": poll.every.as_secs(), "mapping": poll.mapping, "items": poll.items }),
        )
    });
    let commands = manifest.commands.iter().map(|(name, command)| {
        let once = match &command.once {
            Once::Repeatable => "repeat".to_owned(),
            Once::Key { header, ttl, .. } => format!("key in {header} for {} h", ttl.as_secs() / 3600),
            Once::Find(find) => format!("find by {}", find.read),
            Once::Never => "never again".to_owned(),
        };
        let out =
            json!({ "out": command.out, "answer": command.answer, "once": once, "needs": command.needs });
        (name.clone(), out)
    });
    json!({
        "name": manifest.name,
        "title": manifest.title,
        "serves": manifest.serves,
        "base": manifest.http.base.to_string(),
        "auth": auth,
        "settings": settings.collect::<serde_json::Map<_, _>>(),
        "secrets": secrets.collect::<serde_json::Map<_, _>>(),
        "limits": limits.collect::<serde_json::Map<_, _>>(),
        "webhook": webhook,
        "polls": polls.collect::<serde_json::Map<_, _>>(),
        "reads": manifest.reads.keys().collect::<Vec<_>>(),
        "commands": commands.collect::<serde_json::Map<_, _>>(),
        "error_rules": manifest.errors.len(),
    })
}

/// Prints an object as an indented outline.
fn outline(value: &Value, depth: usize) {
    let pad = "  ".repeat(depth);
    let Value::Object(fields) = value else { return };
    for (name, field) in fields {
        match field {
            Value::Null => {}
            Value::Object(inner) if inner.is_empty() => {}
            Value::Object(_) => {
                say(format_args!("{pad}{name}"));
                outline(field, depth + 1);
            }
            Value::Array(items) if items.is_empty() => {}
            Value::Array(items) => {
                let items: Vec<String> = items.iter().map(plain).collect();
                say(format_args!("{pad}{name}: {}", items.join(", ")));
            }
            other if plain(other).is_empty() => {}
            other => say(format_args!("{pad}{name}: {}", plain(other))),
        }
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partners_without_a_manifest_are_told_apart() {
        let sources = crate::config::embedded();
        let (registry, _) = crate::connector::load(&sources);
        let found = mappings_only(&sources, &registry);
        let square = found.iter().find(|(name, _)| name == "square").map(|(_, mappings)| mappings.join(" "));
        assert_eq!(square.as_deref(), Some("inventory order payment"));
        assert!(found.iter().all(|(name, _)| registry.get(name).is_none()));
    }
}
