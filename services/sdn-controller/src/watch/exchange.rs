//! Follows what the sco-provider says of the other clusters.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures::{StreamExt, future::join_all, stream};
use l2sces_controller::{NetworkSpec, PortId, PortSpec};
use l2sces_model::{Epoch, InterfaceName, MacAddress, Name, SPS_TRUNK_INTERFACE, Vni};
use l2sces_proto::{
    resource::v1::ChangeKind,
    sco::v1::{
        EndpointKey as ProtoEndpointKey, Gate as ProtoGate, Handoff as ProtoHandoff,
        NetworkKey as ProtoNetworkKey, WatchClusterResponse, watch_cluster_response::Change,
    },
};
use l2sces_reconcile::Queue;
use thiserror::Error;
use tonic::Status;

use super::{
    Uplink,
    directory::{Directory, EndpointKey, Handoff, Step},
};
use crate::{
    board::Board,
    domain::{Key, NetworkKey},
    exchange::Exchange,
    fabric::Fabric,
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

/// Follows the sco-provider and hands what it says to the fabric.
pub(crate) struct ExchangeWatch {
    pub(crate) cluster: Name,
    pub(crate) exchange: Arc<dyn Exchange>,
    pub(crate) fabric: Arc<dyn Fabric>,
    pub(crate) board: Arc<Board>,
    pub(crate) queue: Queue<Key>,
    pub(crate) uplink: Arc<Uplink>,
}

impl ExchangeWatch {
    /// Runs for ever. To be started when everything that is stored has been put into the fabric:
    /// with the first SYNCED the fabric is said to be complete.
    ///
    /// # Errors
    /// The name of the trunk is no interface name, which is a mistake in the code.
    pub(crate) async fn run(self) -> Result<(), l2sces_model::InterfaceNameError> {
        let trunk: InterfaceName = SPS_TRUNK_INTERFACE.parse()?;
        let mut directory = Directory::new(self.cluster.clone(), trunk);
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

    /// Follows one connection until it ends; answers why it did.
    async fn follow(&self, directory: &mut Directory) -> String {
        let changes = match self.exchange.watch_cluster().await {
            Ok(stream) => stream,
            Err(status) => return said(&status),
        };
        directory.begin();
        let mut batches = changes.ready_chunks(BATCH);
        while let Some(batch) = batches.next().await {
            let mut synced = false;
            let mut fault = None;
            for response in batch {
                match response {
                    Ok(response) if response.kind() == ChangeKind::Synced => {
                        directory.synced();
                        synced = true;
                    }
                    Ok(response) => take_in(directory, response),
                    Err(status) => fault = Some(said(&status)),
                }
            }
            self.carry_out(directory.steps()).await;
            if synced {
                self.synced().await;
            }
            if let Some(fault) = fault {
                return fault;
            }
        }
        "the watch ended".to_owned()
    }

    /// All at once: the steps are about different things.
    async fn carry_out(&self, steps: Vec<Step>) {
        stream::iter(steps)
            .for_each_concurrent(BATCH, |step| async move {
                match step {
                    Step::Handoff { network, spec, removed, put } => {
                        self.change_trunks(network, spec, removed, put).await;
                    }
                    Step::PutEndpoint(endpoint) => self.fabric.put_endpoint(endpoint).await,
                    Step::RemoveEndpoint(vni, mac) => self.fabric.remove_endpoint(vni, mac).await,
                }
            })
            .await;
    }

    /// What goes is gone before anything comes: never are there more trunks than a plan has.
    async fn change_trunks(
        &self,
        network: NetworkKey,
        spec: Option<NetworkSpec>,
        removed: Vec<PortId>,
        put: Vec<PortSpec>,
    ) {
        join_all(removed.into_iter().map(|id| self.fabric.remove_port(id))).await;
        let is_news = self.uplink.set_carried(&network, spec.as_ref().map(|spec| spec.vni));
        if let Some(spec) = spec {
            // The network's own worker may have removed it a moment ago, and then puts it again.
            self.fabric.put_network(spec).await;
        }
        join_all(put.into_iter().map(|port| self.fabric.put_port(port))).await;
        if is_news {
            self.queue.wake(Key::Network(network));
        }
    }

    async fn synced(&self) {
        tracing::info!("sco-provider connected");
        self.uplink.set_fault(None);
        if !self.uplink.is_complete() {
            self.fabric.set_complete().await;
            self.uplink.set_complete();
            // Deletions have waited for this.
            self.board.keys().into_iter().for_each(|key| self.queue.wake(key));
        }
        for key in self.board.unannounced_ports() {
            self.queue.wake(Key::Port(key));
        }
    }
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
    let epoch = u8::try_from(message.epoch).map_err(|error| error.to_string());
    let epoch = epoch.and_then(|epoch| Epoch::try_from(epoch).map_err(|error| error.to_string()));
    Ok(Handoff {
        vni: parsed("handoff.vni", Vni::try_from(message.vni))?,
        epoch: parsed("handoff.epoch", epoch)?,
        gates: message.gates.iter().map(gate).collect::<Result<BTreeMap<_, _>, _>>()?,
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
    })
}

fn parsed<T, E: ToString>(field: &'static str, value: Result<T, E>) -> Result<T, ChangeError> {
    value.map_err(|error| ChangeError::Invalid { field, error: error.to_string() })
}

fn said(status: &Status) -> String {
    format!("{} ({:?})", status.message(), status.code())
}
