//! Requests, and the polls and reads that make them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value as Json};
use toml::de::DeValue;

use super::document::{self, Document, SHARED};
use super::values::{Place, one_text, path, tests};
use super::{Scope, plain};
use crate::connector::manifest::{BodySpec, Page, Read, RequestSpec, Since};
use crate::connector::template::Template;
use crate::tables::{Table, Value};

impl Scope<'_> {
    pub(super) fn polls(&self, root: &Table<'_>) -> BTreeMap<String, Read> {
        self.all(root, "poll", Place::Poll)
    }

    pub(super) fn reads(&self, root: &Table<'_>) -> BTreeMap<String, Read> {
        self.all(root, "read", Place::Read)
    }

    fn all(&self, root: &Table<'_>, kind: &str, place: Place) -> BTreeMap<String, Read> {
        let mut all = BTreeMap::new();
        for (name, table) in root.tables(kind) {
            let read = self.read(&table, name.text, place);
            if plain(self.file, &name)
                && let Some(read) = read
            {
                all.insert(name.text.to_owned(), read);
            }
        }
        all
    }

    fn read(&self, table: &Table<'_>, name: &str, place: Place) -> Option<Read> {
        let request = self.request(table, place, false);
        let items = table.get("items").and_then(|value| path(&value)).unwrap_or_else(|| "$".to_owned());
        let page = table.get("page").and_then(|value| page(&value));
        let ok = tests(table.get("ok"));
        let (mapping, since, every) = if place == Place::Poll {
            let mapping = table.need("mapping", "the inbound mapping of each item");
            let every = table.need("every", "the interval, such as \"2m\"").and_then(|value| {
                let every = value.duration()?;
                if every < Duration::from_secs(1) {
                    value.wrong("the interval is too short", "expected at least \"1s\"");
                }
                Some(every)
            });
            let since = table.get("since").and_then(|value| since(&value));
            (mapping.and_then(|value| self.inbound(&value)), since, every)
        } else {
            (table.get("mapping").and_then(|value| self.inbound(&value)), None, Some(Duration::ZERO))
        };
        table.finish();
        let (has_page, has_since) = (table.get("page").is_some(), table.get("since").is_some());
        let request = request?;
        check_use(table, &request, "page", has_page && !matches!(page, Some(Page::LinkHeader)));
        if place == Place::Poll {
            check_use(table, &request, "since", has_since);
        }
        Some(Read { name: name.to_owned(), request, items, page, ok, mapping, since, every: every? })
    }

    /// The request in `table`; `mapped` when an outbound mapping makes its body.
    pub(super) fn request(&self, table: &Table<'_>, place: Place, mapped: bool) -> Option<RequestSpec> {
        let headers = self.templates(table.get("headers"), place);
        let query = self.templates(table.get("query"), place);
        if let Some(document) = table.get("graphql") {
            for key in ["path", "body", "method"] {
                if let Some(value) = table.get(key) {
                    value.wrong("it has no place beside `graphql`", "GraphQL goes to http.graphql by POST");
                }
            }
            let body = self.graphql(table, &document, place, mapped)?;
            return Some(RequestSpec {
                method: "POST".to_owned(),
                path: self.endpoint.clone()?,
                query,
                headers,
                body,
            });
        }
        if let Some(value) = table.get("variables") {
            value.wrong(
                "it has no place without `graphql`",
                "name the document: graphql = \"orders.graphql\"",
            );
        }
        let path = table.need("path", "a path below http.base, or `graphql`");
        let path = path.and_then(|value| self.template(&value, place));
        let body = match table.get("body").and_then(|value| value.word(&["json", "form", "none"])) {
            Some("form") => BodySpec::Form,
            Some("json") => BodySpec::Json,
            None if mapped => BodySpec::Json,
            _ => BodySpec::Empty,
        };
        let method = match table.get("method") {
            Some(value) => value.word(&["GET", "POST", "PUT", "PATCH", "DELETE"])?.to_owned(),
            None if matches!(body, BodySpec::Empty) => "GET".to_owned(),
            None => "POST".to_owned(),
        };
        Some(RequestSpec { method, path: path?, query, headers, body })
    }

    fn graphql(
        &self,
        table: &Table<'_>,
        document: &Value<'_>,
        place: Place,
        mapped: bool,
    ) -> Option<BodySpec> {
        if self.endpoint.is_none() {
            document.wrong("[http] names no GraphQL endpoint", "add graphql = \"/graphql.json\" to [http]");
        }
        let name = document.text()?;
        let folder = format!("connectors/{}/", self.name);
        let variables = table.get("variables");
        let filled = variables
            .as_ref()
            .map_or_else(|| Some(Json::Object(Map::new())), |value| self.json(value, place));
        let path = format!("{folder}{name}");
        let Some(text) = self.sources.get(&path) else {
            let known =
                self.sources.under(&folder).filter_map(|(path, _)| path.strip_prefix(folder.as_str()));
            let known: Vec<&str> = known.filter(|name| name.ends_with(".graphql")).collect();
            document.unknown(format!("there is no file {path}"), name, known);
            return None;
        };
        let shared_path = format!("{folder}{SHARED}");
        let shared = self.sources.get(&shared_path).map(|text| (shared_path.as_str(), text));
        let Document { text, variables: declared } = match document::read((&path, text), shared) {
            Ok(read) => read,
            Err(found) => {
                self.file.report(found);
                return None;
            }
        };
        if let Some(given) = variables.as_ref().and_then(Value::table) {
            for key in given.keys().iter().filter(|key| !declared.iter().any(|(known, _)| known == key.text))
            {
                let found =
                    self.file.error(key.span.clone(), format!("{name} has no variable ${}", key.text));
                self.file.report(found.nearest(key.text, declared.iter().map(|(known, _)| known.as_str())));
            }
        }
        let missing = declared.iter().filter(|(known, needed)| {
            *needed && !mapped && filled.as_ref().is_some_and(|filled| filled.get(known).is_none())
        });
        for (known, _) in missing {
            document.wrong(format!("nothing fills ${known}, which {name} needs"), "add it to `variables`");
        }
        Some(BodySpec::GraphQl { document: text, variables: filled? })
    }

    /// A value as JSON whose texts are templates.
    fn json(&self, value: &Value<'_>, place: Place) -> Option<Json> {
        Some(match value.raw() {
            DeValue::String(text) => {
                self.template_of(value, value.span(), text, place)?;
                Json::String(text.to_string())
            }
            DeValue::Boolean(yes) => Json::Bool(*yes),
            DeValue::Integer(_) => Json::from(value.integer()?),
            DeValue::Float(_) | DeValue::Datetime(_) => {
                value.expected("a text, a whole number, true or false; write other numbers as text");
                return None;
            }
            DeValue::Array(_) => {
                Json::Array(value.items()?.iter().map(|item| self.json(item, place)).collect::<Option<_>>()?)
            }
            DeValue::Table(_) => {
                let mut fields = Map::new();
                for (name, field) in value.table()?.all() {
                    fields.insert(name.text.to_owned(), self.json(&field, place)?);
                }
                Json::Object(fields)
            }
        })
    }
}

/// `{page}` without `page`, or the other way round, is a slip that would read the first page for ever.
fn check_use(table: &Table<'_>, request: &RequestSpec, hole: &str, declared: bool) {
    let used = holes(request).iter().any(|name| name == hole);
    if declared && !used {
        table.wrong(
            format!("[{}] has `{hole}`, but its request has no hole {{{hole}}}", table.path()),
            format!("put {{{hole}}} where the partner wants it"),
        );
    }
    if used && !declared {
        table.wrong(
            format!("[{}] has the hole {{{hole}}}, and no `{hole}` that says what fills it", table.path()),
            format!("add `{hole} = {{ … }}`"),
        );
    }
}

/// The holes of a request.
fn holes(request: &RequestSpec) -> Vec<String> {
    fn inside(value: &Json, found: &mut Vec<String>) {
        match value {
            Json::String(text) => {
                found.extend(Template::parse(text).iter().flat_map(|one| one.holes().map(str::to_owned)));
            }
            Json::Array(items) => items.iter().for_each(|item| inside(item, found)),
            Json::Object(fields) => fields.values().for_each(|field| inside(field, found)),
            _ => {}
        }
    }
    let templates = request.query.values().chain(request.headers.values()).chain([&request.path]);
    let mut found: Vec<String> = templates.flat_map(|template| template.holes().map(str::to_owned)).collect();
    if let BodySpec::GraphQl { variables, .. } = &request.body {
        inside(variables, &mut found);
    }
    found
}

fn page(value: &Value<'_>) -> Option<Page> {
    let table = value.table()?;
    let more = table.get("while").map(|value| one_text(&value));
    let kinds = (table.get("next"), table.get("last"), table.get("number"), table.get("link"));
    let page = match kinds {
        (Some(next), None, None, None) => path(&next).map(|next| (next, true)),
        (None, Some(last), None, None) => path(&last).map(|last| (last, false)),
        (None, None, Some(number), None) => {
            let first = number.whole(0, 1_000_000).and_then(|number| u32::try_from(number).ok());
            table.finish();
            return first.map(|first| Page::Number { first });
        }
        (None, None, None, Some(link)) => {
            table.finish();
            return link.flag().filter(|flag| *flag).map(|_| Page::LinkHeader);
        }
        _ => {
            table.finish();
            value.wrong(
                "one way to the next page is needed",
                "expected one of `next`, `last`, `number` and `link`",
            );
            return None;
        }
    };
    table.finish();
    let more = match more {
        Some(more) => Some(more?),
        None => None,
    };
    page.map(
        |(at, cursor)| if cursor { Page::Cursor { next: at, more } } else { Page::LastItem { id: at, more } },
    )
}

fn since(value: &Value<'_>) -> Option<Since> {
    let table = value.table()?;
    let from = table.need("from", "the path of a time in each item").and_then(|value| path(&value));
    let overlap = table.need("overlap", "how far each poll looks back, such as \"5m\"");
    let overlap = overlap.and_then(|value| value.duration());
    let format = table.get("format").and_then(|value| value.word(&["rfc3339", "unix"])).unwrap_or("rfc3339");
    let first = table.duration("first").unwrap_or(Duration::from_hours(1));
    table.finish();
    Some(Since { from: from?, overlap: overlap?, format: format.to_owned(), first })
}

/// The documents that a manifest names anywhere.
pub(super) fn documents(table: &Table<'_>, found: &mut Vec<String>) {
    for (key, value) in table.all() {
        if key.text == "graphql" {
            found.extend(value.raw().as_str().map(str::to_owned));
        }
        if value.is_table()
            && let Some(inner) = value.table()
        {
            documents(&inner, found);
        }
    }
}
