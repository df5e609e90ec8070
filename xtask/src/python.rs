//! Programs and libraries from PyPI, for what neither Debian nor crates.io has.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use l2sces_lab::command;
use tokio::process::Command;

use crate::workspace;

/// Installs the packages that are missing into an environment in the target directory, and returns
/// the directory of its programs, `python` among them.
pub(crate) async fn ensure_packages(packages: &[&str]) -> Result<PathBuf> {
    let environment = workspace::target()?.join("venv");
    let programs = environment.join("bin");
    if !programs.join("pip").exists() {
        workspace::ensure_packages(&["python3-venv"]).await?;
        workspace::run(Command::new("python3").args(["-m", "venv"]).arg(&environment)).await?;
    }
    let pip = |verb: &str| {
        let mut pip = command::command(programs.join("pip"));
        pip.args([verb, "--quiet", "--disable-pip-version-check"]);
        pip
    };
    let are_there = || async {
        let output = command::output(pip("show").args(packages)).await?;
        // It succeeds if it finds any of them.
        anyhow::Ok(output.status.success() && !output.stderr.contains("not found"))
    };
    if !are_there().await? {
        println!("installing {}", packages.join(" "));
        command::run(pip("install").args(packages)).await?;
        ensure!(are_there().await?, "{} are not there after installation", packages.join(" "));
    }
    Ok(programs)
}
