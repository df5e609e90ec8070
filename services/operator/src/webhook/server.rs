use std::{
    convert::Infallible, error::Error, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use json_patch::diff;
use k8s_openapi::api::core::v1::Pod;
use kube::core::{
    DynamicObject,
    admission::{AdmissionRequest, AdmissionResponse, AdmissionReview, Operation},
};
use l2sces_grpc::Connections;
use l2sces_pki::Credentials;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use super::review::{Verdict, review};
use crate::attachment::Directory;

/// Where pods are reviewed.
const PATH: &str = "/mutate-v1-pod";
/// Connections at a time. Nobody has to show who it is, and no pod is to keep the API server out: there
/// are fewer of one address, each is closed by anything but a review that is answered, and none lasts.
const MOST_CONNECTIONS: usize = 256;
const MOST_OF_ONE: usize = 128;
const LONGEST_CONNECTION: Duration = Duration::from_secs(60);
/// Largest review that is read, in bytes: more than an API server stores of an object, twice.
const LARGEST_REVIEW: usize = 4 << 20;
/// Longest that a client may take for TLS, or to say what it wants.
const LONGEST_GREETING: Duration = Duration::from_secs(5);
/// Longest that the last review of a connection may take: no API server waits for longer.
const LONGEST_REVIEW: Duration = Duration::from_secs(30);

type BoxError = Box<dyn Error + Send + Sync>;

/// What decides about pods.
pub(crate) struct Webhook {
    directory: Arc<dyn Directory>,
    has_multus: bool,
}

impl Webhook {
    /// A webhook that looks networks up in a directory, and asks Multus if the cluster has it.
    pub(crate) fn new(directory: Arc<dyn Directory>, has_multus: bool) -> Self {
        Self { directory, has_multus }
    }

    /// The answer to a review.
    ///
    /// # Errors
    /// It is none: why not, for people.
    async fn answer(&self, body: &[u8]) -> Result<AdmissionReview<DynamicObject>, String> {
        let request = serde_json::from_slice::<AdmissionReview<Pod>>(body)
            .map_err(|error| error.to_string())
            .and_then(|review| review.try_into().map_err(|_| "there is no request".to_owned()));
        // Pods are large, and so is what works on them.
        Ok(Box::pin(self.respond(request?)).await.into_review())
    }

    async fn respond(&self, request: AdmissionRequest<Pod>) -> AdmissionResponse {
        let mut response = AdmissionResponse::from(&request);
        let (Operation::Create, Some(pod)) = (request.operation, request.object) else {
            return response;
        };
        let namespace = request.namespace.unwrap_or_default();
        let before = serde_json::to_value(&pod);
        match review(&*self.directory, self.has_multus, &namespace, pod).await {
            Err(error) => response.deny(error),
            Ok(Verdict::Refused(message)) => {
                tracing::info!(namespace, message, "refused a pod");
                response.deny(message)
            }
            Ok(Verdict::Taken { pod, warnings }) => {
                response.warnings = Some(warnings).filter(|warnings| !warnings.is_empty());
                let patch =
                    before.and_then(|before| Ok(diff(&before, &serde_json::to_value(&pod)?)));
                match patch.map(|patch| (patch.0.is_empty(), patch)) {
                    Ok((true, _)) => response,
                    Ok((false, patch)) => {
                        response.with_patch(patch).unwrap_or_else(AdmissionResponse::invalid)
                    }
                    Err(error) => AdmissionResponse::invalid(error),
                }
            }
        }
    }
}

/// Serves reviews over TLS, with a certificate that clients check but need not have themselves, for
/// ever.
///
/// # Errors
/// The address cannot be listened on.
pub(crate) async fn serve(
    address: SocketAddr,
    credentials: &Credentials,
    webhook: Webhook,
) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    tracing::info!(%address, "listening for admission reviews");
    let acceptor = TlsAcceptor::from(credentials.open_server_config());
    accept_all(listener, acceptor, Arc::new(webhook)).await;
    Ok(())
}

async fn accept_all(listener: TcpListener, acceptor: TlsAcceptor, webhook: Arc<Webhook>) {
    let connections = Connections::new(MOST_CONNECTIONS, MOST_OF_ONE);
    loop {
        let (stream, client, place) = connections.accept(&listener).await;
        let (acceptor, webhook) = (acceptor.clone(), Arc::clone(&webhook));
        tokio::spawn(async move {
            if let Err(error) = serve_one(stream, &acceptor, &webhook).await {
                tracing::debug!(%client, %error, "a review failed");
            }
            drop(place);
        });
    }
}

async fn serve_one(
    stream: TcpStream,
    acceptor: &TlsAcceptor,
    webhook: &Webhook,
) -> Result<(), BoxError> {
    let stream = timeout(LONGEST_GREETING, acceptor.accept(stream)).await??;
    review_all(stream, webhook).await
}

/// Answers reviews on a connection, for as long as it may last.
async fn review_all(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    webhook: &Webhook,
) -> Result<(), BoxError> {
    let service = service_fn(async |request| Ok::<_, Infallible>(answer(request, webhook).await));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(LONGEST_GREETING)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    if let Ok(ended) = timeout(LONGEST_CONNECTION, connection.as_mut()).await {
        return Ok(ended?);
    }
    // What was asked by then is still answered.
    connection.as_mut().graceful_shutdown();
    Ok(timeout(LONGEST_REVIEW, connection).await??)
}

async fn answer(request: Request<Incoming>, webhook: &Webhook) -> Response<Full<Bytes>> {
    if (request.method(), request.uri().path()) != (&Method::POST, PATH) {
        return refusal(StatusCode::NOT_FOUND, format!("POST {PATH}\n"));
    }
    let body = Limited::new(request.into_body(), LARGEST_REVIEW).collect();
    let body = match timeout(LONGEST_GREETING, body).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => return refusal(StatusCode::PAYLOAD_TOO_LARGE, "too large\n".to_owned()),
        Err(_) => return refusal(StatusCode::REQUEST_TIMEOUT, "too slow\n".to_owned()),
    };
    let review = match webhook.answer(&body.to_bytes()).await {
        Ok(review) => review,
        Err(why) => return refusal(StatusCode::BAD_REQUEST, format!("{why}\n")),
    };
    match serde_json::to_vec(&review) {
        Ok(json) => {
            let mut response = Response::new(Full::from(json));
            let json_type = HeaderValue::from_static("application/json");
            response.headers_mut().insert(header::CONTENT_TYPE, json_type);
            response
        }
        Err(error) => refusal(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

/// Says why there is no review, and that the connection ends with this.
fn refusal(status: StatusCode, why: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(why));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use l2sces_custom_resources::L2Network;
    use serde_json::json;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
        time::{Instant, sleep},
    };

    use super::*;
    use crate::attachment::DirectoryError;

    /// A cluster in which there is nothing.
    struct Nothing;

    #[async_trait]
    impl Directory for Nothing {
        async fn pod(&self, _: &str, _: &str) -> Result<Option<Pod>, DirectoryError> {
            Ok(None)
        }

        async fn network(&self, _: &str, _: &str) -> Result<Option<L2Network>, DirectoryError> {
            Ok(None)
        }
    }

    /// A client whose connection is served.
    fn client() -> DuplexStream {
        let (client, server) = duplex(1 << 20);
        let webhook = Webhook::new(Arc::new(Nothing), false);
        tokio::spawn(async move { review_all(server, &webhook).await });
        client
    }

    fn post(body: &str) -> String {
        format!("POST {PATH} HTTP/1.1\r\nhost: h\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    }

    fn post_review() -> String {
        let pods = |word: &str, what: &str| json!({ "group": "", "version": "v1", word: what });
        let review = json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": {
                "uid": "u1", "kind": pods("kind", "Pod"), "resource": pods("resource", "pods"),
                "operation": "CREATE", "namespace": "shop", "userInfo": {},
                "object": { "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "web" } },
            },
        });
        post(&review.to_string())
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_ends_with_anything_that_is_no_review() {
        for request in ["GET / HTTP/1.1\r\nhost: h\r\n\r\n".to_owned(), post("{}"), post("[")] {
            let begun = Instant::now();
            let mut client = client();
            client.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 4"), "{request}: {answer}");
            assert!(begun.elapsed() < LONGEST_GREETING, "{request}: more was waited for");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_does_not_last_though_reviews_are_asked_for() {
        let begun = Instant::now();
        let mut client = client();
        let (request, mut answer) = (post_review(), [0; 4_096]);
        while client.write_all(request.as_bytes()).await.is_ok() {
            match client.read(&mut answer).await.unwrap() {
                0 => break,
                length => assert!(answer[..length].starts_with(b"HTTP/1.1 200")),
            }
            sleep(LONGEST_GREETING - Duration::from_secs(1)).await;
        }
        let lasted = begun.elapsed();
        assert!(lasted >= LONGEST_CONNECTION, "it ended after {lasted:?}");
        assert!(lasted < LONGEST_CONNECTION + LONGEST_GREETING, "it lasted for {lasted:?}");
    }
}
