use std::sync::Arc;

use futures::{StreamExt, future, stream};
use l2sces_trace::Caused;
use tokio_stream::wrappers::{BroadcastStream, errors::BroadcastStreamRecvError};
use tonic::Status;

use super::Messages;
use crate::board::{Board, Change};

/// What a board shows, as changes from nothing, then `synced`, then every change, each as `show`
/// has it. A watcher that falls too far behind is sent off with ABORTED, to begin anew.
pub(super) fn watch<K, V, M>(
    board: &Board<K, V>,
    synced: M,
    show: impl Fn(&Caused<Change<K, V>>) -> Option<M> + Clone + Send + 'static,
) -> Messages<M>
where
    K: Clone + Ord + Send + Sync + 'static,
    V: PartialEq + Send + Sync + 'static,
    M: Send + 'static,
{
    let (snapshot, changes) = board.watch();
    let show_first = show.clone();
    let snapshot = snapshot.into_iter().filter_map(move |(key, value): (K, Arc<V>)| {
        let change = Change { key, before: None, after: Some(value) };
        show_first(&Caused { what: change, cause: None }).map(Ok)
    });
    let changes = BroadcastStream::new(changes)
        .filter_map(move |received| {
            future::ready(match received {
                Ok(change) => show(&change).map(Ok),
                Err(BroadcastStreamRecvError::Lagged(_)) => {
                    Some(Err(Status::aborted("too slow: changes were left out; watch anew")))
                }
            })
        })
        // Nothing after an error, which ends the stream.
        .scan(false, |ended, message| {
            let over = std::mem::replace(ended, message.is_err());
            future::ready((!over).then_some(message))
        });
    stream::iter(snapshot).chain(stream::iter([Ok(synced)])).chain(changes).boxed()
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;
    use tonic::Code;

    use super::*;

    fn shown(change: &Caused<Change<u32, u32>>) -> Option<(u32, Option<u32>)> {
        let change = &change.what;
        let after = change.after.as_deref().copied();
        (change.key < 100).then_some((change.key, after))
    }

    #[tokio::test]
    async fn a_watcher_sees_what_is_there_then_synced_then_changes() {
        let board = Board::new(16);
        board.put(1, 10);
        board.put(200, 10);
        let mut messages = watch(&board, (0, None), shown);
        board.put(2, 20);
        board.remove(&1);
        for expected in [(1, Some(10)), (0, None), (2, Some(20)), (1, None)] {
            assert_eq!(messages.next().await.unwrap().unwrap(), expected);
        }
    }

    #[tokio::test]
    async fn a_watcher_that_lags_is_sent_off() {
        let board = Board::new(2);
        let mut messages = watch(&board, (0, None), shown);
        for value in 0..10 {
            board.put(1, value);
        }
        assert_eq!(messages.next().await.unwrap().unwrap(), (0, None));
        assert_eq!(messages.next().await.unwrap().unwrap_err().code(), Code::Aborted);
        assert!(messages.next().await.is_none());
    }
}
