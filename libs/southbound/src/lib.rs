//! OpenFlow server: sessions with switches, and the difference between wanted and installed flows.
