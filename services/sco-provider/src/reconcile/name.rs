use l2sces_trace::TraceContext;

use super::{ReconcileError, Reconciler};
use crate::{
    domain::{EndpointKey, Key},
    downstream::{Agents, Fabric, NameRecord, Names},
};

impl<F: Fabric, A: Agents, N: Names> Reconciler<F, A, N> {
    /// Brings the DNS record of an endpoint about. Whether the DNS may have one is stored before it
    /// is asked to make it, so that none is left behind.
    pub(super) async fn reconcile_name(&self, key: &EndpointKey) -> Result<(), ReconcileError> {
        let Some(stored) = self.store.endpoint(key).await? else {
            self.records.remove(key);
            return Ok(());
        };
        TraceContext::link_current(stored.origin);
        match stored.endpoint.address {
            Some(address) if !stored.deleting => {
                let wanted = NameRecord { address, alias: stored.endpoint.alias };
                if self.records.get(key).as_ref() == Some(&wanted) {
                    return Ok(());
                }
                // What the DNS has is not known until it answers.
                self.records.remove(key);
                self.names.apply_record(key, &wanted).await.map_err(ReconcileError::Names)?;
                self.records.insert(key, wanted);
                Ok(())
            }
            _ if stored.named => {
                self.records.remove(key);
                self.names.delete_record(key).await.map_err(ReconcileError::Names)?;
                self.store.unname_endpoint(key).await?;
                self.queues.wake(Key::Endpoint(key.clone()));
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
