//! The one entry point: slices, clusters, networks.

fn main() {}
