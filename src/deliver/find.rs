//! Looking up what an attempt may have done.

use bytes::Bytes;
use serde_json::Value;

use super::call::{NoItems, Unsent};
use super::limiter::Taken;
use super::shared::{Shared, View, lock};
use crate::connector::classify::{Outcome, Verdict};
use crate::connector::manifest::{ErrorClass, Find, Read};
use crate::connector::request::Fill;
use crate::map::{Node, Path};

/// Pages of a look-up at most; what is not on them counts as not seen, not as not there.
const PAGES: usize = 10;

/// What a look-up told.
#[derive(Debug)]
pub enum Found {
    /// It was done: this is it.
    Here(Bytes),
    /// It is not there; `surely` when the look-up sees everything.
    Missing {
        /// A miss means that it was not done.
        surely: bool,
    },
    /// Nothing: the look-up itself failed.
    Unanswered(Verdict),
    /// Nothing: the look-up was not made.
    Unsent(Unsent),
}

/// The mapping that reads what a look-up finds: the read's own, else that of the command's answer.
#[must_use]
pub fn mapping_of<'a>(read: Option<&'a Read>, answer: Option<&'a String>) -> Option<&'a String> {
    read.and_then(|read| read.mapping.as_ref()).or(answer)
}

impl Shared {
    /// Looks up whether what `source` says was done.
    pub(super) async fn find(
        &self,
        view: &View,
        epoch: i64,
        find: &Find,
        source: &Value,
        (subject, taken): (&str, Taken),
    ) -> Found {
        let Some(read) = view.manifest().reads.get(&find.read) else {
            lock(&self.limiter).cancel(taken, self.now());
            return unanswerable(format!("the connector has no [read.{}]", find.read));
        };
        let fill = Fill::of(&view.account).about(source.clone());
        let mut wanted = Vec::new();
        for (path, template) in &find.same {
            let filled = template.fill(&|name| fill.value(name)).map_err(|error| error.to_string());
            match (Path::parse(path).map_err(|error| error.to_string()), filled) {
                (Ok(path), Ok(text)) => wanted.push((path, text)),
                (Err(error), _) | (_, Err(error)) => {
                    lock(&self.limiter).cancel(taken, self.now());
                    return unanswerable(format!("the look-up [read.{}] cannot be made: {error}", find.read));
                }
            }
        }
        match self.items(view, epoch, read, &fill, (subject, taken, PAGES)).await {
            Ok((items, more)) => match items.into_iter().find(|item| is_ours(item, &wanted)) {
                Some(item) => Found::Here(item),
                None => Found::Missing { surely: find.complete && !more },
            },
            Err(NoItems::Verdict(verdict)) => Found::Unanswered(verdict),
            Err(NoItems::Unsent(Unsent::Request(message))) => unanswerable(message),
            Err(NoItems::Unsent(unsent)) => Found::Unsent(unsent),
        }
    }
}

fn unanswerable(message: String) -> Found {
    Found::Unanswered(Verdict { class: Outcome::Failed(ErrorClass::Rejected), message, retry_after: None })
}

fn is_ours(item: &[u8], wanted: &[(Path, String)]) -> bool {
    let Ok(node) = Node::parse_json(item) else { return false };
    !wanted.is_empty()
        && wanted.iter().all(|(path, text)| {
            path.all(&node).iter().any(|found| found.text().is_some_and(|found| found.trim() == text.trim()))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_conditions_must_hold_on_one_item() {
        let wanted = |pairs: &[(&str, &str)]| -> Vec<(Path, String)> {
            pairs.iter().map(|(path, text)| (Path::parse(path).unwrap(), (*text).to_owned())).collect()
        };
        let item = br#"{"tags":["a","crossdock-1"],"n":5}"#;
        assert!(is_ours(item, &wanted(&[("tags[*]", "crossdock-1"), ("n", "5")])));
        assert!(!is_ours(item, &wanted(&[("tags[*]", "crossdock-1"), ("n", "6")])));
        assert!(!is_ours(item, &wanted(&[])));
        assert!(!is_ours(b"no json", &wanted(&[("n", "5")])));
    }
}
