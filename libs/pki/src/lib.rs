//! Certificates: a small authority, and the identity of every service.
