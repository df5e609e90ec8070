use std::fmt;

/// Where the database is.
#[derive(Clone, clap::Args)]
pub struct PostgresArgs {
    /// The service's own database role and database
    #[arg(
        long,
        env = "L2SCES_DATABASE_URL",
        hide_env_values = true,
        value_name = "postgres://ROLE:PASSWORD@HOST:PORT/DATABASE"
    )]
    pub database_url: String,
    /// Most connections to the database at a time; one is used for notifications
    #[arg(
        long,
        env = "L2SCES_DATABASE_CONNECTIONS",
        value_name = "NUMBER",
        default_value_t = 8,
        value_parser = clap::value_parser!(u32).range(2..)
    )]
    pub database_connections: u32,
}

/// Without the URL, which may hold a password.
impl fmt::Debug for PostgresArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresArgs")
            .field("database_connections", &self.database_connections)
            .finish_non_exhaustive()
    }
}
