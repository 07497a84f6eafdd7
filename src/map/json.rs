//! Reads JSON (RFC 8259) into a [`Node`] without losing the text of numbers.

use std::borrow::Cow;
use std::collections::HashMap;

use super::node::{MAX_DEPTH, Node, ParseError};

/// Reads the whole of `bytes`; a byte-order mark at the start is skipped.
pub(super) fn parse(bytes: &[u8]) -> Result<Node<'_>, ParseError> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        problem(bytes, error.valid_up_to(), "the bytes are no UTF-8; expected JSON in UTF-8".to_owned())
    })?;
    let start = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    let mut reader =
        Reader { text, at: start, items: Vec::with_capacity(16), entries: Vec::with_capacity(64) };
    let node = reader.value(0)?;
    reader.blank();
    if reader.at < text.len() {
        return Err(reader.expected("the end of the payload"));
    }
    Ok(node)
}

/// An error at `byte` of `bytes`.
pub(super) fn problem(bytes: &[u8], byte: usize, message: String) -> ParseError {
    let before = &bytes[..byte.min(bytes.len())];
    let line = before.split(|b| *b == b'\n').count();
    let column = before.iter().rev().take_while(|b| **b != b'\n').count() + 1;
    ParseError { byte, line, column, message }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    /// Items of the lists and entries of the objects that are not yet closed: each list and each object takes its own
    /// from the end, in one piece.
    items: Vec<Node<'a>>,
    entries: Vec<(Cow<'a, str>, Node<'a>)>,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blank(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn fail(&self, at: usize, message: impl Into<String>) -> ParseError {
        problem(self.text.as_bytes(), at, message.into())
    }

    fn expected(&self, what: &str) -> ParseError {
        match self.text[self.at..].chars().next() {
            Some(found) => self.fail(self.at, format!("expected {what}, found `{found}`")),
            None => self.fail(self.at, format!("expected {what}, but the payload ends here")),
        }
    }

    fn value(&mut self, depth: usize) -> Result<Node<'a>, ParseError> {
        self.blank();
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.list(depth),
            Some(b'"') => Ok(Node::Str(self.string()?)),
            Some(b'-' | b'0'..=b'9') => Ok(Node::Num(Cow::Borrowed(self.number()?))),
            Some(b't') => self.word("true", Node::Bool(true)),
            Some(b'f') => self.word("false", Node::Bool(false)),
            Some(b'n') => self.word("null", Node::Null),
            _ => Err(self.expected("a JSON value")),
        }
    }

    fn word(&mut self, word: &str, node: Node<'a>) -> Result<Node<'a>, ParseError> {
        if self.text[self.at..].starts_with(word) {
            self.at += word.len();
            Ok(node)
        } else {
            Err(self.expected("a JSON value"))
        }
    }

    fn enter(&mut self, depth: usize) -> Result<(), ParseError> {
        if depth >= MAX_DEPTH {
            return Err(self.fail(self.at, format!("nested deeper than {MAX_DEPTH} levels")));
        }
        self.at += 1;
        self.blank();
        Ok(())
    }

    fn list(&mut self, depth: usize) -> Result<Node<'a>, ParseError> {
        self.enter(depth)?;
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Node::List(Vec::new()));
        }
        let first = self.items.len();
        loop {
            let item = self.value(depth + 1)?;
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

    fn object(&mut self, depth: usize) -> Result<Node<'a>, ParseError> {
        self.enter(depth)?;
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Node::Map(Vec::new()));
        }
        let first = self.entries.len();
        loop {
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
            let value = self.value(depth + 1)?;
            self.entries.push((key, value));
            self.blank();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(Node::Map(without_doubles(self.entries.drain(first..).collect())));
                }
                _ => return Err(self.expected("`,` or `}`")),
            }
        }
    }

    fn number(&mut self) -> Result<&'a str, ParseError> {
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

    fn some_digits(&mut self) -> Result<(), ParseError> {
        if !matches!(self.peek(), Some(b'0'..=b'9')) {
            return Err(self.expected("a digit"));
        }
        self.digits();
        Ok(())
    }

    fn string(&mut self) -> Result<Cow<'a, str>, ParseError> {
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

    fn escape(&mut self) -> Result<char, ParseError> {
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

    fn hex4(&mut self, start: usize) -> Result<u32, ParseError> {
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

/// Twelve bits that differ for most keys of one object.
fn mark(key: &[u8]) -> u16 {
    let word = |bytes: &[u8]| bytes.iter().fold(0_u64, |word, byte| word << 8 | u64::from(*byte));
    let mixed = match (key.first_chunk::<8>(), key.last_chunk::<8>()) {
        (Some(first), Some(last)) => u64::from_le_bytes(*first) ^ u64::from_le_bytes(*last).rotate_left(29),
        _ => word(key),
    };
    let length = u64::try_from(key.len()).unwrap_or_default();
    let spread = (mixed ^ length.rotate_left(50)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 52;
    u16::try_from(spread).unwrap_or_default()
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
