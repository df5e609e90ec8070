use l2sces_grpc::{Violations, already_exists, failed_precondition, not_found};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::{
    intent::{InUse, Refusal},
    validate::Report,
};

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Invalid(report) => report.into(),
            Refusal::NotFound(key) => not_found(key.kind().as_str(), key.path()),
            Refusal::AlreadyExists(key) => already_exists(key.kind().as_str(), key.path()),
            Refusal::Taken { field, description } => {
                let mut details = ErrorDetails::new();
                details.add_bad_request_violation(field, description.clone());
                let message = format!("{field}: {description}");
                Self::with_error_details(Code::AlreadyExists, message, details)
            }
            Refusal::Changed(_) => Self::aborted(format!("{refusal}: read it again")),
            Refusal::Deleting(key) => {
                failed_precondition(key.kind().as_str(), key.path(), "is being deleted")
            }
            Refusal::InUse(InUse { key, reason }) => {
                failed_precondition(key.kind().as_str(), key.path(), reason)
            }
            Refusal::CannotResume(why) => Self::out_of_range(why),
            Refusal::Store(error) if error.is_transient() => {
                tracing::warn!(%error, "the database failed a request");
                Self::unavailable("the database does not answer: try again")
            }
            Refusal::Store(error) => {
                tracing::error!(%error, "the database failed a request");
                Self::internal("the database failed")
            }
        }
    }
}

impl From<Report> for Status {
    fn from(report: Report) -> Self {
        let mut violations = Violations::new();
        for violation in report.violations() {
            violations.add(violation.field.clone(), violation.description.clone());
        }
        violations.into_status()
    }
}
