//! What people write that is no TOML, and what to write instead.

use std::ops::Range;

use crate::diagnostic::Diagnostic;

/// An error of the parser, which said `said` of `span`, as a finding that says what to write.
pub(super) fn explained(name: &str, text: &str, span: Range<usize>, said: &str) -> Diagnostic {
    let start = text[..floor(text, span.start)].rfind('\n').map_or(0, |at| at + 1);
    let line = text[start..].lines().next().unwrap_or_default();
    let found = Diagnostic::error(name, text, span.clone(), format!("not TOML: {said}"));
    let within = |at: usize, length: usize| start + at..start + at + length;
    let code = line.split('#').next().unwrap_or_default();
    if let Some((at, quote)) = line.char_indices().find(|(_, sign)| "“”„‘’«»".contains(*sign)) {
        let message = format!("not TOML: the sign {quote}");
        return Diagnostic::error(name, text, within(at, quote.len_utf8()), message)
            .help("write the straight quote \" instead");
    }
    if let Some((at, blank)) =
        code.char_indices().find(|(_, sign)| sign.is_whitespace() && !matches!(sign, ' ' | '\t' | '\r'))
        && !code[..at].contains(['"', '\''])
    {
        let message = format!("not TOML: a blank of another kind (U+{:04X})", u32::from(blank));
        return Diagnostic::error(name, text, within(at, blank.len_utf8()), message)
            .help("write an ordinary blank instead");
    }
    if ["<<<<<<<", "=======", ">>>>>>>"].iter().any(|mark| line.starts_with(mark)) {
        return found.help("the file holds both sides of a merge: keep one, and take the mark out");
    }
    if said.contains("duplicate") {
        return twice(text, start, line, found);
    }
    if said.contains("escape") {
        return found.help("write a backslash twice (\\\\), or use '…' for the text");
    }
    if ["invalid basic string", "invalid literal string"].iter().any(|text| said.contains(text))
        || said.contains("multi-line") && said.contains("string")
    {
        return found.help("the text is not closed: write the same quote at its end");
    }
    if code.contains(": ") && (!code.contains('=') || code.contains('{')) && said.contains("expected") {
        return found.help("write `key = \"value\"`, with an equals sign");
    }
    let after = text.get(span.start..).unwrap_or_default();
    if after.starts_with([';', ',']) {
        return found.help("take the sign at the end of the line out");
    }
    if after.starts_with('=') {
        return found.help("write one equals sign");
    }
    // `note = web`: the word without its quotes.
    if let Some((_, value)) = code.split_once('=') {
        let word = value.trim().trim_end_matches([',', ';']);
        let at = start + line.find(word).unwrap_or_default();
        let bare = word.starts_with(|sign: char| sign.is_alphabetic() || "_$^*.".contains(sign))
            && !word.contains(['"', '\'', '{', '[']);
        if bare && span.start >= at {
            return found.help(match word.to_ascii_lowercase().as_str() {
                "true" | "false" => format!("write it in small letters: {}", word.to_ascii_lowercase()),
                "null" | "none" | "nil" => {
                    "leave the line out; in an overlay write { unset = true }".to_owned()
                }
                _ => format!("a text stands in quotes: \"{word}\""),
            });
        }
    }
    found
}

/// A header or a key that stands there twice.
fn twice(text: &str, start: usize, line: &str, found: Diagnostic) -> Diagnostic {
    let name = |line: &str| line.split(['=', ']']).next().unwrap_or_default().trim().to_owned();
    let this = name(line);
    // A key counts within its table, a header in the whole file.
    let (from, here) = if this.starts_with('[') {
        (0, format!("`{this}]`"))
    } else {
        let before = &text[..start];
        let table = before.rfind("\n[").map_or(0, |at| at + 1);
        (before[..table].matches('\n').count(), format!("`{this}`"))
    };
    let first = text[..start].lines().enumerate().skip(from).find(|(_, other)| name(other) == this);
    let Some((first, _)) = first else { return found };
    let first = first + 1;
    Diagnostic { message: format!("not TOML: {here} stands here twice"), ..found }.help(
        if this.starts_with('[') {
            format!("{here} began at line {first}: continue there")
        } else {
            format!("{here} stands at line {first}: keep one of the two")
        },
    )
}

fn floor(text: &str, mut at: usize) -> usize {
    at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::super::File;

    #[test]
    fn slips_are_told_with_what_to_write() {
        for (text, said) in [
            ("a = “x”\n", "1:5: not TOML: the sign “; write the straight quote \" instead"),
            ("a = 'x”\n", "1:7: not TOML: the sign ”; write the straight quote"),
            ("sku: \"x\"\n", "write `key = \"value\"`, with an equals sign"),
            ("a = { path: \"x\" }\n", "write `key = \"value\"`, with an equals sign"),
            ("a = web\n", "; a text stands in quotes: \"web\""),
            ("a = n\n", "; a text stands in quotes: \"n\""),
            ("a = note.first\n", "a text stands in quotes: \"note.first\""),
            ("a = True\n", "write it in small letters: true"),
            ("a = null\n", "leave the line out"),
            ("a = \"x\n", "the text is not closed"),
            ("a = 'x\"\n", "the text is not closed"),
            ("a = \"\\d\"\n", "write a backslash twice"),
            ("a = \"x\";\n", "1:8: not TOML: "),
            ("a = \"x\",\n", "take the sign at the end of the line out"),
            ("a == \"x\"\n", "write one equals sign"),
            ("a\u{a0}= \"x\"\n", "1:2: not TOML: a blank of another kind (U+00A0); write an ordinary blank"),
            ("<<<<<<< HEAD\na = 1\n", "the file holds both sides of a merge"),
            (
                "a = 1\na = 2\n",
                "2:1: not TOML: `a` stands here twice; `a` stands at line 1: keep one of the two",
            ),
            ("[x]\na = 1\n[y]\na = 1\na = 2\n", "`a` stands at line 4: keep one"),
            (
                "[x]\na = 1\n[y]\n[x]\nb = 2\n",
                "4:2: not TOML: `[x]` stands here twice; `[x]` began at line 1: continue there",
            ),
        ] {
            let file = File::new("t.toml", text);
            assert!(file.parse().is_none(), "{text}");
            let found: Vec<String> = file.finish().iter().map(ToString::to_string).collect();
            assert!(found[0].contains(said), "{text}: {found:?}");
        }
    }
}
