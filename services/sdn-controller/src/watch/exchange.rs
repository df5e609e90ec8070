//! Follows what the sco-provider says of the other clusters.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures::{StreamExt, future::join_all, stream};
use l2sces_controller::{EndpointSpec, NetworkSpec, PortId, PortSpec};
use l2sces_model::{Epoch, InterfaceName, MacAddress, Name, SPS_TRUNK_INTERFACE, Vni};
use l2sces_proto::{
    resource::v1::ChangeKind,
    sco::v1::{
        EndpointKey as ProtoEndpointKey, Gate as ProtoGate, Handoff as ProtoHandoff,
        NetworkKey as ProtoNetworkKey, WatchClusterResponse, watch_cluster_response::Change,
    },
};
use l2sces_reconcile::Queue;
use l2sces_trace::{Caused, TraceContext};
use prost::Message;
use thiserror::Error;
use tonic::Status;
use tracing::{Instrument, Span, info_span};

use super::{
    Uplink,
    directory::{Crossing, Directory, EndpointKey, Handoff, Step},
    unconfirmed::Unconfirmed,
};
use crate::{
    board::Board,
    domain::{Key, NetworkKey},
    exchange::Exchange,
    fabric::{Fabric, port_id},
    store::{ExchangeItems, Store, StoreError},
    trunks::Trunks,
};

/// Changes taken in at once, and steps carried out at once.
const BATCH: usize = 256;

/// Why a change cannot be understood.
#[derive(Debug, Error)]
enum ChangeError {
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error("{field} {error}")]
    Invalid { field: &'static str, error: String },
}

/// Why what was kept is of no use.
#[derive(Debug, Error)]
enum RecallError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("it is stored in another form: {0}")]
    Form(#[from] prost::DecodeError),
}

/// Follows the sco-provider and hands what it says to the fabric.
pub(crate) struct ExchangeWatch {
    pub(crate) cluster: Name,
    pub(crate) exchange: Arc<dyn Exchange>,
    pub(crate) fabric: Arc<dyn Fabric>,
    pub(crate) board: Arc<Board>,
    pub(crate) queue: Queue<Key>,
    pub(crate) uplink: Arc<Uplink>,
    pub(crate) store: Store,
    pub(crate) trunks: Arc<Trunks>,
}

impl ExchangeWatch {
    /// Runs for ever. To be started when everything else that is stored has been put into the
    /// fabric, which is said to be complete with what the sco-provider said before the start, or
    /// with its first SYNCED.
    ///
    /// # Errors
    /// The name of the trunk is no interface name, which is a mistake in the code.
    pub(crate) async fn run(self) -> Result<(), l2sces_model::InterfaceNameError> {
        let trunk: InterfaceName = SPS_TRUNK_INTERFACE.parse()?;
        let mut directory = Directory::new(self.cluster.clone(), trunk);
        if let Err(error) = self.recall(&mut directory).await {
            tracing::warn!(%error, "what the sco-provider said last cannot be recalled");
        }
        let mut pauses = super::pauses();
        loop {
            let fault = self.follow(&mut directory).await;
            if self.uplink.fault().is_none() {
                tracing::warn!(%fault, "sco-provider lost");
                pauses = super::pauses();
            }
            self.uplink.set_fault(Some(fault));
            if let Some(pause) = pauses.next() {
                tokio::time::sleep(pause).await;
            }
        }
    }

    /// Hands to the fabric what the sco-provider said before the start.
    async fn recall(&self, directory: &mut Directory) -> Result<(), RecallError> {
        let Some(items) = self.store.exchange_items().await? else { return Ok(()) };
        tracing::info!(items = items.len(), "the sco-provider's last word recalled");
        for item in items {
            take_in(directory, WatchClusterResponse::decode(&item[..])?);
        }
        self.carry_out(directory.steps()).await;
        self.restore_unannounced().await;
        self.complete().await;
        Ok(())
    }

    /// Follows one connection until it ends; answers why it did.
    async fn follow(&self, directory: &mut Directory) -> String {
        let watch = match self.store.begin_exchange_watch().await {
            Ok(watch) => watch,
            Err(error) => return error.to_string(),
        };
        let changes = match self.exchange.watch_cluster().await {
            Ok(stream) => stream,
            Err(status) => return said(&status),
        };
        directory.begin();
        let mut batches = changes.ready_chunks(BATCH);
        let mut unconfirmed = Unconfirmed::default();
        let mut has_synced = false;
        loop {
            if has_synced && let Err(status) = self.confirm(&mut unconfirmed).await {
                return said(&status);
            }
            let batch = tokio::select! {
                batch = batches.next() => batch,
                () = self.trunks.changed(), if !unconfirmed.is_empty() => continue,
            };
            let Some(batch) = batch else { return "the watch ended".to_owned() };
            let mut synced = false;
            let mut fault = None;
            let mut items = ExchangeItems::new();
            for response in batch {
                match response {
                    Ok(response) if response.kind() == ChangeKind::Synced => {
                        directory.synced();
                        synced = true;
                    }
                    Ok(mut response) => {
                        let cause = std::mem::take(&mut response.traceparent);
                        items.extend(item(&response));
                        unconfirmed.note(&response);
                        TraceContext::within(TraceContext::received(&cause), || {
                            take_in(directory, response);
                        });
                    }
                    Err(status) => fault = Some(said(&status)),
                }
            }
            // Switches do not wait for the database; if it is away, a new watch tells all again.
            let keep = self.store.keep_exchange_items(watch, items, synced);
            let (kept, ()) = tokio::join!(keep, self.carry_out(directory.steps()));
            if let Err(error) = kept {
                return error.to_string();
            }
            if synced {
                has_synced = true;
                self.synced().await;
            }
            if let Some(fault) = fault {
                return fault;
            }
        }
    }

    /// Says which handoffs with two plans the switches follow: frames pass their trunks.
    async fn confirm(&self, unconfirmed: &mut Unconfirmed) -> Result<(), Status> {
        let followed = unconfirmed.take_if(|trunk| self.trunks.is_ready(trunk));
        if followed.is_empty() { Ok(()) } else { self.exchange.confirm_handoffs(followed).await }
    }

    /// All at once: the steps are about different things.
    async fn carry_out(&self, steps: Vec<Caused<Step>>) {
        stream::iter(steps)
            .for_each_concurrent(BATCH, |Caused { what: step, cause }| {
                let span = step_span(&step, cause);
                self.carry_out_one(step).instrument(span)
            })
            .await;
    }

    async fn carry_out_one(&self, step: Step) {
        match step {
            Step::Handoff { network, spec, current, others, removed } => {
                self.change_trunks(network, spec, [current, others], removed).await;
            }
            Step::PutEndpoint(endpoint) => self.put_endpoint(endpoint).await,
            Step::RemoveEndpoint(vni, mac) => self.fabric.remove_endpoint(vni, mac).await,
        }
    }

    /// An address that was learned here has moved away then, and if it is seen here again, that is
    /// to be announced like any other.
    async fn put_endpoint(&self, endpoint: EndpointSpec) {
        let (vni, mac) = (endpoint.vni, endpoint.mac);
        let Some(port) = self.board.move_away(vni, mac) else {
            return self.fabric.put_endpoint(endpoint).await;
        };
        if let Err(error) = self.store.forget_learned(&port, mac).await {
            tracing::warn!(%error, %port, %mac, "an address that has moved away cannot be forgotten");
        }
        self.fabric.put_endpoint(endpoint).await;
        self.queue.wake(Key::Port(port));
    }

    /// What comes is there before anything goes. Frames of each plan go by its own trunks, so that
    /// it does no harm if there are those of two.
    async fn change_trunks(
        &self,
        network: NetworkKey,
        spec: Option<NetworkSpec>,
        put: [Vec<PortSpec>; 2],
        removed: Vec<PortId>,
    ) {
        let is_news = self.uplink.set_carried(&network, spec.as_ref().map(|spec| spec.vni));
        if let Some(spec) = spec {
            // The network's own worker may have removed it a moment ago, and then puts it again.
            self.fabric.put_network(spec).await;
        }
        for trunks in put {
            join_all(trunks.into_iter().map(|port| self.fabric.put_port(port))).await;
        }
        join_all(removed.into_iter().map(|id| self.fabric.remove_port(id))).await;
        if is_news {
            self.queue.wake(Key::Network(network));
        }
    }

    /// Everything that is wanted has been put.
    async fn complete(&self) {
        if !self.uplink.is_complete() {
            self.fabric.set_complete().await;
            self.uplink.set_complete();
            // Deletions have waited for this.
            self.board.keys().into_iter().for_each(|key| self.queue.wake(key));
        }
    }

    /// Puts the learned addresses that the sco-provider has not been told of: what it said of them
    /// is older, so that they are put after it.
    async fn restore_unannounced(&self) {
        match self.store.learned_macs(false).await {
            Ok(learned) => {
                for (key, addresses) in learned {
                    self.fabric.put_learned(port_id(&key), addresses).await;
                }
            }
            // They are learned again from their next frames.
            Err(error) => tracing::warn!(%error, "learned addresses cannot be recalled"),
        }
    }

    async fn synced(&self) {
        tracing::info!("sco-provider connected");
        if !self.uplink.is_complete() {
            // Before it is followed, when it is told of none: one that was told of in between would be
            // left out.
            self.restore_unannounced().await;
        }
        self.uplink.set_fault(None);
        self.complete().await;
        for key in self.board.unannounced_ports() {
            self.queue.wake(Key::Port(key));
        }
    }
}

/// What of a change is kept, and under which key; nothing of one that says nothing.
fn item(response: &WatchClusterResponse) -> Option<(String, Option<Vec<u8>>)> {
    let key = match response.change.as_ref()? {
        Change::Handoff(handoff) => {
            let key = handoff.network.as_ref()?;
            format!("handoff/{}/{}", key.slice, key.name)
        }
        Change::Endpoint(remote) => {
            let key = remote.endpoint.as_ref()?.key.as_ref()?;
            let port = format!("{}/{}/{}/{}", key.slice, key.network, key.cluster, key.port);
            // As it has always been, of what a former version of this program has kept.
            let learned = if key.learned_mac.is_empty() { "" } else { "/" };
            format!("endpoint/{port}{learned}{}", key.learned_mac)
        }
    };
    let is_put = response.kind() == ChangeKind::Put;
    Some((key, is_put.then(|| response.encode_to_vec())))
}

/// The span of a step that follows from one of the sco-provider's. What it tells when a watch begins
/// follows from nothing, and is too much for a span each.
fn step_span(step: &Step, cause: Option<TraceContext>) -> Span {
    if cause.is_none() {
        return Span::none();
    }
    let span = match step {
        Step::Handoff { network, .. } => {
            info_span!(parent: None, "change handoff", otel.kind = "consumer", %network)
        }
        Step::PutEndpoint(EndpointSpec { vni, mac, .. }) | Step::RemoveEndpoint(vni, mac) => {
            info_span!(parent: None, "change endpoint", otel.kind = "consumer", %vni, %mac)
        }
    };
    TraceContext::set_parent(cause, &span);
    span
}

fn take_in(directory: &mut Directory, response: WatchClusterResponse) {
    if let Err(error) = try_take_in(directory, response) {
        tracing::error!(%error, "the sco-provider says something that cannot be understood");
    }
}

fn try_take_in(
    directory: &mut Directory,
    response: WatchClusterResponse,
) -> Result<(), ChangeError> {
    let put = response.kind() == ChangeKind::Put;
    match response.change.ok_or(ChangeError::Missing("change"))? {
        Change::Handoff(message) => {
            let network = network_key(message.network.clone())?;
            if put {
                directory.put_handoff(network, handoff(&message)?);
            } else {
                directory.remove_handoff(&network);
            }
        }
        Change::Endpoint(remote) => {
            let endpoint = remote.endpoint.ok_or(ChangeError::Missing("endpoint"))?;
            let key = endpoint_key(endpoint.key)?;
            if put {
                let vni = parsed("endpoint.vni", Vni::try_from(remote.vni))?;
                let mac = parsed("endpoint.mac", MacAddress::parse_unicast(&endpoint.mac))?;
                directory.put_endpoint(key, vni, mac);
            } else {
                directory.remove_endpoint(&key);
            }
        }
    }
    Ok(())
}

fn handoff(message: &ProtoHandoff) -> Result<Handoff, ChangeError> {
    let other = message.other.as_ref();
    Ok(Handoff {
        vni: parsed("handoff.vni", Vni::try_from(message.vni))?,
        current: crossing(message.epoch, &message.gates)?,
        other: other.map(|other| crossing(other.epoch, &other.gates)).transpose()?,
    })
}

fn crossing(epoch: u32, gates: &[ProtoGate]) -> Result<Crossing, ChangeError> {
    let epoch = u8::try_from(epoch).map_err(|error| error.to_string());
    let epoch = epoch.and_then(|epoch| Epoch::try_from(epoch).map_err(|error| error.to_string()));
    Ok(Crossing {
        epoch: parsed("handoff.epoch", epoch)?,
        gates: gates.iter().map(gate).collect::<Result<BTreeMap<_, _>, _>>()?,
    })
}

fn gate(message: &ProtoGate) -> Result<(Name, BTreeSet<Name>), ChangeError> {
    let clusters = message.clusters.iter().map(|text| parsed("gate.clusters", text.parse()));
    Ok((parsed("gate.node", message.node.parse())?, clusters.collect::<Result<_, _>>()?))
}

fn network_key(key: Option<ProtoNetworkKey>) -> Result<NetworkKey, ChangeError> {
    let key = key.ok_or(ChangeError::Missing("network"))?;
    Ok(NetworkKey {
        slice: parsed("network.slice", key.slice.parse())?,
        name: parsed("network.name", key.name.parse())?,
    })
}

fn endpoint_key(key: Option<ProtoEndpointKey>) -> Result<EndpointKey, ChangeError> {
    let key = key.ok_or(ChangeError::Missing("endpoint.key"))?;
    Ok(EndpointKey {
        network: NetworkKey {
            slice: parsed("endpoint.slice", key.slice.parse())?,
            name: parsed("endpoint.network", key.network.parse())?,
        },
        cluster: parsed("endpoint.cluster", key.cluster.parse())?,
        port: parsed("endpoint.port", key.port.parse())?,
        learned: match key.learned_mac.as_str() {
            "" => None,
            text => Some(parsed("endpoint.learned_mac", MacAddress::parse_unicast(text))?),
        },
    })
}

fn parsed<T, E: ToString>(field: &'static str, value: Result<T, E>) -> Result<T, ChangeError> {
    value.map_err(|error| ChangeError::Invalid { field, error: error.to_string() })
}

fn said(status: &Status) -> String {
    format!("{} ({:?})", status.message(), status.code())
}
