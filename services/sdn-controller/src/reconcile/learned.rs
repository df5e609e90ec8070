//! Addresses that the engine has learned behind ports: kept, and passed on to the other clusters.

use l2sces_model::{MacAddress, Name};
use l2sces_proto::sco::v1::{Endpoint, EndpointKey};

use super::{ReconcileError, Reconciler, port::endpoint_key};
use crate::{
    board::PortFacts,
    domain::{Key, Port, PortKey},
    store::UntoldMac,
};

impl Reconciler {
    /// Keeps what the engine has learned and forgotten behind a port, and then tells the
    /// sco-provider: so nothing that was announced is left behind by a restart.
    pub(super) async fn pass_on_learned(&self, port: &Port) -> Result<(), ReconcileError> {
        let Some(facts) = self.board.port_facts(&port.key) else { return Ok(()) };
        let Some(addresses) = facts.addresses else { return Ok(()) };
        if facts.told.as_ref() == Some(&addresses.learned) {
            return Ok(());
        }
        self.store.keep_learned(&port.key, &addresses.learned).await?;
        // When it does again, the port is woken.
        if !self.uplink.follows() {
            return Ok(());
        }
        let mut outcome = Ok(());
        for untold in self.store.untold_macs(&port.key).await? {
            match self.tell(&port.key, untold).await {
                Ok(()) => {
                    if untold.forgotten {
                        self.announce_anew(&port.key, untold.mac).await?;
                    }
                    self.store.note_told(&port.key, untold).await?;
                }
                // The others need not wait for it.
                Err(error) => outcome = Err(error),
            }
        }
        outcome?;
        self.board.change_port(&port.key, |now| {
            if now.doubts == facts.doubts {
                now.told = Some(addresses.learned);
            }
        });
        Ok(())
    }

    /// Has an address that was withdrawn for one port announced again by the one that it has moved
    /// to, if it has: the two are not told in order, and so the latter may have been overtaken.
    pub(super) async fn announce_anew(
        &self,
        former: &PortKey,
        mac: MacAddress,
    ) -> Result<(), ReconcileError> {
        let holder = self.board.learned_at(former.network_key(), mac);
        if let Some(holder) = holder.filter(|holder| holder != former) {
            self.store.note_doubt(&holder, mac).await?;
            self.board.change_port(&holder, PortFacts::doubt);
            self.queue.wake(Key::Port(holder));
        }
        Ok(())
    }

    async fn tell(&self, port: &PortKey, untold: UntoldMac) -> Result<(), ReconcileError> {
        let mac = untold.mac;
        let key = learned_key(&self.cluster, port, mac);
        let told = if untold.forgotten {
            self.exchange.delete_endpoint(key).await
        } else {
            let mac = mac.to_string();
            let endpoint = Endpoint { key: Some(key), mac, ..Endpoint::default() };
            self.exchange.apply_endpoint(endpoint).await
        };
        // If the address is somebody's who announced it, the engine hears of that as well, and
        // forgets it.
        told.map_err(|status| {
            ReconcileError::Exchange(format!("the learned address {mac}: {}", status.message()))
        })
    }
}

/// Names the endpoint that was learned behind a port.
pub(super) fn learned_key(cluster: &Name, port: &PortKey, mac: MacAddress) -> EndpointKey {
    EndpointKey { learned_mac: mac.to_string(), ..endpoint_key(cluster, port) }
}
