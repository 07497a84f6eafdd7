//! The sketch as a file: rules that do not fit the samples are taken out until it compiles and runs.

use std::fmt::Write as _;

use crate::config::sources::Sources;
use crate::map::node::Node;
use crate::map::update::{bare, quoted};
use crate::map::{Context, Inbound, explain};

use super::Proposal;
use super::sketch::{Draft, Sketch};

/// How often rules that do not fit the samples are taken out before it is given up.
const ROUNDS: usize = 40;
/// Unread parts of the samples that are listed.
const UNREAD: usize = 40;

impl Sketch {
    /// Takes out what does not fit until the mapping compiles and runs over all samples.
    pub(super) fn settle(
        &mut self,
        connector: &str,
        topic: &str,
        nodes: &[Node<'_>],
    ) -> Result<Proposal, String> {
        let path = format!("mappings/{connector}/{topic}.in.toml");
        for _ in 0..ROUNDS {
            let text = self.text(&[]);
            let mut sources = Sources::default();
            sources.insert(path.clone(), text.clone());
            let inbound = match Inbound::compile(&sources, connector, topic, &[]) {
                Ok(inbound) => inbound,
                Err(problems) => {
                    let line = problems.first().map_or(0, |found| found.line);
                    let why = problems.first().map(|found| found.message.clone()).unwrap_or_default();
                    if self.drop_line(&text, line, &why) {
                        continue;
                    }
                    return Err(format!("no mapping was found: {why}"));
                }
            };
            let ctx = Context::default();
            let errors: Vec<_> = nodes.iter().flat_map(|node| inbound.run(node, &ctx).errors).collect();
            let Some(error) = errors.iter().find(|error| self.refuses(&error.cause)) else {
                let unread = unread(&inbound, nodes);
                let mut decide = self.decide.clone();
                let doubts = self.drafts.iter().filter(|draft| draft.out.is_none());
                decide.extend(doubts.filter_map(|d| Some(format!("{}: {}", d.field, d.doubt.as_ref()?))));
                return Ok(Proposal { text: self.text(&unread), kind: self.kind, decide });
            };
            let (cause, message) = (error.cause.clone(), error.message.clone());
            self.drop_cause(&cause, &message);
        }
        Err("no mapping was found that fits the samples".to_owned())
    }

    /// The draft that a cause is about: the one whose name it ends with, or has before the word.
    fn blamed(&self, cause: &str) -> Option<usize> {
        let rest = cause.splitn(3, ':').nth(2)?;
        let name = |draft: &Draft| {
            if draft.table.is_empty() {
                draft.field.clone()
            } else {
                format!("{}.{}", draft.table, draft.field)
            }
        };
        let fits = |draft: &Draft| {
            let name = name(draft);
            rest == format!("fact.{name}")
                || rest.split_once('.').is_some_and(|(_, field)| field == name)
                || rest == name
                || rest.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with(':'))
        };
        self.drafts.iter().position(|draft| draft.out.is_none() && fits(draft))
    }

    fn refuses(&self, cause: &str) -> bool {
        self.blamed(cause).is_some() || cause.contains(":fact.lines") || cause.contains(".lines.")
    }

    fn drop_cause(&mut self, cause: &str, message: &str) {
        // The place is that of a draft, and means nothing to the reader.
        let why = message.splitn(5, ':').nth(4).unwrap_or(message).trim().to_owned();
        if let Some(at) = self.blamed(cause) {
            let draft = &mut self.drafts[at];
            match (draft.table, draft.field.as_str()) {
                ("lines", "quantity") if draft.rule.starts_with('"') => {
                    draft.rule = format!("{{ path = {}, default = 1 }}", draft.rule);
                    draft.doubt = Some("some lines of the samples have no quantity".to_owned());
                }
                ("lines", "ref" | "quantity") => self.drop_table("lines", &why),
                _ => draft.out = Some(why),
            }
        } else {
            self.drop_table("lines", &why);
        }
    }

    fn drop_table(&mut self, table: &str, why: &str) {
        self.heads.retain(|(name, _, _)| *name != table);
        self.drafts.retain(|draft| draft.table != table);
        self.decide.push(format!("{table}: {why}"));
    }

    fn drop_line(&mut self, text: &str, line: usize, why: &str) -> bool {
        let Some(line) = line.checked_sub(1).and_then(|line| text.lines().nth(line)) else { return false };
        let fits = |draft: &&mut Draft| {
            draft.out.is_none() && line.starts_with(&draft.field) && line.ends_with(&draft.rule)
        };
        match self.drafts.iter_mut().find(fits) {
            Some(draft) => {
                draft.out = Some(why.to_owned());
                true
            }
            None => false,
        }
    }

    fn text(&self, unread: &[explain::Unread]) -> String {
        let mut out = String::new();
        let _ = self.write(&mut out, unread);
        out
    }

    fn write(&self, out: &mut String, unread: &[explain::Unread]) -> std::fmt::Result {
        writeln!(
            out,
            "# A first proposal, made from sample payloads. Look through what says \"decide\", then add tests:"
        )?;
        writeln!(
            out,
            "# `crossdock map explain` shows what each rule gives, `crossdock map lint` what is doubtful."
        )?;
        for decide in &self.decide {
            writeln!(out, "# decide: {decide}")?;
        }
        writeln!(out, "\n[mapping]")?;
        if let Some(format) = self.format {
            writeln!(out, "format        = {}", quoted(format))?;
        }
        writeln!(out, "records       = [{}]", quoted(&self.records))?;
        match (&self.currency, self.unit) {
            (Some(path), _) => writeln!(out, "currency_from = {}", quoted(path))?,
            (None, Some(_)) => {
                writeln!(out, "# decide: no currency was found beside the amounts")?;
                writeln!(out, "currency      = \"USD\"")?;
            }
            (None, None) => {}
        }
        if let Some(unit) = self.unit {
            writeln!(out, "unit          = {}", quoted(unit))?;
        }
        if self.zone {
            writeln!(out, "# decide: some times have no offset; whose clock is it?")?;
            writeln!(out, "zone          = \"UTC\"")?;
        }
        let rule = self.kind.rsplit('.').next().unwrap_or("fact");
        writeln!(out, "\n[fact.{rule}]")?;
        writeln!(out, "is        = {}", quoted(self.kind))?;
        self.table(out, "")?;
        for (name, head, doubt) in &self.heads {
            writeln!(out, "\n[fact.{rule}.{name}]")?;
            if let Some(doubt) = doubt {
                writeln!(out, "# decide: {doubt}")?;
            }
            writeln!(out, "{head}")?;
            self.table(out, name)?;
        }
        if let Some(path) = &self.cancelled {
            let order = self.drafts.iter().find(|draft| draft.field == "order" && draft.out.is_none());
            if let Some(order) = order {
                let key = if path.contains(['.', '[']) { quoted(path) } else { bare(path) };
                writeln!(out, "\n[fact.cancelled]\nis        = \"order.cancelled\"")?;
                writeln!(out, "when      = {{ {key} = {{ exists = true }} }}\norder     = {}", order.rule)?;
            }
        }
        if !unread.is_empty() {
            writeln!(out, "\n# Not read yet ({}). To carry one along: extra.name = \"path\"", unread.len())?;
            for one in unread.iter().take(UNREAD) {
                writeln!(out, "#   {} ({})", one.path, one.example.replace(['\n', '\r'], " "))?;
            }
        }
        Ok(())
    }

    fn table(&self, out: &mut String, table: &str) -> std::fmt::Result {
        for draft in self.drafts.iter().filter(|draft| draft.table == table) {
            match (&draft.out, &draft.doubt) {
                (Some(why), _) => {
                    writeln!(out, "# decide: {why}")?;
                    writeln!(out, "# {} = {}", draft.field, draft.rule)?;
                    continue;
                }
                (None, Some(doubt)) => writeln!(out, "# decide: {doubt}")?,
                (None, None) => {}
            }
            writeln!(out, "{:<9} = {}", draft.field, draft.rule)?;
        }
        Ok(())
    }
}

/// What no rule reads in any of the samples, each path once.
fn unread(inbound: &Inbound, nodes: &[Node<'_>]) -> Vec<explain::Unread> {
    let mut all: Vec<explain::Unread> = Vec::new();
    for node in nodes {
        for one in explain::explain(inbound, node, &Context::default()).unread {
            if !all.iter().any(|known| known.path == one.path) {
                all.push(one);
            }
        }
    }
    all
}
