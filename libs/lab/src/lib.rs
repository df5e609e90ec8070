//! Real topologies on one machine: namespaces, Open vSwitch, Postgres, our binaries.
