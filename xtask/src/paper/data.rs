//! The files that hold what was measured.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

/// Begins a table of comma-separated values.
pub(super) fn table(directory: &Path, name: &str) -> Result<csv::Writer<File>> {
    let path: PathBuf = directory.join(name);
    csv::Writer::from_path(&path).with_context(|| format!("write {}", path.display()))
}
