//! Names of labels, annotations and finalizers, and names made of other names.

use l2sces_model::Name;

/// API group of `L2Network`, `Overlay` and `NetworkEdgeDevice`.
pub const GROUP: &str = "l2sm.l2sm.k8s.local";

/// API group of `SliceNetwork`, `SliceOverlay` and `ProviderProfile`.
pub const SLICE_GROUP: &str = "l2sces.l2sm.io";

/// Version of both groups.
pub const VERSION: &str = "v1";

/// Finalizer of `L2Network`, `Overlay` and `NetworkEdgeDevice`.
pub const FINALIZER: &str = "l2sm.operator.io/finalizer";

/// Finalizer of `SliceNetwork`.
pub const SLICE_NETWORK_FINALIZER: &str = "l2sces.l2sm.io/slicenetwork-cleanup";

/// Finalizer of `SliceOverlay`.
pub const SLICE_OVERLAY_FINALIZER: &str = "l2sces.l2sm.io/sliceoverlay-cleanup";

/// Label of pods that are attached to networks; its value is `true`.
pub const LABEL_ATTACHED: &str = "l2sm";

/// Label of pods that gives another name by which the DNS finds them, beside the pod's; several pods
/// may have the same.
pub const LABEL_APP: &str = "l2sm/app";

/// Annotation of pods that lists their networks ([`parse_networks`](crate::parse_networks)).
pub const NETWORKS_ANNOTATION: &str = "l2sm/networks";

/// Label of nodes on which Open vSwitch and an sps-agent run; its value is `true`.
pub const SWITCH_NODE_LABEL: &str = "l2sces.l2sm.io/sps";

/// Label of nodes on which a ned-agent runs; its value is `true`.
pub const GATEWAY_NODE_LABEL: &str = "l2sces.l2sm.io/ned";

/// Label that says who manages a resource, as recommended by Kubernetes.
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";

/// Value of [`MANAGED_BY_LABEL`] of what the slice-manager applies.
pub const SLICE_MANAGER: &str = "slice-manager";

/// Label of everything of ours in a cluster, as recommended by Kubernetes.
pub const PART_OF_LABEL: &str = "app.kubernetes.io/part-of";

/// Value of [`PART_OF_LABEL`].
pub const PART_OF_US: &str = "l2sces";

/// Label that says what part of us something is, as recommended by Kubernetes.
pub const COMPONENT_LABEL: &str = "app.kubernetes.io/component";

/// Value of [`COMPONENT_LABEL`] of what controls all clusters, and may be in one that is managed.
pub const CONTROL_COMPONENT: &str = "control";

/// Label of what the slice-manager applies, with the name of the slice that it is for.
pub const SLICE_LABEL: &str = "l2sces.l2sm.io/slice";

/// What the names of slices begin with that are of one namespace only. No provider is named so.
pub const LOCAL_SLICE_PREFIX: &str = "local-";

/// The slice of the networks of a namespace that name no provider: another for every cluster and
/// namespace, whatever they are called.
pub fn local_slice(cluster: &Name, namespace: &str) -> Name {
    let shown = format!("{LOCAL_SLICE_PREFIX}{cluster}-{namespace}");
    Name::hashed(&shown, &[cluster.as_str(), namespace])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_have_slices_of_their_own() {
        let slice = |cluster: &str, namespace| local_slice(&cluster.parse().unwrap(), namespace);
        assert!(slice("a", "default").as_str().starts_with("local-a-default-"));
        let (cluster, namespace) = ("c".repeat(63), "n".repeat(63));
        let all = [slice("a", "b-c"), slice("a-b", "c"), slice("a", "b"), slice(&cluster, "b")];
        let distinct: std::collections::BTreeSet<_> =
            all.iter().cloned().chain([slice(&cluster, &namespace)]).collect();
        assert_eq!(distinct.len(), 5);
        assert!(distinct.iter().all(|slice| slice.as_str().starts_with(LOCAL_SLICE_PREFIX)));
    }
}
