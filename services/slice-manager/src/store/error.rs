use thiserror::Error;

use crate::domain::BadKey;

/// Why the database could not be read or written.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Postgres refused, or is not there.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    /// What is stored is no specification or status.
    #[error("stored value: {0}")]
    Value(#[from] serde_json::Error),
    /// What is stored names no resource.
    #[error("stored key: {0}")]
    Key(#[from] BadKey),
}

impl StoreError {
    /// Whether the same request may well succeed a moment later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Database(sqlx::Error::Database(error)) => {
                // Classes 40 (rolled back, such as a deadlock), 53 (insufficient resources), 57
                // (operator intervention) and 08 (connection).
                let code = error.code().unwrap_or_default();
                ["40", "53", "57", "08"].iter().any(|class| code.starts_with(class))
            }
            Self::Database(error) => matches!(
                error,
                sqlx::Error::Io(_)
                    | sqlx::Error::Tls(_)
                    | sqlx::Error::PoolTimedOut
                    | sqlx::Error::PoolClosed
                    | sqlx::Error::WorkerCrashed
            ),
            Self::Value(_) | Self::Key(_) => false,
        }
    }
}
