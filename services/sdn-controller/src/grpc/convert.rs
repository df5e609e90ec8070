//! Domain values to messages.

use l2sces_proto::fabric::v1::{
    AddressConflict, InterfaceAttachment, NamespaceAttachment, NetworkKey as ProtoNetworkKey,
    ObjectKey, ObjectState as ProtoObjectState, Port as ProtoPort, PortAssignment,
    PortKey as ProtoPortKey, Version as ProtoVersion, object_key, port,
};

use l2sces_model::MacAddress;

use crate::domain::{Assignment, Attachment, Key, ObjectState, Port, Version};

pub(super) fn state(state: ObjectState) -> ProtoObjectState {
    let (reason, message) = match &state.condition {
        Ok(()) => Default::default(),
        Err(trouble) => (trouble.reason.to_string(), trouble.message.clone()),
    };
    ProtoObjectState {
        key: Some(key(&state.key)),
        version: Some(version(state.version)),
        ready: state.condition.is_ok(),
        reason,
        message,
        port: state.assignment.as_ref().map(assignment),
    }
}

/// What is told of an object of which nothing is left.
pub(super) fn deleted(deleted: &Key, last: Version) -> ProtoObjectState {
    ProtoObjectState {
        key: Some(key(deleted)),
        version: Some(version(last)),
        ..ProtoObjectState::default()
    }
}

/// A port as it was applied, with the addresses that it has.
pub(super) fn port(port: &Port) -> ProtoPort {
    let attachment = match &port.attachment {
        Attachment::Namespace { path, interface_name, id } => {
            port::Attachment::Namespace(NamespaceAttachment {
                path: path.clone(),
                interface_name: interface_name.to_string(),
                attachment_id: id.clone(),
            })
        }
        Attachment::Interface { name } => {
            port::Attachment::Interface(InterfaceAttachment { name: name.to_string() })
        }
    };
    ProtoPort {
        slice: port.key.slice.to_string(),
        network: port.key.network.to_string(),
        name: port.key.name.to_string(),
        version: Some(version(port.version.clone())),
        node: port.node.to_string(),
        attachment: Some(attachment),
        mac: port.mac.to_string(),
        address: given_address(port).unwrap_or_default(),
        max_learned_addresses: port.max_learned.into(),
        alias: port.alias.as_ref().map(ToString::to_string).unwrap_or_default(),
    }
}

/// A port's address as it can be given again: with the prefix length only where that was chosen with it.
fn given_address(port: &Port) -> Option<String> {
    let address = port.address?;
    Some(if port.chose_prefix { address.to_string() } else { address.addr().to_string() })
}

fn key(key: &Key) -> ObjectKey {
    let key = match key {
        Key::Node(name) => object_key::Key::Node(name.to_string()),
        Key::Slice(name) => object_key::Key::Slice(name.to_string()),
        Key::Network(key) => object_key::Key::Network(ProtoNetworkKey {
            slice: key.slice.to_string(),
            name: key.name.to_string(),
        }),
        Key::Port(key) => object_key::Key::Port(ProtoPortKey {
            slice: key.slice.to_string(),
            network: key.network.to_string(),
            name: key.name.to_string(),
        }),
    };
    ObjectKey { key: Some(key) }
}

fn version(version: Version) -> ProtoVersion {
    ProtoVersion { uid: version.uid, generation: version.generation }
}

fn assignment(assignment: &Assignment) -> PortAssignment {
    PortAssignment {
        mac: assignment.mac.to_string(),
        address: assignment.address.map(|address| address.to_string()).unwrap_or_default(),
        interface_name: assignment.interface_name.to_string(),
        learned_macs: assignment.addresses.learned.iter().map(ToString::to_string).collect(),
        conflicts: assignment.addresses.conflicts.iter().map(conflict).collect(),
        mtu: assignment.mtu.into(),
    }
}

fn conflict((mac, message): (&MacAddress, &String)) -> AddressConflict {
    AddressConflict { mac: mac.to_string(), message: message.clone() }
}
