//! Errors as container runtimes expect them (CNI 1.1.0, section 5).

use serde_json::json;

use crate::version::Version;

/// What kind of error: the specification's numbers, and above 99 the plugin's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// The version, or what it would take, is not spoken.
    IncompatibleVersion = 1,
    /// The sandbox is not known.
    UnknownContainer = 3,
    /// A variable of the environment is missing or wrong.
    Environment = 4,
    /// Input or output failed.
    Io = 5,
    /// The input cannot be decoded.
    Undecodable = 6,
    /// The configuration is wrong.
    Configuration = 7,
    /// It may be possible later.
    TryAgain = 11,
    /// The plugin cannot attach anything now.
    Unavailable = 50,
    /// The same, and what is attached may suffer as well.
    Limited = 51,
    /// What the pod asks for cannot be had.
    Refused = 100,
}

/// Why the plugin cannot do what the runtime wants.
#[derive(Debug)]
pub(crate) struct CniError {
    /// Which kind.
    pub(crate) code: Code,
    /// One sentence.
    pub(crate) message: String,
}

impl CniError {
    /// An error with one sentence.
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// What goes to the standard output.
    pub(crate) fn to_json(&self, version: Version) -> String {
        let Self { code, message } = self;
        json!({ "cniVersion": version.as_str(), "code": *code as u32, "msg": message }).to_string()
    }
}
