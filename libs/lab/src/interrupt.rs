//! Ctrl-C and SIGTERM take down the labs that end with this process.

use std::{
    process,
    sync::{Arc, Mutex, MutexGuard, Once, PoisonError, Weak},
    thread,
};

use tokio::signal::unix::{SignalKind, signal};

use crate::lab::Inner;

static LABS: Mutex<Vec<Weak<Inner>>> = Mutex::new(Vec::new());

/// Held while a lab is taken down.
static TEARING_DOWN: Mutex<()> = Mutex::new(());

/// Keeps a signal from ending the process for as long as the returned guard lives.
pub(crate) fn tear_down() -> MutexGuard<'static, ()> {
    TEARING_DOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn labs() -> MutexGuard<'static, Vec<Weak<Inner>>> {
    LABS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has the lab taken down when the process is told to end.
pub(crate) fn register(lab: &Arc<Inner>) {
    static HANDLER: Once = Once::new();
    HANDLER.call_once(|| {
        let thread = thread::Builder::new().name("lab-interrupt".to_owned()).spawn(handle);
        if let Err(error) = thread {
            tracing::warn!(%error, "Ctrl-C will leave a lab behind");
        }
    });
    let mut labs = labs();
    labs.retain(|lab| lab.strong_count() > 0);
    labs.push(Arc::downgrade(lab));
}

fn handle() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let exit_status = runtime.and_then(|runtime| {
        runtime.block_on(async {
            let mut interrupt = signal(SignalKind::interrupt())?;
            let mut terminate = signal(SignalKind::terminate())?;
            Ok(tokio::select! {
                _ = interrupt.recv() => 130,
                _ = terminate.recv() => 143,
            })
        })
    });
    let exit_status = match exit_status {
        Ok(status) => status,
        Err(error) => {
            tracing::warn!(%error, "Ctrl-C will leave a lab behind");
            return;
        }
    };
    // Another thread may just be dropping a lab; and none is to go on when they are down.
    let _tearing_down = tear_down();
    for lab in labs().iter().filter_map(Weak::upgrade) {
        if let Err(error) = lab.remove() {
            tracing::warn!(%error, "the lab could not be taken down");
        }
    }
    process::exit(exit_status);
}
