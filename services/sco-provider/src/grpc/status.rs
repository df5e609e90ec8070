use l2sces_grpc::{Violations, already_exists, failed_precondition, not_found};
use tonic::Status;

use crate::store::StoreError;

/// The status of a failed store call. `prefix` is the path of the domain object in the request,
/// with a dot at its end if there is one.
pub(super) fn refusal(prefix: &str, error: StoreError) -> Status {
    match error {
        StoreError::NotFound { kind, name } => not_found(kind.as_str(), name),
        StoreError::Precondition { kind, name, reason } => {
            failed_precondition(kind.as_str(), name, reason)
        }
        StoreError::Taken { kind, description } => already_exists(kind.as_str(), description),
        StoreError::Exhausted(_) => Status::resource_exhausted(error.to_string()),
        StoreError::Invalid { field, description } => {
            let mut violations = Violations::new();
            violations.add(format!("{prefix}{field}"), description);
            violations.into_status()
        }
        StoreError::Corrupt(_) => {
            tracing::error!(%error, "refused a request");
            Status::internal("the stored state is corrupt")
        }
        StoreError::Database(error) if is_transient(&error) => {
            tracing::warn!(%error, "refused a request");
            Status::unavailable("the database cannot be reached")
        }
        StoreError::Database(error) => {
            // What the database says is for operators, not for callers.
            tracing::error!(%error, "refused a request");
            Status::internal("the database failed")
        }
    }
}

/// Whether the same request may succeed a little later.
fn is_transient(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => true,
        sqlx::Error::Database(error) => {
            // Connection exception, transaction rollback (deadlock), insufficient resources,
            // operator intervention (shutdown): PostgreSQL, appendix A.
            let code = error.code().unwrap_or_default();
            ["08", "40", "53", "57"].iter().any(|class| code.starts_with(class))
        }
        _ => false,
    }
}
