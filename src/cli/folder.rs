//! A folder for what a command starts: one that is given and stays, or a temporary one.

use std::path::{Path, PathBuf};

/// The folder; a temporary one is removed at the end.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    temporary: bool,
}

impl Folder {
    /// The folder `given`, or a temporary one for the command `what`.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new(given: Option<&Path>, what: &str) -> std::io::Result<Self> {
        let path = given.map_or_else(
            || std::env::temp_dir().join(format!("crossdock-{what}-{}", std::process::id())),
            Path::to_owned,
        );
        std::fs::create_dir_all(&path)?;
        Ok(Self { path, temporary: given.is_none() })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.temporary {
            // What is left behind is a small folder among other temporary ones.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}
