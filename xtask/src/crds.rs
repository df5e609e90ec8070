//! `cargo xtask crds`: the manifests of the custom resources, written from their types.

use std::{fs, process::ExitCode};

use anyhow::{Context, Result};

use crate::workspace;

pub(crate) fn run() -> Result<ExitCode> {
    let directory = workspace::root().join("k8s/crds");
    fs::create_dir_all(&directory).with_context(|| format!("make {}", directory.display()))?;
    for definition in l2sces_custom_resources::definitions() {
        let (name, text) = l2sces_custom_resources::manifest(&definition)?;
        let path = directory.join(name);
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        println!("{}", path.display());
    }
    Ok(ExitCode::SUCCESS)
}
