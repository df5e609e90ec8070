//! Whose token is looked at next.

use std::time::Duration;

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tonic::Status;

/// Tokens that the API server is asked about at a time: anybody can have it look at nonsense.
const MOST_AT_ONCE: usize = 8;
/// Longest that a token waits: less than an agent does for its certificate.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Turns at having a token looked at, in the order in which they are asked for.
pub(super) struct Turns(Semaphore);

impl Turns {
    pub(super) fn new() -> Self {
        Self(Semaphore::new(MOST_AT_ONCE))
    }

    /// Waits for a turn, which lasts for as long as it is kept; no longer than until the `departure` of
    /// who asks.
    ///
    /// # Errors
    /// Too many wait, or this one does not any more.
    pub(super) async fn next(
        &self,
        departure: &CancellationToken,
    ) -> Result<SemaphorePermit<'_>, Status> {
        tokio::select! {
            turn = timeout(LONGEST_WAIT, self.0.acquire()) => match turn {
                Ok(Ok(turn)) => Ok(turn),
                _ => Err(Status::unavailable("too many ask for certificates now")),
            },
            () = departure.cancelled() => Err(Status::cancelled("nobody waits for an answer")),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use tonic::Code;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whoever_is_too_many_waits_and_is_told_so_in_the_end() {
        let (turns, departure) = (Turns::new(), CancellationToken::new());
        let mut taken = Vec::new();
        for _ in 0..MOST_AT_ONCE {
            taken.push(turns.next(&departure).now_or_never().unwrap().unwrap());
        }
        let refused = turns.next(&departure).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable);

        let mut waiting = Box::pin(turns.next(&departure));
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(taken.pop());
        assert!(waiting.await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_has_gone_does_not_wait() {
        let (turns, departure) = (Turns::new(), CancellationToken::new());
        let mut taken = Vec::new();
        for _ in 0..MOST_AT_ONCE {
            taken.push(turns.next(&departure).now_or_never().unwrap().unwrap());
        }
        departure.cancel();
        let refused = turns.next(&departure).now_or_never().unwrap().unwrap_err();
        assert_eq!(refused.code(), Code::Cancelled);
    }
}
