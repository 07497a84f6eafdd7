//! Mappings: a list, and a bench on which one is changed: its text, a sample, what comes out and why, what would have come
//! out differently, and then "activate".

use askama::Template;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Redirect, Response};
use jiff::Timestamp;

use super::bench::{DiffView, View, shown_sample};
use super::{ErrorPage, Shell, begin, form, html, render};
use crate::canonical::AccountId;
use crate::config::{Sources, World, embedded};
use crate::map::{Context, test, update};
use crate::ports::MessageQuery;
use crate::web::error::ApiError;
use crate::web::mapping::{self, Activation, Files, Row, Which};
use crate::web::query::Params;
use crate::web::{Shared, Web, api, say};

/// Recorded messages to choose a sample from.
const SAMPLES: usize = 20;
/// How far back samples are looked for.
const LOOK_BACK: &str = "90d";

#[derive(Template)]
#[template(path = "mappings.html")]
struct ListPage {
    shell: Shell,
    connectors: Vec<(String, Vec<Row>)>,
    total: usize,
    failed: usize,
}

/// What a person has on the bench.
#[derive(Debug, Default)]
struct Work {
    /// For whom: empty for all, `client:acme`, `account:acme-shop`.
    whose: String,
    /// The text of the file; none to take the one in force.
    text: Option<String>,
    /// `message:17`, `test:0` or `own`.
    sample: String,
    /// A payload of one's own.
    payload: String,
    personal: bool,
    days: u32,
    /// The generation whose text was opened.
    base: Option<String>,
}

impl Work {
    const FIELDS: [&'static str; 8] = ["for", "text", "sample", "payload", "personal", "days", "base", "do"];

    fn of(params: &Params) -> Result<Self, ApiError> {
        Ok(Self {
            whose: params.text("for").unwrap_or_default(),
            text: None,
            sample: params.text("sample").unwrap_or_default(),
            payload: params.text("payload").unwrap_or_default(),
            personal: params.flag("personal")?,
            days: params.number("days", 1, 366)?.unwrap_or(7),
            base: params.text("base"),
        })
    }

    fn posted(body: &Bytes) -> Result<(Self, String), ApiError> {
        let params = form(body, &Self::FIELDS)?;
        let mut work = Self::of(&params)?;
        // Forms write line ends as they like.
        work.text = Some(params.whole("text").replace("\r\n", "\n"));
        Ok((work, params.text("do").unwrap_or_default()))
    }
}

/// One choice of a list.
struct Choice {
    value: String,
    label: String,
    chosen: bool,
}

#[derive(Template)]
#[template(path = "mapping.html")]
#[expect(clippy::struct_excessive_bools, reason = "what the template asks")]
struct Page {
    shell: Shell,
    connector: String,
    name: String,
    inbound: bool,
    /// The exceptions that wait for it.
    waiting: u64,
    /// The file that is edited.
    file: String,
    /// Whether there is such a file in force.
    known: bool,
    /// Whether it is the shipped one.
    shipped: bool,
    text: String,
    rows: usize,
    changed: bool,
    whose: Vec<Choice>,
    samples: Vec<Choice>,
    own: bool,
    payload: String,
    sample: Option<String>,
    personal: bool,
    days: u32,
    view: View,
    diff: Option<DiffView>,
    refused: Vec<String>,
    /// The generation that the page shows.
    base: String,
}

#[derive(Template)]
#[template(path = "mapping_result.html")]
struct Fragment {
    view: View,
}

pub(super) async fn list(State(web): State<Web>) -> Result<Html<String>, ErrorPage> {
    let (shell, _, _) = begin(&web, "mappings").await?;
    let rows = mapping::list(&web).await?;
    let (total, failed) = (rows.len(), rows.iter().filter(|row| row.failed > 0).count());
    let mut connectors: Vec<(String, Vec<Row>)> = Vec::new();
    for row in rows {
        match connectors.last_mut() {
            Some((name, rows)) if *name == row.connector => rows.push(row),
            _ => connectors.push((row.connector.clone(), vec![row])),
        }
    }
    render(&ListPage { shell, connectors, total, failed })
}

/// Everything of the bench that does not depend on what is typed.
struct Bench {
    world: std::sync::Arc<World>,
    sources: std::sync::Arc<Sources>,
    which: Which,
    /// The file that is edited.
    file: String,
    messages: Vec<(i64, String)>,
    tests: Vec<(String, String)>,
}

impl Bench {
    async fn set(web: &Shared, connector: &str, name: &str, work: &Work) -> Result<Self, ApiError> {
        let sources = mapping::active(web);
        let world = web.world.load_full();
        let (client, account) = match work.whose.split_once(':') {
            None => (None, None),
            Some(("client", name)) => (Some(name.to_owned()), None),
            Some(("account", name)) => (None, Some(name.to_owned())),
            Some(_) => return Err(ApiError::bad(format!("`for`: `{}` is nobody", work.whose))),
        };
        let which = Which::find(&world, &sources, connector, name, (client.clone(), account))?;
        let file = match (&client, &which.account) {
            (Some(client), _) => format!("mappings/clients/{client}/{connector}/{name}.toml"),
            (None, Some(account)) => format!("mappings/accounts/{account}/{connector}/{name}.toml"),
            (None, None) => mapping::main_path(&sources, connector, name),
        };
        let accounts: Vec<AccountId> = if let Some(account) = &which.account {
            vec![account.clone()]
        } else {
            let of = world.config.accounts.values().filter(|account| account.connector == connector);
            let fits =
                of.filter(|one| which.client.is_none() || which.client == one.client || one.client.is_none());
            fits.map(|account| account.id.clone()).collect()
        };
        let mut messages = Vec::new();
        if !accounts.is_empty() {
            let query = MessageQuery {
                accounts,
                mapping: Some(name.to_owned()),
                since: mapping::since(LOOK_BACK, web.clock.now())?,
                before: None,
                limit: SAMPLES,
            };
            for message in api::recorded(web, &query).await? {
                let content = &message.content;
                let at = content.received.strftime("%Y-%m-%d %H:%M");
                messages.push((
                    message.id.0,
                    format!("{at} {} {} ({})", content.account, content.topic, message.id),
                ));
            }
        }
        let tests = test::samples(&sources, connector, name);
        Ok(Self { world, sources, which, file, messages, tests })
    }

    /// The sample that is chosen, else the newest recorded message, else the first of the tests.
    async fn sample(&self, web: &Shared, work: &Work) -> Result<(String, Vec<u8>, Option<String>), ApiError> {
        if work.sample == "own" {
            return Ok(("own".to_owned(), work.payload.clone().into_bytes(), None));
        }
        let chosen = Some(work.sample.clone())
            .filter(|sample| !sample.is_empty())
            .or_else(|| self.messages.first().map(|(id, _)| format!("message:{id}")))
            .unwrap_or_else(|| "test:0".to_owned());
        if let Some(id) = chosen.strip_prefix("message:") {
            let message = api::message(web, id).await?;
            let account = message.content.account.0.clone();
            return Ok((chosen, message.content.body.to_vec(), Some(account)));
        }
        let number: Option<usize> = chosen.strip_prefix("test:").and_then(|number| number.parse().ok());
        match number.and_then(|number| self.tests.get(number)) {
            Some((_, text)) => Ok((chosen, text.clone().into_bytes(), None)),
            None => Ok(("own".to_owned(), work.payload.clone().into_bytes(), None)),
        }
    }

    /// The account's zone and exponents: of the account that is chosen, or of the one that sent the sample.
    fn context(&self, sender: Option<String>) -> Context {
        let sent = sender.map(AccountId);
        Which { account: self.which.account.clone().or(sent), ..self.which.clone() }.context(&self.world)
    }

    /// The text in force, or the beginning of a new overlay.
    fn text(&self) -> String {
        let Which { connector, name, .. } = &self.which;
        let start = || {
            format!(
                "[overlay]\nof = \"{connector}/{name}\"\n\n# [fact.placed]\n# note = \"path.in.the.payload\"\n"
            )
        };
        self.sources.get(&self.file).map_or_else(start, str::to_owned)
    }

    fn files(&self, text: &str) -> Files {
        let same = self.sources.get(&self.file).map_or_else(|| text == self.text(), |known| known == text);
        if same { Files::new() } else { Files::from([(self.file.clone(), Some(text.to_owned()))]) }
    }

    async fn view(&self, web: &Shared, work: &Work) -> Result<(View, String, Vec<u8>), ApiError> {
        let (chosen, sample, sender) = self.sample(web, work).await?;
        let text = work.text.clone().unwrap_or_else(|| self.text());
        let sources = mapping::changed(&self.sources, &self.files(&text));
        let (which, ctx, bytes) = (self.which.clone(), self.context(sender), sample.clone());
        let tried = tokio::task::spawn_blocking(move || which.attempt(&sources, &bytes, &ctx)).await;
        let tried = tried.map_err(|fault| ApiError::conflict(format!("the mapping broke down: {fault}")))?;
        Ok((View::of(tried, &self.file, work.personal), chosen, sample))
    }
}

pub(super) async fn show(
    State(web): State<Web>,
    Path((connector, name)): Path<(String, String)>,
    RawQuery(raw): RawQuery,
) -> Result<Html<String>, ErrorPage> {
    let raw = raw.unwrap_or_default();
    let params = Params::parse(&raw, &["for", "sample", "personal", "days", "done"])?;
    let (mut shell, _, _) = begin(&web, "mappings").await?;
    let done = params.text("done").filter(|done| done.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    shell.notice = done.map(|done| match done.as_str() {
        "unchanged" => "Nothing was to be changed: it is in force already.".to_owned(),
        generation => format!(
            "It is checked, tested, written beside the config and in force: generation {generation}. What waited for it goes on."
        ),
    });
    let work = Work::of(&params)?;
    let bench = Bench::set(&web, &connector, &name, &work).await?;
    render(&page(&web, shell, bench, work, None, Vec::new()).await?)
}

async fn page(
    web: &Shared,
    shell: Shell,
    bench: Bench,
    work: Work,
    diff: Option<DiffView>,
    refused: Vec<String>,
) -> Result<Page, ErrorPage> {
    let (view, chosen, sample) = bench.view(web, &work).await?;
    let rows = mapping::list(web).await?;
    let Which { connector, name, .. } = bench.which.clone();
    let waiting = rows.iter().find(|row| row.connector == connector && row.mapping == name);
    let text = work.text.clone().unwrap_or_else(|| bench.text());
    let in_force = bench.sources.get(&bench.file);
    let choice = |value: String, label: String| Choice { chosen: value == chosen, value, label };
    let mut samples: Vec<Choice> =
        bench.messages.iter().map(|(id, label)| choice(format!("message:{id}"), label.clone())).collect();
    if let Some(id) = chosen.strip_prefix("message:")
        && !samples.iter().any(|sample| sample.chosen)
    {
        samples.insert(0, choice(chosen.clone(), format!("message {id}")));
    }
    let tests = bench.tests.iter().enumerate();
    samples
        .extend(tests.map(|(number, (label, _))| choice(format!("test:{number}"), format!("test: {label}"))));
    samples.push(choice("own".to_owned(), "a payload of your own".to_owned()));
    Ok(Page {
        inbound: mapping::main_path(&bench.sources, &connector, &name).ends_with(".in.toml"),
        waiting: waiting.map_or(0, |row| row.waiting),
        known: in_force.is_some(),
        shipped: in_force.is_some() && in_force == embedded().get(&bench.file),
        changed: !bench.files(&text).is_empty(),
        rows: text.lines().count().clamp(12, 40),
        whose: whose(&bench, &work),
        own: chosen == "own",
        sample: shown_sample(&sample, work.personal),
        samples,
        payload: work.payload,
        personal: work.personal,
        days: work.days,
        base: bench.world.config.generation.clone(),
        shell,
        connector,
        name,
        file: bench.file,
        text,
        view,
        diff,
        refused,
    })
}

/// Everybody, each client and each account for which there can be an overlay.
fn whose(bench: &Bench, work: &Work) -> Vec<Choice> {
    let connector = bench.which.connector.as_str();
    let accounts: Vec<_> =
        bench.world.config.accounts.values().filter(|account| account.connector == connector).collect();
    let mut clients: Vec<&str> = accounts
        .iter()
        .flat_map(|account| account.client.iter().chain(account.links.keys()))
        .map(|client| client.0.as_str())
        .collect();
    clients.sort_unstable();
    clients.dedup();
    let choice = |value: String, label: String| Choice { chosen: value == work.whose, value, label };
    let mut all = vec![choice(String::new(), "everybody".to_owned())];
    all.extend(clients.into_iter().map(|name| choice(format!("client:{name}"), format!("client {name}"))));
    all.extend(
        accounts.iter().map(|one| choice(format!("account:{}", one.id), format!("account {}", one.id))),
    );
    all
}

/// What comes out of the text that is being typed: a piece of the page.
pub(super) async fn preview(
    State(web): State<Web>,
    Path((connector, name)): Path<(String, String)>,
    body: Bytes,
) -> Result<Html<String>, ErrorPage> {
    let (work, _) = Work::posted(&body)?;
    let bench = Bench::set(&web, &connector, &name, &work).await?;
    let (view, _, _) = bench.view(&web, &work).await?;
    render(&Fragment { view })
}

pub(super) async fn act(
    State(web): State<Web>,
    Path((connector, name)): Path<(String, String)>,
    body: Bytes,
) -> Result<Response, ErrorPage> {
    let (mut work, deed) = Work::posted(&body)?;
    let (shell, _, _) = begin(&web, "mappings").await?;
    let bench = Bench::set(&web, &connector, &name, &work).await?;
    let text = work.text.clone().unwrap_or_default();
    let mut refused = Vec::new();
    let mut diff = None;
    match deed.as_str() {
        "diff" => diff = differences(&web, &bench, &text, &work).await?,
        "activate" => {
            // What an overlay replaces is remembered with it: a later change of those rules then warns.
            let text = update::remember(&mapping::changed(&bench.sources, &bench.files(&text)), &bench.file)
                .unwrap_or(text);
            let files = bench.files(&text);
            let back = |done: &str| {
                let whose = Some(work.whose.as_str());
                let query = html::query(&[("for", whose), ("done", Some(done))]);
                Redirect::to(&format!("/mappings/{connector}/{name}{query}")).into_response()
            };
            if files.is_empty() {
                return Ok(back("unchanged"));
            }
            match mapping::activate(&web, &bench.file, &text, work.base.take()).await? {
                Activation::Activated(generation) => return Ok(back(&generation)),
                Activation::Unchanged => return Ok(back("unchanged")),
                Activation::Refused(problems) => refused = problems,
            }
            work.text = Some(text);
        }
        _ => {}
    }
    Ok(render(&page(&web, shell, bench, work, diff, refused).await?)?.into_response())
}

/// What the text would have changed; none while it has errors.
async fn differences(
    web: &Shared,
    bench: &Bench,
    text: &str,
    work: &Work,
) -> Result<Option<DiffView>, ApiError> {
    let after = mapping::changed(&bench.sources, &bench.files(text));
    let now: Timestamp = web.clock.now();
    let since = mapping::since(&format!("{}d", work.days), now)?;
    let Which { connector, name, account, .. } = &bench.which;
    let only = (Some(connector.as_str()), Some(name.as_str()), account.as_ref());
    match api::mapping_report(web, None, &after, only, since).await {
        Ok(report) => Ok(Some(DiffView::of(report, work.personal))),
        Err(error) if error.status == StatusCode::BAD_REQUEST => Ok(None),
        Err(error) => Err(error),
    }
}
