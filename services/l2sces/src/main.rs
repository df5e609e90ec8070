//! The command line of l2sces.

fn main() {}
