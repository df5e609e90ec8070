//! The node's sps-agent, behind its local socket.

use std::{error::Error, future::Future, iter::successors, path::Path, time::Duration};

use backon::{ExponentialBuilder, Retryable};
use l2sces_proto::attachment::v1::attachment_service_client::AttachmentServiceClient;
use tonic::{
    Code as GrpcCode, Request, Response, Status, TimeoutExpired,
    transport::{self, Channel, Endpoint},
};

/// The first pause before another attempt.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A client of the sps-agent.
pub(crate) type Client = AttachmentServiceClient<Channel>;

/// How long a call may take, and for how long it is made again while nobody answers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// For one call.
    pub(crate) deadline: Duration,
    /// For calls that nobody answers, all in all.
    pub(crate) unanswered: Duration,
}

/// Makes a call, again while the agent, or whom it asks, is not there.
///
/// # Errors
/// The call is refused, or nobody answers.
pub(crate) async fn call<Q, R, F>(
    socket: &Path,
    patience: Patience,
    request: Q,
    method: impl Fn(Client, Request<Q>) -> F,
) -> Result<R, Status>
where
    Q: Clone,
    F: Future<Output = Result<Response<R>, Status>>,
{
    let backoff = ExponentialBuilder::default()
        .with_min_delay(FIRST_PAUSE)
        .with_max_delay(LONGEST_PAUSE)
        .with_total_delay(Some(patience.unanswered))
        .without_max_times()
        .with_jitter();
    let attempt = || async {
        let client = connect(socket).await?;
        let mut request = Request::new(request.clone());
        request.set_timeout(patience.deadline);
        method(client, request).await.map_err(answered)
    };
    let response = attempt.retry(backoff).when(|status| status.code() == GrpcCode::Unavailable);
    Ok(response.await?.into_inner())
}

/// What an agent has answered that went away in the middle of a call, or took too long: nothing. A call
/// that took too long is not made again: there is no time left.
fn answered(status: Status) -> Status {
    if causes(&status).any(<dyn Error>::is::<TimeoutExpired>) {
        return Status::deadline_exceeded("the sps-agent did not answer in time");
    }
    let is_broken = causes(&status).next().is_some_and(<dyn Error>::is::<transport::Error>);
    if is_broken { Status::unavailable("the sps-agent went away") } else { status }
}

/// Why a call failed, and why that is, and so on.
fn causes(status: &Status) -> impl Iterator<Item = &(dyn Error + 'static)> {
    successors(status.source(), |cause| (*cause).source())
}

async fn connect(socket: &Path) -> Result<Client, Status> {
    let unreachable = |error: &dyn std::fmt::Display| {
        let path = socket.display();
        Status::unavailable(format!("the sps-agent does not listen at {path}: {error}"))
    };
    let endpoint = Endpoint::from_shared(format!("unix://{}", socket.display()))
        .map_err(|error| unreachable(&error))?;
    let channel = endpoint.connect().await.map_err(|error| unreachable(&error))?;
    Ok(Client::new(channel))
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use l2sces_proto::attachment::v1::GetStatusRequest;
    use tokio::net::UnixListener;

    use super::*;

    #[tokio::test]
    async fn a_call_that_is_not_answered_in_time_is_not_made_again() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("socket");
        let listener = UnixListener::bind(&socket).unwrap();
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        tokio::spawn(async move {
            let mut open = Vec::new();
            loop {
                open.push(listener.accept().await.unwrap());
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        let patience =
            Patience { deadline: Duration::from_millis(200), unanswered: Duration::from_secs(20) };
        let status =
            call(&socket, patience, GetStatusRequest {}, |mut client, request| async move {
                client.get_status(request).await
            });
        assert_eq!(status.await.unwrap_err().code(), GrpcCode::DeadlineExceeded);
        assert_eq!(calls.load(Ordering::Relaxed), 1);
    }
}
