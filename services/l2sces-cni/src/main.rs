//! The network plugin of a node, as container runtimes call it (CNI).

use std::process::ExitCode;

fn main() -> ExitCode {
    l2sces_cni::main()
}
