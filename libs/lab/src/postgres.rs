//! A private Postgres: a role and a schema for each service, reachable by a Unix socket, and
//! in a lab with Kubernetes by its management network.

use std::{
    fs,
    os::unix::fs::{OpenOptionsExt, chown},
    path::{Path, PathBuf},
    time::Duration,
};

use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, PgConnection, Row, postgres::PgConnectOptions,
};

use crate::{
    command,
    error::{Context, LabError},
    layout::{DATABASE, Layout, Postgres},
    process::{ProcessSpec, Supervisor, user},
    unit::Unit,
    wait,
};

/// The user that Postgres runs as: it refuses to run as root.
const USER: &str = "postgres";

/// Makes the database cluster, starts it, and makes database, roles and schemas.
pub(crate) async fn up(
    layout: &Layout,
    supervisor: &Supervisor,
    counts_statements: bool,
) -> Result<(), LabError> {
    let postgres = &layout.postgres;
    let programs = programs()?;
    initialize(postgres, &programs).await?;
    let data = postgres.socket_directory.join("data");
    // Services in pods have no other way to it.
    let is_for_pods = !layout.kubernetes.clusters.is_empty();
    if is_for_pods {
        admit_network(&data)?;
    }
    let addresses = if is_for_pods { "listen_addresses=*" } else { "listen_addresses=" };
    let mut settings = vec![addresses, "max_connections=200"];
    if counts_statements {
        settings.push("shared_preload_libraries=pg_stat_statements");
    }
    let directories = [("-D", data.as_path()), ("-k", postgres.socket_directory.as_path())];
    let directories = directories.map(|(flag, path)| (flag, path.display().to_string()));
    let settings = settings.into_iter().map(|setting| ("-c", setting.to_owned()));
    let arguments = directories.into_iter().chain(settings);
    supervisor
        .add(ProcessSpec {
            unit: Unit::Postgres,
            program: programs.join("postgres"),
            arguments: arguments.flat_map(|(flag, value)| [flag.to_owned(), value]).collect(),
            environment: [("LC_ALL".to_owned(), "C".to_owned())].into(),
            namespace: Some(layout.control.namespace.clone()),
            user: Some(USER.to_owned()),
            log: layout.log(&Unit::Postgres),
        })
        .await?;
    let options: PgConnectOptions = postgres.admin_url.parse()?;
    let options = options.database("postgres").disable_statement_logging();
    let mut connection = wait::holds("Postgres answers", Duration::from_secs(30), || async {
        if let Err(error) = supervisor.check_alive(&Unit::Postgres) {
            return Ok(Err(error));
        }
        options.connect().await.map(Ok).map_err(|error| error.to_string())
    })
    .await??;
    execute(&mut connection, format!("CREATE DATABASE {DATABASE}")).await?;
    connection.close().await?;

    let mut connection = connect(postgres).await?;
    let mut statements = format!(
        "REVOKE ALL ON DATABASE {DATABASE} FROM PUBLIC;
         REVOKE ALL ON SCHEMA public FROM PUBLIC;"
    );
    for role in &postgres.roles {
        let (name, password) = (&role.name, &role.password);
        statements += &format!(
            "CREATE ROLE {name} LOGIN PASSWORD '{password}';
             GRANT CONNECT ON DATABASE {DATABASE} TO {name};
             CREATE SCHEMA {name} AUTHORIZATION {name};
             ALTER ROLE {name} SET search_path = {name};"
        );
    }
    if counts_statements {
        statements += "CREATE EXTENSION pg_stat_statements;";
    }
    execute(&mut connection, statements).await?;
    connection.close().await?;
    Ok(())
}

/// Lets roles log in with their passwords from the lab's networks.
fn admit_network(data: &Path) -> Result<(), LabError> {
    let path = data.join("pg_hba.conf");
    let file = fs::OpenOptions::new().append(true).open(&path);
    file.and_then(|mut file| {
        std::io::Write::write_all(&mut file, b"host all all 10.0.0.0/8 scram-sha-256\n")
    })
    .context(|| format!("write {}", path.display()))
}

async fn initialize(postgres: &Postgres, programs: &Path) -> Result<(), LabError> {
    let directory = &postgres.socket_directory;
    let (uid, gid) = user(USER)?;
    fs::create_dir_all(directory)
        .and_then(|()| chown(directory, Some(uid.as_raw()), Some(gid.as_raw())))
        .context(|| format!("make {}", directory.display()))?;
    let password_file = directory.join("password");
    fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&password_file)
        .and_then(|mut file| {
            std::io::Write::write_all(&mut file, postgres.admin_password.as_bytes())
        })
        .and_then(|()| chown(&password_file, Some(uid.as_raw()), Some(gid.as_raw())))
        .context(|| format!("write {}", password_file.display()))?;
    let mut initdb = command::command(programs.join("initdb"));
    initdb
        .uid(uid.as_raw())
        .gid(gid.as_raw())
        .current_dir(directory)
        .arg("--pgdata")
        .arg(directory.join("data"))
        .arg("--pwfile")
        .arg(&password_file)
        // The files need to survive a crash of Postgres, not one of the machine before it runs.
        .args(["--no-sync", "--auth=scram-sha-256", "--username=postgres"])
        .args(["--encoding=UTF8", "--locale=C"]);
    command::run(&mut initdb).await?;
    fs::remove_file(&password_file).context(|| format!("remove {}", password_file.display()))
}

/// Directory of the newest installed Postgres's programs.
fn programs() -> Result<PathBuf, LabError> {
    let root = Path::new("/usr/lib/postgresql");
    let version = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    fs::read_dir(root)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .max_by_key(version)
        .map(|path| path.join("bin"))
        .filter(|path| path.join("initdb").exists())
        .ok_or_else(|| LabError::NoBinary(root.join("15/bin/initdb")))
}

/// Waits until Postgres answers. After a kill it refuses to start as long as one of its old
/// children lives, so it is started again, as an init system would.
pub(crate) async fn restarted(
    postgres: &Postgres,
    supervisor: &Supervisor,
) -> Result<(), LabError> {
    wait::holds("Postgres answers", Duration::from_secs(30), || async {
        supervisor.start(&Unit::Postgres).await.map_err(|error| error.to_string())?;
        connect(postgres).await.map(drop).map_err(|error| error.to_string())
    })
    .await
}

/// Connects to the services' database as superuser.
pub(crate) async fn connect(postgres: &Postgres) -> Result<PgConnection, LabError> {
    connect_to(&postgres.admin_url).await
}

async fn connect_to(url: &str) -> Result<PgConnection, LabError> {
    let options: PgConnectOptions = url.parse()?;
    Ok(options.disable_statement_logging().connect().await?)
}

async fn execute(connection: &mut PgConnection, statements: String) -> Result<(), LabError> {
    sqlx::raw_sql(AssertSqlSafe(statements)).execute(connection).await?;
    Ok(())
}

/// Number of rows in a table of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableRows {
    /// The service's schema.
    pub schema: String,
    /// The table.
    pub table: String,
    /// Its rows.
    pub rows: i64,
}

impl TableRows {
    /// Whether the table remembers, for a while, what was asked for or is gone: the answers to
    /// requests that may be repeated, and deletions that a watch may have missed.
    pub fn is_history(&self) -> bool {
        self.schema == "slice_manager" && ["request", "tombstone"].contains(&self.table.as_str())
    }
}

/// A statement of a service, whatever its parameters were.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The service.
    pub unit: Unit,
    /// Its text.
    pub text: String,
    /// How often it was run since the lab came up.
    pub runs: i64,
}

/// How often each service has run each of its statements.
pub(crate) async fn statements(postgres: &Postgres) -> Result<Vec<Statement>, LabError> {
    let mut connection = connect(postgres).await?;
    let rows = sqlx::query(
        "SELECT rolname::text, query, sum(calls)::bigint FROM pg_stat_statements
         JOIN pg_roles ON pg_roles.oid = userid GROUP BY 1, 2 ORDER BY 1, 2",
    )
    .fetch_all(&mut connection)
    .await?;
    connection.close().await?;
    let mut statements = Vec::new();
    for row in rows {
        let role: String = row.try_get(0)?;
        // The others are the lab's own.
        if let Some(role) = postgres.roles.iter().find(|known| known.name == role) {
            let unit = role.unit.clone();
            statements.push(Statement { unit, text: row.try_get(1)?, runs: row.try_get(2)? });
        }
    }
    Ok(statements)
}

/// Counts the rows of every table of every service, without the migrations' own table, in the
/// database that `admin_url` leads to as superuser.
///
/// # Errors
/// Postgres does not answer.
pub async fn table_rows(admin_url: &str) -> Result<Vec<TableRows>, LabError> {
    let mut connection = connect_to(admin_url).await?;
    let tables = sqlx::query(
        "SELECT schemaname, tablename FROM pg_tables
         WHERE schemaname NOT IN ('pg_catalog', 'information_schema', 'public')
           AND tablename <> '_sqlx_migrations'
         ORDER BY 1, 2",
    )
    .fetch_all(&mut connection)
    .await?;
    let mut counts = Vec::new();
    for row in tables {
        let (schema, table): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        let count = format!("SELECT count(*) FROM \"{schema}\".\"{table}\"");
        let rows = sqlx::query_scalar(AssertSqlSafe(count)).fetch_one(&mut connection).await?;
        counts.push(TableRows { schema, table, rows });
    }
    connection.close().await?;
    Ok(counts)
}
