use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use sqlx::{Connection, Executor, PgConnection};
use tempfile::TempDir;

/// A Postgres of one's own, on a Unix socket, with the service's role and schema. Gone when
/// dropped.
pub(crate) struct Postgres {
    directory: TempDir,
    process: Option<Child>,
}

const ROLE: &str = "inter_domain_dns";

impl Postgres {
    pub(crate) async fn start() -> Self {
        let directory = tempfile::Builder::new().prefix("l2sces-dns-").tempdir().unwrap();
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(directory.path()));
        }
        run(as_postgres("initdb")
            .current_dir(directory.path())
            .args(["--auth=trust", "--username=postgres", "--no-sync", "--locale=C", "-D"])
            .arg(directory.path().join("data")));
        let mut postgres = Self { directory, process: None };
        postgres.resume().await;
        let mut connection = postgres.connect("postgres").await.unwrap();
        for statement in [
            "CREATE ROLE inter_domain_dns LOGIN",
            "CREATE SCHEMA inter_domain_dns AUTHORIZATION inter_domain_dns",
            "ALTER ROLE inter_domain_dns SET search_path = inter_domain_dns",
        ] {
            connection.execute(statement).await.unwrap();
        }
        postgres
    }

    /// Starts the database again after [`Postgres::stop`].
    pub(crate) async fn resume(&mut self) {
        let process = as_postgres("postgres")
            .current_dir(self.directory.path())
            .arg("-D")
            .arg(self.directory.path().join("data"))
            .arg("-k")
            .arg(self.directory.path())
            .args(["-c", "listen_addresses=", "-c", "fsync=off"])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.process = Some(process);
        super::eventually("Postgres answers", async || self.connect("postgres").await.is_ok())
            .await;
    }

    /// Stops the database; its clients are cut off.
    pub(crate) fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            run(Command::new("kill").args(["-INT", &process.id().to_string()]));
            process.wait().unwrap();
        }
    }

    /// For the service.
    pub(crate) fn url(&self) -> String {
        self.url_of(ROLE)
    }

    /// A connection as the service has it.
    pub(crate) async fn connect_as_service(&self) -> PgConnection {
        self.connect(ROLE).await.unwrap()
    }

    /// A connection as superuser.
    pub(crate) async fn connect_as_superuser(&self) -> PgConnection {
        self.connect("postgres").await.unwrap()
    }

    async fn connect(&self, role: &str) -> sqlx::Result<PgConnection> {
        PgConnection::connect(&self.url_of(role)).await
    }

    fn url_of(&self, role: &str) -> String {
        format!("postgres:///postgres?host={}&user={role}", self.directory.path().display())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

/// A program of Postgres, which refuses to be root.
fn as_postgres(program: &str) -> Command {
    let program = programs().join(program);
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
    command
}

/// Where the newest Postgres is installed.
fn programs() -> PathBuf {
    let version = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    let installed = fs::read_dir(Path::new("/usr/lib/postgresql")).expect("Postgres is installed");
    let newest = installed.flatten().map(|entry| entry.path()).max_by_key(version);
    newest.expect("Postgres is installed").join("bin")
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {error}");
}
