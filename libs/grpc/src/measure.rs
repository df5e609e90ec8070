//! What RPCs are measured by at their server.

use std::{collections::BTreeSet, sync::Arc, time::Instant};

use l2sces_proto::FILE_DESCRIPTOR_SET;
use metrics::{Unit, describe_gauge, describe_histogram, gauge, histogram};
use prost::{DecodeError, Message};
use prost_types::FileDescriptorSet;
use tonic::Code;

const DURATION: &str = "l2sces_rpc_server_duration_seconds";
const RUNNING: &str = "l2sces_rpc_server_running";

/// The method of a call of what nobody serves: paths are the client's choice, and without end.
const UNKNOWN: &str = "unknown";

/// The methods that a server has, by which its calls are counted.
#[derive(Clone, Debug)]
pub(crate) struct Methods {
    names: Arc<BTreeSet<String>>,
}

impl Methods {
    /// The methods of these services, and of health and reflection.
    pub(crate) fn of(services: &[&str]) -> Result<Self, DecodeError> {
        describe_histogram!(
            DURATION,
            Unit::Seconds,
            "Time from a call's request to the end of its response, in seconds."
        );
        describe_gauge!(RUNNING, "Calls whose response has not ended; watches among them.");
        let sets = [
            FILE_DESCRIPTOR_SET,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
        ];
        let mut names = BTreeSet::new();
        for (index, set) in sets.into_iter().enumerate() {
            for file in FileDescriptorSet::decode(set)?.file {
                for service in &file.service {
                    let full = format!("{}.{}", file.package(), service.name());
                    if index == 0 && !services.contains(&full.as_str()) {
                        continue;
                    }
                    let methods = service.method.iter();
                    names.extend(methods.map(|method| format!("{full}/{}", method.name())));
                }
            }
        }
        Ok(Self { names: Arc::new(names) })
    }

    /// Measures a call from now on. The path is `/package.Service/Method`.
    pub(crate) fn begin(&self, path: &str) -> Call {
        let method = path.strip_prefix('/').and_then(|name| self.names.get(name));
        let method = method.map_or(UNKNOWN, String::as_str).to_owned();
        gauge!(RUNNING, "method" => method.clone()).increment(1.0);
        Call { method, begin: Instant::now(), code: None }
    }
}

/// A call that is measured: when it is dropped, it has ended.
#[derive(Debug)]
pub(crate) struct Call {
    method: String,
    begin: Instant,
    code: Option<Code>,
}

impl Call {
    /// Notes what the client is told.
    pub(crate) fn answered(&mut self, code: Code) {
        self.code = Some(code);
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        // Without an answer nobody waited for one: the client went away, or had no more time.
        let code = code_name(self.code.unwrap_or(Code::Cancelled));
        let method = std::mem::take(&mut self.method);
        gauge!(RUNNING, "method" => method.clone()).decrement(1.0);
        histogram!(DURATION, "method" => method, "code" => code)
            .record(self.begin.elapsed().as_secs_f64());
    }
}

/// The name of a code, as the gRPC specification writes it.
fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
