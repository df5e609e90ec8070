use std::{io, net::SocketAddr, time::Duration};

use l2sces_openflow::{OpenFlowError, SessionError};
use thiserror::Error;

/// The listener cannot be opened.
#[derive(Debug, Error)]
#[error("cannot listen for switches on {address}: {source}")]
pub struct ListenError {
    /// Where.
    pub address: SocketAddr,
    /// Why not.
    pub source: io::Error,
}

/// A connection did not get as far as being a switch's.
#[derive(Debug, Error)]
pub enum HandshakeError {
    /// The connection broke, or TLS refused the peer.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The peer closed it.
    #[error("the peer closed the connection")]
    Eof,
    /// What came is not what OpenFlow has there.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The peer took too long.
    #[error("not finished within {0:?}")]
    Timeout(Duration),
}

/// A request to a switch was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RequestError {
    /// The connection is closed; whether the switch has carried it out is not known.
    #[error("the connection to the switch is closed")]
    Closed,
    /// The switch refused it.
    #[error("the switch refused: {0}")]
    Refused(OpenFlowError),
    /// The session answered another question, which it never does.
    #[error("the answer is to another question")]
    Mismatch,
}

/// Why a connection that worked has ended.
#[derive(Debug, Error)]
pub enum CloseReason {
    /// We closed it.
    #[error("closed on this side")]
    Local,
    /// The switch closed it.
    #[error("closed by the switch")]
    Eof,
    /// The connection broke.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The switch is silent, or what came is not OpenFlow.
    #[error(transparent)]
    Session(#[from] SessionError),
}
