//! The custom resources by which Kubernetes speaks of l2sces, and the names they go with. No I/O.
//!
//! `L2Network`, `Overlay` and `NetworkEdgeDevice` have the group, version and fields of L2S-M, so
//! that manifests written for it are taken as they are; a field that it does not know is documented
//! as such where it stands. `SliceNetwork`, `SliceOverlay` and `ProviderProfile` are those of L2S-CES.
//!
//! The manifests in `k8s/crds` are generated from these types ([`definitions`]).

#![expect(
    clippy::duplicated_attributes,
    reason = "it takes the fields of one column of kubectl get for those of another"
)]

mod corefile;
mod definitions;
mod ids;
mod l2_network;
mod link;
mod measurement;
mod monitor;
mod names;
mod network_edge_device;
mod networks_annotation;
mod node;
mod opaque;
mod overlay;
mod provider;
mod provider_profile;
mod slice_network;
mod slice_overlay;
mod switch_template;

pub use corefile::{
    COREFILE_CONFIG_MAP, COREFILE_KEY, COREFILE_NAMESPACE, StubZones, with_stub_zones,
    without_stub_zones,
};
pub use definitions::{definitions, manifest};
pub use ids::{ConfigMapReference, IdsRules, RuleSource};
pub use l2_network::{ConnectivityStatus, L2Network, L2NetworkSpec, L2NetworkStatus, NetworkType};
pub use link::{Link, LinkStatus, MetricValue};
pub use measurement::{LinkMetric, MeasurementPolicy};
pub use monitor::{ConfigMapKeySelector, ExportMetric, MetricSpec, Monitor};
pub use names::{
    COMPONENT_LABEL, CONTROL_COMPONENT, FINALIZER, GATEWAY_NODE_LABEL, GROUP, LABEL_APP,
    LABEL_ATTACHED, LOCAL_SLICE_PREFIX, MANAGED_BY_LABEL, NETWORKS_ANNOTATION, PART_OF_LABEL,
    PART_OF_US, SLICE_GROUP, SLICE_LABEL, SLICE_MANAGER, SLICE_NETWORK_FINALIZER,
    SLICE_OVERLAY_FINALIZER, SWITCH_NODE_LABEL, VERSION, local_slice,
};
pub use network_edge_device::{
    Neighbor, NetworkEdgeDevice, NetworkEdgeDeviceSpec, NetworkEdgeDeviceStatus, NodeConfig,
};
pub use networks_annotation::{NetworkSelection, NetworksAnnotationError, parse_networks};
pub use node::{internal_ip, is_control_plane};
pub use overlay::{Overlay, OverlaySpec, OverlayStatus, Topology};
pub use provider::Provider;
pub use provider_profile::{ProviderProfile, ProviderProfileSpec, ProviderProfileStatus};
pub use slice_network::{
    ClusterStatus, ProviderReference, SliceNetwork, SliceNetworkSpec, SliceNetworkStatus,
};
pub use slice_overlay::{
    SliceGateway, SliceNode, SliceOverlay, SliceOverlaySpec, SliceOverlayStatus, SliceTopology,
};
pub use switch_template::{SwitchPodSpec, SwitchTemplate};
