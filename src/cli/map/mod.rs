//! `crossdock map`: everything about mappings, one file a group of subcommands.

mod diff;
mod fields;
mod new;
mod overlays;
mod run;
mod sample;
mod tests;

use std::fs;
use std::io::Read as _;
use std::sync::Arc;

use clap::{Args, Subcommand};

use super::{Done, Failure, Globals, check, files, unknown};
use crate::canonical::{AccountId, ClientId};
use crate::config::Sources;
use crate::connector::manifest::TopicAction;
use crate::connector::{Connector, webhook};
use crate::map::{Context, Inbound, Outbound, show, test};

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
    Test(tests::Test),
    /// Tell for every field which rule and which path gave its value, or why it is empty; and what nothing reads.
    Explain(run::Explain),
    /// Print the effective mapping of a client or an account, each rule with the file from which it comes.
    Show(overlays::Show),
    /// Run changed mappings over recorded messages and tell what would come out differently: 0 nothing, 1 something, 2 error.
    Diff(diff::Diff),
    /// Print a JSON payload without the persons in it, to keep as a test: what the mapping reads for something that is not
    /// personal stays; of all else only the shape.
    Sample {
        #[command(flatten)]
        input: Input,
    },
    /// Find what works, but probably not as meant.
    Lint(tests::Lint),
    /// Propose a first mapping from sample payloads: it compiles and runs, and says where a person must decide.
    New(new::New),
    /// Print the JSON Schema of a kind of file, for editors.
    Schema {
        /// `in`, `out`, `overlay`, `manifest` or `config`.
        file: String,
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
    /// With the overlays of this client; for an account that several clients share.
    #[arg(long)]
    client: Option<String>,
}

impl Map {
    /// 0 when the payload could be mapped or all tests pass, 1 otherwise.
    ///
    /// # Errors
    /// When there is no such connector, mapping, account or file.
    pub fn run(self, globals: &Globals) -> Done {
        match self.what {
            What::Run { input } => run::run(globals, &input),
            What::Test(command) => command.run(globals),
            What::Explain(command) => command.run(globals),
            What::Show(command) => command.run(globals),
            What::Sample { input } => sample::run(globals, &input),
            What::Diff(command) => Ok(command.run(globals)),
            What::Lint(command) => command.run(globals),
            What::New(command) => command.run(globals),
            What::Schema { file } => new::schema(&file),
            What::Fields { kind } => fields::fields(kind.as_deref()),
            What::Remember { overlay } => overlays::remember(&sources(globals), &overlay),
        }
    }
}

/// The shipped files with those beside the config over them.
fn sources(globals: &Globals) -> Sources {
    let (sources, problems) = files::read_dir_over(crate::config::embedded(), &globals.config);
    // Mappings can be tried before there is a config; what cannot be read of the rest is told.
    let config = globals.config.display().to_string();
    problems.iter().filter(|found| found.file != config).for_each(check::print);
    sources
}

/// What a topic or name stands for.
enum Mapping {
    /// What the partner says; none for a topic that the manifest ignores.
    In(Option<Arc<Inbound>>),
    Out(Arc<Outbound>),
}

/// A payload, and what to do with it.
struct Prepared {
    mapping: Mapping,
    /// The mapping's name.
    name: String,
    client: Option<ClientId>,
    account: Option<AccountId>,
    context: Context,
    payload: Vec<u8>,
    sources: Sources,
}

fn prepare(globals: &Globals, input: &Input) -> Result<Prepared, Failure> {
    let payload = if input.file == "-" {
        let mut bytes = Vec::new();
        std::io::stdin().lock().read_to_end(&mut bytes)?;
        bytes
    } else {
        fs::read(&input.file).map_err(|error| Failure(format!("{}: {error}", input.file)))?
    };
    find(globals, input, payload)
}

fn find(globals: &Globals, input: &Input, payload: Vec<u8>) -> Result<Prepared, Failure> {
    let (registry, world, sources, problems) = if input.account.is_some() {
        let loaded = files::load(&globals.config);
        let Some(world) = loaded.world else {
            loaded.problems.iter().for_each(check::print);
            return Err(Failure("the config is wrong, so there is no account to map for".to_owned()));
        };
        (world.registry.clone(), Some(world), loaded.sources, loaded.problems)
    } else {
        // A payload can be tried before there is a config.
        let sources = sources(globals);
        let (registry, problems) = crate::connector::load(&sources);
        (registry, None, sources, problems)
    };
    let connector = registry.get(&input.connector);
    let wanted = match connector {
        Some(connector) => mapping_of(connector, &input.topic),
        None => Some(input.topic.clone()),
    };
    let mut prepared = Prepared {
        mapping: Mapping::In(None),
        name: wanted.clone().unwrap_or_default(),
        client: input.client.as_deref().map(ClientId::from),
        account: None,
        context: Context::default(),
        payload,
        sources,
    };
    let Some(name) = wanted else { return Ok(prepared) };
    if let Some(connector) = connector {
        prepared.context.exponents.clone_from(&connector.manifest.exponents);
    }
    if let (Some(world), Some(id)) = (&world, &input.account) {
        let id = AccountId(id.clone());
        let Some(found) = world.config.accounts.get(&id) else {
            let known: Vec<&str> = world.config.accounts.keys().map(AccountId::as_str).collect();
            return Err(unknown("account", id.as_str(), &known));
        };
        prepared.context.zone.clone_from(&found.zone);
        prepared.context.currency.clone_from(&found.currency);
        prepared.context.account = Some(id.0.clone());
        prepared.client = prepared.client.or_else(|| found.client.clone());
        prepared.account = Some(id);
    }
    let no_account = AccountId::default();
    let account = prepared.account.as_ref().unwrap_or(&no_account);
    let client = prepared.client.as_ref();
    if let Some(inbound) = registry.inbound_for(&input.connector, &name, client, account) {
        return Ok(Prepared { mapping: Mapping::In(Some(inbound)), ..prepared });
    }
    if let Some(outbound) = registry.outbound_for(&input.connector, &name, client, account) {
        return Ok(Prepared { mapping: Mapping::Out(outbound), ..prepared });
    }
    // Perhaps it is there and broken, or its connector is: then say how.
    let broken: Vec<_> = problems.iter().filter(|found| found.file.contains(&format!("/{name}."))).collect();
    for found in &broken {
        check::print(found);
    }
    if connector.is_none()
        && let Some(mapping) =
            alone(&prepared.sources, &input.connector, &name, client, prepared.account.as_ref())?
    {
        return Ok(Prepared { mapping, ..prepared });
    }
    if !broken.is_empty() {
        return Err(Failure(format!("the mapping `{}/{name}` is wrong", input.connector)));
    }
    known(&prepared.sources, &input.connector, &input.topic)?;
    Err(Failure(format!("the mapping `{}/{name}` cannot be used", input.connector)))
}

/// A mapping of a partner that has no connector yet, with its overlays; none if there is no such file.
fn alone(
    sources: &Sources,
    connector: &str,
    name: &str,
    client: Option<&ClientId>,
    account: Option<&AccountId>,
) -> Result<Option<Mapping>, Failure> {
    let overlays = show::overlays(sources, connector, name, client, account);
    let there = |suffix| sources.get(&format!("mappings/{connector}/{name}{suffix}")).is_some();
    let compiled = if there(".in.toml") {
        let inbound = Inbound::compile(sources, connector, name, &overlays);
        inbound.map(|inbound| Mapping::In(Some(Arc::new(inbound))))
    } else if there(".out.toml") {
        let outbound = Outbound::compile(sources, connector, name, &overlays);
        outbound.map(|outbound| Mapping::Out(Arc::new(outbound)))
    } else {
        return Ok(None);
    };
    compiled.map(Some).map_err(|problems| {
        problems.iter().for_each(check::print);
        Failure(format!("the mapping `{connector}/{name}` is wrong"))
    })
}

/// That there is such a mapping; otherwise an error that names the nearest.
fn known(sources: &Sources, connector: &str, mapping: &str) -> Result<(), Failure> {
    let all = test::mappings(sources);
    if !all.iter().any(|(name, _)| name == connector) {
        let mut known: Vec<&str> = all.iter().map(|(connector, _)| connector.as_str()).collect();
        known.dedup();
        return Err(unknown("connector", connector, &known));
    }
    let known: Vec<&str> =
        all.iter().filter(|(name, _)| name == connector).map(|(_, name)| name.as_str()).collect();
    if known.contains(&mapping) { Ok(()) } else { Err(unknown("topic or mapping", mapping, &known)) }
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
