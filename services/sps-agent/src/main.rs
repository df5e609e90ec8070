//! The agent of a node's cluster bridge.

fn main() {}
