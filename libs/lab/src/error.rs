use std::{io, path::PathBuf, time::Duration};

use thiserror::Error;

use crate::{cable::ImpairmentError, topology::TopologyError, unit::Unit};

/// What goes wrong in a lab.
#[derive(Debug, Error)]
pub enum LabError {
    /// Network namespaces need root.
    #[error("a lab makes network namespaces and network interfaces: run as root (sudo)")]
    NotRoot,
    /// The topology cannot be built.
    #[error("the topology cannot be built: {0}")]
    Topology(#[from] TopologyError),
    /// A lab of that name is up.
    #[error("lab {0:?} is up already: take it down, or give another name")]
    Exists(String),
    /// There is no lab of that name.
    #[error("no lab is up at {0}")]
    NoLab(PathBuf),
    /// The lab has no such thing.
    #[error("the lab has no {kind} {name:?}")]
    Unknown {
        /// What kind of thing.
        kind: &'static str,
        /// What it was called.
        name: String,
    },
    /// A program that the lab runs is not there.
    #[error(
        "{0} is not there: build it first (cargo build --workspace --bins; for the programs of \
         Kubernetes, cargo xtask lab up --kubernetes)"
    )]
    NoBinary(PathBuf),
    /// The machine's control groups are not what nodes of Kubernetes are made with.
    #[error(
        "{0} is not there: nodes of Kubernetes need control groups of version 1, one hierarchy for \
         each controller (boot with systemd.unified_cgroup_hierarchy=0)"
    )]
    NoCgroups(PathBuf),
    /// A program failed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The operating system refused something.
    #[error("{what}: {source}")]
    Io {
        /// What was attempted.
        what: String,
        /// Why it was refused.
        source: io::Error,
    },
    /// A supervised process ended.
    #[error("{unit} ended ({status}); the end of its log, {log}:\n{tail}")]
    Ended {
        /// Which process.
        unit: Unit,
        /// How it ended.
        status: String,
        /// Its log file.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
    /// Something did not come to pass in time.
    #[error("{what}: not within {limit:?}{detail}")]
    Timeout {
        /// What was waited for.
        what: String,
        /// How long.
        limit: Duration,
        /// How things stood, with a separator in front; may be empty.
        detail: String,
    },
    /// Postgres refused something.
    #[error("Postgres: {0}")]
    Postgres(#[from] sqlx::Error),
    /// Certificates could not be made or read.
    #[error("certificates: {0}")]
    Certificates(String),
    /// A channel could not be made.
    #[error("gRPC channel: {0}")]
    Channel(#[from] tonic::transport::Error),
    /// The file that describes a lab cannot be read.
    #[error("{path} does not describe a lab: {source}")]
    Record {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// No cable can do what is asked for.
    #[error("no cable can have {0}")]
    Impairment(#[from] ImpairmentError),
    /// There is a cable between the ports of two nodes.
    #[error("there is a cable between {one} and {other} already")]
    Plugged {
        /// One port.
        one: String,
        /// The other.
        other: String,
    },
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
    /// Something is left of a lab that was taken down.
    #[error("left of the lab: {}", .0.join(", "))]
    Residue(Vec<String>),
}

/// A program that could not be run, or failed.
#[derive(Debug, Error)]
pub enum CommandError {
    /// It could not be started.
    #[error("{command}: cannot be started: {source}")]
    Start {
        /// The command line.
        command: String,
        /// Why not.
        source: io::Error,
    },
    /// It failed.
    #[error("{command}: {status}: {stderr}")]
    Failed {
        /// The command line.
        command: String,
        /// How it ended.
        status: String,
        /// What it said.
        stderr: String,
    },
}

/// Adds what was attempted to an I/O error.
pub(crate) trait Context<T> {
    /// Adds it.
    fn context(self, what: impl FnOnce() -> String) -> Result<T, LabError>;
}

impl<T> Context<T> for io::Result<T> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T, LabError> {
        self.map_err(|source| LabError::Io { what: what(), source })
    }
}

impl<T> Context<T> for nix::Result<T> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T, LabError> {
        self.map_err(|errno| LabError::Io { what: what(), source: errno.into() })
    }
}
