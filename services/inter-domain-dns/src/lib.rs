//! Authoritative DNS for endpoints across clusters.
