use std::collections::BTreeMap;

use super::Reconciler;
use crate::{fabric::port_id, store::StoreError};

impl Reconciler {
    /// Puts everything that is stored into the fabric, and wakes every object. What is being
    /// deleted is left out: its flows go when the fabric is complete, and then it is deleted.
    ///
    /// # Errors
    /// The store cannot be read.
    pub(crate) async fn load(&self) -> Result<(), StoreError> {
        for node in self.store.nodes().await? {
            self.board.put_node(&node);
            if !node.deleting {
                self.fabric.put_switch(self.switch_spec(&node)).await;
            }
        }
        for slice in self.store.slices().await? {
            self.board.put_slice(&slice);
            if !slice.deleting {
                self.fabric.put_slice(self.slice_in_use(&slice).await?).await;
            }
        }
        for network in self.store.networks().await? {
            self.board.put_network(&network);
            if !network.deleting {
                self.fabric.put_network(super::network::network_spec(&network)).await;
            }
        }
        let ports = self.store.ports().await?;
        for port in &ports {
            self.board.put_port(port);
            if !port.deleting {
                self.fabric.put_port(super::port::port_spec(port)).await;
            }
        }
        let mut learned = self.store.learned_macs(true).await?;
        for (key, addresses) in &learned {
            self.fabric.put_learned(port_id(key), addresses.clone()).await;
        }
        // Those of which the sco-provider has not been told follow what it said last.
        for (key, addresses) in self.store.learned_macs(false).await? {
            learned.entry(key).or_default().extend(addresses);
        }
        for (key, addresses) in learned {
            self.board.set_addresses(&key, addresses, &BTreeMap::new());
        }
        tracing::info!(ports = ports.len(), "state loaded");
        self.store.keys().await?.into_iter().for_each(|key| self.queue.wake(key));
        Ok(())
    }
}
