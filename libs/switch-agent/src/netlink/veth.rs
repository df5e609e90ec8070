use std::{fs, io, path::PathBuf};

use ipnet::IpNet;
use nix::libc;

use super::{
    Links, Namespace, NetlinkError,
    links::{Link, NewVeth},
};
use crate::{AgentError, NamespaceAttachment};

/// The node's end of the virtual Ethernet pairs that an agent makes.
pub(crate) struct Host {
    /// The node's interfaces.
    pub(crate) links: Links,
    /// Group by which the agent knows its own.
    pub(crate) group: u32,
    /// Whether frames are forwarded by the userspace datapath, which computes no checksums.
    pub(crate) software_checksums: bool,
    /// Where the kernel's parameters of the network are; those of the namespace of whoever reads.
    pub(crate) parameters: PathBuf,
}

/// Both ends of a virtual Ethernet pair.
pub(crate) struct Pair {
    pub(crate) host: Link,
    pod: Link,
}

impl Host {
    /// The agent's pair of this name, if its far end is in the namespace under the name wanted.
    ///
    /// # Errors
    /// The name on the node is somebody else's.
    pub(crate) async fn find_pair(
        &self,
        name: &str,
        wanted: &NamespaceAttachment,
        namespace: &Namespace,
    ) -> Result<Option<Pair>, AgentError> {
        let Some(host) = self.find_own(name).await? else { return Ok(None) };
        let pod = self.peer_in(&host, namespace).await?;
        Ok(pod.filter(|pod| pod.name == wanted.interface.as_str()).map(|pod| Pair { host, pod }))
    }

    /// Makes the pair, in the place of one that the agent made before.
    ///
    /// # Errors
    /// The name on the node or in the namespace is somebody else's.
    pub(crate) async fn remake_pair(
        &self,
        name: &str,
        wanted: &NamespaceAttachment,
        namespace: &Namespace,
    ) -> Result<Pair, AgentError> {
        if let Some(host) = self.find_own(name).await? {
            self.links.delete(&host).await?;
        }
        self.make_pair(name, wanted, namespace).await
    }

    /// Gives both ends what they are to have, where it differs; `forget` are addresses that the
    /// agent had set and that are no longer wanted.
    pub(crate) async fn configure(
        &self,
        pair: &Pair,
        wanted: &NamespaceAttachment,
        namespace: &Namespace,
        forget: &[IpNet],
    ) -> Result<(), NetlinkError> {
        self.links.set_mtu(&pair.host, wanted.mtu).await?;
        self.silence_ipv6(&pair.host.name)?;
        self.links.set_up(&pair.host).await?;
        self.configure_pod(namespace, &pair.pod, wanted, forget).await
    }

    /// The far end of a pair, if it is in this namespace. Numbers alone do not tell: each namespace
    /// counts for itself.
    async fn peer_in(
        &self,
        host: &Link,
        namespace: &Namespace,
    ) -> Result<Option<Link>, NetlinkError> {
        let (Some(peer), Some(id)) = (host.peer, host.peer_namespace) else { return Ok(None) };
        if self.links.id_of(namespace).await? != Some(id) {
            return Ok(None);
        }
        namespace.links.find_index(peer).await
    }

    async fn make_pair(
        &self,
        name: &str,
        wanted: &NamespaceAttachment,
        namespace: &Namespace,
    ) -> Result<Pair, AgentError> {
        let pod_name = wanted.interface.as_str();
        let taken = || AgentError::NameTaken {
            interface: pod_name.to_owned(),
            namespace: wanted.path.clone(),
        };
        if namespace.links.find(pod_name).await?.is_some() {
            return Err(taken());
        }
        let new = NewVeth {
            name,
            group: self.group,
            mtu: wanted.mtu,
            peer_namespace: namespace,
            peer_name: pod_name,
            peer_mac: wanted.mac,
        };
        match self.links.add_veth(new).await {
            Err(error) if error.number() == Some(libc::EEXIST) => return Err(taken()),
            result => result?,
        }
        let vanished = |name: &str| {
            NetlinkError::new(format!("find {name}"), io::Error::from_raw_os_error(libc::ENODEV))
        };
        let host = self.links.find(name).await?.ok_or_else(|| vanished(name))?;
        let pod = namespace.links.find(pod_name).await?.ok_or_else(|| vanished(pod_name))?;
        Ok(Pair { host, pod })
    }

    async fn configure_pod(
        &self,
        namespace: &Namespace,
        pod: &Link,
        wanted: &NamespaceAttachment,
        forget: &[IpNet],
    ) -> Result<(), NetlinkError> {
        let links = &namespace.links;
        if self.software_checksums {
            namespace.checksum_in_software(&pod.name)?;
        }
        links.set_mac(pod, wanted.mac).await?;
        links.set_mtu(pod, wanted.mtu).await?;
        for address in forget {
            links.remove_address(pod, *address).await?;
        }
        // Up before the address: the kernel puts routes only on what is up.
        links.set_up(pod).await?;
        if let Some(address) = wanted.address {
            links.add_address(pod, address).await?;
        }
        if let Some(loopback) = links.find("lo").await? {
            links.set_up(&loopback).await?;
        }
        Ok(())
    }

    /// The agent's interface of this name.
    ///
    /// # Errors
    /// There is one, but it is somebody else's.
    async fn find_own(&self, name: &str) -> Result<Option<Link>, AgentError> {
        match self.links.find(name).await? {
            Some(link) if !(link.is_veth && link.group == self.group) => {
                Err(AgentError::ForeignInterface {
                    name: name.to_owned(),
                    reason: "exists on this node, and this agent has not made it",
                })
            }
            found => Ok(found),
        }
    }

    /// Removes the pair of this name, if the agent made it.
    pub(crate) async fn remove(&self, name: &str) -> Result<(), NetlinkError> {
        match self.links.find(name).await? {
            Some(link) if link.is_veth && link.group == self.group => {
                self.links.delete(&link).await
            }
            _ => Ok(()),
        }
    }

    /// Removes all pairs that the agent made.
    pub(crate) async fn remove_all(&self) -> Result<(), NetlinkError> {
        for link in self.links.in_group(self.group).await? {
            if link.is_veth {
                self.links.delete(&link).await?;
            }
        }
        Ok(())
    }

    /// Keeps the node itself from talking on the interface: its router solicitations would reach
    /// the pod at the far end.
    pub(crate) fn silence_ipv6(&self, interface: &str) -> Result<(), NetlinkError> {
        let path = self.parameters.join(format!("ipv6/conf/{interface}/disable_ipv6"));
        match fs::read_to_string(&path).map(|value| value.trim() == "1") {
            Ok(true) => Ok(()),
            // A kernel without IPv6.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Ok(false) | Err(_) => fs::write(&path, "1")
                .map_err(|error| NetlinkError::new(format!("write {}", path.display()), error)),
        }
    }
}
