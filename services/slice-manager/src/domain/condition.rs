use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Whether a condition holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Truth {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// It is not known whether it holds.
    Unknown,
}

/// The "Ready" condition of a resource.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Condition {
    /// Whether it holds.
    pub status: Truth,
    /// Why, as one CamelCase word.
    pub reason: String,
    /// Why, as one sentence.
    pub message: String,
    /// The generation that this speaks of.
    pub observed_generation: i64,
    /// When `status` last changed.
    pub last_transition_time: DateTime<Utc>,
}

impl Condition {
    /// The condition of a resource that nobody has looked at yet.
    pub fn pending(now: DateTime<Utc>) -> Self {
        Self {
            status: Truth::Unknown,
            reason: "Pending".to_owned(),
            message: "It has not been carried out yet.".to_owned(),
            observed_generation: 0,
            last_transition_time: now,
        }
    }

    /// This condition after something new was found: the time moves only with the status.
    #[must_use]
    pub fn followed_by(&self, found: Finding, generation: i64, now: DateTime<Utc>) -> Self {
        let same = self.status == found.status;
        Self {
            status: found.status,
            reason: found.reason,
            message: found.message,
            observed_generation: generation,
            last_transition_time: if same { self.last_transition_time } else { now },
        }
    }
}

/// What looking at a resource found about a condition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// Whether it holds.
    pub status: Truth,
    /// Why, as one CamelCase word.
    pub reason: String,
    /// Why, as one sentence.
    pub message: String,
}

impl Finding {
    /// It holds.
    pub fn ready() -> Self {
        Self { status: Truth::True, reason: "Ready".to_owned(), message: String::new() }
    }

    /// It does not hold.
    pub fn not_ready(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self { status: Truth::False, reason: reason.into(), message: message.into() }
    }

    /// Nobody can tell.
    pub fn unknown(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self { status: Truth::Unknown, reason: reason.into(), message: message.into() }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn the_transition_time_moves_with_the_status_only() {
        let start = DateTime::UNIX_EPOCH;
        let later = start + TimeDelta::seconds(1);
        let pending = Condition::pending(start);
        let still = pending.followed_by(Finding::unknown("Other", "other"), 1, later);
        assert_eq!((still.last_transition_time, still.reason.as_str()), (start, "Other"));
        let ready = still.followed_by(Finding::ready(), 1, later);
        assert_eq!((ready.last_transition_time, ready.observed_generation), (later, 1));
    }
}
