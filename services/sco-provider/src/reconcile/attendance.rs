use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBuilder};
use tokio::{task::AbortHandle, time::sleep};

use super::Queues;
use crate::{
    domain::{GatewayKey, Key},
    downstream::Agents,
};

/// Notices when agents come back, so that what they missed is sent to them at once and not when a
/// back-off ends, and when others have changed their bridges. One task for each gateway.
#[derive(Debug, Default)]
pub(super) struct Attendance {
    tasks: Mutex<HashMap<GatewayKey, Task>>,
}

#[derive(Debug)]
struct Task {
    endpoint: String,
    handle: AbortHandle,
}

impl Attendance {
    /// Wakes a gateway whenever its agent at `endpoint` can be reached (again), or has a bridge that
    /// is not as it was made.
    pub(super) fn begin<A: Agents>(
        &self,
        key: &GatewayKey,
        endpoint: &str,
        agents: &Arc<A>,
        queues: &Queues,
    ) {
        let mut tasks = self.lock();
        if tasks.get(key).is_some_and(|task| task.endpoint == endpoint) {
            return;
        }
        let attend = attend(Arc::clone(agents), queues.clone(), key.clone(), endpoint.to_owned());
        let task =
            Task { endpoint: endpoint.to_owned(), handle: tokio::spawn(attend).abort_handle() };
        if let Some(former) = tasks.insert(key.clone(), task) {
            former.handle.abort();
        }
    }

    /// Cares no more for a gateway's agent.
    pub(super) fn end(&self, key: &GatewayKey) {
        if let Some(task) = self.lock().remove(key) {
            task.handle.abort();
        }
    }

    /// A map is whole between any two of its methods.
    fn lock(&self) -> MutexGuard<'_, HashMap<GatewayKey, Task>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Attendance {
    fn drop(&mut self) {
        for task in self.lock().values() {
            task.handle.abort();
        }
    }
}

async fn attend<A: Agents>(agents: Arc<A>, queues: Queues, key: GatewayKey, endpoint: String) {
    let backoff = ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(50))
        .with_max_delay(Duration::from_secs(5))
        .with_jitter()
        .without_max_times();
    let mut pauses = backoff.build();
    loop {
        let mut was_reached = false;
        let error = agents
            .attend(&endpoint, || {
                was_reached = true;
                queues.wake(Key::Gateway(key.clone()));
            })
            .await;
        if was_reached {
            tracing::warn!(gateway = %key, %error, "lost the ned-agent");
            pauses = backoff.build();
        }
        sleep(pauses.next().unwrap_or_default()).await;
    }
}
