//! Distributions of durations.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

/// The distribution of some durations.
pub(crate) struct Durations {
    sorted: Vec<Duration>,
}

impl Durations {
    /// Of at least one duration.
    pub(crate) fn of(mut durations: Vec<Duration>) -> Result<Self> {
        ensure!(!durations.is_empty(), "nothing was measured");
        durations.sort();
        Ok(Self { sorted: durations })
    }

    /// The duration that a share of all are at most as long as, in milliseconds.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        let last = self.sorted.len() - 1;
        // As floating-point numbers these are exact: there are few.
        let index = (share * last as f64).round() as usize;
        self.sorted[index.min(last)].as_secs_f64() * 1e3
    }

    pub(crate) fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// In milliseconds.
    pub(crate) fn mean(&self) -> f64 {
        let sum: Duration = self.sorted.iter().sum();
        sum.as_secs_f64() * 1e3 / self.sorted.len() as f64
    }

    pub(crate) fn count(&self) -> usize {
        self.sorted.len()
    }

    /// A row of a table: least, median, 90 % and most, in milliseconds.
    pub(crate) fn row(&self) -> [String; 4] {
        [0.0, 0.5, 0.9, 1.0].map(|share| format!("{:.2}", self.quantile(share)))
    }

    pub(crate) fn json(&self) -> Value {
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
        assert_eq!((durations.mean(), durations.count()), (6.0, 11));
        assert!(Durations::of(Vec::new()).is_err());
    }
}
