//! Mappings for people: what there is, what a changed text makes of a sample, and what it would have made of recorded
//! messages. The API and the console share it.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::Value;

use super::Shared;
use super::api::generations;
use super::error::ApiError;
use crate::canonical::{AccountId, ClientId};
use crate::config::{Sources, World, embedded};
use crate::diagnostic::{Diagnostic, Severity};
use crate::generation::{Change, ChangeError, Outcome};
use crate::map::diff::{Report, Sides};
use crate::map::explain::{Explanation, explain};
use crate::map::show::{self, Shown};
use crate::map::test::{self, TestOutcome};
use crate::map::{Context, Inbound, MappedFact, Outbound, RecordError, SyntaxKind};
use crate::ports::{ASKED, ExceptionQuery, MessageQuery, Store, StoreError};

/// Messages that one comparison looks at, at most.
const MOST_MESSAGES: u64 = 20_000;
/// Messages read at once.
const PAGE: usize = 200;

/// Changed files: path to new text, or to none where the file is taken away.
pub type Files = BTreeMap<String, Option<String>>;

/// A mapping, and for whom.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Which {
    /// The connector.
    pub connector: String,
    /// The mapping's name.
    pub name: String,
    /// With this client's overlay.
    pub client: Option<ClientId>,
    /// As this account has it.
    pub account: Option<AccountId>,
}

/// A mapping in the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The connector.
    pub connector: String,
    /// The mapping.
    pub mapping: String,
    /// Whether it reads what the partner says.
    pub inbound: bool,
    /// Whether the file stands beside the config instead of coming with Crossdock.
    pub own: bool,
    /// The overlays that there are of it: paths.
    pub overlays: Vec<String>,
    /// Tests that pass.
    pub passed: usize,
    /// Tests that fail; a mapping that cannot be compiled counts as one.
    pub failed: usize,
    /// Open exceptions that wait for it.
    pub waiting: u64,
}

/// What a mapping makes of a sample.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Tried {
    /// Errors and warnings of the files.
    pub problems: Vec<Diagnostic>,
    /// The facts of an inbound mapping.
    pub facts: Vec<Value>,
    /// The body of an outbound one.
    pub body: Option<Value>,
    /// What could not be mapped.
    pub errors: Vec<RecordError>,
    /// The message means nothing, and that is in order.
    pub nothing: bool,
    /// Where each field comes from.
    pub explanation: Option<Explanation>,
    /// Why the sample cannot be read.
    pub unreadable: Option<String>,
    /// Tests that fail.
    pub failed: Vec<TestOutcome>,
    /// How many pass.
    pub passed: usize,
}

impl Tried {
    /// Whether the files are fit to be put into force.
    #[must_use]
    pub fn sound(&self) -> bool {
        self.failed.is_empty() && self.problems.iter().all(|found| found.severity != Severity::Error)
    }
}

/// The files in force; without files of its own the daemon has the shipped ones.
#[must_use]
pub fn active(web: &Shared) -> Arc<Sources> {
    web.generations.as_ref().map_or_else(|| Arc::new(embedded()), |generations| generations.sources())
}

/// What became of a mapping or an overlay that a person wants in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Activation {
    /// It was written beside the config and is in force, as this generation.
    Activated(String),
    /// It is in force already.
    Unchanged,
    /// What was in force stays, because of this.
    Refused(Vec<String>),
}

/// Takes a mapping or an overlay: checked whole with everything else, its tests run, written beside the config and put
/// into force together. `base` is the generation that the person saw.
///
/// # Errors
/// When the file is none of a mapping, cannot be written, or the store cannot be reached.
pub async fn activate(
    web: &Shared,
    file: &str,
    text: &str,
    base: Option<String>,
) -> Result<Activation, ApiError> {
    let toml = std::path::Path::new(file).extension().is_some_and(|extension| extension == "toml");
    if !file.starts_with("mappings/") || !toml {
        return Err(ApiError::bad(format!("`{file}` is no file of a mapping")));
    }
    let generations = generations(web)?;
    let known = generations.sources();
    if let Some(place) = generations.place(file) {
        let there = tokio::task::spawn_blocking(move || std::fs::read_to_string(place).ok()).await;
        let known = known.get(file).filter(|text| embedded().get(file) != Some(text));
        if there.is_ok_and(|there| there.is_some() && there.as_deref() != known) {
            let why = "the file on disk is another than the one in force: it was refused, or is just being read. Look at it first";
            return Ok(Activation::Refused(vec![format!("{file}: {why}")]));
        }
    }
    let change = Change {
        files: Files::from([(file.to_owned(), Some(text.to_owned()))]),
        by: Some("console".to_owned()),
        note: None,
        base,
        dry_run: false,
    };
    let answer = match generations.propose(change).await {
        Err(ChangeError::Stale { base, active }) => {
            let why = format!(
                "another change came first: the generation is {active} by now, and {base} was compared. Compare it again"
            );
            return Ok(Activation::Refused(vec![why]));
        }
        answer => answer?,
    };
    Ok(match answer.outcome {
        Outcome::Activated => Activation::Activated(answer.generation),
        Outcome::Unchanged | Outcome::Checked => Activation::Unchanged,
        Outcome::Refused => {
            let errors = answer.problems.iter().filter(|found| found.severity == Severity::Error);
            Activation::Refused(errors.map(ToString::to_string).collect())
        }
    })
}

/// `sources` with `files` changed; one that is taken away is the shipped one again.
#[must_use]
pub fn changed(sources: &Sources, files: &Files) -> Sources {
    let shipped = embedded();
    let mut out = sources.clone();
    for (path, text) in files {
        match text.as_deref().or_else(|| shipped.get(path)) {
            Some(text) => out.insert(path.clone(), text),
            None => {
                out.files.remove(path);
            }
        }
    }
    out
}

/// All mappings, with the state of their tests and what waits for them.
///
/// # Errors
/// When there are no files, or the store cannot be read.
pub async fn list(web: &Shared) -> Result<Vec<Row>, ApiError> {
    let sources = active(web);
    let generation = web.world.load().config.generation.clone();
    let known = web.mappings.load_full().filter(|known| known.0 == generation);
    let mut rows = if let Some(known) = known {
        known.1.clone()
    } else {
        let made = tokio::task::spawn_blocking(move || rows(&sources)).await.unwrap_or_default();
        web.mappings.store(Some(Arc::new((generation, made.clone()))));
        made
    };
    let causes = web.store.causes(&ExceptionQuery::default()).await?;
    for cause in causes {
        // `missing:shopify/order:placed.total`
        let Some((connector, mapping)) = cause.cause.split(':').nth(1).and_then(|name| name.split_once('/'))
        else {
            continue;
        };
        if let Some(row) = rows.iter_mut().find(|row| row.connector == connector && row.mapping == mapping) {
            row.waiting += cause.count;
        }
    }
    Ok(rows)
}

fn rows(sources: &Sources) -> Vec<Row> {
    let shipped = embedded();
    let row = |(connector, mapping): (String, String)| {
        let path = main_path(sources, &connector, &mapping);
        let outcomes = test::run_tests(sources, &connector, &mapping);
        let failed = outcomes.iter().filter(|outcome| !outcome.passed()).count();
        let tail = format!("/{connector}/{mapping}.toml");
        let overlays = ["mappings/clients/", "mappings/accounts/"]
            .into_iter()
            .flat_map(|folder| sources.under(folder))
            .filter(|(path, _)| path.ends_with(&tail))
            .map(|(path, _)| path.to_owned());
        Row {
            inbound: path.ends_with(".in.toml"),
            own: sources.get(&path) != shipped.get(&path),
            overlays: overlays.collect(),
            passed: outcomes.len() - failed,
            failed,
            waiting: 0,
            connector,
            mapping,
        }
    };
    test::mappings(sources).into_iter().map(row).collect()
}

/// The path of the mapping's file; the inbound one where both sides have the name.
#[must_use]
pub fn main_path(sources: &Sources, connector: &str, mapping: &str) -> String {
    let inbound = format!("mappings/{connector}/{mapping}.in.toml");
    if sources.get(&inbound).is_some() { inbound } else { format!("mappings/{connector}/{mapping}.out.toml") }
}

impl Which {
    /// The mapping that is named, if there is one, as `account` or `client` has it.
    ///
    /// # Errors
    /// When there is no such mapping, account or client.
    pub fn find(
        world: &World,
        sources: &Sources,
        connector: &str,
        name: &str,
        (client, account): (Option<String>, Option<String>),
    ) -> Result<Self, ApiError> {
        let all = test::mappings(sources);
        if !all.iter().any(|(c, n)| c == connector && n == name) {
            let full = format!("{connector}/{name}");
            let known: Vec<String> = all.iter().map(|(c, n)| format!("{c}/{n}")).collect();
            let error = ApiError::missing(format!("there is no mapping {full}"));
            return Err(error.nearest(&full, known.iter().map(String::as_str)));
        }
        let mut which = Self {
            connector: connector.to_owned(),
            name: name.to_owned(),
            client: client.map(ClientId::from),
            account: None,
        };
        let Some(account) = account else { return Ok(which) };
        let id = AccountId::from(account.as_str());
        let Some(found) = world.config.accounts.get(&id).filter(|found| found.connector == connector) else {
            let of = world.config.accounts.values().filter(|one| one.connector == connector);
            let known: Vec<&str> = of.map(|one| one.id.as_str()).collect();
            let error = ApiError::bad(format!("there is no account `{account}` of {connector}"));
            return Err(error.nearest(&account, known));
        };
        which.client = which.client.or_else(|| found.client.clone());
        which.account = Some(id);
        Ok(which)
    }

    /// What the account's messages are read with besides the payload.
    #[must_use]
    pub fn context(&self, world: &World) -> Context {
        let account = self.account.as_ref().and_then(|id| world.config.accounts.get(id));
        let connector = world.registry.get(&self.connector);
        Context {
            account: account.map(|account| account.id.0.clone()),
            zone: account.and_then(|account| account.zone.clone()),
            currency: account.and_then(|account| account.currency.clone()),
            asked: BTreeMap::new(),
            exponents: connector.map(|one| one.manifest.exponents.clone()).unwrap_or_default(),
        }
    }

    /// The overlays that lie over it in `sources`.
    #[must_use]
    pub fn overlays(&self, sources: &Sources) -> Vec<String> {
        show::overlays(sources, &self.connector, &self.name, self.client.as_ref(), self.account.as_ref())
    }

    /// The effective mapping.
    ///
    /// # Errors
    /// What is wrong with its files.
    pub fn show(&self, sources: &Sources) -> Result<Shown, Vec<Diagnostic>> {
        show::show(sources, &embedded(), &self.connector, &self.name, &self.overlays(sources))
    }

    /// Runs the mapping of `sources` over `sample`, and its tests.
    #[must_use]
    pub fn attempt(&self, sources: &Sources, sample: &[u8], ctx: &Context) -> Tried {
        let overlays = self.overlays(sources);
        let mut tried = Tried::default();
        if main_path(sources, &self.connector, &self.name).ends_with(".in.toml") {
            match Inbound::compile(sources, &self.connector, &self.name, &overlays) {
                Ok(inbound) => self.inbound(sources, &inbound, sample, ctx, &mut tried),
                Err(problems) => tried.problems = problems,
            }
        } else {
            match Outbound::compile(sources, &self.connector, &self.name, &overlays) {
                Ok(outbound) => {
                    tried.problems.extend(outbound.warnings().iter().cloned());
                    match serde_json::from_slice(sample) {
                        Ok(document) if outbound.syntax().kind != SyntaxKind::Json => {
                            match outbound.bytes(&document, ctx) {
                                Ok(bytes) => tried.body = Some(String::from_utf8_lossy(&bytes).into()),
                                Err(error) => tried.errors.push(error),
                            }
                        }
                        Ok(document) => match outbound.encode_with(&document, ctx) {
                            Ok(body) => tried.body = Some(body),
                            Err(error) => tried.errors.push(error),
                        },
                        Err(error) => tried.unreadable = Some(format!("the sample is no JSON: {error}")),
                    }
                }
                Err(problems) => tried.problems = problems,
            }
        }
        if tried.problems.iter().all(|found| found.severity != Severity::Error) {
            let outcomes = test::run_tests(sources, &self.connector, &self.name);
            tried.passed = outcomes.iter().filter(|outcome| outcome.passed()).count();
            tried.failed = outcomes.into_iter().filter(|outcome| !outcome.passed()).collect();
        }
        tried
    }

    fn inbound(&self, sources: &Sources, inbound: &Inbound, sample: &[u8], ctx: &Context, tried: &mut Tried) {
        tried.problems.extend(inbound.warnings().iter().cloned());
        let node = match inbound.read(sample) {
            Ok(node) => node,
            Err(error) => {
                let title = inbound.syntax().kind.title();
                tried.unreadable = Some(format!("the sample is no {title}: {error}"));
                return;
            }
        };
        let mapped = inbound.run(&node, ctx);
        tried.facts = mapped.facts.iter().map(MappedFact::to_json).collect();
        tried.errors = mapped.errors;
        tried.nothing = mapped.nothing;
        let mut told = explain(inbound, &node, ctx);
        if let Ok(shown) = self.show(sources) {
            told.add_rules(&shown);
        }
        tried.explanation = Some(told);
    }
}

/// Runs both sides over the messages recorded since then: of the mapping and the account that are named, else of all
/// that differ.
///
/// # Errors
/// When the store cannot be read.
pub async fn compare(
    store: &dyn Store,
    sides: Sides<'_>,
    (connector, mapping, account): (Option<&str>, Option<&str>, Option<&AccountId>),
    since: Timestamp,
) -> Result<Report, StoreError> {
    let mut report = Report::default();
    for affected in sides.affected() {
        if connector.is_some_and(|name| name != affected.connector)
            || mapping.is_some_and(|name| name != affected.mapping)
        {
            continue;
        }
        let accounts: Vec<AccountId> =
            affected.accounts.into_iter().filter(|id| account.is_none_or(|account| account == id)).collect();
        if accounts.is_empty() {
            continue;
        }
        let mut query = MessageQuery {
            accounts,
            mapping: Some(affected.mapping.clone()),
            since,
            before: None,
            limit: PAGE,
        };
        loop {
            let page = store.messages(&query).await?;
            for message in &page {
                let content = &message.content;
                let asked = content
                    .headers
                    .iter()
                    .filter_map(|(name, value)| Some((name.strip_prefix(ASKED)?.to_owned(), value.clone())));
                let read = (&content.account, affected.mapping.as_str());
                sides.add(&mut report, read, (message.id.0, &content.body), asked.collect());
            }
            if page.len() < PAGE {
                break;
            }
            if report.messages >= MOST_MESSAGES {
                report.stopped = true;
                return Ok(report);
            }
            query.before = page.last().map(|last| (last.content.received, last.id));
            tokio::task::yield_now().await;
        }
    }
    Ok(report)
}

/// `7d` before `now`, or an instant.
///
/// # Errors
/// When it is neither.
pub fn since(text: &str, now: Timestamp) -> Result<Timestamp, ApiError> {
    let back = crate::tables::duration(text).and_then(|back| SignedDuration::try_from(back).ok());
    back.and_then(|back| now.checked_sub(back).ok()).or_else(|| text.parse().ok()).ok_or_else(|| {
        ApiError::bad(format!("`since`: `{text}` is neither a duration nor an instant"))
            .help("expected 7d, 24h or 2026-01-15T00:00:00Z")
    })
}
