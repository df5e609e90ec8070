//! Running programs to their end.

use std::{
    ffi::OsStr,
    process::{ExitStatus, Stdio},
};

use tokio::{io::AsyncWriteExt, process::Command};

use crate::error::CommandError;

/// What a program said, and how it ended.
#[derive(Clone, Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

/// A command of `program`, killed when its future is dropped, without input.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.kill_on_drop(true).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs a command to its end, whatever that is.
///
/// # Errors
/// It could not be started.
pub async fn output(command: &mut Command) -> Result<Output, CommandError> {
    let output = command
        .output()
        .await
        .map_err(|source| CommandError::Start { command: describe(command), source })?;
    Ok(Output {
        status: output.status,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// Runs a command that must succeed, and returns what it wrote to standard output.
///
/// # Errors
/// It could not be started, or failed.
pub async fn run(command: &mut Command) -> Result<String, CommandError> {
    let output = output(command).await?;
    check(command, output)
}

/// Runs a command that must succeed and reads its input from `input`.
///
/// # Errors
/// It could not be started, or failed.
pub(crate) async fn run_with_input(
    command: &mut Command,
    input: &str,
) -> Result<String, CommandError> {
    let start =
        |command: &Command, source| CommandError::Start { command: describe(command), source };
    let mut child = match command.stdin(Stdio::piped()).spawn() {
        Ok(child) => child,
        Err(source) => return Err(start(command, source)),
    };
    if let Some(mut stdin) = child.stdin.take() {
        // A program that ends early closes its input: its own message says more than EPIPE would.
        drop(stdin.write_all(input.as_bytes()).await);
    }
    let output = child.wait_with_output().await.map_err(|source| start(command, source))?;
    check(
        command,
        Output {
            status: output.status,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        },
    )
}

fn check(command: &Command, output: Output) -> Result<String, CommandError> {
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(CommandError::Failed {
        command: describe(command),
        status: output.status.to_string(),
        stderr: output.stderr.trim().to_owned(),
    })
}

fn describe(command: &Command) -> String {
    let command = command.as_std();
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ")
}
