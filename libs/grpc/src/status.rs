use std::fmt::Display;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// What is wrong with a request, field by field: collected while it is parsed, so that a client
/// learns everything at once.
#[derive(Debug, Default)]
pub struct Violations {
    found: Vec<(String, String)>,
}

impl Violations {
    /// Nothing wrong yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds that `field` (a path in the request, such as `network.spec.cidr`) is wrong;
    /// `description` says what it must be.
    pub fn add(&mut self, field: impl Into<String>, description: impl Into<String>) {
        self.found.push((field.into(), description.into()));
    }

    /// The parsed value; an error becomes the violation of `field`.
    pub fn check<T, E: Display>(&mut self, field: &str, parsed: Result<T, E>) -> Option<T> {
        parsed.map_err(|error| self.add(field, error.to_string())).ok()
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The refusal, if anything is wrong.
    ///
    /// # Errors
    /// INVALID_ARGUMENT with google.rpc.BadRequest that has every violation.
    pub fn into_result(self) -> Result<(), Status> {
        if self.found.is_empty() { Ok(()) } else { Err(self.into_status()) }
    }

    /// INVALID_ARGUMENT with every violation, for a caller that knows there is one.
    pub fn into_status(self) -> Status {
        let message = self
            .found
            .iter()
            .map(|(field, description)| format!("{field}: {description}"))
            .collect::<Vec<_>>()
            .join("; ");
        let mut details = ErrorDetails::new();
        for (field, description) in self.found {
            details.add_bad_request_violation(field, description);
        }
        Status::with_error_details(Code::InvalidArgument, message, details)
    }
}

/// NOT_FOUND: there is no `kind` (such as "network") with this name.
pub fn not_found(kind: &str, name: impl Display) -> Status {
    let message = format!("{kind} {name} does not exist");
    let details = ErrorDetails::with_resource_info(kind, name.to_string(), "", &message);
    Status::with_error_details(Code::NotFound, message, details)
}

/// ALREADY_EXISTS: there is a `kind` with this name.
pub fn already_exists(kind: &str, name: impl Display) -> Status {
    let message = format!("{kind} {name} exists already");
    let details = ErrorDetails::with_resource_info(kind, name.to_string(), "", &message);
    Status::with_error_details(Code::AlreadyExists, message, details)
}

/// FAILED_PRECONDITION: the state of the `kind` with this name forbids it; `reason` is a clause
/// such as "has 3 ports: detach them first, or use force".
pub fn failed_precondition(kind: &str, name: impl Display, reason: impl Display) -> Status {
    let message = format!("{kind} {name} {reason}");
    let subject = format!("{kind}/{name}");
    let details =
        ErrorDetails::with_precondition_failure_violation("STATE", subject, reason.to_string());
    Status::with_error_details(Code::FailedPrecondition, message, details)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn violations_become_a_bad_request_that_has_them_all() {
        let mut violations = Violations::new();
        assert_eq!(violations.check("port.name", "7".parse::<u8>()), Some(7));
        assert!(violations.is_empty());
        assert_eq!(violations.check("network.spec.cidr", "x".parse::<u8>()), None);
        violations.add("network.name", "must not be empty");

        let status = violations.into_result().unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().contains("network.name: must not be empty"));
        let bad_request = status.get_details_bad_request().unwrap();
        let fields: Vec<_> =
            bad_request.field_violations.iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(fields, ["network.spec.cidr", "network.name"]);
    }

    #[test]
    fn nothing_wrong_is_no_error() {
        assert!(Violations::new().into_result().is_ok());
    }

    #[test]
    fn states_carry_what_they_are_about() {
        let status = not_found("network", "s1/blue");
        assert_eq!(status.message(), "network s1/blue does not exist");
        assert_eq!(status.get_details_resource_info().unwrap().resource_name, "s1/blue");
        let status = failed_precondition("network", "s1/blue", "has 3 ports");
        let failure = status.get_details_precondition_failure().unwrap();
        assert_eq!(failure.violations[0].subject, "network/s1/blue");
    }
}
