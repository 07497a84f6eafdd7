//! `application/x-www-form-urlencoded`: `a[b]=1` gives an object in `a`, `a[]=1` and `a[0]=1` a list.

use std::borrow::Cow;

use crate::map::json::problem;
use crate::map::node::{MAX_DEPTH, Node, ParseError};

/// Pairs that a form may have: each is looked for among those before.
const MAX_PAIRS: usize = 5_000;

pub(super) fn parse(bytes: &[u8]) -> Result<Node<'static>, ParseError> {
    let pairs: Vec<(String, String)> = serde_urlencoded::from_bytes(bytes)
        .map_err(|error| problem(bytes, 0, format!("no form-encoded payload: {error}")))?;
    if pairs.len() > MAX_PAIRS {
        return Err(problem(bytes, 0, format!("{} fields; a form may have {MAX_PAIRS}", pairs.len())));
    }
    let mut root = Node::Map(Vec::new());
    for (key, value) in pairs {
        let mut place = &mut root;
        for (depth, piece) in key.split('[').enumerate() {
            if depth > MAX_DEPTH {
                return Err(problem(bytes, 0, format!("nested deeper than {MAX_DEPTH} levels")));
            }
            let piece = if depth == 0 { piece } else { piece.strip_suffix(']').unwrap_or(piece) };
            place = child(place, piece);
        }
        *place = Node::Str(Cow::Owned(value));
    }
    numbered(&mut root);
    Ok(root)
}

fn child<'n>(place: &'n mut Node<'static>, key: &str) -> &'n mut Node<'static> {
    if key.is_empty() {
        if !matches!(place, Node::List(_)) {
            *place = Node::List(Vec::new());
        }
    } else if !matches!(place, Node::Map(_)) {
        *place = Node::Map(Vec::new());
    }
    match place {
        Node::List(items) => {
            items.push(Node::Null);
            let last = items.len() - 1;
            &mut items[last]
        }
        Node::Map(entries) => {
            let at = entries.iter().position(|(name, _)| name == key).unwrap_or_else(|| {
                entries.push((Cow::Owned(key.to_owned()), Node::Null));
                entries.len() - 1
            });
            &mut entries[at].1
        }
        other => other,
    }
}

/// Objects whose keys are 0, 1, 2 … are lists.
fn numbered(node: &mut Node<'static>) {
    match node {
        Node::List(items) => items.iter_mut().for_each(numbered),
        Node::Map(entries) => {
            for (_, value) in entries.iter_mut() {
                numbered(value);
            }
            let counts = entries.iter().enumerate().all(|(at, (key, _))| *key == at.to_string());
            if counts && !entries.is_empty() {
                *node = Node::List(std::mem::take(entries).into_iter().map(|(_, value)| value).collect());
            }
        }
        _ => {}
    }
}
