//! Level-triggered work: a keyed queue with back-off, and workers.
