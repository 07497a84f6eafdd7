//! The form in which both stores keep values: packed texts, instants as nanoseconds, words of enums as numbers.

use std::cell::RefCell;
use std::collections::BTreeSet;

use bytes::Bytes;
use jiff::Timestamp;
use lz4_flex::block::{CompressTable, compress_into_with_table, get_maximum_output_size};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::canonical::fact::{Due, Header, KINDS, PERSONAL};
use crate::canonical::{
    AccountId, Body, Class, EntityId, EntityKind, ExternalRef, Fact, FactId, IntentState, MessageId,
};
use crate::ports::{Exception, MessageState, NewMessage, Origin, shard};

/// Texts shorter than this are not worth compressing.
const PACK_FROM: usize = 256;
const PLAIN: u8 = 0;
const LZ4: u8 = 1;
/// The byte for the form and the length of what is compressed.
const HEAD: usize = 5;

/// So many fillings of a stock slot are kept besides the newest; what was told before them is of no use to anyone.
pub(super) const KEEP_PUSHES: u32 = 16;
/// What stands where a partner's words were, once what is personal of their subject is erased: they quote what they were
/// sent.
pub(super) const ERASED: &str = "erased with the personal data";

/// What is stored cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unreadable(pub(super) String);

impl From<serde_json::Error> for Unreadable {
    fn from(error: serde_json::Error) -> Self {
        Self(error.to_string())
    }
}

/// An instant as nanoseconds; what lies outside the years 1677 to 2262 is moved to their edge.
pub(super) fn nanos(at: Timestamp) -> i64 {
    let value = at.as_nanosecond();
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

/// The instant of a column.
pub(super) fn instant(nanos: i64) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(nanos)).unwrap_or_default()
}

/// A count as SQL has it.
pub(super) fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A count as SQL had it.
pub(super) fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

thread_local! {
    /// What the compression looks matches up in; made once a thread.
    static TABLE: RefCell<CompressTable> = RefCell::new(CompressTable::small());
}

/// Text or bytes as they are stored: one byte for the form, then plain or compressed.
pub(super) fn pack(plain: &[u8]) -> Vec<u8> {
    if plain.len() >= PACK_FROM
        && let Some(packed) = compressed(plain)
    {
        return packed;
    }
    let mut stored = Vec::with_capacity(plain.len() + 1);
    stored.push(PLAIN);
    stored.extend_from_slice(plain);
    stored
}

/// The compressed form, where it is shorter.
fn compressed(plain: &[u8]) -> Option<Vec<u8>> {
    let length = u32::try_from(plain.len()).ok()?;
    let mut stored = vec![0; HEAD + get_maximum_output_size(plain.len())];
    stored[0] = LZ4;
    stored[1..HEAD].copy_from_slice(&length.to_le_bytes());
    let written = TABLE
        .with_borrow_mut(|table| compress_into_with_table(plain, &mut stored[HEAD..], table))
        .ok()
        .filter(|written| written + HEAD <= plain.len())?;
    stored.truncate(HEAD + written);
    Some(stored)
}

/// What [`pack`] packed.
pub(super) fn unpack(stored: &[u8]) -> Result<Vec<u8>, Unreadable> {
    match stored.split_first() {
        Some((&PLAIN, plain)) => Ok(plain.to_vec()),
        Some((&LZ4, packed)) => lz4_flex::decompress_size_prepended(packed)
            .map_err(|error| Unreadable(format!("compressed data: {error}"))),
        Some((form, _)) => Err(Unreadable(format!("packed data of form {form}"))),
        None => Err(Unreadable("packed data without a form".to_owned())),
    }
}

/// JSON, packed.
pub(super) fn pack_json(value: &impl Serialize) -> Result<Vec<u8>, Unreadable> {
    Ok(pack(&serde_json::to_vec(value)?))
}

/// What [`pack_json`] packed.
pub(super) fn unpack_json<T: DeserializeOwned>(stored: &[u8]) -> Result<T, Unreadable> {
    Ok(serde_json::from_slice(&unpack(stored)?)?)
}

/// JSON text.
pub(super) fn text(value: &impl Serialize) -> Result<String, Unreadable> {
    Ok(serde_json::to_string(value)?)
}

/// Puts `part` into `whole`, object by object; where both have a value that is no object, `part` wins.
pub(super) fn merge(whole: &mut Value, part: Value) {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            for (name, value) in part {
                merge(whole.entry(name).or_insert(Value::Null), value);
            }
        }
        (_, Value::Null) => {}
        (whole, part) => *whole = part,
    }
}

/// Declares how the words of an enum stand in a column.
macro_rules! column {
    ($to:ident, $from:ident, $type:ty, { $($value:path = $number:literal),* $(,)? }) => {
        /// As the column has it.
        pub(super) fn $to(value: $type) -> i16 {
            match value { $($value => $number),* }
        }
        /// What the column had.
        pub(super) fn $from(number: i16) -> Option<$type> {
            match number {
                $($number => Some($value),)*
                _ => None,
            }
        }
    };
}
column!(origin_in, origin_out, Origin, {
    Origin::Webhook = 0, Origin::Poll = 1, Origin::Answer = 2, Origin::File = 3, Origin::Fact = 4,
});
column!(message_in, message_out, MessageState, {
    MessageState::Pending = 0, MessageState::Done = 1, MessageState::Excepted = 2,
});
column!(intent_in, intent_out, IntentState, {
    IntentState::Pending = 0, IntentState::Retry = 1, IntentState::Unknown = 2, IntentState::InFlight = 3,
    IntentState::Done = 4, IntentState::Rejected = 5, IntentState::Stuck = 6, IntentState::Withdrawn = 7,
});
column!(class_in, class_out, Class, {
    Class::Cancel = 0, Class::Money = 1, Class::Tracking = 2, Class::Order = 3, Class::Stock = 4,
});
/// As the column has it.
pub(super) fn kind_in(kind: EntityKind) -> i16 {
    match kind {
        EntityKind::Order => 0,
        EntityKind::Stock => 1,
    }
}

/// The word of a message's state, for counts.
pub(super) fn message_word(state: MessageState) -> &'static str {
    match state {
        MessageState::Pending => "pending",
        MessageState::Done => "done",
        MessageState::Excepted => "excepted",
    }
}

/// A fact as it is stored: packed JSON without personal fields, and these, if there are any.
pub(super) fn pack_fact(fact: &Fact) -> Result<(Vec<u8>, Option<Vec<u8>>), Unreadable> {
    let kind = fact.body.kind();
    let fields = KINDS.iter().find(|info| info.kind == kind).map_or(&[][..], |info| info.fields);
    if !fields.iter().any(|field| PERSONAL.contains(&field.name)) {
        return Ok((pack_json(fact)?, None));
    }
    let text = serde_json::to_vec(fact)?;
    if let Some((plain, personal)) = parted(&text) {
        return Ok((pack(&plain), personal.map(|personal| pack(&personal))));
    }
    let mut whole: Value = serde_json::from_slice(&text)?;
    let mut personal = Map::new();
    if let Some(body) = whole.get_mut("body").and_then(Value::as_object_mut) {
        for name in PERSONAL {
            if let Some(value) = body.remove(*name) {
                personal.insert((*name).to_owned(), value);
            }
        }
    }
    let personal = (!personal.is_empty()).then(|| pack_json(&personal)).transpose()?;
    Ok((pack_json(&whole)?, personal))
}

/// The text of a fact without its personal fields, and these as an object, if there are any. `None` when the text is not
/// written as [`serde_json::to_vec`] writes it.
fn parted(text: &[u8]) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
    let mut at = text.windows(BODY.len()).position(|part| part == BODY)? + BODY.len();
    let mut plain = Vec::with_capacity(text.len());
    plain.extend_from_slice(&text[..at]);
    let mut personal = Vec::new();
    let mut first = true;
    while *text.get(at)? != b'}' {
        let colon = string_end(text, at)?;
        let end = value_end(text, colon + 1)?;
        let name = &text[at + 1..colon - 1];
        if PERSONAL.iter().any(|known| known.as_bytes() == name) {
            personal.push(if personal.is_empty() { b'{' } else { b',' });
            personal.extend_from_slice(&text[at..end]);
        } else {
            if !first {
                plain.push(b',');
            }
            first = false;
            plain.extend_from_slice(&text[at..end]);
        }
        at = if *text.get(end)? == b',' { end + 1 } else { end };
    }
    plain.extend_from_slice(&text[at..]);
    personal.push(b'}');
    Some((plain, (personal.len() > 1).then_some(personal)))
}

/// Behind the text that begins at `at`.
fn string_end(text: &[u8], at: usize) -> Option<usize> {
    let mut end = (*text.get(at)? == b'"').then_some(at + 1)?;
    loop {
        match *text.get(end)? {
            b'"' => return Some(end + 1),
            b'\\' => end += 2,
            _ => end += 1,
        }
    }
}

/// Behind the value that begins at `at`.
fn value_end(text: &[u8], at: usize) -> Option<usize> {
    let (mut end, mut depth) = (at, 0_u32);
    loop {
        match *text.get(end)? {
            b'"' => end = string_end(text, end)?,
            b'{' | b'[' => (depth, end) = (depth + 1, end + 1),
            b'}' | b']' | b',' if depth == 0 => return Some(end),
            b'}' | b']' => (depth, end) = (depth - 1, end + 1),
            _ => end += 1,
        }
    }
}

/// What stands before its kind.
const IS: &[u8] = b"\"is\":";
/// With what the body of a fact begins in its text. (Inside of a text the quotes would be escaped.)
const BODY: &[u8] = b"\"body\":{";

/// What [`pack_fact`] packed.
pub(super) fn unpack_fact(plain: &[u8], personal: Option<&[u8]>) -> Result<Fact, Unreadable> {
    let plain = unpack(plain)?;
    let Some(personal) = personal else { return Ok(serde_json::from_slice(&plain)?) };
    let personal = unpack(personal)?;
    if let Some(whole) = joined(&plain, &personal)
        && let Ok(fact) = serde_json::from_slice(&whole)
    {
        return Ok(fact);
    }
    let mut whole: Value = serde_json::from_slice(&plain)?;
    if let Some(body) = whole.get_mut("body") {
        merge(body, serde_json::from_slice(&personal)?);
    }
    Ok(serde_json::from_value(whole)?)
}

/// The text of a fact with its personal fields put back behind the kind of its body, where both are written as
/// [`pack_fact`] does.
fn joined(plain: &[u8], personal: &[u8]) -> Option<Vec<u8>> {
    let at = plain.windows(BODY.len()).position(|part| part == BODY)? + BODY.len();
    let at = plain[at..].starts_with(IS).then(|| string_end(plain, at + IS.len()))??;
    let fields = personal.strip_prefix(b"{")?.strip_suffix(b"}")?;
    let mut whole = Vec::with_capacity(plain.len() + fields.len() + 1);
    whole.extend_from_slice(&plain[..at]);
    if !fields.is_empty() {
        whole.push(b',');
    }
    whole.extend_from_slice(fields);
    whole.extend_from_slice(&plain[at..]);
    Some(whole)
}

/// The words of a text, as they are searched.
pub(super) fn words(text: &str) -> BTreeSet<String> {
    text.split_whitespace()
        .map(|word| word.trim_start_matches('#').to_lowercase())
        .filter(|word| !word.is_empty())
        .collect()
}

/// A fact as a message to ourselves.
pub(super) fn message_of(
    fact: &Fact,
    owner: &EntityId,
    context: Option<String>,
    at: Timestamp,
) -> Result<NewMessage, Unreadable> {
    Ok(NewMessage {
        account: fact.account.clone(),
        origin: Origin::Fact,
        topic: fact.body.kind().0.to_owned(),
        mapping: String::new(),
        event_id: None,
        headers: Vec::new(),
        body: Bytes::from(text(fact)?),
        received: at,
        priority: 0,
        shard: shard(&fact.account, owner.as_str()),
        context,
    })
}

/// The `timer.due` fact named `timer` that has an entity projected and planned again.
pub(super) fn due_fact(
    account: &AccountId,
    entity: &EntityId,
    timer: &str,
    generation: u64,
    at: Timestamp,
) -> Fact {
    Fact {
        id: FactId::derive(&["timer", entity.as_str(), timer, &generation.to_string()]),
        rule: "timer.due".to_owned(),
        account: account.clone(),
        header: Header { our: Some(entity.0.clone()), ..Header::default() },
        body: Body::Due(Due { timer: timer.to_owned(), generation }),
        heard: at,
        message: MessageId(0),
        mapping: String::new(),
    }
}

/// The exception of a fact that waited too long. It waits on: should its subject come, the exception resolves.
pub(super) fn no_subject(fact: &Fact, refs: &[ExternalRef], now: Timestamp) -> Exception {
    let kind = fact.body.kind().0;
    let names: Vec<String> = refs.iter().map(ToString::to_string).collect();
    let cause = names
        .first()
        .map_or_else(|| format!("no_subject:{}:{kind}", fact.account), |name| format!("no_subject:{name}"));
    let known = if names.is_empty() { "it names nothing".to_owned() } else { names.join(", ") };
    Exception {
        id: 0,
        cause,
        kind: "no_subject".to_owned(),
        message: format!("`{kind}` of {} belongs to nothing that we know: {known}", fact.account),
        help: Some(
            "it is applied by itself as soon as an order with one of these names comes; if none will, dismiss it"
                .to_owned(),
        ),
        account: Some(fact.account.clone()),
        client: None,
        entity: None,
        message_id: (fact.message.0 > 0).then_some(fact.message),
        intent: None,
        raised: now,
        resolved: None,
        resolution: None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn packed_data_comes_back() {
        for length in [0, 1, PACK_FROM - 1, PACK_FROM, 10_000] {
            let plain = b"abc".iter().copied().cycle().take(length).collect::<Vec<u8>>();
            let stored = pack(&plain);
            assert_eq!(unpack(&stored).unwrap(), plain);
            assert!(stored.len() <= plain.len() + 1);
        }
        assert!(unpack(b"").is_err());
        assert!(unpack(b"\x07x").is_err());
        assert!(unpack(b"\x01\xff\xff\xff\x0fzz").is_err());
    }

    #[test]
    fn personal_fields_are_put_back_into_a_fact() {
        let told = |body: Value| -> Fact {
            serde_json::from_value(json!({
                "id": FactId::derive(&["x"]), "rule": "\"body\":{", "account": "\"body\":{", "header": {}, "body": body,
                "heard": "2026-03-01T12:00:00Z", "message": 1, "mapping": "",
            }))
            .unwrap()
        };
        for body in [
            json!({ "is": "order.placed", "currency": "USD", "email": "x@example.com", "note": "{}", "tags": ["a"] }),
            json!({ "is": "order.placed", "email": "}\",\"note\":{\\", "gift_note": "[", "tags": ["}", "\\\""], "note": "last" }),
            json!({ "is": "order.placed", "currency": "USD" }),
            json!({ "is": "timer.due", "timer": "replan", "generation": 1 }),
        ] {
            let fact = told(body);
            let (plain, personal) = pack_fact(&fact).unwrap();
            assert_eq!(unpack_fact(&plain, personal.as_deref()).unwrap(), fact);
            let whole: Value = unpack_json(&plain).unwrap();
            assert!(PERSONAL.iter().all(|name| whole["body"].get(name).is_none()), "{whole}");
        }
        let fact = told(json!({ "is": "order.placed", "currency": "USD", "email": "x@example.com" }));
        let (plain, personal) = pack_fact(&fact).unwrap();
        assert!(joined(&unpack(&plain).unwrap(), &unpack(&personal.unwrap()).unwrap()).is_some());
        // Written with spaces by somebody else, it is read all the same.
        let spaced = serde_json::to_vec_pretty(&unpack_json::<Value>(&plain).unwrap()).unwrap();
        let email = pack(b"{ \"email\": \"x@example.com\" }");
        assert_eq!(unpack_fact(&pack(&spaced), Some(&email)).unwrap(), fact);
    }

    #[test]
    fn merge_goes_into_objects() {
        let mut whole = json!({ "a": 1, "contact": { "email": null } });
        merge(&mut whole, json!({ "contact": { "email": "x@example.com", "phone": null } }));
        assert_eq!(whole, json!({ "a": 1, "contact": { "email": "x@example.com", "phone": null } }));
    }

    #[test]
    fn instants_keep_their_nanoseconds() {
        let at: Timestamp = "2026-03-01T12:00:00.123456789Z".parse().unwrap();
        assert_eq!(instant(nanos(at)), at);
        assert_eq!(nanos(Timestamp::MAX), i64::MAX);
    }

    #[test]
    fn personal_fields_are_optional_everywhere() {
        // What was erased must still be readable as the fact that it was.
        for info in KINDS {
            for field in info.fields.iter().filter(|field| PERSONAL.contains(&field.name)) {
                assert!(!field.required, "{}: {}", info.kind.0, field.name);
            }
        }
    }
}
