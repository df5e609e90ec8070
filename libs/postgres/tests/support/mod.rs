//! A Postgres of one's own, in a temporary directory, which nobody reaches but by its socket there.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test support")]

use std::{
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Command, Stdio},
};

use l2sces_postgres::PostgresArgs;
use nix::unistd::{Gid, Uid, User, chown};
use tempfile::TempDir;

/// Ends with the value.
pub(crate) struct TemporaryPostgres {
    dir: TempDir,
}

impl TemporaryPostgres {
    /// Made, but not started.
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        if let Some((uid, gid)) = unprivileged() {
            chown(dir.path(), Some(uid), Some(gid)).unwrap();
        }
        let postgres = Self { dir };
        let mut initdb = postgres.program("initdb");
        initdb.args(["--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8"]);
        run(initdb.arg("--pgdata").arg(postgres.data()));
        postgres
    }

    pub(crate) fn start(&self) {
        let options = format!(
            "-c fsync=off -c listen_addresses='' -c unix_socket_directories='{}'",
            self.dir.path().display()
        );
        let mut pg_ctl = self.program("pg_ctl");
        pg_ctl.args(["start", "--wait", "--silent", "--options", &options, "--log=/dev/null"]);
        run(pg_ctl.arg("--pgdata").arg(self.data()));
    }

    /// As if its host lost power.
    pub(crate) fn stop(&self) {
        let mut pg_ctl = self.program("pg_ctl");
        pg_ctl.args(["stop", "--wait", "--silent", "--mode=immediate"]);
        run(pg_ctl.arg("--pgdata").arg(self.data()));
    }

    pub(crate) fn args(&self) -> PostgresArgs {
        PostgresArgs {
            database_url: format!(
                "postgres://postgres@localhost/postgres?host={}",
                self.dir.path().display()
            ),
            database_connections: 4,
        }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// One of Postgres's programs, which refuse to run as root.
    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(find(name));
        command.current_dir(self.dir.path()).stdin(Stdio::null()).stdout(Stdio::null());
        if let Some((uid, gid)) = unprivileged() {
            command.uid(uid.as_raw()).gid(gid.as_raw());
        }
        command
    }
}

impl Drop for TemporaryPostgres {
    fn drop(&mut self) {
        if self.data().join("postmaster.pid").exists() {
            self.stop();
        }
    }
}

/// Whom to run as, if the tests run as root.
fn unprivileged() -> Option<(Uid, Gid)> {
    if !Uid::effective().is_root() {
        return None;
    }
    let user = User::from_name("postgres").unwrap().expect("Postgres's packages make this user");
    Some((user.uid, user.gid))
}

/// Debian keeps these programs out of the PATH, by version.
fn find(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<_> = versions
        .map(|version| version.path().join("bin").join(name))
        .filter(|p| p.exists())
        .collect();
    found.sort();
    found.pop().unwrap_or_else(|| name.into())
}

fn run(command: &mut Command) {
    let status = command.status().unwrap();
    assert!(status.success(), "{command:?}: {status}");
}
