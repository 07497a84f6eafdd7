//! The recipes of the guide: `docs/recipes/NN-name/` holds a mapping, a sample and what comes of it. Each is run, and each
//! is named in `docs/recipes.md`. The reference of the language is made of the code. With `CROSSDOCK_GUIDE=write` what comes is
//! written anew: look at every difference.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test; the environment says whether to write"
)]

use std::fs;
use std::path::{Path, PathBuf};

use crossdock::config::Sources;
use crossdock::map::{Context, Inbound, MappedFact, Outbound};
use serde_json::Value;

const OVERLAY: &str = "mappings/clients/acme/recipes/order.toml";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/recipes")
}

fn recipes() -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.sort();
    all
}

fn file(recipe: &Path, begins: &str) -> Option<PathBuf> {
    let mut found = fs::read_dir(recipe).unwrap().map(|entry| entry.unwrap().path());
    found.find(|path| path.file_name().unwrap().to_str().unwrap().starts_with(begins))
}

fn explain<T, E: std::fmt::Display>(recipe: &Path, result: Result<T, Vec<E>>) -> T {
    result.unwrap_or_else(|problems| {
        let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
        panic!("{}: {}", recipe.display(), told.join("\n"))
    })
}

/// What comes of a recipe, as text.
fn outcome(recipe: &Path) -> String {
    let mut sources = Sources::default();
    let sample = fs::read(file(recipe, "sample.").unwrap()).unwrap();
    if let Some(mapping) = file(recipe, "send.out.toml") {
        sources.insert("mappings/recipes/send.out.toml", fs::read_to_string(mapping).unwrap());
        let outbound = explain(recipe, Outbound::compile(&sources, "recipes", "send", &[]));
        let source: Value = serde_json::from_slice(&sample).unwrap();
        let body = outbound.bytes(&source, &Context::default()).unwrap_or_else(|error| panic!("{error}"));
        let text = String::from_utf8(body).unwrap();
        return match serde_json::from_str::<Value>(&text) {
            Ok(value) => serde_json::to_string_pretty(&value).unwrap() + "\n",
            Err(_) => text,
        };
    }
    sources
        .insert("mappings/recipes/order.in.toml", fs::read_to_string(recipe.join("order.in.toml")).unwrap());
    let mut overlays = Vec::new();
    if let Some(overlay) = file(recipe, "client.toml") {
        sources.insert(OVERLAY, fs::read_to_string(overlay).unwrap());
        overlays.push(OVERLAY.to_owned());
    }
    let inbound = explain(recipe, Inbound::compile(&sources, "recipes", "order", &overlays));
    let warnings: Vec<String> = inbound.warnings().iter().map(ToString::to_string).collect();
    assert!(warnings.is_empty(), "{warnings:?}");
    let node = inbound.read(&sample).unwrap_or_else(|error| panic!("{}: {error}", recipe.display()));
    let mapped = inbound.run(&node, &Context::default());
    assert_eq!(mapped.errors, [], "{}", recipe.display());
    let facts: Vec<Value> = mapped.facts.iter().map(MappedFact::to_json).collect();
    serde_json::to_string_pretty(&facts).unwrap() + "\n"
}

#[test]
fn every_recipe_gives_what_stands_beside_it() {
    let write = std::env::var("CROSSDOCK_GUIDE").is_ok_and(|what| what == "write");
    let mut wrong = Vec::new();
    for recipe in recipes() {
        let found = outcome(&recipe);
        let expected = file(&recipe, "expected.");
        if write {
            let name = expected.unwrap_or_else(|| recipe.join("expected.json"));
            fs::write(name, found).unwrap();
        } else if expected.map(|path| fs::read_to_string(path).unwrap().replace("\r\n", "\n"))
            != Some(found.replace("\r\n", "\n"))
        {
            wrong.push(format!("{}: now comes\n{found}", recipe.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_recipe_is_in_the_guide_and_none_besides() {
    let guide = fs::read_to_string(folder().with_extension("md")).unwrap();
    let names: Vec<String> =
        recipes().iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    assert!(names.len() >= 20, "{}", names.len());
    for name in &names {
        assert!(guide.contains(&format!("(recipes/{name}/")), "{name} is not in docs/recipes.md");
    }
    let linked = guide.split("](recipes/").skip(1).filter_map(|rest| rest.split('/').next());
    for name in linked {
        assert!(names.iter().any(|known| known == name), "docs/recipes.md names {name}, and there is none");
    }
}

#[test]
fn the_reference_is_not_stale() {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/mapping-reference.md");
    let made = crossdock::map::reference::markdown();
    if std::env::var("CROSSDOCK_GUIDE").is_ok_and(|what| what == "write") {
        fs::write(&place, &made).unwrap();
    }
    let found = fs::read_to_string(&place).unwrap_or_default();
    assert!(found == made, "{} is stale: run this test with CROSSDOCK_GUIDE=write", place.display());
}
