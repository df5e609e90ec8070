//! One bridge of a node's Open vSwitch, owned through OVSDB and served by gRPC.
