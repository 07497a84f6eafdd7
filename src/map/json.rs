//! Reads JSON (RFC 8259) into a [`Node`] without losing the text of numbers.

use std::borrow::Cow;
use std::collections::HashMap;

use super::node::{MAX_DEPTH, Node, ParseError};
use super::syntax::FAULT;
use super::wanted::{Keep, Keys, mark};

/// Small, so that what is read costs no more for what may go wrong.
struct Failed(Box<ParseError>);

/// Reads the whole of `bytes`; a byte-order mark at the start is skipped.
pub(super) fn parse(bytes: &[u8]) -> Result<Node<'_>, ParseError> {
    match read(bytes, None) {
        Ok((node, _)) => Ok(node),
        Err(Failed(error)) => Err(*error),
    }
}

/// Reads what is wanted of `bytes`, and sees whether the rest is JSON. Without: read the whole, it tells what is wrong.
pub(super) fn parse_wanted<'a>(bytes: &'a [u8], keys: &Keys) -> Option<Node<'a>> {
    match read(bytes, Some(keys)) {
        Ok((node, false)) => Some(node),
        Ok((_, true)) | Err(_) => None,
    }
}

/// What `bytes` say, and whether they have a key by which other formats tell that they are amiss.
fn read<'a>(bytes: &'a [u8], keys: Option<&Keys>) -> Result<(Node<'a>, bool), Failed> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let message = "the bytes are no UTF-8; expected JSON in UTF-8".to_owned();
        Failed(Box::new(problem(bytes, error.valid_up_to(), message)))
    })?;
    let start = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    let mut reader = Reader {
        text,
        at: start,
        keys,
        odd: false,
        items: Vec::with_capacity(16),
        entries: Vec::with_capacity(64),
    };
    let node = reader.value(0, keys.is_none())?;
    reader.blank();
    if reader.at < text.len() {
        return Err(reader.expected("the end of the payload"));
    }
    Ok((node, reader.odd))
}

/// An error at `byte` of `bytes`.
pub(super) fn problem(bytes: &[u8], byte: usize, message: String) -> ParseError {
    let before = &bytes[..byte.min(bytes.len())];
    let line = before.split(|b| *b == b'\n').count();
    let column = before.iter().rev().take_while(|b| **b != b'\n').count() + 1;
    ParseError { byte, line, column, message }
}

struct Reader<'a, 'k> {
    text: &'a str,
    at: usize,
    /// What is wanted, if not all.
    keys: Option<&'k Keys>,
    odd: bool,
    /// Items of the lists and entries of the objects that are not yet closed: each list and each object takes its own
    /// from the end, in one piece.
    items: Vec<Node<'a>>,
    entries: Vec<(Cow<'a, str>, Node<'a>)>,
}

impl<'a> Reader<'a, '_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blank(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn fail(&self, at: usize, message: impl Into<String>) -> Failed {
        Failed(Box::new(problem(self.text.as_bytes(), at, message.into())))
    }

    fn expected(&self, what: &str) -> Failed {
        match self.text[self.at..].chars().next() {
            Some(found) => self.fail(self.at, format!("expected {what}, found `{found}`")),
            None => self.fail(self.at, format!("expected {what}, but the payload ends here")),
        }
    }

    /// `whole`: with everything in it, wanted or not.
    fn value(&mut self, depth: usize, whole: bool) -> Result<Node<'a>, Failed> {
        self.blank();
        match self.peek() {
            Some(b'{') => self.object(depth, whole),
            Some(b'[') => self.list(depth, whole),
            Some(b'"') => Ok(Node::Str(self.string()?)),
            Some(b'-' | b'0'..=b'9') => Ok(Node::Num(Cow::Borrowed(self.number()?))),
            Some(b't') => self.word("true", Node::Bool(true)),
            Some(b'f') => self.word("false", Node::Bool(false)),
            Some(b'n') => self.word("null", Node::Null),
            _ => Err(self.expected("a JSON value")),
        }
    }

    fn word(&mut self, word: &str, node: Node<'a>) -> Result<Node<'a>, Failed> {
        if self.text[self.at..].starts_with(word) {
            self.at += word.len();
            Ok(node)
        } else {
            Err(self.expected("a JSON value"))
        }
    }

    fn enter(&mut self, depth: usize) -> Result<(), Failed> {
        if depth >= MAX_DEPTH {
            return Err(self.fail(self.at, format!("nested deeper than {MAX_DEPTH} levels")));
        }
        self.at += 1;
        self.blank();
        Ok(())
    }

    fn list(&mut self, depth: usize, whole: bool) -> Result<Node<'a>, Failed> {
        self.enter(depth)?;
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Node::List(Vec::new()));
        }
        let first = self.items.len();
        loop {
            let item = self.value(depth + 1, whole)?;
            self.items.push(item);
            self.blank();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(Node::List(self.items.drain(first..).collect()));
                }
                _ => return Err(self.expected("`,` or `]`")),
            }
        }
    }

    fn object(&mut self, depth: usize, whole: bool) -> Result<Node<'a>, Failed> {
        self.enter(depth)?;
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Node::Map(Vec::new()));
        }
        let first = self.entries.len();
        loop {
            let key = self.key()?;
            let keep = match self.keys {
                Some(keys) if !whole => keys.get(&key),
                _ => Some(Keep::Whole),
            };
            if let Some(keep) = keep {
                let value = self.value(depth + 1, keep == Keep::Whole)?;
                self.entries.push((key, value));
            } else {
                self.odd |= key == FAULT;
                self.skip(depth + 1)?;
            }
            self.blank();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    if self.entries.len() == first {
                        // Nothing in it is wanted; it is not empty for that.
                        return Ok(Node::Map(vec![(Cow::Borrowed(""), Node::Null)]));
                    }
                    return Ok(Node::Map(without_doubles(self.entries.drain(first..).collect())));
                }
                _ => return Err(self.expected("`,` or `}`")),
            }
        }
    }

    /// A key, and the colon after it.
    fn key(&mut self) -> Result<Cow<'a, str>, Failed> {
        self.blank();
        if self.peek() != Some(b'"') {
            return Err(self.expected("a key in double quotes"));
        }
        let key = self.string()?;
        self.blank();
        if self.peek() != Some(b':') {
            return Err(self.expected("`:`"));
        }
        self.at += 1;
        Ok(key)
    }

    /// Goes over a value that nobody wants.
    fn skip(&mut self, depth: usize) -> Result<(), Failed> {
        self.blank();
        match self.peek() {
            Some(b'"') => return self.skip_string(),
            Some(b'-' | b'0'..=b'9') => return self.number().map(|_| ()),
            Some(b'{' | b'[') => {}
            _ => return self.value(depth, false).map(|_| ()),
        }
        let object = self.peek() == Some(b'{');
        let end = if object { b'}' } else { b']' };
        self.enter(depth)?;
        if self.peek() == Some(end) {
            self.at += 1;
            return Ok(());
        }
        loop {
            if object {
                self.blank();
                if self.peek() != Some(b'"') {
                    return Err(self.expected("a key in double quotes"));
                }
                self.skip_string()?;
                self.blank();
                if self.peek() != Some(b':') {
                    return Err(self.expected("`:`"));
                }
                self.at += 1;
            }
            self.skip(depth + 1)?;
            self.blank();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(byte) if byte == end => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(self.expected("`,` or the end of the list or object")),
            }
        }
    }

    fn skip_string(&mut self) -> Result<(), Failed> {
        let open = self.at;
        self.at += 1;
        loop {
            self.at += plain(&self.text.as_bytes()[self.at..]);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => {
                    self.escape()?;
                }
                None => return Err(self.fail(open, "a text that begins here has no closing `\"`")),
                Some(byte) if byte < 0x20 => {
                    return Err(self.fail(self.at, "a control character in a text"));
                }
                Some(_) => self.at += 1,
            }
        }
    }

    fn number(&mut self) -> Result<&'a str, Failed> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ => return Err(self.expected("a digit")),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.some_digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.some_digits()?;
        }
        Ok(&self.text[start..self.at])
    }

    fn digits(&mut self) {
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
    }

    fn some_digits(&mut self) -> Result<(), Failed> {
        if !matches!(self.peek(), Some(b'0'..=b'9')) {
            return Err(self.expected("a digit"));
        }
        self.digits();
        Ok(())
    }

    fn string(&mut self) -> Result<Cow<'a, str>, Failed> {
        let open = self.at;
        self.at += 1;
        let mut start = self.at;
        let mut owned: Option<String> = None;
        loop {
            self.at += plain(&self.text.as_bytes()[self.at..]);
            match self.peek() {
                None => return Err(self.fail(open, "a text that begins here has no closing `\"`")),
                Some(b'"') => {
                    let rest = &self.text[start..self.at];
                    self.at += 1;
                    return Ok(match owned {
                        None => Cow::Borrowed(rest),
                        Some(mut text) => {
                            text.push_str(rest);
                            Cow::Owned(text)
                        }
                    });
                }
                Some(b'\\') => {
                    let text = owned.get_or_insert_default();
                    text.push_str(&self.text[start..self.at]);
                    let c = self.escape()?;
                    if let Some(text) = owned.as_mut() {
                        text.push(c);
                    }
                    start = self.at;
                }
                Some(byte) if byte < 0x20 => {
                    return Err(
                        self.fail(self.at, "a control character in a text; expected an escape such as `\\n`")
                    );
                }
                Some(_) => self.at += 1,
            }
        }
    }

    fn escape(&mut self) -> Result<char, Failed> {
        let start = self.at;
        self.at += 1;
        let kind = self.peek();
        self.at += 1;
        Ok(match kind {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let high = self.hex4(start)?;
                if (0xd800..0xdc00).contains(&high) && self.text[self.at..].starts_with("\\u") {
                    let back = self.at;
                    self.at += 2;
                    let low = self.hex4(start)?;
                    if (0xdc00..0xe000).contains(&low) {
                        let code = 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00);
                        return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
                    }
                    self.at = back;
                }
                // Half of a surrogate pair stands for no character; partners that cut texts send it.
                char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            _ => return Err(self.fail(start, "an unknown escape in a text")),
        })
    }

    fn hex4(&mut self, start: usize) -> Result<u32, Failed> {
        let code = self
            .text
            .as_bytes()
            .get(self.at..self.at + 4)
            .filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
            .ok_or_else(|| self.fail(start, "`\\u` without four hexadecimal digits"))?;
        self.at += 4;
        Ok(code)
    }
}

/// Of keys that come twice the last value, at the place of the first.
fn without_doubles<'a>(entries: Vec<(Cow<'a, str>, Node<'a>)>) -> Vec<(Cow<'a, str>, Node<'a>)> {
    let doubled = are_doubled(&entries);
    if !doubled {
        return entries;
    }
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut out: Vec<(Cow<'a, str>, Node<'a>)> = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        if let Some(at) = places.get(key.as_ref()) {
            out[*at].1 = value;
        } else {
            places.insert(key.clone().into_owned(), out.len());
            out.push((key, value));
        }
    }
    out
}

fn are_doubled(entries: &[(Cow<'_, str>, Node<'_>)]) -> bool {
    /// Above, keys are sorted; below, most objects need no more than one look at a bit for each key.
    const MANY: usize = 256;
    if entries.len() > MANY {
        let mut keys: Vec<&str> = entries.iter().map(|(key, _)| key.as_ref()).collect();
        keys.sort_unstable();
        return keys.windows(2).any(|pair| pair[0] == pair[1]);
    }
    let before = |at: usize, key: &str| entries[..at].iter().any(|(other, _)| other == key);
    if entries.len() <= 8 {
        return entries.iter().enumerate().any(|(at, (key, _))| before(at, key));
    }
    let mut seen = [0_u64; 64];
    entries.iter().enumerate().any(|(at, (key, _))| {
        let mark = mark(key.as_bytes());
        let word = &mut seen[usize::from(mark >> 6)];
        let bit = 1 << (mark & 63);
        let maybe = *word & bit != 0;
        *word |= bit;
        maybe && before(at, key)
    })
}

/// How many bytes of a text come before a quote, a backslash or a control character; eight are looked at at a time.
fn plain(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let zero = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    let mut at = 0;
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*chunk);
        let quote = zero(word ^ (ONES * 0x22));
        let backslash = zero(word ^ (ONES * 0x5c));
        let control = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
        let found = quote | backslash | control;
        if found != 0 {
            return at + usize::try_from(found.trailing_zeros() / 8).unwrap_or_default();
        }
        at += 8;
    }
    let rest =
        bytes[at..].iter().take_while(|byte| **byte >= 0x20 && **byte != b'"' && **byte != b'\\').count();
    at + rest
}
