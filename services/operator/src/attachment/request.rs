//! Messages to values: everything that is wrong with a request is found before anything is done.

use std::collections::BTreeSet;

use l2sces_grpc::Violations;
use l2sces_model::{HostAddress, InterfaceName, MacAddress};
use l2sces_proto::attachment::v1::{
    AttachRequest, CheckRequest, CollectRequest, DetachRequest, NetworkReference, Pod,
    ValidAttachment,
};
use tonic::Status;

/// Longest id of a sandbox, in bytes: it is part of a port's uid, as that of its pod is.
const LONGEST_SANDBOX_ID: usize = 64;

/// A sandbox, and how it is to be attached.
#[derive(Clone, Debug)]
pub(super) struct Attachment {
    /// Name of the node in Kubernetes.
    pub(super) node: String,
    pub(super) pod: Pod,
    pub(super) sandbox_id: String,
    /// Greater than those of the attempts before; 0: there is no telling.
    pub(super) attempt: i64,
    /// What is refused is asked for again later.
    pub(super) restores: bool,
    pub(super) namespace_path: String,
    pub(super) selection: Selection,
    /// The interface that the runtime asks for: of the first network for which the pod itself does not name
    /// another.
    pub(super) needed_interface: Option<InterfaceName>,
}

/// Which of a pod's networks are meant.
#[derive(Clone, Debug)]
pub(super) enum Selection {
    /// All that the pod asks for.
    Asked,
    /// This one.
    One { network: NetworkReference, address: Option<HostAddress>, mac: Option<MacAddress> },
}

/// A sandbox, and where it is to be detached from.
#[derive(Clone, Debug)]
pub(super) struct Detachment {
    pub(super) node: String,
    pub(super) sandbox_id: String,
    pub(super) network: Option<NetworkReference>,
    pub(super) interface: Option<String>,
}

/// The attachments of a node that stay.
#[derive(Clone, Debug)]
pub(super) struct Collection {
    pub(super) node: String,
    pub(super) network: Option<NetworkReference>,
    /// Ids of sandboxes, each with the interface that the runtime asked for.
    pub(super) valid: BTreeSet<(String, String)>,
}

pub(super) fn attachment(request: AttachRequest) -> Result<Attachment, Status> {
    let mut violations = Violations::new();
    let (node, sandbox_id) = (request.node, request.sandbox_id);
    required(&mut violations, "node", &node);
    check_sandbox_id(&mut violations, &sandbox_id);
    let pod = pod(&mut violations, request.pod);
    if !request.namespace_path.starts_with('/') {
        violations.add("namespace_path", "must be an absolute path");
    }
    let text = &request.interface_name;
    let needed_interface = optional(&mut violations, "interface_name", text, str::parse);
    let address = optional(&mut violations, "address", &request.address, str::parse);
    let mac = optional(&mut violations, "mac", &request.mac, MacAddress::parse_unicast);
    let selection = match network(&mut violations, request.network) {
        Some(network) => Selection::One { network, address, mac },
        None => {
            for (field, is_given) in [("address", address.is_some()), ("mac", mac.is_some())] {
                if is_given {
                    violations.add(field, "must be empty without a network");
                }
            }
            Selection::Asked
        }
    };
    let attempt = request.attempt;
    if attempt < 0 {
        violations.add("attempt", "must be 0 or more");
    }
    violations.into_result()?;
    let (namespace_path, restores) = (request.namespace_path, request.restores);
    Ok(Attachment {
        node,
        pod,
        sandbox_id,
        attempt,
        restores,
        namespace_path,
        selection,
        needed_interface,
    })
}

pub(super) fn check(request: CheckRequest) -> Result<Attachment, Status> {
    attachment(AttachRequest {
        node: request.node,
        pod: request.pod,
        sandbox_id: request.sandbox_id,
        namespace_path: request.namespace_path,
        network: request.network,
        ..AttachRequest::default()
    })
}

pub(super) fn detachment(request: DetachRequest) -> Result<Detachment, Status> {
    let mut violations = Violations::new();
    required(&mut violations, "node", &request.node);
    check_sandbox_id(&mut violations, &request.sandbox_id);
    let network = network(&mut violations, request.network);
    violations.into_result()?;
    Ok(Detachment {
        node: request.node,
        sandbox_id: request.sandbox_id,
        network,
        interface: Some(request.interface_name).filter(|name| !name.is_empty()),
    })
}

pub(super) fn collection(request: CollectRequest) -> Result<Collection, Status> {
    let mut violations = Violations::new();
    required(&mut violations, "node", &request.node);
    let network = network(&mut violations, request.network);
    violations.into_result()?;
    let pair = |one: ValidAttachment| (one.sandbox_id, one.interface_name);
    let valid = request.valid.into_iter().map(pair).collect();
    Ok(Collection { node: request.node, network, valid })
}

fn pod(violations: &mut Violations, pod: Option<Pod>) -> Pod {
    let pod = pod.unwrap_or_default();
    required(violations, "pod.namespace", &pod.namespace);
    required(violations, "pod.name", &pod.name);
    pod
}

fn network(
    violations: &mut Violations,
    network: Option<NetworkReference>,
) -> Option<NetworkReference> {
    let network = network?;
    required(violations, "network.name", &network.name);
    Some(network)
}

fn check_sandbox_id(violations: &mut Violations, id: &str) {
    if id.is_empty() || id.len() > LONGEST_SANDBOX_ID {
        let description = format!("must have 1 to {LONGEST_SANDBOX_ID} bytes");
        violations.add("sandbox_id", description);
    }
}

fn required(violations: &mut Violations, field: &str, text: &str) {
    if text.is_empty() {
        violations.add(field, "must be given");
    }
}

fn optional<T, E: std::fmt::Display>(
    violations: &mut Violations,
    field: &str,
    text: &str,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Option<T> {
    if text.is_empty() { None } else { violations.check(field, parse(text)) }
}
