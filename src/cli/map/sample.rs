//! `crossdock map sample`: a recorded payload without the persons in it.

use std::process::ExitCode;

use super::{Input, Mapping, prepare};
use crate::cli::{Done, Failure, Globals, say};
use crate::map::{SyntaxKind, sample};
use crate::web::pretty::pretty;

pub(super) fn run(globals: &Globals, input: &Input) -> Done {
    let prepared = prepare(globals, input)?;
    let Mapping::In(inbound) = prepared.mapping else {
        return Err(Failure("samples are made of what a partner says, by an inbound mapping".to_owned()));
    };
    let Some(inbound) = inbound else {
        return Err(Failure(format!(
            "the manifest ignores the topic `{}`: nothing of it would be kept",
            input.topic
        )));
    };
    let kind = inbound.syntax().kind;
    if kind != SyntaxKind::Json {
        return Err(Failure(format!(
            "{} is no JSON but {}; samples are made of JSON alone",
            input.file,
            kind.title()
        )));
    }
    let node =
        inbound.read(&prepared.payload).map_err(|error| Failure(format!("{}: {error}", input.file)))?;
    let sample = sample::sample(&inbound, &node, &prepared.context).to_json();
    say(pretty(&sample, false).unwrap_or(sample));
    Ok(ExitCode::SUCCESS)
}
