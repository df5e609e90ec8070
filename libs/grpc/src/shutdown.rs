use tokio::signal::unix::{SignalKind, signal};

/// Resolves when the process is asked to end: by SIGTERM or SIGINT.
pub async fn shutdown_signal() {
    tokio::select! {
        () = received(SignalKind::terminate()) => tracing::info!("SIGTERM: shutting down"),
        () = received(SignalKind::interrupt()) => tracing::info!("SIGINT: shutting down"),
    }
}

async fn received(kind: SignalKind) {
    match signal(kind) {
        Ok(mut signal) => {
            signal.recv().await;
        }
        Err(error) => {
            // The default action, which ends the process, is still in place then.
            tracing::warn!(%error, "cannot handle a signal");
            std::future::pending::<()>().await;
        }
    }
}
