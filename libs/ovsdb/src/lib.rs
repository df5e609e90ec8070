//! OVSDB client (RFC 7047): transactions, monitors, waiting for Open vSwitch.
