//! A Postgres of the tests' own, in a temporary directory: shared by the tests that run at the same
//! time, each with a database of its own.

use std::{
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU32, Ordering},
    },
};

use nix::unistd::{Uid, User, chown};
use sqlx::{
    AssertSqlSafe, ConnectOptions, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tempfile::TempDir;

use super::{MIGRATOR, Store};

static SHARED: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());
static DATABASES: AtomicU32 = AtomicU32::new(0);

struct Postgres {
    dir: TempDir,
}

impl Postgres {
    fn start() -> Self {
        let postgres = Self { dir: tempfile::tempdir().unwrap() };
        if let Some(user) = unprivileged() {
            chown(postgres.dir.path(), Some(user.uid), Some(user.gid)).unwrap();
        }
        postgres.run("initdb", &["--no-sync", "--auth=trust", "--username=postgres"]);
        let options = format!(
            "-c fsync=off -c max_connections=200 -c listen_addresses='' \
             -c unix_socket_directories={}",
            postgres.dir.path().display()
        );
        postgres.run("pg_ctl", &["start", "--wait", "--log=/dev/null", "--options", &options]);
        postgres
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        // Debian keeps these programs out of the PATH, by version.
        let versions = std::fs::read_dir("/usr/lib/postgresql").unwrap().flatten();
        let mut programs: Vec<PathBuf> =
            versions.map(|version| version.path().join("bin").join(program)).collect();
        programs.sort();
        let mut command = Command::new(programs.pop().unwrap());
        command.args(arguments).arg("--pgdata").arg(self.dir.path().join("data"));
        command.current_dir(self.dir.path()).stdin(Stdio::null()).stdout(Stdio::null());
        if let Some(user) = unprivileged() {
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        let status = command.status().unwrap();
        assert!(status.success(), "{command:?}: {status}");
    }

    fn options(&self) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .socket(self.dir.path())
            .username("postgres")
            .database("postgres")
            .disable_statement_logging()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.run("pg_ctl", &["stop", "--wait", "--mode=immediate"]);
    }
}

/// Whom to run as if the tests run as root, which Postgres refuses to.
fn unprivileged() -> Option<User> {
    Uid::effective().is_root().then(|| User::from_name("postgres").unwrap().unwrap())
}

/// A database with our schema. Goes with the value.
pub(crate) struct TestDatabase {
    pool: PgPool,
    _postgres: Arc<Postgres>,
}

impl TestDatabase {
    pub(crate) async fn new() -> Self {
        let postgres = {
            let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
            shared.upgrade().unwrap_or_else(|| {
                let postgres = Arc::new(Postgres::start());
                *shared = Arc::downgrade(&postgres);
                postgres
            })
        };
        let name = format!("test_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        let mut connection = postgres.options().connect().await.unwrap();
        let create = AssertSqlSafe(format!("CREATE DATABASE {name}"));
        sqlx::query(create).execute(&mut connection).await.unwrap();
        let pool = PgPoolOptions::new()
            .max_connections(8)
            .connect_with(postgres.options().database(&name))
            .await
            .unwrap();
        MIGRATOR.run(&pool).await.unwrap();
        Self { pool, _postgres: postgres }
    }

    /// The store of cluster "a".
    pub(crate) fn store(&self) -> Store {
        Store::new(self.pool.clone(), "a".parse().unwrap())
    }

    /// The database itself.
    pub(crate) fn pool(&self) -> &PgPool {
        &self.pool
    }
}
