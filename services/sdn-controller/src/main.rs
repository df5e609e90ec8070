//! The SDN controller of one cluster.

fn main() {}
