use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::capture::Capture;
use crate::{error::LabError, namespace::Namespace, wait};

/// Most frames kept; further ones are counted only.
const KEPT: usize = 10_000;

/// Watches what an interface receives, and keeps the frames that a filter lets through.
///
/// The kernel takes the outermost VLAN tag off a frame before a sniffer sees it, so look for marks
/// in the payload rather than for bytes at fixed places.
pub struct Sniffer {
    seen: Arc<Mutex<Seen>>,
    _capture: Capture,
}

#[derive(Default)]
struct Seen {
    count: u64,
    frames: Vec<Vec<u8>>,
}

impl Sniffer {
    /// Starts watching an interface, or all interfaces, of a namespace. From when this returns, no
    /// frame is missed.
    ///
    /// # Errors
    /// There is no such interface.
    pub fn start(
        namespace: &Namespace,
        interface: Option<&str>,
        filter: impl Fn(&[u8]) -> bool + Send + 'static,
    ) -> Result<Self, LabError> {
        let seen = Arc::<Mutex<Seen>>::default();
        let capture = Capture::start(namespace, interface, {
            let seen = Arc::clone(&seen);
            move |frame| {
                if filter(frame) {
                    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                    seen.count += 1;
                    if seen.frames.len() < KEPT {
                        seen.frames.push(frame.to_vec());
                    }
                }
            }
        })?;
        Ok(Self { seen, _capture: capture })
    }

    /// Starts watching for frames that carry a mark.
    ///
    /// # Errors
    /// There is no such interface.
    pub fn for_marker(
        namespace: &Namespace,
        interface: Option<&str>,
        marker: [u8; 16],
    ) -> Result<Self, LabError> {
        Self::start(namespace, interface, move |frame| {
            frame.windows(marker.len()).any(|window| window == marker)
        })
    }

    /// Number of frames so far.
    pub fn count(&self) -> u64 {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).count
    }

    /// The frames so far, the first 10,000.
    pub fn frames(&self) -> Vec<Vec<u8>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).frames.clone()
    }

    /// Waits until at least `count` frames have come.
    ///
    /// # Errors
    /// They do not within `limit`.
    pub async fn wait_for(&self, count: u64, limit: Duration) -> Result<(), LabError> {
        wait::holds(&format!("{count} frames come"), limit, || async {
            let seen = self.count();
            if seen >= count { Ok(()) } else { Err(format!("{seen} came")) }
        })
        .await
    }
}
