//! `[mapping] format = …` and what belongs to it: how the payload is written.

use super::super::syntax::{Encoding, Loop, Loops, Syntax, SyntaxKind};
use super::super::tree::Reader;
use super::Loaded;

/// Keys that only some formats have.
const OF_FORMATS: [(&str, &[SyntaxKind]); 6] = [
    ("delimiter", &[SyntaxKind::Csv]),
    ("header", &[SyntaxKind::Csv]),
    ("columns", &[SyntaxKind::Csv]),
    ("prefixes", &[SyntaxKind::Xml]),
    ("counts", &[SyntaxKind::X12, SyntaxKind::Edifact]),
    ("encoding", &[SyntaxKind::Json, SyntaxKind::Xml, SyntaxKind::Csv, SyntaxKind::X12, SyntaxKind::Edifact]),
];

impl Loaded {
    /// Reads `format` and its settings from `[mapping]`.
    pub(super) fn syntax(&self, reader: &Reader<'_>) -> Syntax {
        let mut syntax = Syntax::default();
        if let Some((name, at)) = reader.text("format") {
            if let Some(kind) = SyntaxKind::parse(name) {
                syntax.kind = kind;
            } else {
                let known: Vec<&str> = SyntaxKind::ALL.iter().map(|(name, _)| *name).collect();
                self.report(
                    self.error(at, format!("the format `{name}` is not known"))
                        .help(format!("known: {}", known.join(", "))),
                );
            }
        }
        if let Some((name, at)) = reader.text("encoding") {
            syntax.encoding = Encoding::parse(name);
            if syntax.encoding.is_none() {
                self.report(
                    self.error(at, format!("the encoding `{name}` is not known"))
                        .help("known: utf-8, utf-16, iso-8859-1, windows-1252"),
                );
            }
        }
        if let Some((sign, at)) = reader.text("delimiter") {
            match sign.as_bytes() {
                [byte] if !byte.is_ascii_alphanumeric() && !b"\"\r\n".contains(byte) => {
                    syntax.delimiter = Some(*byte);
                }
                _ => self.report(
                    self.error(at, format!("`{sign}` cannot stand between cells"))
                        .help("expected one sign such as \",\", \";\", \"|\" or \"\\t\""),
                ),
            }
        }
        syntax.header = reader.flag("header").unwrap_or(true);
        let columns = reader.texts("columns").unwrap_or_default();
        syntax.columns = columns.into_iter().map(|(name, _)| name.to_owned()).collect();
        syntax.prefixes = reader.flag("prefixes").unwrap_or_default();
        syntax.counts = reader.flag("counts").unwrap_or(true);
        for (name, kinds) in OF_FORMATS {
            if let Some((key, _)) = reader.table.entry(name)
                && !kinds.contains(&syntax.kind)
            {
                let kinds: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
                self.report(
                    self.error(key.place, format!("`{name}` is for the formats {}", kinds.join(", ")))
                        .help(format!("this mapping's format is {}", syntax.kind.name())),
                );
            }
        }
        if let (Some((key, _)), true) = (reader.table.entry("columns"), syntax.header) {
            self.report(
                self.error(key.place, "`columns` names the columns of a payload without a header row")
                    .help("add `header = false`, or take it out"),
            );
        }
        syntax
    }

    /// `[loops]`: which segments belong below which.
    pub(super) fn loops(&self, root: &Reader<'_>, syntax: &Syntax) -> Loops {
        let mut loops = Vec::new();
        let table = root.sub("loops");
        for (key, tree) in table.map(|table| table.entries.as_slice()).unwrap_or_default() {
            let members: Option<Vec<String>> = match tree.list() {
                Some(items) => items.iter().map(|item| item.text().map(str::to_owned)).collect(),
                None => tree.text().map(|one| vec![one.to_owned()]),
            };
            match members {
                Some(members) => loops.push(Loop { opens: key.name.clone(), members }),
                None => self.report(
                    self.error(tree.place, format!("the loop `{}` is {}", key.name, tree.what()))
                        .help("expected the segments that belong below it: PO1 = [\"PID\", \"PO4\"]"),
                ),
            }
        }
        let nests = matches!(syntax.kind, SyntaxKind::X12 | SyntaxKind::Edifact)
            || (syntax.kind == SyntaxKind::Csv && !syntax.header);
        if let (Some((key, _)), false) = (root.table.entry("loops"), nests) {
            self.report(
                self.error(key.place, "[loops] nests segments, and this format has none")
                    .help("it is for the formats x12 and edifact, and for csv with header = false"),
            );
        }
        Loops(loops)
    }
}
