//! The repository, what is built from it, and what it needs installed.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, Result, bail};
use l2sces_lab::{kubernetes::binaries, packages};
use tokio::process::Command;

/// How binaries are built.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    Dev,
    Release,
}

impl Profile {
    /// The flag that chooses it.
    pub(crate) fn flag(self) -> Option<&'static str> {
        (self == Self::Release).then_some("--release")
    }

    /// Its directory in the target directory.
    fn directory(self) -> &'static str {
        match self {
            Self::Dev => "debug",
            Self::Release => "release",
        }
    }
}

/// Top of the repository.
pub(crate) fn root() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}

/// Cargo's target directory, in which this very program lies two levels deep.
pub(crate) fn target() -> Result<PathBuf> {
    let executable = std::env::current_exe().context("find the own executable")?;
    let target = executable.parent().and_then(Path::parent);
    Ok(target.context("this program is not in a target directory")?.to_owned())
}

/// A cargo command at the top of the repository, with this program's target directory.
pub(crate) fn cargo() -> Result<Command> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root()).env("CARGO_TARGET_DIR", target()?).kill_on_drop(true);
    // What cargo told this program of its own package: build scripts that read that, as ring's does,
    // would run again, and all that depends on them be compiled again, here and by the cargo outside
    // in turn.
    for (name, _) in std::env::vars_os() {
        let is_of_package = |name: &str| {
            ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|prefix| name.starts_with(prefix))
        };
        if name.to_str().is_some_and(is_of_package) {
            cargo.env_remove(name);
        }
    }
    Ok(cargo)
}

/// Builds all binaries and returns their directory.
pub(crate) async fn build(profile: Profile) -> Result<PathBuf> {
    let mut cargo = cargo()?;
    // Not this program: it runs.
    cargo.args(["build", "--workspace", "--exclude", "xtask", "--bins", "--quiet"]);
    run(cargo.args(profile.flag())).await?;
    Ok(target()?.join(profile.directory()))
}

/// Runs a command whose output is for the person who watches; it must succeed.
pub(crate) async fn run(command: &mut Command) -> Result<()> {
    let line = describe(command);
    let status = command
        .stdin(Stdio::null())
        .status()
        .await
        .with_context(|| format!("{line}: cannot be started"))?;
    if !status.success() {
        bail!("{line}: {status}");
    }
    Ok(())
}

/// A command as one would type it.
pub(crate) fn describe(command: &Command) -> String {
    let command = command.as_std();
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Installs and builds what labs with Kubernetes need; says so, because the first time takes long.
pub(crate) async fn ensure_kubernetes() -> Result<()> {
    ensure_packages(packages::KUBERNETES).await?;
    let target = target()?;
    if binaries::is_missing(&target) {
        println!("building Kubernetes from Debian's source package, once");
        binaries::ensure(&target).await?;
    }
    Ok(())
}

/// Installs the Debian packages that are missing; says so, because it takes a while.
pub(crate) async fn ensure_packages(packages: &[&str]) -> Result<()> {
    let missing = packages::missing(packages).await?;
    if missing.is_empty() {
        return Ok(());
    }
    println!("installing {}", missing.join(" "));
    packages::install(&missing).await?;
    Ok(())
}
