//! From rows to domain objects. The schema lets in only what the domain can hold, so a failure here
//! means that somebody else has written to the tables.

use std::{net::IpAddr, num::NonZeroU32};

use ipnet::IpNet;
use l2sces_measurement::Policy;
use l2sces_model::{Epoch, MacAddress, Name, Vni};
use l2sces_trace::TraceContext;
use sqlx::FromRow;

use super::StoreError;
use crate::domain::{
    ClusterEnd, ClusterLink, Endpoint, EndpointKey, Gateway, GatewayKey, Identity, Leaving,
    Network, NetworkKey, Slice, StoredEndpoint, StoredGateway, StoredNetwork, StoredSlice, Version,
    plan::{Plan, Succession},
};

pub(super) fn name(text: &str) -> Result<Name, StoreError> {
    text.parse().map_err(|_| StoreError::Corrupt("a name is no DNS label"))
}

pub(super) fn texts<'names>(names: impl IntoIterator<Item = &'names Name>) -> Vec<&'names str> {
    names.into_iter().map(Name::as_str).collect()
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

fn mac(text: &str) -> Result<MacAddress, StoreError> {
    text.parse().map_err(|_| StoreError::Corrupt("a MAC address is none"))
}

/// What is stored as the learned address of an endpoint that is a port itself.
const NOT_LEARNED: MacAddress = MacAddress::new([0; 6]);

/// The column of a key that says which address was learned.
pub(super) fn learned_mac(key: &EndpointKey) -> String {
    key.learned.unwrap_or(NOT_LEARNED).to_string()
}

fn learned(text: &str) -> Result<Option<MacAddress>, StoreError> {
    Ok(Some(mac(text)?).filter(|mac| *mac != NOT_LEARNED))
}

/// The span in which an object is changed now.
pub(super) fn traceparent() -> String {
    TraceContext::traceparent(TraceContext::current())
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
    forced: bool,
    traceparent: String,
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
            forced: row.deleting && row.forced,
            origin: TraceContext::received(&row.traceparent),
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
    gateways_leaving: Vec<bool>,
    topology_version: i64,
    links_a: Vec<String>,
    nodes_a: Vec<String>,
    links_b: Vec<String>,
    nodes_b: Vec<String>,
    costs: Vec<i64>,
    links_leaving: Vec<bool>,
    measurement: Option<Vec<u8>>,
    deleting: bool,
    traceparent: String,
}

impl SliceRow {
    fn links(&self) -> Result<Vec<ClusterLink>, StoreError> {
        let ends_a = self.links_a.iter().zip(&self.nodes_a);
        let ends_b = self.links_b.iter().zip(&self.nodes_b);
        ends_a
            .zip(ends_b)
            .zip(&self.costs)
            .map(|((a, b), cost)| {
                let cost = u32::try_from(*cost).ok().and_then(NonZeroU32::new);
                let cost = cost.ok_or(StoreError::Corrupt("a link's cost is out of range"))?;
                ClusterLink::between(link_end(a)?, link_end(b)?, cost)
                    .ok_or(StoreError::Corrupt("a link has one end"))
            })
            .collect()
    }
}

/// What is part of a slice, and what it has lost.
fn parted<T>(all: Vec<T>, leaving: &[bool]) -> (Vec<T>, Vec<T>) {
    let (own, lost): (Vec<_>, Vec<_>) = all.into_iter().zip(leaving).partition(|(_, is)| !**is);
    let bare = |pairs: Vec<(T, &bool)>| pairs.into_iter().map(|(thing, _)| thing).collect();
    (bare(own), bare(lost))
}

fn link_end((cluster, node): (&String, &String)) -> Result<ClusterEnd, StoreError> {
    let node = if node.is_empty() { None } else { Some(name(node)?) };
    Ok(ClusterEnd { cluster: name(cluster)?, node })
}

impl TryFrom<SliceRow> for StoredSlice {
    type Error = StoreError;

    fn try_from(row: SliceRow) -> Result<Self, StoreError> {
        let (links, lost_links) = parted(row.links()?, &row.links_leaving);
        let gateways = gateway_keys(&row.gateway_clusters, &row.gateway_nodes)?;
        let (gateways, lost_gateways) = parted(gateways, &row.gateways_leaving);
        let measurement = row.measurement.as_deref().map(Policy::decode).transpose();
        let measurement =
            measurement.map_err(|_| StoreError::Corrupt("a slice's measurement is no policy"))?;
        Ok(Self {
            slice: Slice {
                name: name(&row.name)?,
                version: Version { uid: row.uid, generation: row.generation },
                clusters: names(&row.clusters)?,
                gateways,
                links,
                measurement,
            },
            leaving: Leaving { gateways: lost_gateways, links: lost_links },
            ordinal: ordinal(row.ordinal)?,
            topology_version: row.topology_version,
            deleting: row.deleting,
            origin: TraceContext::received(&row.traceparent),
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
    topology_version: i64,
    epoch: i16,
    planned_for: Option<i64>,
    gate_clusters: Vec<String>,
    gate_nodes: Vec<String>,
    gate_segments: Vec<Option<i32>>,
    gate_parts: Vec<i32>,
    former_epoch: Option<i16>,
    former_is_current: bool,
    former_clusters: Vec<String>,
    former_nodes: Vec<String>,
    former_segments: Vec<i32>,
    traceparent: String,
}

impl NetworkRow {
    fn plans(&self) -> Result<Succession, StoreError> {
        let former = self.former_epoch.map(|number| {
            let gateways = gateway_keys(&self.former_clusters, &self.former_nodes)?;
            let gates = gateways.into_iter().zip(&self.former_segments);
            let gates = gates.map(|(gateway, segment)| Ok((gateway, segment_number(*segment)?)));
            let gates = gates.collect::<Result<_, StoreError>>()?;
            Ok::<_, StoreError>((epoch(number)?, gates, self.former_is_current))
        });
        Ok(Succession::restored(self.plan()?, former.transpose()?))
    }

    fn plan(&self) -> Result<Plan, StoreError> {
        let gateways = gateway_keys(&self.gate_clusters, &self.gate_nodes)?;
        let gates = gateways.into_iter().zip(&self.gate_segments).zip(&self.gate_parts);
        let gates: Vec<_> = gates
            .map(|((gateway, segment), part)| {
                Ok((gateway, segment.map(segment_number).transpose()?, segment_number(*part)?))
            })
            .collect::<Result<_, StoreError>>()?;
        Ok(Plan::restored(epoch(self.epoch)?, gates))
    }
}

fn epoch(number: i16) -> Result<Epoch, StoreError> {
    let epoch = u8::try_from(number).ok().and_then(|number| number.try_into().ok());
    epoch.ok_or(StoreError::Corrupt("an epoch is out of range"))
}

fn segment_number(number: i32) -> Result<u16, StoreError> {
    u16::try_from(number).map_err(|_| StoreError::Corrupt("a segment is out of range"))
}

impl TryFrom<NetworkRow> for StoredNetwork {
    type Error = StoreError;

    fn try_from(row: NetworkRow) -> Result<Self, StoreError> {
        let plans = row.plans()?;
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
            plans,
            topology_version: row.topology_version,
            planned_for: row.planned_for,
            origin: TraceContext::received(&row.traceparent),
        })
    }
}

#[derive(FromRow)]
pub(super) struct EndpointRow {
    #[sqlx(flatten)]
    key: EndpointKeyRow,
    mac: String,
    address: Option<IpAddr>,
    alias: Option<String>,
    named: bool,
    deleting: bool,
    traceparent: String,
}

/// The columns of an endpoint's key.
#[derive(FromRow)]
pub(super) struct EndpointKeyRow {
    slice: String,
    network: String,
    cluster: String,
    port: String,
    learned_mac: String,
}

impl TryFrom<EndpointKeyRow> for EndpointKey {
    type Error = StoreError;

    fn try_from(row: EndpointKeyRow) -> Result<Self, StoreError> {
        Ok(Self {
            network: NetworkKey { slice: name(&row.slice)?, name: name(&row.network)? },
            cluster: name(&row.cluster)?,
            port: name(&row.port)?,
            learned: learned(&row.learned_mac)?,
        })
    }
}

impl TryFrom<EndpointRow> for StoredEndpoint {
    type Error = StoreError;

    fn try_from(row: EndpointRow) -> Result<Self, StoreError> {
        Ok(Self {
            endpoint: Endpoint {
                key: row.key.try_into()?,
                mac: mac(&row.mac)?,
                address: row.address,
                alias: row.alias.as_deref().map(name).transpose()?,
            },
            named: row.named,
            deleting: row.deleting,
            origin: TraceContext::received(&row.traceparent),
        })
    }
}
