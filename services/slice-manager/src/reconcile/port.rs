use l2sces_model::Name;
use l2sces_proto::fabric::v1 as fabric;
use l2sces_reconcile::Outcome;
use l2sces_trace::TraceContext;

use super::{
    Failure, Worker,
    finding::{self, Part},
    parts::Wanted,
};
use crate::{
    domain::{Attachment, Condition, Finding, Key, Port, PortDetail, PortSpec, Stored, Truth},
    downstream::{ClusterBody, Given, ObjectKey, Target, Trouble, Version},
};

impl Worker {
    pub(super) async fn port(
        &self,
        key: &Key,
        slice: &Name,
        network: &Name,
        name: &Name,
    ) -> Result<Outcome, Failure> {
        let Some(port) = self.store.get::<Port>(key).await? else { return Ok(Outcome::Done) };
        TraceContext::link_current(port.meta.origin);
        let cluster = &port.spec.cluster;
        let remote = self.carrier(cluster).await?;
        let place = Target::Cluster(cluster.clone()).describe();
        let object =
            ObjectKey::Port { slice: slice.clone(), network: network.clone(), name: name.clone() };
        let network_key = Key::Network { slice: slice.clone(), name: network.clone() };
        if port.meta.is_deleting() {
            // No place has to be remembered: a port is in its cluster or nowhere.
            let gone = match remote {
                // With its cluster everything in it is gone.
                None => Ok(true),
                Some(Ok(remote)) => remote.delete(&object, false).await,
                Some(Err(trouble)) => Err(trouble),
            };
            self.removed(&port, gone, place, network_key).await?;
            return Ok(Outcome::Done);
        }
        let remote = remote.ok_or_else(|| Failure::Missing(Key::Cluster(cluster.clone())))?;
        // A port never changes.
        let version = Version { uid: port.meta.uid, generation: 1 };
        let wanted = Wanted {
            place,
            remote,
            key: object,
            body: ClusterBody::Port(body(key, &port.spec, &version)),
            version,
            needs: vec![ObjectKey::Network { slice: slice.clone(), name: network.clone() }],
        };
        let parts = self.apply(vec![wanted]).await;
        let detail = assignment(&parts, &port).unwrap_or_else(|| port.status.detail.clone());
        self.report_unless_on_its_way(&port, &parts, detail).await
    }

    async fn removed(
        &self,
        port: &Stored<Port>,
        gone: Result<bool, Trouble>,
        place: String,
        network: Key,
    ) -> Result<(), Failure> {
        let trouble = match gone {
            Ok(true) => return self.remove(&port.meta, Some(network)).await,
            Ok(false) => Trouble::Waiting("the port is still there".to_owned()),
            Err(trouble) => trouble,
        };
        let left = [Part { place, result: Err(trouble) }];
        self.report(port, finding::of_removal(&left), port.status.detail.clone()).await?;
        finding::refusal(&left).map_or(Ok(()), |refusal| Err(Failure::Refused(refusal)))
    }
}

fn body(key: &Key, spec: &PortSpec, version: &Version) -> fabric::Port {
    let attachment = match &spec.attachment {
        Attachment::Namespace { path, interface_name } => {
            fabric::port::Attachment::Namespace(fabric::NamespaceAttachment {
                path: path.clone(),
                interface_name: interface_name.to_string(),
                attachment_id: String::new(),
            })
        }
        Attachment::Interface { name } => {
            fabric::port::Attachment::Interface(fabric::InterfaceAttachment {
                name: name.to_string(),
            })
        }
    };
    fabric::Port {
        slice: key.slice().to_owned(),
        network: key.network().to_owned(),
        name: key.name().to_string(),
        version: Some(version.into()),
        node: spec.node.to_string(),
        attachment: Some(attachment),
        mac: spec.mac.map(|mac| mac.to_string()).unwrap_or_default(),
        address: spec.address.map(|address| address.to_string()).unwrap_or_default(),
        max_learned_addresses: spec.max_learned.into(),
        alias: String::new(),
    }
}

/// What the controller has given the port, and sees of it.
fn assignment(parts: &[Part], port: &Stored<Port>) -> Option<PortDetail> {
    parts.iter().find_map(|part| match &part.result {
        Ok(applied) => match &applied.state.given {
            Given::Port { mac, address, interface_name, learned_macs, conflicts } => {
                Some(PortDetail {
                    mac: mac.clone(),
                    address: address.clone(),
                    interface_name: interface_name.clone(),
                    learned_macs: learned_macs.clone(),
                    conflict: conflict(conflicts, port),
                })
            }
            Given::Nothing | Given::Network { .. } | Given::Pods { .. } => None,
        },
        Err(_) => None,
    })
}

/// The "AddressConflict" condition of a port, which it has from the first conflict on.
fn conflict(conflicts: &[String], port: &Stored<Port>) -> Option<Condition> {
    let before = port.status.detail.conflict.clone();
    if conflicts.is_empty() && before.is_none() {
        return None;
    }
    let found = if conflicts.is_empty() {
        Finding::not_ready("NoConflict", "")
    } else {
        Finding {
            status: Truth::True,
            reason: "AddressElsewhere".to_owned(),
            message: conflicts.join("; "),
        }
    };
    let now = chrono::Utc::now();
    let before = before.unwrap_or_else(|| Condition::pending(now));
    Some(before.followed_by(found, port.meta.generation, now))
}
