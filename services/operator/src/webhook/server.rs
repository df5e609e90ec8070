use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

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
use l2sces_pki::Credentials;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

use super::review::{Verdict, review};
use crate::attachment::Directory;

/// Where pods are reviewed.
const PATH: &str = "/mutate-v1-pod";
/// Connections at a time; more wait in the listener's backlog.
const MOST_CONNECTIONS: usize = 256;
/// Largest review that is read, in bytes: more than an API server stores of an object, twice.
const LARGEST_REVIEW: usize = 4 << 20;
/// Longest that a client may take for TLS, or to say what it wants.
const LONGEST_GREETING: Duration = Duration::from_secs(5);
/// Pause after a connection that could not be accepted: descriptors may be short.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

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

    /// The answer to a review, as JSON.
    async fn answer(&self, body: &[u8]) -> AdmissionReview<DynamicObject> {
        let request = serde_json::from_slice::<AdmissionReview<Pod>>(body)
            .map_err(|error| error.to_string())
            .and_then(|review| review.try_into().map_err(|_| "there is no request".to_owned()));
        let response = match request {
            // Pods are large, and so is what works on them.
            Ok(request) => Box::pin(self.respond(request)).await,
            Err(error) => AdmissionResponse::invalid(error),
        };
        response.into_review()
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
    let permits = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        // The semaphore is never closed.
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, client)) => {
                let (acceptor, webhook) = (acceptor.clone(), Arc::clone(&webhook));
                tokio::spawn(async move {
                    if let Err(error) = serve_one(stream, &acceptor, &webhook).await {
                        tracing::debug!(%client, %error, "a review failed");
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve_one(
    stream: TcpStream,
    acceptor: &TlsAcceptor,
    webhook: &Webhook,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let stream = timeout(LONGEST_GREETING, acceptor.accept(stream)).await??;
    let service = service_fn(async |request| Ok::<_, Infallible>(answer(request, webhook).await));
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(LONGEST_GREETING)
        .serve_connection(TokioIo::new(stream), service)
        .await?;
    Ok(())
}

async fn answer(request: Request<Incoming>, webhook: &Webhook) -> Response<Full<Bytes>> {
    if (request.method(), request.uri().path()) != (&Method::POST, PATH) {
        return text(StatusCode::NOT_FOUND, format!("POST {PATH}\n"));
    }
    let body = Limited::new(request.into_body(), LARGEST_REVIEW).collect();
    let body = match timeout(LONGEST_GREETING, body).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => return text(StatusCode::PAYLOAD_TOO_LARGE, "too large\n".to_owned()),
        Err(_) => return text(StatusCode::REQUEST_TIMEOUT, "too slow\n".to_owned()),
    };
    let review = webhook.answer(&body.to_bytes()).await;
    match serde_json::to_vec(&review) {
        Ok(json) => {
            let mut response = Response::new(Full::from(json));
            let json_type = HeaderValue::from_static("application/json");
            response.headers_mut().insert(header::CONTENT_TYPE, json_type);
            response
        }
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

fn text(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response
}
