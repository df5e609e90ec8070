//! From messages about members to domain objects, as in `parse`.

use std::collections::BTreeSet;

use l2sces_grpc::Violations;
use l2sces_proto::sco::v1 as proto;

use super::parse::{cidr, name, names, network_key, present, underlay_address, version};
use crate::domain::{NetworkMember, SliceMember, addressing};

pub(super) fn slice_member(
    violations: &mut Violations,
    message: Option<&proto::SliceMember>,
) -> Option<SliceMember> {
    let message = present(violations, "member", message)?;
    let slice = name(violations, "member.slice", &message.slice);
    let cluster = name(violations, "member.cluster", &message.cluster);
    let version = version(violations, "member.version", message.version.as_ref());
    let gateways = names(violations, "member.gateways", &message.gateways);
    let mut neighbors = BTreeSet::new();
    for (index, text) in message.neighbors.iter().enumerate() {
        let address =
            violations.check(&format!("member.neighbors[{index}]"), underlay_address(text));
        neighbors.extend(address);
    }
    Some(SliceMember {
        slice: slice?,
        cluster: cluster?,
        version: version?,
        gateways: gateways?,
        neighbors,
    })
}

pub(super) fn network_member(
    violations: &mut Violations,
    message: Option<&proto::NetworkMember>,
) -> Option<NetworkMember> {
    let message = present(violations, "member", message)?;
    let network = network_key(violations, "member.network", message.network.as_ref());
    let cluster = name(violations, "member.cluster", &message.cluster);
    let version = version(violations, "member.version", message.version.as_ref());
    let cidr = cidr(violations, "member.cidr", &message.cidr);
    let address_range = match (message.address_range.as_str(), cidr) {
        ("", _) | (_, None) => Some(None),
        (_, Some(None)) => {
            violations.add("member.address_range", "must be empty: the network has no addresses");
            None
        }
        (text, Some(Some(cidr))) => {
            violations.check("member.address_range", addressing::parse_range(cidr, text)).map(Some)
        }
    };
    Some(NetworkMember {
        network: network?,
        cluster: cluster?,
        version: version?,
        cidr: cidr?,
        address_range: address_range?,
    })
}
