//! Network interfaces of the node and of the network namespaces it serves.

mod announce;
mod links;
mod namespace;
mod offload;
mod veth;

use std::io;

use thiserror::Error;

pub(crate) use links::{Link, Links};
pub(crate) use namespace::Namespace;
pub(crate) use veth::Host;

/// What the kernel refused.
#[derive(Debug, Error)]
#[error("cannot {doing}: {source}")]
pub struct NetlinkError {
    /// What was tried.
    doing: String,
    /// Why not.
    source: io::Error,
}

impl NetlinkError {
    fn new(doing: impl Into<String>, source: io::Error) -> Self {
        Self { doing: doing.into(), source }
    }

    /// The kernel's error number.
    fn number(&self) -> Option<i32> {
        self.source.raw_os_error()
    }
}
