//! The inter-cluster SDN controller.
