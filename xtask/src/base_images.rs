//! `cargo xtask base-images`: the images that ours are made from, where no registry can be reached.

use std::{path::Path, process::ExitCode};

use anyhow::{Context, Result};
use l2sces_lab::{command, require_root};

use crate::workspace::{self, root};

/// The others are made from it.
const DEBIAN: &str = "debian:bookworm-slim";
const RUST: &str = "rust:1.95-slim-bookworm";
const POSTGRES: &str = "postgres:15-bookworm";

/// Makes those that Docker neither has nor can pull, under the names by which they are pulled.
pub(crate) async fn run() -> Result<ExitCode> {
    require_root()?;
    for name in [DEBIAN, RUST, POSTGRES] {
        if succeeds(&["image", "inspect", name]).await? {
            println!("{name} is there");
        } else if succeeds(&["pull", "--quiet", name]).await? {
            println!("{name} was pulled");
        } else {
            println!("{name} cannot be pulled: making what stands for it");
            match name {
                DEBIAN => make_debian().await?,
                RUST => make_rust().await?,
                _ => make_postgres().await?,
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn succeeds(arguments: &[&str]) -> Result<bool> {
    let output = command::output(command::command("docker").args(arguments)).await;
    Ok(output.context("Docker is needed")?.status.success())
}

async fn make_debian() -> Result<()> {
    workspace::ensure_packages(&["debootstrap"]).await?;
    let directory = tempfile::tempdir().context("make a temporary directory")?;
    let tree = directory.path().join("tree");
    let mut debootstrap = command::command("debootstrap");
    command::run(debootstrap.args(["--variant=minbase", "bookworm"]).arg(&tree)).await?;
    let import = format!("docker import --change 'CMD [\"bash\"]' - {DEBIAN}");
    shell(&tree, &format!("rm -rf var/cache/apt/archives/*.deb && tar -c . | {import}")).await
}

async fn make_rust() -> Result<()> {
    let sysroot = command::run(command::command("rustc").args(["--print", "sysroot"])).await?;
    let context = root().join("xtask/base-images/rust");
    let context = context.display();
    // Without what takes a third of it: the documentation.
    let toolchain = "--transform='s,^\\./,toolchain/,' --exclude=./share/doc ./bin ./lib";
    let certificates = "-C /etc/ssl/certs ca-certificates.crt";
    let pack = format!("tar -c -C {context} Dockerfile {certificates} -C \"$PWD\" {toolchain}");
    shell(Path::new(sysroot.trim()), &format!("{pack} | docker build --tag {RUST} -")).await
}

async fn make_postgres() -> Result<()> {
    let build = format!("docker build --tag {POSTGRES} .");
    shell(&root().join("xtask/base-images/postgres"), &build).await
}

/// Runs a command line of the shell that must succeed.
async fn shell(directory: &Path, line: &str) -> Result<()> {
    let mut bash = command::command("bash");
    bash.current_dir(directory).args(["-o", "errexit", "-o", "pipefail", "-c", line]);
    command::run(&mut bash).await?;
    Ok(())
}
