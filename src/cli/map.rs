//! `crossdock map run|test|explain|fields|remember`.

use std::fs;
use std::io::Read as _;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::{Done, Failure, Globals, complain, files, say};
use crate::canonical::AccountId;
use crate::canonical::fact::{Header, KINDS};
use crate::canonical::schema::{Field, Ty};
use crate::config::Sources;
use crate::connector::manifest::TopicAction;
use crate::connector::{Connector, webhook};
use crate::diagnostic::nearest;
use crate::map::{Context, Inbound, Outbound, SyntaxKind, explain, test};

/// See [`super::Cli`].
#[derive(Debug, Args)]
pub struct Map {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Map one payload and print its facts as a JSON array; of an outbound mapping the body that it makes.
    Run {
        #[command(flatten)]
        input: Input,
    },
    /// Run the tests that stand in the mappings.
    Test {
        /// One connector, or one of its mappings: `shopify`, `shopify/order`.
        which: Option<String>,
        /// Also tell which facts and fields no test shows.
        #[arg(long)]
        lint: bool,
    },
    /// List the kinds of facts, or the fields of one of them.
    Fields {
        /// The kind: `order.placed`.
        kind: Option<String>,
    },
    /// Print what an overlay replaces, to paste below its `[overlay]`: a later change of those rules then warns.
    Remember {
        /// The overlay: `mappings/clients/acme/shopify/order.toml`.
        overlay: String,
    },
    /// Tell for every field which rule and which path gave its value, or why it is empty.
    Explain {
        #[command(flatten)]
        input: Input,
        /// Only fields whose name contains this.
        #[arg(long)]
        field: Option<String>,
        /// Print a JSON object.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
struct Input {
    /// The connector.
    connector: String,
    /// The webhook's topic (`orders/create`), or the name of a mapping (`order`).
    topic: String,
    /// The payload; `-` for stdin.
    file: String,
    /// Map it as this account would: its zone, its client's and its own overlays.
    #[arg(long)]
    account: Option<String>,
}

impl Map {
    /// 0 when the payload could be mapped or all tests pass, 1 otherwise.
    ///
    /// # Errors
    /// When there is no such connector, mapping, account or file.
    pub fn run(self, globals: &Globals) -> Done {
        match self.what {
            What::Run { input } => run(globals, &input),
            What::Test { which, lint } => {
                let (sources, _) = files::read_dir_over(crate::config::embedded(), &globals.config);
                tests(&sources, which.as_deref(), lint)
            }
            What::Fields { kind } => fields(kind.as_deref()),
            What::Remember { overlay } => {
                let (sources, _) = files::read_dir_over(crate::config::embedded(), &globals.config);
                remember(&sources, &overlay)
            }
            What::Explain { input, field, json } => {
                let (mapping, context, payload) = prepare(globals, &input)?;
                let Mapping::In(inbound) = mapping else {
                    return Err(Failure("only mappings of what a partner says can be explained".to_owned()));
                };
                let Some(inbound) = inbound else { return Ok(ignored(&input.topic)) };
                let node = inbound.read(&payload)?;
                let mut told = explain::explain(&inbound, &node, &context);
                if let Some(part) = &field {
                    told.facts
                        .iter_mut()
                        .for_each(|fact| fact.fields.retain(|f| f.field.contains(part.as_str())));
                }
                if json {
                    say(serde_json::to_string_pretty(&told)?);
                } else {
                    show(&told, field.is_some());
                }
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

/// What a topic or name stands for.
enum Mapping {
    /// What the partner says; none for a topic that the manifest ignores.
    In(Option<Arc<Inbound>>),
    Out(Arc<Outbound>),
}

fn run(globals: &Globals, input: &Input) -> Done {
    let (mapping, context, payload) = prepare(globals, input)?;
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
            for error in &mapped.errors {
                complain(format_args!("{}: {}", error.cause, error.message));
                if let Some(help) = &error.help {
                    complain(format_args!("    {help}"));
                }
            }
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
                        complain(format_args!("{}: {}", error.cause, error.message));
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
                    complain(format_args!("{}: {}", error.cause, error.message));
                    Ok(ExitCode::FAILURE)
                }
            }
        }
    }
}

fn ignored(topic: &str) -> ExitCode {
    complain(format_args!("the manifest ignores the topic `{topic}`"));
    ExitCode::SUCCESS
}

fn prepare(globals: &Globals, input: &Input) -> Result<(Mapping, Context, Vec<u8>), Failure> {
    let payload = if input.file == "-" {
        let mut bytes = Vec::new();
        std::io::stdin().lock().read_to_end(&mut bytes)?;
        bytes
    } else {
        fs::read(&input.file).map_err(|error| Failure(format!("{}: {error}", input.file)))?
    };
    let (mapping, context) = find(globals, input)?;
    Ok((mapping, context, payload))
}

fn find(globals: &Globals, input: &Input) -> Result<(Mapping, Context), Failure> {
    let (registry, world, sources, problems) = if input.account.is_some() {
        let loaded = files::load(&globals.config);
        let Some(world) = loaded.world else {
            loaded.problems.iter().for_each(super::check::print);
            return Err(Failure("the config is wrong, so there is no account to map for".to_owned()));
        };
        (world.registry.clone(), Some(world), loaded.sources, loaded.problems)
    } else {
        // A payload can be tried before there is a config.
        let (sources, _) = files::read_dir_over(crate::config::embedded(), &globals.config);
        let (registry, problems) = crate::connector::load(&sources);
        (registry, None, sources, problems)
    };
    let connector = registry.get(&input.connector);
    let wanted = match connector {
        Some(connector) => mapping_of(connector, &input.topic),
        None => Some(input.topic.clone()),
    };
    let Some(name) = wanted else { return Ok((Mapping::In(None), Context::default())) };
    let mut context = Context::default();
    if let Some(connector) = connector {
        context.exponents.clone_from(&connector.manifest.exponents);
    }
    let (mut client, mut account) = (None, None);
    if let (Some(world), Some(id)) = (&world, &input.account) {
        let id = AccountId(id.clone());
        let Some(found) = world.config.accounts.get(&id) else {
            let known: Vec<&str> = world.config.accounts.keys().map(AccountId::as_str).collect();
            return Err(unknown("account", id.as_str(), &known));
        };
        context.zone.clone_from(&found.zone);
        context.currency.clone_from(&found.currency);
        client.clone_from(&found.client);
        account = Some(id);
    }
    let no_account = AccountId::default();
    let account = account.as_ref().unwrap_or(&no_account);
    if let Some(inbound) = registry.inbound_for(&input.connector, &name, client.as_ref(), account) {
        return Ok((Mapping::In(Some(inbound)), context));
    }
    if let Some(outbound) = registry.outbound_for(&input.connector, &name, client.as_ref(), account) {
        return Ok((Mapping::Out(outbound), context));
    }
    // Perhaps it is there and broken, or its connector is: then say how.
    let broken: Vec<_> = problems.iter().filter(|found| found.file.contains(&format!("/{name}."))).collect();
    for found in &broken {
        super::check::print(found);
    }
    if connector.is_none()
        && let Ok(inbound) = Inbound::compile(&sources, &input.connector, &name, &[])
    {
        return Ok((Mapping::In(Some(Arc::new(inbound))), context));
    }
    let all = test::mappings(&sources);
    if !all.iter().any(|(connector, _)| *connector == input.connector) {
        let mut known: Vec<&str> = all.iter().map(|(connector, _)| connector.as_str()).collect();
        known.dedup();
        return Err(unknown("connector", &input.connector, &known));
    }
    if !broken.is_empty() {
        return Err(Failure(format!("the mapping `{}/{name}` is wrong", input.connector)));
    }
    let known: Vec<&str> = all
        .iter()
        .filter(|(connector, _)| *connector == input.connector)
        .map(|(_, name)| name.as_str())
        .collect();
    Err(unknown("topic or mapping", &input.topic, &known))
}

/// The mapping for a topic or a name; `None` when the manifest ignores the topic.
fn mapping_of(connector: &Connector, topic: &str) -> Option<String> {
    if connector.inbound.contains_key(topic) || connector.outbound.contains_key(topic) {
        return Some(topic.to_owned());
    }
    let manifest = &connector.manifest;
    match manifest.webhook.as_ref().and_then(|hook| webhook::action(hook, topic)) {
        Some(TopicAction::Map(mapping)) => Some(mapping),
        Some(TopicAction::Ignore) => None,
        Some(TopicAction::Reread { read, .. }) => {
            let mapping = manifest.reads.get(&read).and_then(|read| read.mapping.clone());
            Some(mapping.unwrap_or_else(|| topic.to_owned()))
        }
        None => {
            // Polls, reads and commands lend their mappings their names.
            let read = manifest.polls.get(topic).or_else(|| manifest.reads.get(topic));
            Some(read.and_then(|read| read.mapping.clone()).unwrap_or_else(|| topic.to_owned()))
        }
    }
}

fn unknown(what: &str, given: &str, known: &[&str]) -> Failure {
    Failure(match nearest(given, known.iter().copied()) {
        Some(near) => format!("there is no {what} `{given}`; did you mean `{near}`?"),
        None => format!("there is no {what} `{given}`; known: {}", known.join(", ")),
    })
}

fn tests(sources: &Sources, which: Option<&str>, lint: bool) -> Done {
    let (connector, mapping) = match which.map(|which| which.split_once('/').unwrap_or((which, ""))) {
        Some((connector, "")) => (Some(connector), None),
        Some((connector, mapping)) => (Some(connector), Some(mapping)),
        None => (None, None),
    };
    let all = test::mappings(sources);
    let chosen: Vec<_> = all
        .iter()
        .filter(|(c, m)| connector.is_none_or(|name| name == c) && mapping.is_none_or(|name| name == m))
        .collect();
    if let (true, Some(which)) = (chosen.is_empty(), which) {
        let known: Vec<String> = all.iter().map(|(c, m)| format!("{c}/{m}")).collect();
        return Err(unknown("mapping", which, &known.iter().map(String::as_str).collect::<Vec<_>>()));
    }
    let (mut passed, mut failed) = (0_usize, 0_usize);
    for (connector, mapping) in chosen {
        for outcome in test::run_tests(sources, connector, mapping) {
            if outcome.passed() {
                passed += 1;
                continue;
            }
            failed += 1;
            say(format_args!("{} {}: {}", outcome.place, outcome.mapping, outcome.input));
            outcome.differences.iter().for_each(|line| say(format_args!("    {line}")));
        }
        if lint {
            test::lint(sources, connector, mapping).iter().for_each(super::check::print);
        }
    }
    say(format_args!("{passed} passed, {failed} failed"));
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn fields(kind: Option<&str>) -> Done {
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

fn remember(sources: &Sources, overlay: &str) -> Done {
    let steps: Vec<&str> = overlay.strip_suffix(".toml").unwrap_or(overlay).split('/').collect();
    let ["mappings", "clients" | "accounts", _, connector, name] = steps.as_slice() else {
        return Err(Failure(format!(
            "`{overlay}` is no overlay: expected mappings/clients/<client>/<connector>/<mapping>.toml"
        )));
    };
    match crate::map::replaced_by(sources, connector, name, overlay) {
        Ok(replaced) => {
            let rules: Vec<String> =
                replaced.iter().map(|(rule, digest)| format!("\"{rule}\" = \"{digest}\"")).collect();
            say(format_args!("was = {{ {} }}", rules.join(", ")));
            Ok(ExitCode::SUCCESS)
        }
        Err(problems) => {
            problems.iter().for_each(super::check::print);
            Ok(ExitCode::FAILURE)
        }
    }
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
