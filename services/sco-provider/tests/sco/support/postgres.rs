use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use sco_provider::store::{MIGRATIONS, Store};
use sqlx::{
    Connection, Executor, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tempfile::TempDir;

/// A Postgres on a Unix socket, shared by the tests that run at the same time and gone with the
/// last of them.
struct Server {
    directory: TempDir,
}

static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
static DATABASES: AtomicUsize = AtomicUsize::new(1);

/// A schema of one's own, with a role that may do nothing else.
pub(crate) struct Database {
    server: Arc<Server>,
    role: String,
}

impl Database {
    pub(crate) async fn new() -> Self {
        let server = tokio::task::spawn_blocking(Server::shared).await.unwrap();
        let role = format!("sco_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        let mut superuser = PgConnection::connect_with(&server.options("postgres")).await.unwrap();
        for statement in [
            format!("CREATE ROLE {role} LOGIN"),
            format!("CREATE SCHEMA {role} AUTHORIZATION {role}"),
            format!("ALTER ROLE {role} SET search_path = {role}"),
        ] {
            superuser.execute(sqlx::AssertSqlSafe(statement)).await.unwrap();
        }
        let database = Self { server, role };
        MIGRATIONS.run(&database.pool().await).await.unwrap();
        database
    }

    pub(crate) async fn pool(&self) -> PgPool {
        let options = self.server.options(&self.role);
        PgPoolOptions::new().max_connections(8).connect_with(options).await.unwrap()
    }

    pub(crate) async fn store(&self) -> Store {
        Store::new(self.pool().await, Store::all_vnis(), 1500)
    }
}

impl Server {
    fn shared() -> Arc<Self> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = shared.upgrade() {
            return server;
        }
        let server = Arc::new(Self::start());
        *shared = Arc::downgrade(&server);
        server
    }

    fn start() -> Self {
        let directory = tempfile::Builder::new().prefix("l2sces-sco-").tempdir().unwrap();
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(directory.path()));
        }
        let server = Self { directory };
        let initdb = ["--auth=trust", "--username=postgres", "--no-sync", "--locale=C", "-D"];
        run(server.program("initdb").args(initdb).arg(server.data()));
        let socket = server.directory.path().display();
        let options =
            format!("-k {socket} -c listen_addresses= -c fsync=off -c max_connections=400");
        run(server
            .program("pg_ctl")
            .args(["start", "-w", "-l", "/dev/null", "-o", &options, "-D"])
            .arg(server.data()));
        server
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn options(&self, role: &str) -> PgConnectOptions {
        PgConnectOptions::new().socket(self.directory.path()).username(role).database("postgres")
    }

    /// A program of Postgres, which refuses to be root.
    fn program(&self, name: &str) -> Command {
        let program = programs().join(name);
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir(self.directory.path());
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        run(self.program("pg_ctl").args(["stop", "-m", "immediate", "-D"]).arg(self.data()));
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// Where the newest Postgres is installed.
fn programs() -> PathBuf {
    let version = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    let installed = fs::read_dir(Path::new("/usr/lib/postgresql")).expect("Postgres is installed");
    let newest = installed.flatten().map(|entry| entry.path()).max_by_key(version);
    newest.expect("Postgres is installed").join("bin")
}

fn run(command: &mut Command) {
    // The server inherits what pg_ctl has: a pipe would be waited for until the server ends.
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    assert!(status.success(), "{command:?}: {status}");
}
