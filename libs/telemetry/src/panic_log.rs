use std::{
    backtrace::{Backtrace, BacktraceStatus},
    panic,
};

/// Has panics logged like everything else, in one line. The backtrace is there if RUST_BACKTRACE
/// asks for it.
pub(crate) fn install() {
    panic::set_hook(Box::new(|info| {
        let message = info.payload_as_str().unwrap_or("no message");
        let location = info.location().map(tracing::field::display);
        let backtrace = Backtrace::capture();
        let backtrace = (backtrace.status() == BacktraceStatus::Captured)
            .then(|| tracing::field::display(&backtrace));
        tracing::error!(message, location, backtrace, "panic");
    }));
}
