//! Authoritative DNS for endpoints across clusters.

fn main() {}
