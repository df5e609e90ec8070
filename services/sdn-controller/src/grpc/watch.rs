//! The stream of changes.

use std::pin::Pin;

use futures::{Stream, StreamExt, stream};
use l2sces_proto::{fabric::v1::WatchResponse, resource::v1::ChangeKind};
use l2sces_trace::{Caused, TraceContext};
use tokio_stream::wrappers::{BroadcastStream, errors::BroadcastStreamRecvError};
use tonic::Status;

use super::convert;
use crate::{board::Board, domain::Change};

pub(crate) type Changes = Pin<Box<dyn Stream<Item = Result<WatchResponse, Status>> + Send>>;

/// How everything fares, then SYNCED, then every change. Ends with ABORTED when the client reads
/// too slowly to be told of every change: it then begins anew.
pub(super) fn changes(board: &Board) -> Changes {
    let (states, changes) = board.watch();
    let states = states.into_iter().map(|state| Ok(response(Change::Put(state))));
    let synced = WatchResponse { kind: ChangeKind::Synced.into(), ..WatchResponse::default() };
    let mut lagged = false;
    let changes = BroadcastStream::new(changes)
        .map(|change| match change {
            Ok(Caused { what: change, cause }) => {
                let traceparent = TraceContext::traceparent(cause);
                Ok(WatchResponse { traceparent, ..response(change) })
            }
            Err(BroadcastStreamRecvError::Lagged(missed)) => {
                Err(Status::aborted(format!("{missed} changes were missed: watch again")))
            }
        })
        // The stream goes on after a gap, but nobody may take it for complete.
        .take_while(move |change| {
            let ended = std::mem::replace(&mut lagged, change.is_err());
            std::future::ready(!ended)
        });
    stream::iter(states).chain(stream::iter([Ok(synced)])).chain(changes).boxed()
}

fn response(change: Change) -> WatchResponse {
    let (kind, state) = match change {
        Change::Put(state) => (ChangeKind::Put, convert::state(state)),
        Change::Deleted { key, version } => (ChangeKind::Deleted, convert::deleted(&key, version)),
    };
    WatchResponse { kind: kind.into(), state: Some(state), ..WatchResponse::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Node, NodeSpec, Version};

    fn node(name: &str) -> Node {
        Node {
            spec: NodeSpec {
                name: name.parse().unwrap(),
                version: Version { uid: name.to_owned(), generation: 1 },
                underlay_address: "10.0.0.1".parse().unwrap(),
                agent_endpoint: String::new(),
                gateway: false,
            },
            ordinal: 1,
            datapath_id: 1.try_into().unwrap(),
            deleting: false,
            forced: false,
            former_gateway: false,
            origin: None,
        }
    }

    #[tokio::test]
    async fn reports_what_is_then_synced_then_changes() {
        let board = Board::new();
        board.put_node(&node("n1"));
        let mut stream = changes(&board);
        board.remove(&crate::domain::Key::Node("n1".parse().unwrap()), &node("n1").spec.version);
        for kind in [ChangeKind::Put, ChangeKind::Synced, ChangeKind::Deleted] {
            assert_eq!(stream.next().await.unwrap().unwrap().kind(), kind);
        }
    }

    #[tokio::test]
    async fn a_client_that_lags_too_far_is_sent_away() {
        let board = Board::new();
        let mut stream = changes(&board);
        for number in 0..10_000 {
            board.put_node(&node(&format!("n{number}")));
        }
        assert_eq!(stream.next().await.unwrap().unwrap().kind(), ChangeKind::Synced);
        let status = stream.next().await.unwrap().unwrap_err();
        assert_eq!(status.code(), tonic::Code::Aborted);
        assert!(stream.next().await.is_none());
    }
}
