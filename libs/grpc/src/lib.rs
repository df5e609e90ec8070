//! gRPC as every service speaks it: mutual TLS, deadlines, traces, health, reflection, field violations.
