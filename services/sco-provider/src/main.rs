//! The inter-cluster SDN controller.

fn main() {}
