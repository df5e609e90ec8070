//! The agent of a gateway's inter-cluster bridge.

fn main() {}
