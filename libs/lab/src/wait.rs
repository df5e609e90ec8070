//! Waiting for conditions instead of sleeping for times.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use crate::error::LabError;

/// Polls `condition` until it gives a value.
///
/// # Errors
/// It does not within `limit`. The error names `what` was waited for.
pub async fn until<T, F>(
    what: &str,
    limit: Duration,
    mut condition: impl FnMut() -> F,
) -> Result<T, LabError>
where
    F: Future<Output = Option<T>>,
{
    holds(what, limit, || {
        let condition = condition();
        async move { condition.await.ok_or_else(String::new) }
    })
    .await
}

/// Polls `condition` until it holds; while it does not, it says how things stand.
///
/// # Errors
/// It does not hold within `limit`. The error tells how things stood last.
pub async fn holds<T, F>(
    what: &str,
    limit: Duration,
    mut condition: impl FnMut() -> F,
) -> Result<T, LabError>
where
    F: Future<Output = Result<T, String>>,
{
    let start = Instant::now();
    let mut pause = Duration::from_millis(2);
    loop {
        let state = match condition().await {
            Ok(value) => return Ok(value),
            Err(state) => state,
        };
        if start.elapsed() >= limit {
            let detail = if state.is_empty() { state } else { format!(": {state}") };
            return Err(LabError::Timeout { what: what.to_owned(), limit, detail });
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}
