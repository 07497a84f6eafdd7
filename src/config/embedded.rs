//! The connectors and mappings that the binary carries; files beside the config override them one by one.

use rust_embed::RustEmbed;

use super::sources::Sources;

#[derive(RustEmbed)]
#[folder = "connectors/"]
#[prefix = "connectors/"]
struct Connectors;

#[derive(RustEmbed)]
#[folder = "mappings/"]
#[prefix = "mappings/"]
struct Mappings;

/// The shipped connectors and mappings.
#[must_use]
pub fn embedded() -> Sources {
    let mut sources = Sources::default();
    add::<Connectors>(&mut sources);
    add::<Mappings>(&mut sources);
    sources
}

fn add<Folder: RustEmbed>(sources: &mut Sources) {
    for path in Folder::iter() {
        if let Some(file) = Folder::get(&path)
            && let Ok(text) = std::str::from_utf8(&file.data)
        {
            sources.insert(path.as_ref(), text);
        }
    }
}
