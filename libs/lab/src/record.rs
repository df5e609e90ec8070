//! `lab.json`: what a lab is, for people, scripts and later commands. docs/lab.md describes it.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    error::{Context, LabError},
    layout::Layout,
    pod::PodRecord,
    process::{ProcessIdentity, ProcessRecord},
};

/// File name of the record in the lab's state directory.
pub(crate) const FILE: &str = "lab.json";

/// Everything about a lab.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// Whether the lab outlives the process that made it.
    pub detached: bool,
    /// The process that made it.
    pub owner: Option<ProcessIdentity>,
    /// A symbolic link to this file, removed with the lab.
    pub link: Option<PathBuf>,
    /// What does not change while the lab is up.
    #[serde(flatten)]
    pub layout: Layout,
    /// Its pods.
    pub pods: Vec<PodRecord>,
    /// Its processes.
    pub processes: Vec<ProcessRecord>,
}

impl Record {
    /// Reads the record of a lab.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn read(path: &Path) -> Result<Self, LabError> {
        let text = match fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(LabError::NoLab(path.to_owned()));
            }
            text => text.context(|| format!("read {}", path.display()))?,
        };
        serde_json::from_slice(&text)
            .map_err(|source| LabError::Record { path: path.to_owned(), source })
    }

    /// Writes the record into the lab's state directory, whole or not at all.
    pub(crate) fn write(&self) -> Result<(), LabError> {
        let path = self.layout.directory.join(FILE);
        let new = path.with_extension("json.new");
        let text = serde_json::to_vec_pretty(self)
            .map_err(|source| LabError::Record { path: path.clone(), source })?;
        // It has passwords.
        let file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new);
        file.and_then(|mut file| file.write_all(&text))
            .and_then(|()| fs::rename(&new, &path))
            .context(|| format!("write {}", path.display()))
    }

    /// Whether nobody will take the lab down any more: it was to end with its owner, who is gone.
    pub(crate) fn is_abandoned(&self) -> bool {
        !self.detached && !self.owner.is_some_and(ProcessIdentity::is_alive)
    }
}
