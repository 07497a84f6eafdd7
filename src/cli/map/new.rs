//! `crossdock map new|schema`: to begin with.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::unknown;
use crate::cli::{Done, Failure, Globals, client, complain, say};
use crate::map::{propose, schema};

/// See [`super::Map`].
#[derive(Debug, Args)]
pub struct New {
    /// The connector.
    connector: String,
    /// What the mapping is to be called: `order`, `refund`, `shipment`, `tracking`, `inventory` … tell what it is about.
    topic: String,
    /// Sample payloads: the more, the better.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Write it beside the config, with the first sample as its test, instead of printing it.
    #[arg(long)]
    write: bool,
}

impl New {
    /// 0 when there is something to propose.
    pub(super) fn run(self, globals: &Globals) -> Done {
        let plain = |name: &str| {
            !name.is_empty()
                && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        };
        for name in [&self.connector, &self.topic] {
            if !plain(name) {
                return Err(Failure(format!("`{name}` is no name: letters, digits, - and _")));
            }
        }
        let mut samples = Vec::new();
        for path in &self.files {
            let bytes =
                std::fs::read(path).map_err(|error| Failure(format!("{}: {error}", path.display())))?;
            samples.push((path.display().to_string(), bytes));
        }
        let proposal = propose::propose(&self.connector, &self.topic, &samples).map_err(Failure)?;
        if !self.write {
            say(proposal.text.trim_end());
            return Ok(ExitCode::SUCCESS);
        }
        let folder = globals.config.parent().unwrap_or_else(|| std::path::Path::new("."));
        let folder = folder.join("mappings").join(&self.connector);
        let path = folder.join(format!("{}.in.toml", self.topic));
        if path.exists() {
            return Err(Failure(format!("{} is there already", path.display())));
        }
        let sample = &self.files[0];
        let ending = sample
            .extension()
            .map_or_else(|| "json".to_owned(), |ending| ending.to_string_lossy().into_owned());
        let input = format!("tests/{}.{ending}", self.topic);
        std::fs::create_dir_all(folder.join("tests"))?;
        std::fs::write(folder.join(&input), &samples[0].1)?;
        std::fs::write(&path, format!("{}\n[[test]]\ninput = \"{input}\"\n", proposal.text))?;
        say(format_args!("{}: makes {}", path.display(), proposal.kind));
        proposal.decide.iter().for_each(|decide| say(format_args!("  decide: {decide}")));
        complain(format_args!(
            "`crossdock map test {}/{} --update` fills in what its test expects: look at it",
            self.connector, self.topic
        ));
        Ok(ExitCode::SUCCESS)
    }
}

/// Prints the schema of a kind of file.
pub(super) fn schema(file: &str) -> Done {
    if let Some(schema) = schema::schema(file) {
        client::json(&schema)?;
    } else {
        let known: Vec<&str> = schema::FILES.iter().map(|(name, _)| *name).collect();
        return Err(unknown("schema", file, &known));
    }
    Ok(ExitCode::SUCCESS)
}
