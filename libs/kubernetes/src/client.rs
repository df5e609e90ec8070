//! The way to the API server: nobody waits for one whose host is gone without a word.

use std::time::Duration;

use kube::{Client, Config, client::ClientBuilder, runtime::watcher};
use tower::timeout::TimeoutLayer;

/// Longest that a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest that the API server may take to begin an answer, that to a watch too, with what is tried
/// again because it is busy. It waits itself for the webhooks of others, for 10 s unless they say
/// otherwise: what one of them holds up comes about all the same.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// Longest that it may take none of what is sent.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a watch lasts, in seconds, before it is asked for again from where it was: one that the
/// server does not end by then is dead.
const WATCH_SECONDS: u32 = 60;

/// Longest that a connection may be silent in the middle of an answer: longer than a watch lasts, of
/// which nothing needs to be heard.
const READ_TIMEOUT: Duration = Duration::from_secs(90);

/// A client of the API server, which is found as kubectl finds it, or as pods do. Nothing is connected
/// until the first call.
///
/// # Errors
/// There is none, or it cannot be called like that.
pub async fn connect() -> kube::Result<Client> {
    let config = Config::infer().await.map_err(kube::Error::InferConfig)?;
    impatient(config, ANSWER_TIMEOUT)
}

/// How resources are watched by such a client.
pub fn watch_config() -> watcher::Config {
    watcher::Config::default().timeout(WATCH_SECONDS)
}

fn impatient(mut config: Config, answer_timeout: Duration) -> kube::Result<Client> {
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.write_timeout = Some(WRITE_TIMEOUT);
    config.read_timeout = Some(READ_TIMEOUT);
    // It counts from when something was asked, not from when the one before was answered.
    config.reset_reader_on_write = true;
    let builder = ClientBuilder::try_from(config)?;
    // What follows the beginning of an answer is not limited by this: watches go on.
    Ok(builder.with_layer(&TimeoutLayer::new(answer_timeout)).build())
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;
    use k8s_openapi::api::coordination::v1::Lease;
    use kube::{
        Api,
        api::{WatchEvent, WatchParams},
    };
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
        time::timeout,
    };
    use tower::timeout::error::Elapsed;

    use super::*;

    /// How long an answer is waited for here: long enough for one that is given at once.
    const LIMIT: Duration = Duration::from_secs(2);
    /// How long anything may take: the machine may be busy.
    const PATIENCE: Duration = Duration::from_secs(30);

    /// Takes a connection on which something is asked, and says that an answer follows.
    async fn begin_to_answer(listener: &TcpListener) -> TcpStream {
        let (mut stream, _) = listener.accept().await.unwrap();
        assert!(stream.read(&mut [0; 4_096]).await.unwrap() > 0);
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        stream
    }

    #[tokio::test]
    async fn a_server_that_does_not_answer_is_given_up_and_a_watch_goes_on() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut config = Config::new(url.parse().unwrap());
        config.root_cert = Some(Vec::new());
        let leases: Api<Lease> = Api::namespaced(impatient(config, LIMIT).unwrap(), "default");

        let params = WatchParams::default();
        let begun = async { tokio::join!(begin_to_answer(&listener), leases.watch(&params, "0")) };
        let (mut server, watch) = timeout(PATIENCE, begun).await.unwrap();
        let mut watch = Box::pin(watch.unwrap());

        // This one is connected by the kernel only.
        let unanswered = timeout(PATIENCE, leases.get("one")).await.expect("it is given up");
        let error = unanswered.unwrap_err();
        assert!(
            matches!(&error, kube::Error::Service(error) if error.is::<Elapsed>()),
            "{error:?}"
        );

        let lease = r#"{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{}}"#;
        let event = format!(r#"{{"type":"ADDED","object":{lease}}}"#) + "\n";
        let chunk = format!("{:x}\r\n{event}\r\n", event.len());
        server.write_all(chunk.as_bytes()).await.unwrap();
        let told = timeout(PATIENCE, watch.next()).await.expect("the watch goes on");
        assert!(matches!(told, Some(Ok(WatchEvent::Added(_)))), "{told:?}");
    }

    #[test]
    fn a_silent_watch_ends_before_its_connection() {
        // kube gives a watch up 5 s after it was to end.
        assert!(Duration::from_secs((WATCH_SECONDS + 5).into()) < READ_TIMEOUT);
    }
}
