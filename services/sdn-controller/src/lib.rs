//! The SDN controller of one cluster.
