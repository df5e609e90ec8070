use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use futures::{StreamExt as _, TryStreamExt as _};
use ipnet::IpNet;
use l2sces_model::MacAddress;
use nix::libc;
use rtnetlink::{
    AddressMessageBuilder, Handle, LinkMessageBuilder, LinkUnspec,
    packet_core::{NLM_F_ACK, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload},
    packet_route::{
        RouteNetlinkMessage,
        address::{AddressAttribute, AddressHeaderFlags, AddressMessage},
        link::{InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage},
        nsid::{NsidAttribute, NsidMessage},
    },
};

use super::{Namespace, NetlinkError};

/// The network interfaces of one namespace.
#[derive(Clone)]
pub(crate) struct Links {
    handle: Handle,
}

/// A network interface.
#[derive(Clone, Debug, Default)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) group: u32,
    pub(crate) is_veth: bool,
    pub(crate) is_up: bool,
    pub(crate) mtu: u32,
    pub(crate) mac: Vec<u8>,
    /// Of a virtual Ethernet interface: the number of its far end, where that is.
    pub(crate) peer: Option<u32>,
    /// The identifier, in this namespace, of the namespace of its far end.
    pub(crate) peer_namespace: Option<i32>,
}

/// A virtual Ethernet pair to be made.
pub(crate) struct NewVeth<'a> {
    pub(crate) name: &'a str,
    pub(crate) group: u32,
    pub(crate) mtu: u32,
    pub(crate) peer_namespace: &'a Namespace,
    pub(crate) peer_name: &'a str,
    pub(crate) peer_mac: MacAddress,
}

impl Links {
    /// The interfaces of the calling thread's namespace, for as long as this lives.
    pub(crate) fn open() -> Result<Self, NetlinkError> {
        let (connection, handle, _unsolicited) = rtnetlink::new_connection()
            .map_err(|error| NetlinkError::new("open netlink", error))?;
        tokio::spawn(connection);
        Ok(Self { handle })
    }

    /// The interface of this name.
    pub(crate) async fn find(&self, name: &str) -> Result<Option<Link>, NetlinkError> {
        let request = self.handle.link().get().match_name(name).execute();
        one(request, || format!("read interface {name}")).await
    }

    /// The interface with this number.
    pub(crate) async fn find_index(&self, index: u32) -> Result<Option<Link>, NetlinkError> {
        let request = self.handle.link().get().match_index(index).execute();
        one(request, || format!("read interface number {index}")).await
    }

    /// All interfaces of a group.
    pub(crate) async fn in_group(&self, group: u32) -> Result<Vec<Link>, NetlinkError> {
        let links: Vec<_> = self
            .handle
            .link()
            .get()
            .execute()
            .map_ok(|message| Link::from(&message))
            .try_collect()
            .await
            .map_err(|error| failed("list interfaces", error))?;
        Ok(links.into_iter().filter(|link| link.group == group).collect())
    }

    /// Removes an interface, if it is still there.
    pub(crate) async fn delete(&self, link: &Link) -> Result<(), NetlinkError> {
        match self.handle.link().del(link.index).execute().await {
            Err(error) if errno(&error) == Some(libc::ENODEV) => Ok(()),
            result => result.map_err(|error| failed(format!("remove {}", link.name), error)),
        }
    }

    /// Makes a virtual Ethernet pair, both ends down. The kernel does it in one step, the far end
    /// in its namespace and under its name from the beginning: there is never half a pair.
    pub(crate) async fn add_veth(&self, new: NewVeth<'_>) -> Result<(), NetlinkError> {
        let peer = LinkMessageBuilder::<LinkUnspec>::new()
            .name(new.peer_name)
            .address(new.peer_mac.bytes().to_vec())
            .mtu(new.mtu)
            .setns_by_fd(new.peer_namespace.as_raw_fd())
            .build();
        let pair = LinkMessageBuilder::<LinkUnspec>::new_with_info_kind(InfoKind::Veth)
            .name(new.name)
            .link_group(new.group)
            .mtu(new.mtu)
            .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
            .build();
        let added = self.handle.link().add(pair).execute().await;
        added.map_err(|error| failed(format!("make {}", new.name), error))
    }

    /// Brings an interface up, if it is not.
    pub(crate) async fn set_up(&self, link: &Link) -> Result<(), NetlinkError> {
        if link.is_up {
            return Ok(());
        }
        self.change(link, LinkUnspec::new_with_index(link.index).up().build()).await
    }

    /// Sets an interface's MTU, if it is another.
    pub(crate) async fn set_mtu(&self, link: &Link, mtu: u32) -> Result<(), NetlinkError> {
        if link.mtu == mtu {
            return Ok(());
        }
        self.change(link, LinkUnspec::new_with_index(link.index).mtu(mtu).build()).await
    }

    /// Sets an interface's MAC address, if it is another.
    pub(crate) async fn set_mac(&self, link: &Link, mac: MacAddress) -> Result<(), NetlinkError> {
        if link.mac == mac.bytes() {
            return Ok(());
        }
        self.put_mac(link, mac).await
    }

    /// Sets an interface's MAC address, even if it is the same.
    pub(crate) async fn put_mac(&self, link: &Link, mac: MacAddress) -> Result<(), NetlinkError> {
        let mac = mac.bytes().to_vec();
        self.change(link, LinkUnspec::new_with_index(link.index).address(mac).build()).await
    }

    async fn change(&self, link: &Link, message: LinkMessage) -> Result<(), NetlinkError> {
        let changed = self.handle.link().change(message).execute().await;
        changed.map_err(|error| failed(format!("change {}", link.name), error))
    }

    /// Adds an address to an interface, if it does not have it. Usable at once: of IPv6 addresses,
    /// duplicates are not looked for, because the controller gives none twice.
    pub(crate) async fn add_address(&self, link: &Link, net: IpNet) -> Result<(), NetlinkError> {
        let mut request = self.handle.address().add(link.index, net.addr(), net.prefix_len());
        if net.addr().is_ipv6() {
            request.message_mut().header.flags = AddressHeaderFlags::Nodad;
        }
        match request.execute().await {
            Err(error) if errno(&error) == Some(libc::EEXIST) => Ok(()),
            result => result.map_err(|error| failed(format!("add {net} to {}", link.name), error)),
        }
    }

    /// Removes an address from an interface, if it has it.
    pub(crate) async fn remove_address(&self, link: &Link, net: IpNet) -> Result<(), NetlinkError> {
        match self.handle.address().del(address(link, net)).execute().await {
            Err(error) if errno(&error) == Some(libc::EADDRNOTAVAIL) => Ok(()),
            result => {
                result.map_err(|error| failed(format!("remove {net} from {}", link.name), error))
            }
        }
    }

    /// The addresses of an interface.
    pub(crate) async fn addresses(&self, link: &Link) -> Result<Vec<IpNet>, NetlinkError> {
        let request = self.handle.address().get().set_link_index_filter(link.index);
        request
            .execute()
            .try_filter_map(async |message| Ok(local_address(&message)))
            .try_collect()
            .await
            .map_err(|error| failed(format!("list the addresses of {}", link.name), error))
    }

    /// The identifier that this namespace has for another; `None`: no interface leads there.
    pub(crate) async fn id_of(&self, namespace: &Namespace) -> Result<Option<i32>, NetlinkError> {
        let mut message = NsidMessage::default();
        message.attributes.push(NsidAttribute::Fd(namespace.as_raw_fd().unsigned_abs()));
        let mut request = NetlinkMessage::from(RouteNetlinkMessage::GetNsId(message));
        request.header.flags = NLM_F_REQUEST | NLM_F_ACK;
        let doing = "identify a network namespace";
        let mut handle = self.handle.clone();
        let mut answers = handle.request(request).map_err(|error| failed(doing, error))?;
        let mut id = None;
        while let Some(answer) = answers.next().await {
            match answer.payload {
                NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewNsId(message)) => {
                    id = message.attributes.iter().find_map(|attribute| match attribute {
                        NsidAttribute::Id(id @ 0..) => Some(*id),
                        _ => None,
                    });
                }
                NetlinkPayload::Error(error) if error.code.is_some() => {
                    return Err(failed(doing, rtnetlink::Error::NetlinkError(error)));
                }
                _ => {}
            }
        }
        Ok(id)
    }
}

impl From<&LinkMessage> for Link {
    fn from(message: &LinkMessage) -> Self {
        let mut link = Self {
            index: message.header.index,
            is_up: message.header.flags.contains(LinkFlags::Up),
            ..Self::default()
        };
        for attribute in &message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => link.name.clone_from(name),
                LinkAttribute::Group(group) => link.group = *group,
                LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
                LinkAttribute::Address(mac) => link.mac.clone_from(mac),
                LinkAttribute::Link(peer) => link.peer = Some(*peer),
                LinkAttribute::LinkNetNsId(id) => link.peer_namespace = Some(*id),
                LinkAttribute::LinkInfo(infos) => {
                    link.is_veth = infos.contains(&LinkInfo::Kind(InfoKind::Veth));
                }
                _ => {}
            }
        }
        link
    }
}

/// The answer to a request for one interface.
async fn one(
    answer: impl futures::Stream<Item = Result<LinkMessage, rtnetlink::Error>>,
    doing: impl FnOnce() -> String,
) -> Result<Option<Link>, NetlinkError> {
    match std::pin::pin!(answer).try_next().await {
        Ok(message) => Ok(message.as_ref().map(Link::from)),
        Err(error) if errno(&error) == Some(libc::ENODEV) => Ok(None),
        Err(error) => Err(failed(doing(), error)),
    }
}

/// The address that a message is about: the interface's own, where there is one of a peer as well.
fn local_address(message: &AddressMessage) -> Option<IpNet> {
    let local = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(address) => Some(*address),
        _ => None,
    });
    let address = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Address(address) => Some(*address),
        _ => None,
    });
    IpNet::new(local.or(address)?, message.header.prefix_len).ok()
}

fn address(link: &Link, net: IpNet) -> AddressMessage {
    match net.addr() {
        IpAddr::V4(address) => AddressMessageBuilder::<Ipv4Addr>::new()
            .index(link.index)
            .address(address, net.prefix_len())
            .build(),
        IpAddr::V6(address) => AddressMessageBuilder::<Ipv6Addr>::new()
            .index(link.index)
            .address(address, net.prefix_len())
            .build(),
    }
}

/// The kernel's error number.
fn errno(error: &rtnetlink::Error) -> Option<i32> {
    match error {
        rtnetlink::Error::NetlinkError(message) => Some(message.raw_code().abs()),
        _ => None,
    }
}

fn failed(doing: impl Into<String>, error: rtnetlink::Error) -> NetlinkError {
    let source = match errno(&error) {
        Some(errno) => io::Error::from_raw_os_error(errno),
        None => io::Error::other(error),
    };
    NetlinkError::new(doing, source)
}
