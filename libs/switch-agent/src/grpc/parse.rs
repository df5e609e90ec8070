//! Requests → what is wanted, or every field that is wrong.

use std::{collections::HashSet, net::IpAddr, num::NonZeroU32, path::PathBuf};

use ipnet::IpNet;
use l2sces_grpc::Violations;
use l2sces_measurement::Policy;
use l2sces_model::{DatapathId, InterfaceName, MacAddress};
use l2sces_proto::switch::v1 as api;
use tonic::Status;

use crate::{
    Attachment, ControllerTarget, Link, MeasuredLink, NamespaceAttachment, Port, Switch, Trunk,
};

/// Most tunnels and controllers of a bridge.
const MAX_LINKS: usize = 4_096;
const MAX_CONTROLLERS: usize = 8;

/// Longest BFD interval, in milliseconds: a cut is to be noticed within some seconds.
const MAX_BFD_INTERVAL: u32 = 10_000;

/// Longest owner, in bytes: three names of 63 and two slashes.
const MAX_OWNER: usize = 191;

/// The smallest MTU of IPv4 (RFC 791) and of IPv6 (RFC 8200, section 5), and Linux's largest.
const MIN_MTU: u32 = 68;
const MIN_MTU_IPV6: u32 = 1_280;
const MAX_MTU: u32 = 65_535;

/// Reads a switch; `bridge` is the name of the agent's, which its interfaces must not have.
pub(super) fn switch(message: Option<api::Switch>, bridge: &str) -> Result<Switch, Status> {
    let mut violations = Violations::new();
    let Some(message) = message else {
        violations.add("switch", "must be set");
        return Err(violations.into_status());
    };
    let datapath_id =
        violations.check("switch.datapath_id", DatapathId::try_from(message.datapath_id));
    let controllers = controllers(&mut violations, &message.controllers);
    let links = links(&mut violations, &message.links);
    let trunk = message.trunk.map(|message| trunk(&mut violations, &message));

    let mut names = HashSet::from([bridge]);
    let interfaces = message.links.iter().enumerate().map(|(number, link)| {
        (format!("switch.links[{number}].interface_name"), link.interface_name.as_str())
    });
    let trunk_interface = message_trunk_name(trunk.as_ref());
    for (field, name) in interfaces.chain(trunk_interface) {
        if !names.insert(name) {
            violations.add(field, format!("must be unique: {name} is there already"));
        }
    }
    match (datapath_id, trunk.map_or(Some(None), |trunk| trunk.map(Some))) {
        (Some(datapath_id), Some(trunk)) if violations.is_empty() => {
            Ok(Switch { datapath_id, controllers, links, trunk })
        }
        _ => Err(violations.into_status()),
    }
}

fn message_trunk_name(trunk: Option<&Option<Trunk>>) -> Option<(String, &str)> {
    let trunk = trunk?.as_ref()?;
    Some(("switch.trunk.interface_name".to_owned(), trunk.interface.as_str()))
}

fn controllers(violations: &mut Violations, texts: &[String]) -> Vec<ControllerTarget> {
    if texts.is_empty() || texts.len() > MAX_CONTROLLERS {
        violations.add("switch.controllers", format!("must be 1 to {MAX_CONTROLLERS}"));
        return Vec::new();
    }
    let mut targets = Vec::new();
    for (number, text) in texts.iter().enumerate() {
        let field = format!("switch.controllers[{number}]");
        match violations.check(&field, text.parse::<ControllerTarget>()) {
            Some(target) if targets.contains(&target) => {
                violations.add(field, "must be unique");
            }
            target => targets.extend(target),
        }
    }
    targets
}

fn links(violations: &mut Violations, messages: &[api::TunnelLink]) -> Vec<Link> {
    if messages.len() > MAX_LINKS {
        violations.add("switch.links", format!("must be at most {MAX_LINKS}"));
        return Vec::new();
    }
    let mut tunnels = HashSet::new();
    let mut links = Vec::new();
    for (number, message) in messages.iter().enumerate() {
        let field = format!("switch.links[{number}]");
        let Some(link) = link(violations, &field, message) else { continue };
        // Open vSwitch refuses the second of two such tunnels.
        if !tunnels.insert((link.remote, link.udp_port)) {
            violations
                .add(format!("{field}.remote_address"), "must be unique together with udp_port");
        }
        links.push(link);
    }
    links
}

/// Reads which links are to be measured.
pub(super) fn measured_links(
    request: &api::WatchMeasurementsRequest,
) -> Result<Vec<MeasuredLink>, Status> {
    let mut violations = Violations::new();
    if request.links.is_empty() || request.links.len() > MAX_LINKS {
        violations.add("links", format!("must be 1 to {MAX_LINKS}"));
    }
    let mut links: Vec<MeasuredLink> = Vec::new();
    for (number, message) in request.links.iter().take(MAX_LINKS).enumerate() {
        let field = format!("links[{number}]");
        let interface = interface_name(
            &mut violations,
            format!("{field}.interface_name"),
            &message.interface_name,
        );
        let policy = Policy::read(message.policy.as_ref().unwrap_or(&Default::default()));
        match (interface, policy) {
            (Some(interface), _) if links.iter().any(|link| link.interface == interface) => {
                violations.add(format!("{field}.interface_name"), "must be unique");
            }
            (Some(interface), Ok(policy)) => links.push(MeasuredLink { interface, policy }),
            (_, Err(faults)) => {
                for fault in faults {
                    let field = format!("{field}.policy.{}", fault.field);
                    violations.add(field, fault.description);
                }
            }
            (None, Ok(_)) => {}
        }
    }
    violations.into_result()?;
    Ok(links)
}

fn link(violations: &mut Violations, field: &str, message: &api::TunnelLink) -> Option<Link> {
    let interface =
        interface_name(violations, format!("{field}.interface_name"), &message.interface_name);
    let remote = underlay(violations, format!("{field}.remote_address"), &message.remote_address);
    let local_field = format!("{field}.local_address");
    let local = underlay(violations, local_field.clone(), &message.local_address);
    let udp_port = u16::try_from(message.udp_port).ok().filter(|port| *port != 0);
    if udp_port.is_none() {
        violations.add(format!("{field}.udp_port"), "must be from 1 to 65535");
    }
    if message.bfd_interval_ms > MAX_BFD_INTERVAL {
        violations.add(
            format!("{field}.bfd_interval_ms"),
            format!("must be from 0 to {MAX_BFD_INTERVAL}"),
        );
    }
    let link = Link {
        interface: interface?,
        remote: remote?,
        local: local?,
        udp_port: udp_port?,
        bfd_interval_ms: NonZeroU32::new(message.bfd_interval_ms),
    };
    if link.local == link.remote {
        violations.add(local_field, "must not be the remote address");
    } else if link.local.is_ipv4() != link.remote.is_ipv4() {
        violations.add(local_field, "must be of the same family as the remote address");
    }
    Some(link)
}

fn underlay(violations: &mut Violations, field: String, text: &str) -> Option<IpAddr> {
    match text.parse::<IpAddr>() {
        Ok(address) if address.is_unspecified() || address.is_multicast() => {
            violations.add(field, "must be the address of a host");
            None
        }
        Ok(address) => Some(address),
        Err(_) => {
            violations.add(field, "must be an IP address");
            None
        }
    }
}

fn trunk(violations: &mut Violations, message: &api::Trunk) -> Option<Trunk> {
    let interface = interface_name(
        violations,
        "switch.trunk.interface_name".to_owned(),
        &message.interface_name,
    );
    let peer_field = "switch.trunk.peer_interface_name".to_owned();
    let peer = interface_name(violations, peer_field.clone(), &message.peer_interface_name);
    let trunk = Trunk { interface: interface?, peer: peer? };
    if trunk.interface == trunk.peer {
        violations.add(peer_field, "must not be this end's name");
    }
    Some(trunk)
}

/// Reads a port; `bridge` is the name of the agent's, which the port must not have.
pub(super) fn port(message: Option<api::Port>, bridge: &str) -> Result<Port, Status> {
    let mut violations = Violations::new();
    let Some(message) = message else {
        violations.add("port", "must be set");
        return Err(violations.into_status());
    };
    let interface =
        port_interface(&mut violations, "port.interface_name", &message.interface_name, bridge);
    let attachment = match message.attachment {
        Some(api::port::Attachment::Namespace(message)) => {
            namespace(&mut violations, &message).map(Attachment::Namespace)
        }
        Some(api::port::Attachment::Interface(_)) => Some(Attachment::Interface),
        None => {
            violations.add("port.attachment", "must be namespace or interface");
            None
        }
    };
    let owner = message.owner;
    if owner.len() > MAX_OWNER || owner.chars().any(char::is_control) {
        violations.add(
            "port.owner",
            format!("must have at most {MAX_OWNER} bytes and no control characters"),
        );
    }
    match (interface, attachment) {
        (Some(interface), Some(attachment)) if violations.is_empty() => {
            Ok(Port { interface, attachment, owner })
        }
        _ => Err(violations.into_status()),
    }
}

/// Reads the name of a port to be deleted.
pub(super) fn port_name(name: &str, bridge: &str) -> Result<InterfaceName, Status> {
    let mut violations = Violations::new();
    port_interface(&mut violations, "interface_name", name, bridge)
        .ok_or_else(|| violations.into_status())
}

fn port_interface(
    violations: &mut Violations,
    field: &str,
    name: &str,
    bridge: &str,
) -> Option<InterfaceName> {
    let name = interface_name(violations, field.to_owned(), name)?;
    if name.as_str() == bridge {
        violations.add(field, "must not be the bridge");
        return None;
    }
    Some(name)
}

fn namespace(
    violations: &mut Violations,
    message: &api::NamespaceAttachment,
) -> Option<NamespaceAttachment> {
    let path = PathBuf::from(&message.path);
    let is_path = path.is_absolute() && message.path.len() < 4_096 && !message.path.contains('\0');
    if !is_path {
        violations.add("port.namespace.path", "must be an absolute path");
    }
    let interface = interface_name(
        violations,
        "port.namespace.interface_name".to_owned(),
        &message.interface_name,
    );
    let mac = violations.check("port.namespace.mac", MacAddress::parse_unicast(&message.mac));
    let address = address(violations, &message.address);
    let is_ipv6 = matches!(address, Some(Some(IpNet::V6(_))));
    let least = if is_ipv6 { MIN_MTU_IPV6 } else { MIN_MTU };
    if !(least..=MAX_MTU).contains(&message.mtu) {
        violations.add("port.namespace.mtu", format!("must be from {least} to {MAX_MTU}"));
    }
    Some(NamespaceAttachment {
        path: is_path.then_some(path)?,
        interface: interface?,
        mac: mac?,
        address: address?,
        mtu: message.mtu,
    })
}

/// `None`: wrong. `Some(None)`: no address.
fn address(violations: &mut Violations, text: &str) -> Option<Option<IpNet>> {
    if text.is_empty() {
        return Some(None);
    }
    match text.parse::<IpNet>() {
        Ok(net) if is_assignable(net.addr()) => Some(Some(net)),
        Ok(_) => {
            violations.add("port.namespace.address", "must be the address of a host");
            None
        }
        Err(_) => {
            violations.add(
                "port.namespace.address",
                "must be an IP address with prefix length, such as 10.1.0.5/24",
            );
            None
        }
    }
}

fn is_assignable(address: IpAddr) -> bool {
    !address.is_unspecified() && !address.is_multicast() && !address.is_loopback()
}

fn interface_name(violations: &mut Violations, field: String, name: &str) -> Option<InterfaceName> {
    match name.parse() {
        Ok(_) if name == "lo" => {
            violations.add(field, "must not be 'lo'");
            None
        }
        Ok(name) => Some(name),
        Err(error) => {
            violations.add(field, format!("{error}"));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use l2sces_proto::measurement::v1::MeasurementPolicy;
    use tonic_types::StatusExt as _;

    use super::*;

    fn fields(status: &Status) -> Vec<String> {
        let details = status.get_details_bad_request().unwrap();
        details.field_violations.into_iter().map(|violation| violation.field).collect()
    }

    fn valid_switch() -> api::Switch {
        api::Switch {
            datapath_id: 1,
            controllers: vec!["tcp:127.0.0.1:6653".into()],
            links: vec![api::TunnelLink {
                interface_name: "l2v-1".into(),
                remote_address: "10.0.0.2".into(),
                local_address: "10.0.0.1".into(),
                udp_port: 7000,
                bfd_interval_ms: 200,
            }],
            trunk: Some(api::Trunk {
                interface_name: "l2t-sps".into(),
                peer_interface_name: "l2t-ned".into(),
            }),
        }
    }

    fn valid_port() -> api::Port {
        api::Port {
            interface_name: "l2p-1".into(),
            owner: "s/n/p".into(),
            attachment: Some(api::port::Attachment::Namespace(valid_namespace())),
        }
    }

    fn valid_namespace() -> api::NamespaceAttachment {
        api::NamespaceAttachment {
            path: "/run/netns/x".into(),
            interface_name: "eth1".into(),
            mac: "02:00:00:00:00:01".into(),
            address: "10.1.0.5/24".into(),
            mtu: 1450,
        }
    }

    #[test]
    fn what_is_valid_is_read() {
        assert!(switch(Some(valid_switch()), "br-sps").is_ok());
        let port = port(Some(valid_port()), "br-sps").unwrap();
        let Attachment::Namespace(namespace) = port.attachment else { panic!("no namespace") };
        assert_eq!(namespace.address, Some("10.1.0.5/24".parse().unwrap()));
    }

    #[test]
    fn every_field_of_a_switch_is_checked() {
        type Spoil = fn(&mut api::Switch);
        let cases: [(&str, Spoil); 16] = [
            ("switch.datapath_id", |s| s.datapath_id = 0),
            ("switch.controllers", |s| s.controllers.clear()),
            ("switch.controllers[0]", |s| s.controllers[0] = "10.0.0.1".into()),
            ("switch.controllers[1]", |s| s.controllers.push("tcp:127.0.0.1:6653".into())),
            ("switch.links[0].interface_name", |s| s.links[0].interface_name.clear()),
            ("switch.links[0].interface_name", |s| s.links[0].interface_name = "br-sps".into()),
            ("switch.links[0].remote_address", |s| s.links[0].remote_address = "host".into()),
            ("switch.links[0].remote_address", |s| s.links[0].remote_address = "224.0.0.1".into()),
            ("switch.links[0].local_address", |s| s.links[0].local_address = "10.0.0.2".into()),
            ("switch.links[0].local_address", |s| s.links[0].local_address = "fd00::1".into()),
            ("switch.links[0].udp_port", |s| s.links[0].udp_port = 65_536),
            ("switch.links[0].bfd_interval_ms", |s| s.links[0].bfd_interval_ms = 10_001),
            ("switch.links[1].remote_address", |s| {
                let mut second = s.links[0].clone();
                second.interface_name = "l2v-2".into();
                s.links.push(second);
            }),
            ("switch.trunk.interface_name", |s| {
                s.trunk.as_mut().unwrap().interface_name = "l2v-1".into();
            }),
            ("switch.trunk.interface_name", |s| s.trunk.as_mut().unwrap().interface_name.clear()),
            ("switch.trunk.peer_interface_name", |s| {
                s.trunk.as_mut().unwrap().peer_interface_name = "l2t-sps".into();
            }),
        ];
        for (field, spoil) in cases {
            let mut message = valid_switch();
            spoil(&mut message);
            let status = switch(Some(message), "br-sps").expect_err(field);
            assert_eq!(fields(&status), [field]);
        }
        assert_eq!(fields(&switch(None, "br-sps").unwrap_err()), ["switch"]);
    }

    #[test]
    fn every_field_of_a_port_is_checked() {
        type Spoil = fn(&mut api::Port, &mut api::NamespaceAttachment);
        let cases: [(&str, Spoil); 14] = [
            ("port.interface_name", |p, _| p.interface_name = "sixteen-bytes-xx".into()),
            ("port.interface_name", |p, _| p.interface_name = "br-sps".into()),
            ("port.interface_name", |p, _| p.interface_name = "lo".into()),
            ("port.owner", |p, _| p.owner = "a\nb".into()),
            ("port.owner", |p, _| p.owner = "x".repeat(192)),
            ("port.namespace.path", |_, n| n.path = "run/netns/x".into()),
            ("port.namespace.path", |_, n| n.path = "/a\0b".into()),
            ("port.namespace.interface_name", |_, n| n.interface_name = "a/b".into()),
            ("port.namespace.mac", |_, n| n.mac = "01:00:5e:00:00:01".into()),
            ("port.namespace.address", |_, n| n.address = "10.1.0.5".into()),
            ("port.namespace.address", |_, n| n.address = "127.0.0.1/8".into()),
            ("port.namespace.mtu", |_, n| n.mtu = 67),
            ("port.namespace.mtu", |_, n| n.mtu = 65_536),
            ("port.namespace.mtu", |_, n| {
                n.address = "fd00::5/64".into();
                n.mtu = 1_279;
            }),
        ];
        for (field, spoil) in cases {
            let (mut message, mut namespace) = (valid_port(), valid_namespace());
            spoil(&mut message, &mut namespace);
            message.attachment = Some(api::port::Attachment::Namespace(namespace));
            let status = port(Some(message), "br-sps").expect_err(field);
            assert_eq!(fields(&status), [field]);
        }
        let unattached = api::Port { attachment: None, ..valid_port() };
        assert_eq!(fields(&port(Some(unattached), "br-sps").unwrap_err()), ["port.attachment"]);
        assert_eq!(fields(&port_name("", "br-sps").unwrap_err()), ["interface_name"]);
    }

    #[test]
    fn every_field_of_a_measured_link_is_checked() {
        let link = |name: &str, metrics: &[i32]| api::MeasuredLink {
            interface_name: name.to_owned(),
            policy: Some(MeasurementPolicy { metrics: metrics.to_vec(), ..Default::default() }),
        };
        let read = |links: Vec<api::MeasuredLink>| {
            measured_links(&api::WatchMeasurementsRequest { links })
        };
        assert_eq!(read(vec![link("l2v-1", &[1]), link("l2v-2", &[2])]).unwrap().len(), 2);
        for (links, field) in [
            (vec![], "links"),
            (vec![link("", &[1])], "links[0].interface_name"),
            (vec![link("a", &[1]), link("a", &[1])], "links[1].interface_name"),
            (vec![link("a", &[])], "links[0].policy.metrics"),
            (vec![link("a", &[77])], "links[0].policy.metrics[0]"),
            (vec![api::MeasuredLink { policy: None, ..link("a", &[]) }], "links[0].policy.metrics"),
        ] {
            assert_eq!(fields(&read(links).unwrap_err()), [field]);
        }
    }

    #[test]
    fn everything_wrong_is_told_at_once() {
        let status = port(Some(api::Port::default()), "br-sps").unwrap_err();
        assert_eq!(fields(&status), ["port.interface_name", "port.attachment"]);
    }
}
