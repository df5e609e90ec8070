//! What a person sees while a task works.

use std::time::Instant;

/// Tells what happens, with the time since the start.
pub(crate) struct Narrator {
    start: Instant,
}

impl Narrator {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now() }
    }

    /// Seconds since the start.
    pub(crate) fn elapsed(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }

    /// A new chapter begins.
    pub(crate) fn chapter(&self, title: &str) {
        println!("\n[{:5.1} s] {title}", self.elapsed());
    }

    /// Something within the chapter.
    pub(crate) fn say(&self, text: &str) {
        for line in text.lines() {
            println!("          {line}");
        }
    }
}
