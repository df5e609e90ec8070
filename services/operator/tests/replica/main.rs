//! The real program against a real API server of Kubernetes. Its sdn-controller and its sco-provider are
//! away, which none of this needs, but for the authority that signs certificates.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod issuer;
mod leader;
mod webhook;
mod world;
