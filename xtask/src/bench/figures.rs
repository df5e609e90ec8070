use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

/// The distribution of some durations.
pub(super) struct Durations {
    sorted: Vec<Duration>,
}

impl Durations {
    /// Of at least one duration.
    pub(super) fn of(mut durations: Vec<Duration>) -> Result<Self> {
        ensure!(!durations.is_empty(), "nothing was measured");
        durations.sort();
        Ok(Self { sorted: durations })
    }

    /// The duration that a share of all are at most as long as, in milliseconds.
    pub(super) fn quantile(&self, share: f64) -> f64 {
        let last = self.sorted.len() - 1;
        // As floating-point numbers these are exact: there are few.
        let index = (share * last as f64).round() as usize;
        self.sorted[index.min(last)].as_secs_f64() * 1e3
    }

    pub(super) fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// A row of a table: least, median, 90 % and most, in milliseconds.
    pub(super) fn row(&self) -> [String; 4] {
        [0.0, 0.5, 0.9, 1.0].map(|share| format!("{:.2}", self.quantile(share)))
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "min_ms": self.quantile(0.0),
            "median_ms": self.median(),
            "p90_ms": self.quantile(0.9),
            "max_ms": self.quantile(1.0),
            "rounds": self.sorted.len(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_durations_that_were_measured() {
        let durations = Durations::of((1..=11).rev().map(Duration::from_millis).collect()).unwrap();
        assert_eq!(
            [0.0, 0.5, 0.9, 1.0].map(|share| durations.quantile(share)),
            [1.0, 6.0, 10.0, 11.0]
        );
        assert!(Durations::of(Vec::new()).is_err());
    }
}
