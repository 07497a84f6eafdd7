//! From bytes to signs.

use std::borrow::Cow;

use super::SyntaxKind;
use crate::map::json::problem;
use crate::map::node::ParseError;

/// How bytes stand for signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// UTF-8.
    Utf8,
    /// ISO 8859-1.
    Latin1,
    /// Windows-1252, which has signs where ISO 8859-1 has control characters.
    Windows1252,
    /// UTF-16 in either order; big-endian unless a byte-order mark says otherwise.
    Utf16,
}

impl Encoding {
    /// Reads a name, as mappings and XML declarations have it.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name.trim().to_ascii_lowercase().as_str() {
            "utf-8" | "utf8" | "us-ascii" | "ascii" => Self::Utf8,
            "iso-8859-1" | "iso8859-1" | "latin1" | "latin-1" => Self::Latin1,
            "windows-1252" | "cp1252" => Self::Windows1252,
            "utf-16" | "utf16" | "utf-16le" | "utf-16be" => Self::Utf16,
            _ => return None,
        })
    }
}

/// What Windows-1252 has from 0x80 to 0x9F; 0 where it has nothing.
const WINDOWS: [u32; 32] = [
    0x20AC, 0, 0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021, 0x02C6, 0x2030, 0x0160, 0x2039, 0x0152, 0,
    0x017D, 0, 0, 0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014, 0x02DC, 0x2122, 0x0161, 0x203A,
    0x0153, 0, 0x017E, 0x0178,
];

fn windows(byte: u8) -> char {
    match byte {
        0x80..=0x9f => WINDOWS
            .get(usize::from(byte - 0x80))
            .filter(|code| **code != 0)
            .and_then(|code| char::from_u32(*code))
            .unwrap_or(char::REPLACEMENT_CHARACTER),
        byte => char::from(byte),
    }
}

/// The signs of `bytes`: as the mapping says, else as the payload says itself, else UTF-8.
pub(super) fn decode(
    bytes: &[u8],
    kind: SyntaxKind,
    said: Option<Encoding>,
) -> Result<Cow<'_, str>, ParseError> {
    let marked = bytes.starts_with(&[0xfe, 0xff]) || bytes.starts_with(&[0xff, 0xfe]);
    let declared = if kind == SyntaxKind::Xml && !marked { declared(bytes)? } else { None };
    let encoding = if marked { Encoding::Utf16 } else { said.or(declared).unwrap_or(Encoding::Utf8) };
    match encoding {
        Encoding::Utf8 => match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Cow::Borrowed(text)),
            // The basic character sets of both are subsets of ISO 8859-1.
            Err(_) if said.is_none() && matches!(kind, SyntaxKind::X12 | SyntaxKind::Edifact) => {
                Ok(Cow::Owned(bytes.iter().copied().map(char::from).collect()))
            }
            Err(error) => Err(problem(
                bytes,
                error.valid_up_to(),
                "the bytes are no UTF-8; if they are of another encoding, say so in [mapping]: encoding = \
                 \"windows-1252\""
                    .to_owned(),
            )),
        },
        Encoding::Latin1 => Ok(Cow::Owned(bytes.iter().copied().map(char::from).collect())),
        Encoding::Windows1252 => Ok(Cow::Owned(bytes.iter().copied().map(windows).collect())),
        Encoding::Utf16 => {
            let little = bytes.starts_with(&[0xff, 0xfe]);
            let rest = if marked { bytes.get(2..).unwrap_or_default() } else { bytes };
            let units = rest.chunks(2).map(|pair| match *pair {
                [a, b] if little => u16::from_le_bytes([a, b]),
                [a, b] => u16::from_be_bytes([a, b]),
                _ => 0xfffd,
            });
            let text: Result<String, _> = char::decode_utf16(units).collect();
            text.map(Cow::Owned).map_err(|_| problem(bytes, 0, "the bytes are no UTF-16".to_owned()))
        }
    }
}

/// What `<?xml … encoding="…"?>` says.
fn declared(bytes: &[u8]) -> Result<Option<Encoding>, ParseError> {
    let head = bytes.get(..bytes.len().min(200)).unwrap_or_default();
    let head: String = head.iter().copied().map(char::from).collect();
    let Some((_, rest)) = head.split_once("<?xml") else { return Ok(None) };
    let rest = rest.split("?>").next().unwrap_or_default();
    let Some((_, value)) = rest.split_once("encoding=") else { return Ok(None) };
    let name = value.trim_start_matches(['"', '\'']).split(['"', '\'']).next().unwrap_or_default();
    Encoding::parse(name).map(Some).ok_or_else(|| {
        problem(
            bytes,
            0,
            format!("the encoding `{name}` is not known; known: UTF-8, UTF-16, ISO-8859-1, windows-1252"),
        )
    })
}
