//! Texts with holes: `https://{setting.shop}/orders/{id}`. `{{` and `}}` stand for braces.

use std::fmt;

/// A text with holes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Template {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Hole(String),
}

/// A part of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part<'t> {
    /// Plain text.
    Text(&'t str),
    /// The name of a hole.
    Hole(&'t str),
}

/// A hole for which there was no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no value for `{{{0}}}`")]
pub struct Unfilled(pub String);

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// In words, when a brace is not closed or a hole is empty.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            plain.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            let after = &rest[at + 1..];
            if let Some(next) = after.strip_prefix(brace) {
                plain.push_str(brace);
                rest = next;
            } else if brace == "{" {
                let end = after.find('}').ok_or_else(|| format!("`{{` without `}}` in `{text}`"))?;
                let name = after[..end].trim();
                if name.is_empty() {
                    return Err(format!("an empty hole `{{}}` in `{text}`"));
                }
                if !plain.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut plain)));
                }
                pieces.push(Piece::Hole(name.to_owned()));
                rest = &after[end + 1..];
            } else {
                return Err(format!("`}}` without `{{` in `{text}`; write `}}}}` for a brace"));
            }
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Self { pieces })
    }

    /// Text and holes, in order.
    pub fn parts(&self) -> impl Iterator<Item = Part<'_>> {
        self.pieces.iter().map(|piece| match piece {
            Piece::Text(text) => Part::Text(text),
            Piece::Hole(name) => Part::Hole(name),
        })
    }

    /// The name of the hole that is all of it, if it is only that.
    #[must_use]
    pub fn only_hole(&self) -> Option<&str> {
        match self.pieces.as_slice() {
            [Piece::Hole(name)] => Some(name),
            _ => None,
        }
    }

    /// The names of the holes, in order.
    pub fn holes(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Hole(name) => Some(name.as_str()),
            Piece::Text(_) => None,
        })
    }

    /// The text with `value` of each hole.
    ///
    /// # Errors
    /// When `value` has nothing for a hole.
    pub fn fill(&self, value: &dyn Fn(&str) -> Option<String>) -> Result<String, Unfilled> {
        let mut out = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Hole(name) => out.push_str(&value(name).ok_or_else(|| Unfilled(name.clone()))?),
            }
        }
        Ok(out)
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => f.write_str(&text.replace('{', "{{").replace('}', "}}"))?,
                Piece::Hole(name) => write!(f, "{{{name}}}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_holes_and_keeps_doubled_braces() {
        let template = Template::parse("a {x} {{y}} {z}").unwrap();
        assert_eq!(template.holes().collect::<Vec<_>>(), ["x", "z"]);
        assert_eq!(template.fill(&|name| Some(name.to_uppercase())), Ok("a X {y} Z".to_owned()));
        assert_eq!(template.to_string(), "a {x} {{y}} {z}");
        assert_eq!(template.fill(&|_| None), Err(Unfilled("x".to_owned())));
        assert!(
            Template::parse("{x").is_err()
                && Template::parse("x}").is_err()
                && Template::parse("{}").is_err()
        );
    }
}
