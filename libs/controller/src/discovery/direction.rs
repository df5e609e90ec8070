//! What is known of one direction of a link.

use std::time::Duration;

use tokio::time::Instant;

/// Between probes of a direction that works. Rarely, since BFD finds a broken link much sooner; and
/// without BFD it is 20 s until one is found.
pub(super) const INTERVAL: Duration = Duration::from_secs(15);
/// Between the first probes of a direction; doubles up to [`LONGEST_RETRY`].
const FIRST_RETRY: Duration = Duration::from_millis(50);
/// Between probes of a direction that has worked and of which one was not seen to arrive.
const RETRY: Duration = Duration::from_secs(1);
/// Between probes of a direction that does not work.
const LONGEST_RETRY: Duration = Duration::from_secs(5);
/// A direction is broken when more probes than this in a row were not seen to arrive.
pub(super) const TOLERATED: u32 = 4;

#[derive(Debug, Default)]
pub(super) struct Direction {
    /// `None`: it cannot be probed.
    pub(super) next_probe: Option<Instant>,
    unanswered: u32,
    verified: bool,
    /// Where its probes arrive instead.
    astray: Option<String>,
    /// Whose probes arrive instead.
    strangers: Option<String>,
}

impl Direction {
    /// A probe has been sent; returns when the next is due unless it is seen to arrive.
    pub(super) fn probed(&mut self) -> Duration {
        self.unanswered = self.unanswered.saturating_add(1);
        let (first, doublings) = match self.verified {
            true => (RETRY, self.unanswered.saturating_sub(TOLERATED + 1)),
            false => (FIRST_RETRY, self.unanswered - 1),
        };
        (first * (1 << doublings.min(16))).min(LONGEST_RETRY)
    }

    /// A probe has arrived; returns whether that is news.
    pub(super) fn answered(&mut self) -> bool {
        let is_news = !self.message().is_empty();
        self.unanswered = 0;
        self.verified = true;
        self.astray = None;
        self.strangers = None;
        is_news
    }

    /// A probe has arrived elsewhere; returns whether that is news.
    pub(super) fn went_astray(&mut self, astray: &str) -> bool {
        let before = self.message();
        self.verified = false;
        self.astray = Some(astray.to_owned());
        before != self.message()
    }

    /// A probe from elsewhere has arrived where those of this direction should; returns whether
    /// that is news: not if it is known where they go.
    pub(super) fn met_strangers(&mut self, strangers: &str) -> bool {
        let before = self.message();
        self.verified = false;
        self.strangers = Some(strangers.to_owned());
        before != self.message()
    }

    /// Forgets what was not heard. Where probes went astray they are taken to do so until one
    /// arrives.
    pub(super) fn restart(&mut self) {
        self.unanswered = 0;
        self.verified = false;
    }

    /// Whether it works and is probed rarely.
    pub(super) fn is_steady(&self) -> bool {
        self.verified && self.unanswered == 0
    }

    pub(super) fn is_astray(&self) -> bool {
        self.astray.is_some() || self.strangers.is_some()
    }

    pub(super) fn is_broken(&self) -> bool {
        self.unanswered > TOLERATED || self.is_astray()
    }

    /// What is wrong, in one sentence; empty if nothing is.
    pub(super) fn message(&self) -> String {
        match self.astray.as_ref().or(self.strangers.as_ref()) {
            Some(fault) => fault.clone(),
            None if self.unanswered > TOLERATED => {
                format!("the last {} discovery frames did not arrive", self.unanswered)
            }
            None if !self.verified => "no discovery frame has arrived yet".to_owned(),
            None => String::new(),
        }
    }
}
