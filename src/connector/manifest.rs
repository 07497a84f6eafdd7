//! A connector's manifest, checked: all that the daemon needs to know of a partner's API. Read from
//! `connectors/<name>/connector.toml` by [`super::load`]; the grammar stands in `docs/connectors.md`.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde_json::Value;

use super::template::Template;

/// A manifest.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// The folder's name.
    pub name: String,
    /// What people read.
    pub title: String,
    /// Roles that an account of it can play: `storefront`, `warehouse`, `carrier`, `gateway`.
    pub serves: Vec<String>,
    /// `[setting.…]`.
    pub settings: BTreeMap<String, Setting>,
    /// `[secret.…]`.
    pub secrets: BTreeMap<String, SecretSpec>,
    /// `[http]`.
    pub http: HttpSpec,
    /// `[auth]`.
    pub auth: Auth,
    /// `[limit.…]`.
    pub limits: BTreeMap<String, Limit>,
    /// `[webhook]`; none when the partner sends none.
    pub webhook: Option<Webhook>,
    /// `[poll.…]`.
    pub polls: BTreeMap<String, Read>,
    /// `[read.…]`: re-reads of one thing, look-ups and what commands need beforehand.
    pub reads: BTreeMap<String, Read>,
    /// `[command.…]`, by full name: `fulfilment.create`.
    pub commands: BTreeMap<String, Command>,
    /// `[[error]]`, in order.
    pub errors: Vec<ErrorRule>,
    /// Minor-unit exponents that differ from ISO 4217, by currency code.
    pub exponents: BTreeMap<String, u32>,
}

/// `[setting.NAME]`.
#[derive(Debug, Clone, Default)]
pub struct Setting {
    /// What it is.
    pub doc: String,
    /// Used when the account says nothing; none means required.
    pub default: Option<String>,
}

/// `[secret.NAME]`.
#[derive(Debug, Clone, Default)]
pub struct SecretSpec {
    /// What it is.
    pub doc: String,
    /// Several values may be live at once (rotation).
    pub several: bool,
    /// The account works without it.
    pub optional: bool,
}

/// `[http]`.
#[derive(Debug, Clone)]
pub struct HttpSpec {
    /// Base URL; an account may override it with its setting `base_url`.
    pub base: Template,
    /// Headers of every request.
    pub headers: BTreeMap<String, Template>,
    /// Path of the GraphQL endpoint, if the partner speaks GraphQL.
    pub graphql: Option<String>,
    /// Calls in flight at most.
    pub in_flight: Option<usize>,
}

/// `[auth]`.
#[derive(Debug, Clone)]
pub enum Auth {
    /// Nothing, or headers of `[http]` alone.
    None,
    /// `Authorization: Bearer …`.
    Bearer {
        /// Name of the secret.
        secret: String,
    },
    /// HTTP basic.
    Basic {
        /// Secret used as user name.
        user: Template,
        /// Secret used as password.
        password: Template,
    },
    /// OAuth 2 with a refresh token or client credentials; the access token is kept by the daemon.
    OAuth2 {
        /// Token endpoint, absolute or relative to the base.
        url: Template,
        /// Form (or JSON) fields of the request.
        fields: BTreeMap<String, Template>,
        /// JSON instead of a form.
        json: bool,
        /// Path of the access token in the answer.
        token: String,
        /// Path of its life in seconds.
        expires: String,
        /// Path of a new refresh token in the answer, where it rotates; kept encrypted under `refresh_token`.
        rotates: Option<String>,
    },
}

/// `[limit.NAME]`: a bucket of `size` that refills.
#[derive(Debug, Clone)]
pub struct Limit {
    /// Size of the bucket.
    pub size: u32,
    /// Units added …
    pub refill: u32,
    /// … each such time.
    pub per: Duration,
    /// What a call costs before its answer tells. Default 1.
    pub cost: u32,
    /// Cost of single operations by command, poll or read name.
    pub costs: BTreeMap<String, u32>,
    /// Path in the answer of what the call did cost.
    pub cost_from: Option<Source>,
    /// Path or header of what is left.
    pub left_from: Option<Source>,
    /// Header of the form `used/limit`.
    pub used_of: Option<String>,
    /// Header or path (seconds, or milliseconds with `retry_unit`) of how long to wait.
    pub retry_after: Option<Source>,
    /// Commands, polls and reads that draw on it; empty for all.
    pub applies: Vec<String>,
}

/// Where a value of an answer or a webhook stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A header's name.
    Header(String),
    /// A path in the JSON body.
    Path(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "the header {name}"),
            Self::Path(path) => write!(f, "`{path}` of the body"),
        }
    }
}

/// `[webhook]`.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// Where the topic stands.
    pub topic: Source,
    /// Where the event id stands.
    pub event_id: Option<Source>,
    /// Must equal this, or the message is not for this account.
    pub belongs: Option<(Source, Template)>,
    /// How it is signed.
    pub signature: Signature,
    /// Topic pattern (`orders/*`) to what is done, most exact first.
    pub topics: Vec<(String, TopicAction)>,
    /// Body of our 2xx answer. Default empty.
    pub answer: String,
    /// Headers that are kept with the message.
    pub keep_headers: Vec<String>,
    /// Where the partner says when it told this, by a clock finer than its versions.
    pub told: Option<Source>,
    /// Where the name of what it is about stands, the first that is there. Paths are plain keys.
    pub about: Vec<Source>,
}

/// What is done with a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TopicAction {
    /// Mapped by this inbound mapping.
    Map(String),
    /// Means nothing to us.
    Ignore,
    /// Thin: read again by `[read.NAME]`, with the value at this path as `{id}`.
    Reread {
        /// Name of the read.
        read: String,
        /// Path of the id in the payload.
        id: String,
    },
}

/// `[webhook.signature]`.
#[derive(Debug, Clone)]
pub enum Signature {
    /// Not signed; the manifest says why that is acceptable.
    None {
        /// Why.
        why: String,
    },
    /// HMAC of the body or of parts and the body.
    Hmac(HmacScheme),
}

/// A signature by HMAC.
#[derive(Debug, Clone)]
pub struct HmacScheme {
    /// The digest.
    pub digest: Digest,
    /// Header that carries it; several names are tried in order.
    pub headers: Vec<String>,
    /// How it is written.
    pub encoding: Encoding,
    /// What stands before it in the header (`sha256=`).
    pub prefix: String,
    /// `t={time},v1={sig}`: a comma-separated form with keys; the keys of time and signatures.
    pub form: Option<(String, String)>,
    /// Header that carries the time, where the form does not.
    pub time: Option<String>,
    /// What is signed, with `{body}`, `{time}`, `{url}`.
    pub signed: Template,
    /// How far `{time}` (seconds) may be from now.
    pub tolerance: Option<Duration>,
    /// Name of the secret.
    pub secret: String,
    /// How the secret's text becomes key bytes.
    pub key: KeyForm,
}

/// Digest of an HMAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Digest {
    /// SHA-256.
    Sha256,
    /// SHA-1 (old partners).
    Sha1,
    /// SHA-512.
    Sha512,
}

/// How a signature is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Base64 with padding.
    Base64,
    /// Hexadecimal digits, either case.
    Hex,
}

/// How a secret's text becomes key bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyForm {
    /// Its UTF-8 bytes.
    Text,
    /// Its UTF-8 bytes after Unicode normalisation NFKD.
    Nfkd,
    /// Hexadecimal digits.
    Hex,
    /// Base64.
    Base64,
}

/// `[poll.NAME]` or `[read.NAME]`.
#[derive(Debug, Clone)]
pub struct Read {
    /// Its name.
    pub name: String,
    /// The request.
    pub request: RequestSpec,
    /// Path of the items in the answer; `$` for the answer itself.
    pub items: String,
    /// How pages follow.
    pub page: Option<Page>,
    /// Conditions that must hold on the answer, besides a 2xx status: path and condition.
    pub ok: Vec<(String, Test)>,
    /// Inbound mapping of each item; none for a read whose answer is used raw.
    pub mapping: Option<String>,
    /// Polls: how the cursor moves.
    pub since: Option<Since>,
    /// Polls: interval.
    pub every: Duration,
}

/// A request with holes.
#[derive(Debug, Clone)]
pub struct RequestSpec {
    /// `GET`, `POST`, …
    pub method: String,
    /// Path below the base, or absolute.
    pub path: Template,
    /// Query parameters; those that come out empty are left out.
    pub query: BTreeMap<String, Template>,
    /// Headers besides those of `[http]`.
    pub headers: BTreeMap<String, Template>,
    /// The body.
    pub body: BodySpec,
}

/// The body of a request.
#[derive(Debug, Clone)]
pub enum BodySpec {
    /// None.
    Empty,
    /// The outcome of an outbound mapping (or nothing), as JSON.
    Json,
    /// The outcome of an outbound mapping, as a form with `a[b][0]=c` for nested values.
    Form,
    /// A GraphQL document and its variables: those of the manifest, filled, with the mapping's outcome over them.
    GraphQl {
        /// The document's text.
        document: String,
        /// Variables: JSON whose texts are templates.
        variables: Value,
    },
}

/// How pages follow each other.
#[derive(Debug, Clone)]
pub enum Page {
    /// The answer carries the cursor of the next page, which fills `{page}`.
    Cursor {
        /// Path of the cursor.
        next: String,
        /// There is another page only while this path has this text.
        more: Option<(String, String)>,
    },
    /// `{page}` counts from `first`; there is another while items came.
    Number {
        /// First number.
        first: u32,
    },
    /// `{page}` is the value at this path of the last item (`starting_after`), while `more` says so.
    LastItem {
        /// Path in the item.
        id: String,
        /// There is another page only while this path has this text.
        more: Option<(String, String)>,
    },
    /// `Link: <…>; rel="next"`.
    LinkHeader,
}

/// How a poll's cursor moves: `{since}` is the largest `from` seen, less `overlap`.
#[derive(Debug, Clone)]
pub struct Since {
    /// Path of a time in each item.
    pub from: String,
    /// Look-back.
    pub overlap: Duration,
    /// How `{since}` is written: `rfc3339` or `unix`.
    pub format: String,
    /// How far the first poll of an account looks back. Default one hour.
    pub first: Duration,
}

/// `[command.NAME]`.
#[derive(Debug, Clone)]
pub struct Command {
    /// Its full name.
    pub name: String,
    /// Reads made first; their answers are `needs.<key>` for the outbound mapping. Key to read name.
    pub needs: BTreeMap<String, String>,
    /// The request.
    pub request: RequestSpec,
    /// The outbound mapping that makes the body or the variables; none when the request says all.
    pub out: Option<String>,
    /// A quirk of the connector that prepares the source of the mapping (see `connector::quirks`).
    pub quirk: Option<String>,
    /// Conditions that must hold on the answer for success, besides a 2xx status: path and condition.
    pub ok: Vec<(String, Test)>,
    /// Inbound mapping of the answer: the answer is a message.
    pub answer: Option<String>,
    /// How doing it twice is prevented.
    pub once: Once,
}

/// How doing a command twice is prevented.
#[derive(Debug, Clone)]
pub enum Once {
    /// Doing it again changes nothing (sets a value): repeat freely.
    Repeatable,
    /// The partner honours a key for `ttl` after the first attempt.
    Key {
        /// Header that carries it.
        header: Template,
        /// For how long.
        ttl: Duration,
        /// After that: look up, if there is a way.
        find: Option<Find>,
    },
    /// Look up by our reference before sending again.
    Find(Find),
    /// Neither: sent at most once, then a person decides.
    Never,
}

/// A look-up of what an attempt may have done.
#[derive(Debug, Clone)]
pub struct Find {
    /// Name of the read; its items are candidates.
    pub read: String,
    /// All must hold for the item that is ours: path and text.
    pub same: Vec<(String, Template)>,
    /// How long until a miss means anything.
    pub settle: Duration,
    /// Whether it sees everything, so that a miss means "not done".
    pub complete: bool,
}

/// A test on a value in an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    /// Any of these texts.
    AnyOf(Vec<String>),
    /// None of these texts.
    Not(Vec<String>),
    /// Present (and not null or empty), or not.
    Exists(bool),
    /// Contains this text, in any letter case.
    Contains(String),
    /// At least this number.
    Ge(i64),
    /// At most this number.
    Le(i64),
}

/// `[[error]]`.
#[derive(Debug, Clone)]
pub struct ErrorRule {
    /// Status, if it matters.
    pub status: Option<u16>,
    /// Paths and tests, all of which must hold.
    pub when: Vec<(String, Test)>,
    /// Only for this command.
    pub command: Option<String>,
    /// What it means.
    pub class: ErrorClass,
    /// Path of the message to show.
    pub message: Option<String>,
}

/// What an unsuccessful answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// Passing: go again later. Nothing was done.
    Retry,
    /// Passing, but it may have been done (5xx after work).
    Unknown,
    /// Over the limit: wait.
    RateLimited,
    /// The token is old: get a new one and go again.
    RefreshToken,
    /// Refused: a person must change something.
    Rejected,
    /// Done before: counts as done.
    Duplicate,
    /// The account is not set up right (no permission, shop gone): the lane pauses.
    Config,
}
