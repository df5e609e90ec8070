use std::{error::Error, io, process::ExitCode};

use rustls::CertificateError;
use thiserror::Error;
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// Why a command did not do what it was asked for.
#[derive(Debug, Error)]
pub(crate) enum CliError {
    /// The command line asks for something that cannot be.
    #[error("{0}")]
    Usage(String),
    /// What was asked for is not carried out in time; the last known reason.
    #[error("{0}")]
    TimedOut(String),
    /// A call of the slice-manager failed.
    #[error("{}", self.lines().join("; "))]
    Call {
        /// The slice-manager's endpoint.
        endpoint: String,
        /// How it failed.
        status: Box<Status>,
    },
    /// One of several things failed.
    #[error("{}", self.lines().join("; "))]
    About {
        /// Which one.
        subject: String,
        /// How it failed.
        error: Box<CliError>,
    },
    /// Anything else.
    #[error("{0}")]
    Failed(String),
    /// Whoever read stdout has had enough.
    #[error("stdout is closed")]
    OutputClosed,
}

impl CliError {
    /// The error of one of several things.
    pub(crate) fn about(self, subject: String) -> Self {
        Self::About { subject, error: Box::new(self) }
    }

    /// What to tell the user, a line each.
    pub(crate) fn lines(&self) -> Vec<String> {
        match self {
            Self::Call { endpoint, status } => status_lines(endpoint, status),
            Self::About { subject, error } => {
                let named = |line: String| match line.starts_with(subject) {
                    true => line,
                    false => format!("{subject}: {line}"),
                };
                error.lines().into_iter().map(named).collect()
            }
            Self::OutputClosed => Vec::new(),
            Self::Usage(text) | Self::TimedOut(text) | Self::Failed(text) => vec![text.clone()],
        }
    }

    /// The exit status that programs can tell it by.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::About { error, .. } => error.exit_code(),
            Self::OutputClosed => ExitCode::SUCCESS,
            Self::Call { .. } | Self::Failed(_) => ExitCode::from(1),
            Self::Usage(_) => ExitCode::from(2),
            Self::TimedOut(_) => ExitCode::from(3),
        }
    }
}

impl From<io::Error> for CliError {
    /// Of a write to stdout.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::OutputClosed,
            _ => Self::Failed(format!("cannot write to stdout: {error}")),
        }
    }
}

fn status_lines(endpoint: &str, status: &Status) -> Vec<String> {
    if let Some(details) = status.get_details_bad_request()
        && !details.field_violations.is_empty()
    {
        let line = |v: tonic_types::FieldViolation| format!("{}: {}", v.field, v.description);
        return details.field_violations.into_iter().map(line).collect();
    }
    if let Some(cause) = connection_failure(status) {
        return vec![format!("cannot reach {endpoint}: {cause}")];
    }
    let message = status.message();
    let trace = match status.get_details_request_info() {
        Some(info) => format!(" (trace {})", info.request_id),
        None => String::new(),
    };
    vec![match status.code() {
        Code::Unavailable => format!("{endpoint} is unavailable: {message}{trace}"),
        Code::DeadlineExceeded => format!("no answer from {endpoint} in time{trace}"),
        Code::PermissionDenied => format!("not allowed: {message}"),
        Code::Unimplemented => format!("{endpoint} is no slice-manager, or another version"),
        Code::Internal | Code::Unknown | Code::DataLoss => {
            format!("{endpoint} failed: {message}{trace}")
        }
        _ => message.to_owned(),
    }]
}

/// Why there is no connection, if that is why the call failed: the innermost cause that says
/// something.
fn connection_failure(status: &Status) -> Option<String> {
    let mut cause = status.source()?;
    loop {
        if let Some(error) = cause.downcast_ref::<rustls::Error>() {
            return Some(tls_failure(error));
        }
        if let Some(error) = cause.downcast_ref::<io::Error>() {
            // `source` of an I/O error skips the error that it was made of.
            let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
            return Some(match inner {
                Some(error) => tls_failure(error),
                None => io_failure(error),
            });
        }
        match cause.source() {
            Some(next) => cause = next,
            None => return Some(closed(cause)),
        }
    }
}

/// A server that refuses a client's certificate says so in a TLS alert. With TLS 1.3 the client
/// already speaks HTTP/2 then, whose errors keep a cause's text only; or it finds the connection
/// closed before it reads the alert.
fn closed(cause: &dyn Error) -> String {
    let text = cause.to_string();
    match text.split_once("received fatal alert: ") {
        Some((_, alert)) => refused(alert),
        None => {
            format!(
                "it closed the connection: {text} (does it trust our certificate? see --tls-cert)"
            )
        }
    }
}

/// Why the server ended TLS, by the name of its alert.
fn refused(alert: &str) -> String {
    match alert {
        "UnknownCA" | "BadCertificate" | "DecryptError" => {
            "it refuses our certificate: signed by an unknown authority (see --tls-cert)".into()
        }
        "CertificateExpired" => "it refuses our certificate: expired (see --tls-cert)".into(),
        "CertificateRequired" => "it wants a certificate (see --tls-cert)".into(),
        other => format!("it refuses TLS with us: {other}"),
    }
}

fn io_failure(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".into(),
        io::ErrorKind::TimedOut => "connection timed out".into(),
        io::ErrorKind::BrokenPipe
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::InvalidData
        | io::ErrorKind::UnexpectedEof => closed(error),
        _ => error.to_string(),
    }
}

fn tls_failure(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(error) => match error {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                "its certificate is signed by an unknown authority (see --tls-ca)".into()
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "its certificate has expired".into()
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "its certificate is not valid yet".into()
            }
            CertificateError::InvalidPurpose => {
                "its certificate is none of a service (that of an agent, say)".into()
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "its certificate is for another name or address".into()
            }
            other => format!("its certificate is invalid: {other}"),
        },
        rustls::Error::AlertReceived(alert) => refused(&format!("{alert:?}")),
        rustls::Error::InvalidMessage(_) => "it does not speak TLS".into(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use l2sces_grpc::{Violations, not_found};
    use tonic_types::ErrorDetails;

    use super::*;

    fn lines(status: Status) -> Vec<String> {
        CliError::Call { endpoint: "https://a:1".into(), status: Box::new(status) }.lines()
    }

    #[test]
    fn each_violation_is_a_line_that_names_its_field() {
        let mut violations = Violations::new();
        violations.add("network.spec.cidr", "must be an IP network such as 10.1.0.0/24");
        violations.add("network.slice", "must not be empty");
        assert_eq!(
            lines(violations.into_status()),
            [
                "network.spec.cidr: must be an IP network such as 10.1.0.0/24",
                "network.slice: must not be empty",
            ]
        );
    }

    #[test]
    fn answers_are_told_as_they_are_and_failures_with_who_failed() {
        assert_eq!(lines(not_found("network", "s1/blue")), ["network s1/blue does not exist"]);
        assert_eq!(
            lines(Status::permission_denied("the role sps-agent may not call it")),
            ["not allowed: the role sps-agent may not call it"]
        );
        assert_eq!(lines(Status::internal("no disk")), ["https://a:1 failed: no disk"]);
        assert_eq!(lines(Status::deadline_exceeded("")), ["no answer from https://a:1 in time"]);
        let details = ErrorDetails::with_request_info("4bf92f35", "");
        assert_eq!(
            lines(Status::with_error_details(Code::Internal, "no disk", details)),
            ["https://a:1 failed: no disk (trace 4bf92f35)"]
        );
    }

    #[test]
    fn a_refused_connection_is_told_by_its_innermost_cause() {
        let tls = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let cases = [
            (io::Error::from(io::ErrorKind::ConnectionRefused), "connection refused"),
            (
                io::Error::new(io::ErrorKind::InvalidData, tls),
                "its certificate is signed by an unknown authority (see --tls-ca)",
            ),
        ];
        for (error, text) in cases {
            let mut status = Status::unavailable("tcp connect error");
            status.set_source(std::sync::Arc::new(error));
            assert_eq!(lines(status), [format!("cannot reach https://a:1: {text}")]);
        }
    }

    #[test]
    fn a_closed_pipe_is_no_error() {
        let error = CliError::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(error.lines().is_empty());
    }
}
