//! The southbound library against a real Open vSwitch. Needs root, and Open vSwitch 3.1 or later.

mod read_back;
mod sessions;
mod support;
mod tls;
