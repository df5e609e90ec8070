//! One Postgres for all tests of the process, each with a database of its own.

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use sqlx::{Connection, Executor, PgConnection, PgPool};

const BIN: &str = "/usr/lib/postgresql/15/bin";

static SERVER: OnceLock<Server> = OnceLock::new();

struct Server {
    /// Directory of the socket.
    socket: PathBuf,
    /// Holds the input of the shell that ends the server.
    _shell: Child,
}

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A new database: its URL, and a pool to look into it.
pub(crate) async fn database() -> (String, PgPool) {
    let server = tokio::task::spawn_blocking(|| SERVER.get_or_init(start)).await.unwrap();
    let name = format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let url = |name: &str| {
        format!("postgres://postgres@localhost/{name}?host={}", server.socket.display())
    };
    let mut admin = connect(&url("postgres")).await;
    let create = sqlx::AssertSqlSafe(format!("create database {name}"));
    admin.execute(create).await.unwrap();
    admin.close().await.unwrap();
    let options = sqlx::postgres::PgPoolOptions::new().max_connections(2);
    (url(&name), options.connect_lazy(&url(&name)).unwrap())
}

async fn connect(url: &str) -> PgConnection {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        match PgConnection::connect(url).await {
            Ok(connection) => return connection,
            Err(error) => assert!(tokio::time::Instant::now() < deadline, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Starts a server that ends with this process, whichever way that ends: a shell waits for the end
/// of its input, which this process holds.
fn start() -> Server {
    let directory = tempfile::tempdir().unwrap().keep();
    std::fs::set_permissions(&directory, PermissionsExt::from_mode(0o777)).unwrap();
    let data = directory.join("data");
    let initialised = unprivileged(&format!("{BIN}/initdb"))
        .args(["--auth=trust", "--username=postgres", "--no-sync", "-D"])
        .arg(&data)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(initialised.success());
    let postgres = command_line(&unprivileged(&format!("{BIN}/postgres")), &data, &directory);
    let script = format!(
        "{postgres} >{0}/log 2>&1 & pid=$!; cat >/dev/null; kill -QUIT $pid; wait $pid; rm -rf {0}",
        directory.display()
    );
    let shell = Command::new("sh").args(["-c", &script]).stdin(Stdio::piped()).spawn().unwrap();
    Server { socket: directory, _shell: shell }
}

fn command_line(command: &Command, data: &Path, socket: &Path) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy().into_owned()).collect();
    format!(
        "{} -D {} -k {} -h '' -F -c max_connections=300",
        words.join(" "),
        data.display(),
        socket.display()
    )
}

/// Postgres refuses to run as root.
fn unprivileged(program: &str) -> Command {
    if !nix::unistd::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", program]);
    command
}
