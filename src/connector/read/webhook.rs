//! `[webhook]`, its signature and its topics.

use super::Scope;
use super::values::{Place, path, source};
use crate::connector::manifest::{
    Digest, Encoding, HmacScheme, KeyForm, Signature, Source, TopicAction, Webhook,
};
use crate::connector::template::Template;
use crate::tables::{Table, Value};

impl Scope<'_> {
    pub(super) fn webhook(&self, table: &Table<'_>) -> Option<Webhook> {
        let topic = table.need("topic", "a path in the body, or { header = \"X-Topic\" }");
        let topic = topic.and_then(|value| source(&value, &[]));
        let event_id = table.get("event_id").and_then(|value| source(&value, &[]));
        let belongs = table.get("belongs").and_then(|value| {
            let from = source(&value, &["equals"]);
            let inner = value.table()?;
            let equals = inner.need("equals", "a template such as \"{setting.shop}\"")?;
            Some((from?, self.template(&equals, Place::Settings)?))
        });
        let signature = self.signature(table);
        let topics = table.need("topics", "the table [webhook.topics]: pattern = \"mapping\"");
        let topics = topics.and_then(|value| value.table()).map(|topics| self.topics(&topics));
        let answer = table.text("answer").unwrap_or_default();
        let keep_headers = table.texts("keep_headers").unwrap_or_default();
        let told = table.get("told").and_then(|value| source(&value, &[]));
        let about = table.get("about").map_or_else(usual_names, |value| about(&value));
        table.finish();
        Some(Webhook {
            topic: topic?,
            event_id,
            belongs,
            signature: signature?,
            topics: topics?,
            answer,
            keep_headers,
            told,
            about,
        })
    }

    fn topics(&self, table: &Table<'_>) -> Vec<(String, TopicAction)> {
        let mut all = Vec::new();
        for (pattern, value) in table.all() {
            let action = if value.is_table() {
                self.reread(&value)
            } else if value.raw().as_str() == Some("ignore") {
                Some(TopicAction::Ignore)
            } else {
                self.inbound(&value).map(TopicAction::Map)
            };
            all.extend(action.map(|action| (pattern.text.to_owned(), action)));
        }
        // A pattern without a star is most exact, then the one with the most letters.
        all.sort_by_key(|(pattern, _)| (pattern.contains('*'), usize::MAX - pattern.len()));
        all
    }

    fn reread(&self, value: &Value<'_>) -> Option<TopicAction> {
        let table = value.table()?;
        let read = table.need("reread", "the name of a [read.…]").and_then(|value| {
            let name = value.text()?;
            self.check_read(&value, name);
            Some(name.to_owned())
        });
        let id = table.need("id", "the path of the id in the payload").and_then(|value| path(&value));
        table.finish();
        Some(TopicAction::Reread { read: read?, id: id? })
    }

    fn signature(&self, webhook: &Table<'_>) -> Option<Signature> {
        let Some(value) = webhook.get("signature") else {
            webhook.wrong(
                "[webhook] has no signature scheme",
                "write [webhook.signature] with `scheme`; if the partner does not sign, `scheme = \"none\"` and `why = \"…\"`",
            );
            return None;
        };
        let table = value.table()?;
        let scheme = table.need("scheme", "hmac-sha256, hmac-sha1, hmac-sha512, or none and `why`")?;
        let digest = match scheme.word(&["hmac-sha256", "hmac-sha512", "hmac-sha1", "none"])? {
            "none" => {
                let why = table.need("why", "why it is acceptable that anybody may send these webhooks");
                let why = why.and_then(|value| {
                    let text = value.text()?.trim();
                    if text.is_empty() {
                        value.wrong("it is empty", "expected why it is acceptable that nothing is signed");
                    }
                    Some(text.to_owned())
                });
                table.finish();
                return why.map(|why| Signature::None { why });
            }
            "hmac-sha1" => Digest::Sha1,
            "hmac-sha512" => Digest::Sha512,
            _ => Digest::Sha256,
        };
        self.hmac(&table, digest).map(Signature::Hmac)
    }

    fn hmac(&self, table: &Table<'_>, digest: Digest) -> Option<HmacScheme> {
        let headers = table.need("header", "the header that carries it, or several names");
        let headers = headers.and_then(|value| value.texts());
        let headers: Option<Vec<String>> =
            headers.map(|names| names.into_iter().map(|(name, _)| name.to_owned()).collect());
        let encoding =
            table.need("encoding", "base64 or hex").and_then(|value| value.word(&["base64", "hex"]));
        let encoding = encoding.map(|word| if word == "hex" { Encoding::Hex } else { Encoding::Base64 });
        let prefix = table.text("prefix").unwrap_or_default();
        let form = table.get("form").and_then(|value| form(&value));
        let time = table.text("time");
        let signed = table.get("signed");
        let covers = signed.as_ref().and_then(|value| self.template(value, Place::Signed));
        let covers = covers.or_else(|| Template::parse("{body}").ok())?;
        let tolerance = table.duration("tolerance");
        self.check_time(
            table,
            signed.as_ref(),
            &covers,
            table.get("form").is_some() || time.is_some(),
            tolerance.is_some(),
        );
        let secret = table.need("secret", "the name of a [secret.…]").and_then(|value| {
            let name = value.text()?;
            self.check_secret(&value, name);
            Some(name.to_owned())
        });
        let key = table.get("key").and_then(|value| value.word(&["text", "nfkd", "hex", "base64"]));
        let key = match key {
            Some("nfkd") => KeyForm::Nfkd,
            Some("hex") => KeyForm::Hex,
            Some("base64") => KeyForm::Base64,
            _ => KeyForm::Text,
        };
        table.finish();
        let (headers, encoding, secret) = (headers?, encoding?, secret?);
        Some(HmacScheme {
            digest,
            headers,
            encoding,
            prefix,
            form,
            time,
            signed: covers,
            tolerance,
            secret,
            key,
        })
    }

    /// A signature that does not cover the body, or a tolerance of a time that nobody signed, is worth nothing.
    fn check_time(
        &self,
        table: &Table<'_>,
        signed: Option<&Value<'_>>,
        covers: &Template,
        has_time: bool,
        tolerance: bool,
    ) {
        let span = signed.map_or_else(|| table.span(), Value::span);
        let wrong =
            |message: &str, help: &str| self.file.report(self.file.error(span.clone(), message).help(help));
        let covers = |name: &str| covers.holes().any(|hole| hole == name);
        if !covers("body") {
            wrong("`signed` does not cover the body: anybody could change it", "put {body} into it");
        }
        if covers("time") && !has_time {
            wrong("`signed` has {time}, and nothing says where the time stands", "add `form` or `time`");
        }
        if tolerance && !covers("time") {
            wrong("`tolerance` means nothing for a time that is not signed", "put {time} into `signed`");
        }
    }
}

/// What a body calls its subject where the manifest does not tell.
fn usual_names() -> Vec<Source> {
    ["order_id", "order", "id"].map(|name| Source::Path(name.to_owned())).to_vec()
}

/// One place or several, in order.
fn about(value: &Value<'_>) -> Vec<Source> {
    let items = if value.is_list() { value.items().unwrap_or_default() } else { vec![value.clone()] };
    let mut about = Vec::new();
    for item in items {
        let Some(found) = source(&item, &[]) else { continue };
        if let Source::Path(path) = &found
            && path
                .split('.')
                .any(|key| key.is_empty() || !key.chars().all(|c| c.is_alphanumeric() || "_-".contains(c)))
        {
            item.wrong(
                format!("`{path}` is not made of plain keys"),
                "expected keys and dots alone, such as \"order.id\"",
            );
            continue;
        }
        about.push(found);
    }
    about
}

/// `t={time},v1={sig}` to `t` and `v1`.
fn form(value: &Value<'_>) -> Option<(String, String)> {
    let text = value.text()?;
    let (mut time, mut signature) = (None, None);
    for field in text.split(',') {
        match field.trim().split_once('=') {
            Some((key, "{time}")) => time = Some(key.trim().to_owned()),
            Some((key, "{sig}")) => signature = Some(key.trim().to_owned()),
            _ => {
                value.wrong(
                    format!("`{}` is no field of a form", field.trim()),
                    "expected \"t={time},v1={sig}\"",
                );
                return None;
            }
        }
    }
    if time.is_none() || signature.is_none() {
        value.wrong("{time} and {sig} are both needed", "expected \"t={time},v1={sig}\"");
    }
    Some((time?, signature?))
}
