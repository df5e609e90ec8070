//! From rows to domain objects. The schema lets in only what the domain can hold, so a failure here
//! means that somebody else has written to the tables.

use std::net::IpAddr;

use ipnet::IpNet;
use l2sces_model::{Name, Vni};
use sqlx::FromRow;

use super::StoreError;
use crate::domain::{
    ClusterLink, Endpoint, EndpointKey, Gateway, GatewayKey, Identity, Network, NetworkKey, Slice,
    StoredEndpoint, StoredGateway, StoredNetwork, StoredSlice, Version,
};

pub(super) fn name(text: &str) -> Result<Name, StoreError> {
    text.parse().map_err(|_| StoreError::Corrupt("a name is no DNS label"))
}

pub(super) fn texts(names: &[Name]) -> Vec<&str> {
    names.iter().map(Name::as_str).collect()
}

fn names(texts: &[String]) -> Result<Vec<Name>, StoreError> {
    texts.iter().map(|text| name(text)).collect()
}

/// Joins two columns that were aggregated side by side.
pub(super) fn gateway_keys(
    clusters: &[String],
    nodes: &[String],
) -> Result<Vec<GatewayKey>, StoreError> {
    clusters
        .iter()
        .zip(nodes)
        .map(|(cluster, node)| Ok(GatewayKey { cluster: name(cluster)?, node: name(node)? }))
        .collect()
}

pub(super) fn vni(number: i32) -> Result<Vni, StoreError> {
    u32::try_from(number)
        .ok()
        .and_then(|number| Vni::try_from(number).ok())
        .ok_or(StoreError::Corrupt("a VNI is out of range"))
}

fn ordinal(number: i32) -> Result<u16, StoreError> {
    u16::try_from(number).map_err(|_| StoreError::Corrupt("an ordinal is out of range"))
}

#[derive(FromRow)]
pub(super) struct GatewayRow {
    cluster: String,
    node: String,
    uid: String,
    generation: i64,
    ordinal: i32,
    agent_endpoint: String,
    underlay_address: IpAddr,
    deleting: bool,
}

impl TryFrom<GatewayRow> for StoredGateway {
    type Error = StoreError;

    fn try_from(row: GatewayRow) -> Result<Self, StoreError> {
        Ok(Self {
            gateway: Gateway {
                key: GatewayKey { cluster: name(&row.cluster)?, node: name(&row.node)? },
                version: Version { uid: row.uid, generation: row.generation },
                agent_endpoint: row.agent_endpoint,
                underlay_address: row.underlay_address,
            },
            ordinal: ordinal(row.ordinal)?,
            deleting: row.deleting,
        })
    }
}

#[derive(FromRow)]
pub(super) struct SliceRow {
    name: String,
    uid: String,
    generation: i64,
    ordinal: i32,
    clusters: Vec<String>,
    gateway_clusters: Vec<String>,
    gateway_nodes: Vec<String>,
    links_a: Vec<String>,
    links_b: Vec<String>,
    deleting: bool,
}

impl TryFrom<SliceRow> for StoredSlice {
    type Error = StoreError;

    fn try_from(row: SliceRow) -> Result<Self, StoreError> {
        let links = row
            .links_a
            .iter()
            .zip(&row.links_b)
            .map(|(a, b)| {
                ClusterLink::between(name(a)?, name(b)?)
                    .ok_or(StoreError::Corrupt("a link has one end"))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            slice: Slice {
                name: name(&row.name)?,
                version: Version { uid: row.uid, generation: row.generation },
                clusters: names(&row.clusters)?,
                gateways: gateway_keys(&row.gateway_clusters, &row.gateway_nodes)?,
                links,
            },
            ordinal: ordinal(row.ordinal)?,
            deleting: row.deleting,
        })
    }
}

#[derive(FromRow)]
pub(super) struct NetworkRow {
    slice: String,
    name: String,
    uid: String,
    generation: i64,
    vni: i32,
    mtu: i32,
    clusters: Vec<String>,
    cidr: Option<IpNet>,
    deleting: bool,
    gateway_clusters: Vec<String>,
    gateway_nodes: Vec<String>,
}

impl TryFrom<NetworkRow> for StoredNetwork {
    type Error = StoreError;

    fn try_from(row: NetworkRow) -> Result<Self, StoreError> {
        Ok(Self {
            network: Network {
                key: NetworkKey { slice: name(&row.slice)?, name: name(&row.name)? },
                version: Version { uid: row.uid, generation: row.generation },
                clusters: names(&row.clusters)?,
                cidr: row.cidr,
            },
            identity: Identity {
                vni: vni(row.vni)?,
                mtu: u32::try_from(row.mtu)
                    .map_err(|_| StoreError::Corrupt("an MTU is negative"))?,
            },
            deleting: row.deleting,
            gateways: gateway_keys(&row.gateway_clusters, &row.gateway_nodes)?,
        })
    }
}

#[derive(FromRow)]
pub(super) struct EndpointRow {
    slice: String,
    network: String,
    cluster: String,
    port: String,
    mac: String,
    address: Option<IpAddr>,
    named: bool,
    deleting: bool,
}

impl TryFrom<EndpointRow> for StoredEndpoint {
    type Error = StoreError;

    fn try_from(row: EndpointRow) -> Result<Self, StoreError> {
        Ok(Self {
            endpoint: Endpoint {
                key: EndpointKey {
                    network: NetworkKey { slice: name(&row.slice)?, name: name(&row.network)? },
                    cluster: name(&row.cluster)?,
                    port: name(&row.port)?,
                },
                mac: row.mac.parse().map_err(|_| StoreError::Corrupt("a MAC address is none"))?,
                address: row.address,
            },
            named: row.named,
            deleting: row.deleting,
        })
    }
}
