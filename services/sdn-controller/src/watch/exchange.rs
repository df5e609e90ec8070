//! Follows what the sco-provider says of the other clusters.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use futures::{StreamExt, stream};
use l2sces_model::{InterfaceName, MacAddress, Name, SPS_TRUNK_INTERFACE, Vni};
use l2sces_proto::{
    resource::v1::ChangeKind,
    sco::v1::{
        EndpointKey as ProtoEndpointKey, NetworkKey as ProtoNetworkKey, WatchClusterResponse,
        watch_cluster_response::Change,
    },
};
use l2sces_reconcile::Queue;
use thiserror::Error;
use tonic::Status;

use super::directory::{Directory, EndpointKey, Step};
use crate::{
    board::Board,
    domain::{Key, NetworkKey},
    exchange::Exchange,
    fabric::Fabric,
};

/// Changes taken in at once, and steps carried out at once.
const BATCH: usize = 256;

/// What is known of the connection to the sco-provider, and of what it made possible.
#[derive(Default)]
pub(crate) struct Uplink {
    fault: Mutex<Option<String>>,
    complete: AtomicBool,
}

impl Uplink {
    /// Why the sco-provider cannot be reached, if that is known: then there is no use in calling
    /// it, and what depends on it is woken when it is back.
    pub(crate) fn fault(&self) -> Option<String> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the engine knows all that is wanted. Before that it touches no switch, so that no
    /// deletion can be completed.
    pub(crate) fn is_complete(&self) -> bool {
        self.complete.load(Ordering::Acquire)
    }

    pub(crate) fn set_fault(&self, fault: Option<String>) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    pub(crate) fn set_complete(&self) {
        self.complete.store(true, Ordering::Release);
    }
}

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

    /// Steps about different things may be carried out in any order, and at once.
    async fn carry_out(&self, steps: Vec<Step>) {
        stream::iter(steps)
            .for_each_concurrent(BATCH, |step| async move {
                match step {
                    Step::PutHandoff(port) => self.fabric.put_port(port).await,
                    Step::RemoveHandoff(id) => self.fabric.remove_port(id).await,
                    Step::PutEndpoint(endpoint) => self.fabric.put_endpoint(endpoint).await,
                    Step::RemoveEndpoint(vni, mac) => self.fabric.remove_endpoint(vni, mac).await,
                }
            })
            .await;
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
        Change::Handoff(handoff) => {
            let network = network_key(handoff.network)?;
            if put {
                let node = parsed("handoff.node", handoff.node.parse())?;
                let vni = parsed("handoff.vni", Vni::try_from(handoff.vni))?;
                directory.put_handoff(network, vni, node);
            } else {
                directory.remove_handoff(&network, handoff.node.parse().ok().as_ref());
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
