//! What the mapping bench shows of a run and of a comparison. Personal data is covered until it is asked for.

use serde_json::Value;

use crate::canonical::fact::PERSONAL;
use crate::diagnostic::Severity;
use crate::map::RecordError;
use crate::map::diff::Report;
use crate::map::explain::{ExplainedFact, ExplainedField};
use crate::map::test::TestOutcome;
use crate::web::mapping::Tried;
use crate::web::pretty::{is_personal, pretty};

/// Orders of a comparison that are shown.
const SHOWN: usize = 50;
/// What stands for covered data.
const COVERED: &str = "•••";

/// A finding in a file.
pub(super) struct Problem {
    /// The line in the file that is edited; 0 when it stands elsewhere.
    pub line: usize,
    pub text: String,
    pub error: bool,
}

/// What became of a sample.
pub(super) struct View {
    pub problems: Vec<Problem>,
    pub facts: Vec<FactView>,
    /// Facts that do not fire, and why.
    pub silent: Vec<(String, String)>,
    pub errors: Vec<RecordError>,
    pub nothing: bool,
    pub body: Option<String>,
    pub unreadable: Option<String>,
    pub unread: Vec<(String, String)>,
    pub passed: usize,
    pub failed: Vec<TestOutcome>,
    pub sound: bool,
}

/// A fact with its fields.
pub(super) struct FactView {
    pub rule: String,
    pub fields: Vec<FieldView>,
    /// Fields that no rule fills.
    pub unruled: Vec<String>,
}

/// A field with where it comes from.
pub(super) struct FieldView {
    pub field: String,
    pub value: Option<String>,
    /// Paths, and what stood there.
    pub from: Vec<(String, String)>,
    pub rule: Option<String>,
    /// Where the rule stands: `line 16`, or the file and line.
    pub place: String,
    /// The line in the file that is edited.
    pub line: usize,
    pub why: Option<String>,
}

impl View {
    /// What `tried` says, for the page on which `file` is edited.
    pub fn of(tried: Tried, file: &str, personal: bool) -> Self {
        let sound = tried.sound();
        let problems = tried.problems.iter().map(|found| {
            let here = found.file == file;
            let help = found.help.as_ref().map(|help| format!(" → {help}")).unwrap_or_default();
            let place = if here { String::new() } else { format!("{}:{}: ", found.file, found.line) };
            Problem {
                line: if here { found.line } else { 0 },
                text: format!("{place}{}{help}", found.message),
                error: found.severity == Severity::Error,
            }
        });
        let mut view = Self {
            problems: problems.collect(),
            facts: Vec::new(),
            silent: Vec::new(),
            errors: tried.errors,
            nothing: tried.nothing,
            body: tried.body.map(|body| serde_json::to_string_pretty(&body).unwrap_or_default()),
            unreadable: tried.unreadable,
            unread: Vec::new(),
            passed: tried.passed,
            failed: tried.failed,
            sound,
        };
        let Some(told) = tried.explanation else { return view };
        for fact in told.facts {
            match fact.silent.clone() {
                Some(why) => view.silent.push((fact.rule, why)),
                None => view.facts.push(FactView::of(fact, file, personal)),
            }
        }
        let covered = |path: &str| !personal && path.split(['.', '[', '\'']).any(is_personal);
        let example = |path: &str, text: String| if covered(path) { COVERED.to_owned() } else { text };
        view.unread =
            told.unread.into_iter().map(|one| (one.path.clone(), example(&one.path, one.example))).collect();
        view
    }
}

impl FactView {
    fn of(fact: ExplainedFact, file: &str, personal: bool) -> Self {
        let (ruled, unruled): (Vec<_>, Vec<_>) =
            fact.fields.into_iter().partition(|field| field.place.is_some());
        Self {
            rule: fact.rule,
            fields: ruled.into_iter().map(|field| FieldView::of(field, file, personal)).collect(),
            unruled: unruled.into_iter().map(|field| field.field).collect(),
        }
    }
}

impl FieldView {
    fn of(field: ExplainedField, file: &str, personal: bool) -> Self {
        let covered = !personal && is_personal_field(&field.field);
        let cover = |text: String| if covered { COVERED.to_owned() } else { text };
        let place = field.place.unwrap_or_default();
        let mut parts = place.rsplitn(3, ':');
        let (_, line, of) =
            (parts.next(), parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let here = of == file;
        Self {
            value: field.value.map(|value| cover(plain(&value))),
            from: field.sources.into_iter().map(|(path, text)| (path, cover(text))).collect(),
            rule: field.rule.filter(|rule| rule.starts_with(['{', '['])),
            place: if here { format!("line {line}") } else { format!("{of}:{line}") },
            line: if here { line.parse().unwrap_or_default() } else { 0 },
            why: field.why,
            field: field.field,
        }
    }
}

fn is_personal_field(field: &str) -> bool {
    PERSONAL.contains(&field.split(['.', '[']).next().unwrap_or_default())
}

/// A value as people read it.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) if items.iter().all(Value::is_string) => {
            items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" · ")
        }
        other => other.to_string(),
    }
}

/// The sample laid out; none when it is no JSON and may hold personal data.
pub(super) fn shown_sample(sample: &[u8], personal: bool) -> Option<String> {
    let text = std::str::from_utf8(sample).ok()?;
    match pretty(text, !personal) {
        Some(laid) => Some(laid),
        None if personal => Some(text.to_owned()),
        None => None,
    }
}

/// What a changed mapping would have done.
pub(super) struct DiffView {
    pub messages: u64,
    pub different: u64,
    pub before: u64,
    pub after: u64,
    pub stopped: bool,
    pub fields: Vec<(String, u64)>,
    pub subjects: Vec<SubjectView>,
    /// Further ones, not shown.
    pub more: u64,
}

/// What would have come out differently for one order.
pub(super) struct SubjectView {
    pub account: String,
    pub subject: String,
    /// Message, field, before, after.
    pub changes: Vec<(i64, String, Option<String>, Option<String>)>,
}

impl DiffView {
    pub fn of(report: Report, personal: bool) -> Self {
        let hidden = report.subjects.len().saturating_sub(SHOWN);
        let subjects = report.subjects.into_iter().take(SHOWN).map(|one| SubjectView {
            account: one.account,
            subject: one.subject,
            changes: one
                .messages
                .into_iter()
                .flat_map(|message| {
                    let id = message.message;
                    message.changes.into_iter().map(move |change| {
                        let covered = !personal && is_personal_field(&change.field);
                        let shown =
                            |value: Option<Value>| {
                                value.map(|value| {
                                    if covered { COVERED.to_owned() } else { short(&value, &change.field) }
                                })
                            };
                        let what = match (change.fact.as_str(), change.field.as_str()) {
                            (fact, "") => fact.to_owned(),
                            ("", field) => field.to_owned(),
                            (fact, field) => format!("{fact}.{field}"),
                        };
                        (id, what, shown(change.before.clone()), shown(change.after.clone()))
                    })
                })
                .collect(),
        });
        let subjects = subjects.collect();
        let mut fields: Vec<(String, u64)> = report.fields.into_iter().collect();
        fields.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        Self {
            messages: report.messages,
            different: report.different,
            before: report.exceptions_before,
            after: report.exceptions_after,
            stopped: report.stopped,
            fields,
            subjects,
            more: report.more + u64::try_from(hidden).unwrap_or_default(),
        }
    }
}

/// A value; of a whole fact only that it is there.
fn short(value: &Value, field: &str) -> String {
    if field.is_empty() { "the fact".to_owned() } else { plain(value) }
}
