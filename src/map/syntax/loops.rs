//! Loops: which segments belong below which. `PO1 = ["PID", "PO4"]` puts the PID and PO4 that follow a PO1 into it.

use std::borrow::Cow;
use std::collections::HashMap;

use super::put;
use super::segment::Segment;
use crate::map::node::{MAX_DEPTH, Node};

/// The segments that close everything: totals and trailers.
const CLOSING: [&str; 4] = ["CTT", "UNS", "CNT", "SE"];

/// One loop: the segment that opens it, and those that belong to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Loop {
    /// `PO1`.
    pub opens: String,
    /// `PID`, `PO4`; `*` for all until the totals.
    pub members: Vec<String>,
}

/// The loops of a mapping.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Loops(pub Vec<Loop>);

impl Loops {
    fn opened_by(&self, tag: &str) -> Option<&Loop> {
        self.0.iter().find(|known| known.opens == tag)
    }
}

impl Loop {
    fn takes(&self, tag: &str) -> bool {
        let named = |name: &str| self.members.iter().any(|member| member == name);
        named(tag) || (named("*") && tag != self.opens && !CLOSING.contains(&tag))
    }
}

/// A loop that is open, or the message itself.
struct Frame<'a, 'l> {
    tag: Cow<'a, str>,
    of: Option<&'l Loop>,
    entries: Vec<(Cow<'a, str>, Node<'a>)>,
    places: HashMap<Cow<'a, str>, usize>,
}

/// The segments of a message as one object, nested as the loops say.
pub(super) fn nest<'a>(
    segments: impl IntoIterator<Item = Segment<'a>>,
    loops: &Loops,
) -> Result<Vec<(Cow<'a, str>, Node<'a>)>, String> {
    let whole = Frame { tag: Cow::Borrowed(""), of: None, entries: Vec::new(), places: HashMap::new() };
    let mut open: Vec<Frame<'a, '_>> = vec![whole];
    for segment in segments {
        while open.len() > 1
            && !open.last().and_then(|frame| frame.of).is_some_and(|of| of.takes(&segment.tag))
        {
            close(&mut open)?;
        }
        match loops.opened_by(&segment.tag) {
            Some(of) => {
                if open.len() > MAX_DEPTH / 2 {
                    return Err(format!("the loops of [loops] nest deeper than {} levels", MAX_DEPTH / 2));
                }
                let frame = Frame {
                    tag: segment.tag,
                    of: Some(of),
                    entries: segment.elements,
                    places: HashMap::new(),
                };
                open.push(frame);
            }
            None => {
                if let Some(frame) = open.last_mut() {
                    put(&mut frame.entries, &mut frame.places, segment.tag, Node::Map(segment.elements));
                }
            }
        }
    }
    while open.len() > 1 {
        close(&mut open)?;
    }
    let mut entries = open.pop().map(|frame| frame.entries).unwrap_or_default();
    hierarchy(&mut entries)?;
    Ok(entries)
}

fn close(open: &mut Vec<Frame<'_, '_>>) -> Result<(), String> {
    if let (Some(mut frame), Some(around)) = (open.pop(), open.last_mut()) {
        hierarchy(&mut frame.entries)?;
        put(&mut around.entries, &mut around.places, frame.tag, Node::Map(frame.entries));
    }
    Ok(())
}

fn element<'n>(node: &'n Node<'_>, key: &str) -> Option<&'n str> {
    match node.get(key) {
        Some(Node::Str(text)) if !text.is_empty() => Some(text),
        _ => None,
    }
}

/// Puts each HL below the one that it names as its parent (the shipment, its orders, their packs, their items).
fn hierarchy(entries: &mut [(Cow<'_, str>, Node<'_>)]) -> Result<(), String> {
    let Some((_, node)) = entries.iter_mut().find(|(tag, _)| tag == "HL") else { return Ok(()) };
    let Node::List(levels) = node else { return Ok(()) };
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut parents: Vec<Option<usize>> = Vec::with_capacity(levels.len());
    let mut depths: Vec<usize> = Vec::with_capacity(levels.len());
    for (at, level) in levels.iter().enumerate() {
        let parent = match element(level, "02") {
            None => None,
            Some(name) => Some(*places.get(name).ok_or_else(|| {
                let id = element(level, "01").unwrap_or("?");
                format!("HL {id} names the parent {name}, and no HL before it has that number")
            })?),
        };
        let depth = parent.and_then(|at| depths.get(at)).map_or(0, |depth| depth + 1);
        if depth > MAX_DEPTH / 2 {
            return Err(format!("the HL segments nest deeper than {} levels", MAX_DEPTH / 2));
        }
        parents.push(parent);
        depths.push(depth);
        if let Some(id) = element(level, "01") {
            places.insert(id.to_owned(), at);
        }
    }
    // From the last to the first: what is taken out has all its children already, in reverse.
    let mut children: Vec<Vec<Node<'_>>> = levels.iter().map(|_| Vec::new()).collect();
    let mut roots = Vec::new();
    for at in (0..levels.len()).rev() {
        let Some(mut level) = levels.pop() else { break };
        let mut below = std::mem::take(&mut children[at]);
        below.reverse();
        if let (Node::Map(entries), false) = (&mut level, below.is_empty()) {
            entries.push((Cow::Borrowed("HL"), Node::List(below)));
        }
        match parents[at] {
            Some(parent) => children[parent].push(level),
            None => roots.push(level),
        }
    }
    roots.reverse();
    *levels = roots;
    Ok(())
}
