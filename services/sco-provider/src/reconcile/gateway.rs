use std::{collections::BTreeMap, net::IpAddr};

use l2sces_controller::SwitchSpec;
use l2sces_model::{NED_TUNNEL_UDP_PORT, SPS_TRUNK_INTERFACE};
use l2sces_proto::switch::v1::{Switch, SwitchState, Trunk, TunnelLink};
use l2sces_trace::TraceContext;

use super::{ReconcileError, Reconciler};
use crate::{
    domain::{GatewayKey, Key, ObjectKey, StoredGateway, tunnel_interface},
    downstream::{Agents, Fabric, Names},
    status::{Fact, Problem},
};

/// What an agent has confirmed of its bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AppliedSwitch {
    /// Where its own ends of the tunnels are.
    pub(super) underlay_address: IpAddr,
    /// The gateways that it has tunnels to, and where those end.
    pub(super) peers: BTreeMap<GatewayKey, IpAddr>,
}

impl<F: Fabric, A: Agents, N: Names> Reconciler<F, A, N> {
    pub(super) async fn reconcile_gateway(
        &self,
        key: &GatewayKey,
    ) -> Result<Option<Problem>, ReconcileError> {
        let stored = self.store.gateway(key).await?;
        TraceContext::link_current(stored.as_ref().and_then(|stored| stored.origin));
        match stored {
            None => {
                self.forget_gateway(key);
                Ok(None)
            }
            Some(stored) if stored.deleting => self.remove_gateway(&stored).await,
            Some(stored) => self.make_gateway(&stored).await,
        }
    }

    /// Tells the engine and the watchers of a gateway.
    pub(super) async fn admit_gateway(&self, stored: &StoredGateway) {
        let key = &stored.gateway.key;
        let id = key.datapath_id();
        self.status.expect(
            &ObjectKey::Gateway(key.clone()),
            &stored.gateway.version,
            None,
            vec![Fact::Switch(id)],
        );
        let name = format!("br-ned of {key}");
        let (cluster, node) = (key.cluster.clone(), key.node.clone());
        let spec = SwitchSpec { id, ordinal: stored.ordinal, name, cluster, node };
        self.fabric.put_switch(spec).await;
    }

    async fn make_gateway(
        &self,
        stored: &StoredGateway,
    ) -> Result<Option<Problem>, ReconcileError> {
        let gateway = &stored.gateway;
        self.admit_gateway(stored).await;
        self.attendance.begin(&gateway.key, &gateway.agent_endpoint, &self.agents, &self.queues);
        let measured = self.store.measured_slices_of(&gateway.key).await?;
        self.measurements.set(gateway, &measured);
        let links = self.store.gateway_links(&gateway.key).await?;
        let wanted = self.switch(stored, &links.peers);
        let state = self
            .agents
            .apply_switch(&gateway.agent_endpoint, wanted)
            .await
            .map_err(ReconcileError::Agent)?;

        let applied =
            AppliedSwitch { underlay_address: gateway.underlay_address, peers: links.peers };
        let former = self.gateways.insert(&gateway.key, applied.clone());
        let moved =
            former.is_some_and(|former| former.underlay_address != applied.underlay_address);
        if moved {
            for peer in applied.peers.into_keys() {
                self.queues.wake(Key::Gateway(peer));
            }
        }
        // They wait for this bridge to lose their tunnels.
        for slice in links.deleting_slices {
            self.queues.wake(Key::Slice(slice));
        }
        Ok(tunnel_problem(&state))
    }

    fn switch(&self, stored: &StoredGateway, peers: &BTreeMap<GatewayKey, IpAddr>) -> Switch {
        let gateway = &stored.gateway;
        let links = peers
            .iter()
            .map(|(peer, address)| TunnelLink {
                interface_name: tunnel_interface(peer).to_string(),
                remote_address: address.to_string(),
                local_address: gateway.underlay_address.to_string(),
                udp_port: u32::from(NED_TUNNEL_UDP_PORT),
                bfd_interval_ms: self.bfd_interval_ms,
            })
            .collect();
        Switch {
            datapath_id: gateway.key.datapath_id().get(),
            controllers: self.controllers.clone(),
            links,
            trunk: Some(Trunk {
                interface_name: self.trunk.to_string(),
                peer_interface_name: SPS_TRUNK_INTERFACE.to_owned(),
            }),
        }
    }

    async fn remove_gateway(
        &self,
        stored: &StoredGateway,
    ) -> Result<Option<Problem>, ReconcileError> {
        let key = &stored.gateway.key;
        self.expect_gateway_gone(stored);
        self.attendance.begin(key, &stored.gateway.agent_endpoint, &self.agents, &self.queues);
        self.measurements.remove(key);
        match self.agents.delete_switch(&stored.gateway.agent_endpoint).await {
            Err(error) if stored.forced => {
                tracing::warn!(gateway = %key, %error, "gateway removed, its bridge left behind");
            }
            deleted => deleted.map_err(ReconcileError::Agent)?,
        }
        self.fabric.remove_switch(key.datapath_id()).await;
        if self.store.forget_gateway(key).await? {
            self.forget_gateway(key);
        } else {
            // It was wanted again meanwhile.
            self.queues.wake(Key::Gateway(key.clone()));
        }
        Ok(None)
    }

    /// Tells the watchers that a gateway is on its way out.
    pub(super) fn expect_gateway_gone(&self, stored: &StoredGateway) {
        let object = ObjectKey::Gateway(stored.gateway.key.clone());
        self.status.expect_gone(&object, &stored.gateway.version, None);
    }

    fn forget_gateway(&self, key: &GatewayKey) {
        self.attendance.end(key);
        self.measurements.remove(key);
        self.gateways.remove(key);
        self.health.forget_gateway(key.datapath_id());
        self.status.remove(&ObjectKey::Gateway(key.clone()));
    }
}

/// What Open vSwitch says against the tunnels, if anything.
fn tunnel_problem(state: &SwitchState) -> Option<Problem> {
    let broken = state.links.iter().find(|link| !link.error.is_empty())?;
    Some(Problem::new("TunnelFailed", format!("{}: {}", broken.interface_name, broken.error)))
}
