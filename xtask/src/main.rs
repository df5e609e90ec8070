//! Tasks of the repository: demo, test, lab, bench.

fn main() {}
