//! Reads the text of a path into its steps.

use super::path::{Path, Start, Step, Wanted};

/// Where a path starts, and the rest of its text.
pub(super) fn start_of(text: &str) -> (Start, &str) {
    let ends = |rest: &str| rest.is_empty() || rest.starts_with(['.', '[']);
    if text == "." {
        return (Start::Row, "");
    }
    if let Some(rest) = text.strip_prefix("$record").filter(|rest| ends(rest)) {
        return (Start::Record, rest);
    }
    if let Some(rest) = text.strip_prefix("$asked").filter(|rest| ends(rest)) {
        return (Start::Asked, rest);
    }
    if let Some(rest) = text.strip_prefix("$group").filter(|rest| ends(rest)) {
        return (Start::Group, rest);
    }
    if let Some(rest) = text.strip_prefix('$').filter(|rest| ends(rest)) {
        return (Start::Root, rest);
    }
    let mut levels = 0;
    let mut rest = text;
    while let Some(after) = rest.strip_prefix('^').filter(|rest| ends(rest)) {
        levels += 1;
        rest = after;
        match after.strip_prefix('.').filter(|next| next.starts_with('^')) {
            Some(next) => rest = next,
            None => break,
        }
    }
    if levels > 0 { (Start::Up(levels), rest) } else { (Start::Row, text) }
}

/// Reads the steps of a path.
pub(super) struct Steps<'t> {
    pub rest: &'t str,
    /// Whether a key may come without a dot before it.
    pub first: bool,
}

impl Steps<'_> {
    pub fn read(mut self) -> Result<Vec<Step>, String> {
        let mut steps = Vec::new();
        while !self.rest.is_empty() {
            if steps.len() > 64 {
                return Err("it has more than 64 steps".to_owned());
            }
            if let Some(rest) = self.rest.strip_prefix('[') {
                let end = closing(rest).ok_or("`[` without `]`")?;
                steps.push(bracket(rest[..end].trim())?);
                self.rest = &rest[end + 1..];
                self.first = false;
                continue;
            }
            if !self.first {
                self.rest = self
                    .rest
                    .strip_prefix('.')
                    .ok_or_else(|| format!("expected `.` or `[` before `{}`", self.rest))?;
            }
            self.first = false;
            let end = self.rest.find(['.', '[', ']']).unwrap_or(self.rest.len());
            let key = self.rest[..end].trim();
            if key.is_empty() {
                return Err("a step has no name: two dots, or a dot at the end".to_owned());
            }
            if key == "^" {
                return Err("`^` stands only at the start".to_owned());
            }
            steps.push(match key {
                "*" => Step::AnyKey,
                "**" => Step::AnyDepth,
                key => Step::Key(key.to_owned()),
            });
            self.rest = &self.rest[end..];
        }
        Ok(steps)
    }
}

/// Where the bracket ends, minding quotes and inner brackets.
fn closing(text: &str) -> Option<usize> {
    let mut quote = None;
    let mut inner = 0_usize;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None, '[') => inner += 1,
            (None, ']') if inner == 0 => return Some(at),
            (None, ']') => inner -= 1,
            _ => {}
        }
    }
    None
}

fn unquoted(text: &str) -> Option<&str> {
    let text = text.trim();
    ['\'', '"'].iter().find_map(|quote| text.strip_prefix(*quote)?.strip_suffix(*quote))
}

fn bracket(inner: &str) -> Result<Step, String> {
    if inner == "*" {
        return Ok(Step::All);
    }
    if inner == "#" {
        return Ok(Step::RowNumber);
    }
    if let Ok(at) = inner.parse::<i64>() {
        return Ok(Step::Index(at));
    }
    if let Some(key) = unquoted(inner) {
        return Ok(Step::Key(key.to_owned()));
    }
    if let Some((key, value)) = inner.split_once('=') {
        let key = key.trim();
        let steps = Steps { rest: key, first: true }.read()?;
        if steps.is_empty() {
            return Err(format!("`[{inner}]` has no name before `=`: write `[name='value']`"));
        }
        let bare = value.trim();
        let value = match unquoted(value) {
            Some(text) => Wanted::Text(text.to_owned()),
            None if bare.starts_with(['$', '^']) => {
                let path = Path::parse(bare).map_err(|error| error.to_string())?;
                Wanted::At(Box::new(path))
            }
            None => Wanted::Text(bare.to_owned()),
        };
        return Ok(Step::Only { steps, value });
    }
    Err(format!("`[{inner}]` is neither `[0]`, `[-1]`, `[*]`, `[name='value']` nor `['key']`"))
}
