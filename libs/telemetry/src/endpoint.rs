//! `/metrics` over plain HTTP/1.1. A scrape is one connection with one request: how many there are
//! at a time, how long each takes and what it may send are bounded, since anybody may come.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Mutex, Semaphore},
    time::{Instant, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::collect;

/// Scrapes at a time; more wait in the listener's backlog.
const MOST_CONNECTIONS: usize = 8;

/// Longest that a scrape may take, from the connection's begin to its end.
const LONGEST_SCRAPE: Duration = Duration::from_secs(10);

/// Longest that a client may take to say what it wants.
const LONGEST_REQUEST: Duration = Duration::from_secs(2);

/// Most bytes of a request's line and headers.
const MOST_HEADER_BYTES: usize = 16 * 1_024;

/// Pause after a connection that could not be accepted: descriptors may be short.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// For how long what collectors have read is told again: however many scrape, those that are asked
/// are asked once a second.
const FRESH: Duration = Duration::from_secs(1);

/// The text format that the exporter writes.
const TEXT_FORMAT: HeaderValue =
    HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// Serves scrapes until `stopping` is cancelled, then lets those that run come to their end.
pub(crate) async fn serve(
    listener: TcpListener,
    measured: PrometheusHandle,
    stopping: CancellationToken,
) {
    let metrics = Arc::new(Metrics { measured, read: Mutex::default() });
    let permits = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let scrapes = TaskTracker::new();
    let accept = async || {
        loop {
            // The semaphore is never closed.
            let Ok(permit) = permits.clone().acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, client)) => {
                    let metrics = metrics.clone();
                    scrapes.spawn(async move {
                        serve_one(stream, client, metrics).await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a scrape");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    stopping.run_until_cancelled(accept()).await;
    drop(listener);
    scrapes.close();
    scrapes.wait().await;
}

/// What can be told.
struct Metrics {
    /// What the process measures.
    measured: PrometheusHandle,
    /// What collectors have read, and when they had.
    read: Mutex<Option<(Instant, String)>>,
}

impl Metrics {
    async fn render(&self) -> String {
        let mut text = self.measured.render();
        // Whoever scrapes meanwhile waits for the same reading.
        let mut read = self.read.lock().await;
        let fresh = read.take().filter(|(time, _)| time.elapsed() < FRESH);
        let (time, reading) = match fresh {
            Some(fresh) => fresh,
            None => {
                let reading = collect::read().await;
                // It may have taken long, and those who have waited are told it too.
                (Instant::now(), reading)
            }
        };
        text.push_str(&reading);
        *read = Some((time, reading));
        text
    }
}

async fn serve_one(stream: TcpStream, client: SocketAddr, metrics: Arc<Metrics>) {
    let service = service_fn(async |request| Ok::<_, Infallible>(answer(&request, &metrics).await));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(LONGEST_REQUEST)
        .keep_alive(false)
        .max_buf_size(MOST_HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    match timeout(LONGEST_SCRAPE, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%client, %error, "scrape failed"),
        Err(_) => tracing::debug!(%client, "scrape took too long"),
    }
}

async fn answer(request: &Request<Incoming>, metrics: &Metrics) -> Response<Full<Bytes>> {
    let (status, text) = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/metrics") => (StatusCode::OK, metrics.render().await),
        (_, "/metrics") => (StatusCode::METHOD_NOT_ALLOWED, "GET /metrics\n".to_owned()),
        _ => (StatusCode::NOT_FOUND, "metrics are at /metrics\n".to_owned()),
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, TEXT_FORMAT);
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}

#[cfg(test)]
mod tests {
    use std::{
        error::Error,
        sync::atomic::{AtomicU32, Ordering},
    };

    use async_trait::async_trait;
    use tokio::time::advance;

    use super::*;
    use crate::{Collector, Reading, metrics::recorder};

    /// Takes longer than what it has read is told again for.
    struct Slow(Arc<AtomicU32>);

    #[async_trait]
    impl Collector for Slow {
        async fn collect(&self) -> Result<Reading, Box<dyn Error + Send + Sync>> {
            self.0.fetch_add(1, Ordering::Relaxed);
            sleep(2 * FRESH).await;
            Ok(Box::new(|| {}))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_for_a_slow_reading_is_told_the_same() {
        let asked = Arc::new(AtomicU32::new(0));
        collect::enable();
        collect::collect("slow", Slow(Arc::clone(&asked)));
        let metrics = Metrics { measured: recorder().handle(), read: Mutex::default() };
        tokio::join!(metrics.render(), metrics.render(), metrics.render());
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        advance(FRESH).await;
        metrics.render().await;
        assert_eq!(asked.load(Ordering::Relaxed), 2, "it is not fresh any more");
    }
}
