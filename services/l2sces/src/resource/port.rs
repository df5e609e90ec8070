use l2sces_proto::{
    resource::v1::{Condition, ConditionStatus, Metadata},
    slice::v1::{
        AttachPortRequest, DetachPortRequest, GetPortRequest, ListPortsRequest,
        NamespaceAttachment, Port, PortSpec, WatchPortsRequest, port_spec::Attachment,
    },
};
use tokio_stream::StreamExt;
use tonic::Status;

use super::{
    Changes, DeleteOptions, Key, NO_METADATA, PAGE_SIZE, Page, Resource, Scope, WriteOptions,
    change, present,
};
use crate::{
    manifest::{Kind, Manifest},
    session::Api,
};

impl Resource for Port {
    const KIND: Kind = Kind::Port;
    const NAME_COLUMNS: &'static [&'static str] = &["SLICE", "NETWORK", "NAME"];
    const COLUMNS: &'static [&'static str] =
        &["CLUSTER", "NODE", "MAC", "ADDRESS", "LEARNED", "CONFLICT"];

    fn key(&self) -> Key {
        Key {
            slice: self.slice.clone(),
            network: self.network.clone(),
            name: self.metadata().name.clone(),
        }
    }

    fn metadata(&self) -> &Metadata {
        self.metadata.as_ref().unwrap_or(&NO_METADATA)
    }

    fn metadata_mut(&mut self) -> &mut Metadata {
        self.metadata.get_or_insert_default()
    }

    fn conditions(&self) -> &[Condition] {
        self.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default()
    }

    fn cells(&self) -> Vec<String> {
        let (spec, status) = (self.spec.as_ref(), self.status.as_ref());
        vec![
            spec.map(|spec| spec.cluster.clone()).unwrap_or_default(),
            spec.map(|spec| spec.node.clone()).unwrap_or_default(),
            status.map(|status| status.mac.clone()).unwrap_or_default(),
            status.map(|status| status.address.clone()).unwrap_or_default(),
            status.map(|status| status.learned_macs.join(",")).unwrap_or_default(),
            conflict(self.conditions()).to_owned(),
        ]
    }

    fn manifest(&self) -> Manifest {
        Manifest::Port(Box::new(self.clone().into()))
    }

    fn wants_the_same_as(&self, stored: &Self) -> bool {
        same_spec(self.spec.as_ref(), stored.spec.as_ref())
    }

    async fn create(api: &Api, resource: Self, options: WriteOptions) -> Result<Self, Status> {
        let request = AttachPortRequest {
            port: Some(resource),
            request_id: options.request_id,
            validate_only: options.validate_only,
        };
        present(api.networks.clone().attach_port(request).await?.into_inner().port)
    }

    async fn get(api: &Api, key: &Key) -> Result<Self, Status> {
        let request = GetPortRequest {
            slice: key.slice.clone(),
            network: key.network.clone(),
            name: key.name.clone(),
        };
        present(api.networks.clone().get_port(request).await?.into_inner().port)
    }

    async fn list(api: &Api, scope: &Scope, page_token: String) -> Result<Page<Self>, Status> {
        let request = ListPortsRequest {
            page_size: PAGE_SIZE,
            page_token,
            slice: scope.slice.clone(),
            network: scope.network.clone(),
        };
        let page = api.networks.clone().list_ports(request).await?.into_inner();
        Ok((page.ports, page.next_page_token))
    }

    async fn update(_: &Api, resource: Self, _: WriteOptions) -> Result<Self, Status> {
        Err(Status::failed_precondition(format!(
            "port {} exists, and a port cannot be changed: detach it, then attach it anew",
            resource.key()
        )))
    }

    async fn delete(api: &Api, key: &Key, options: DeleteOptions) -> Result<Self, Status> {
        let request = DetachPortRequest {
            slice: key.slice.clone(),
            network: key.network.clone(),
            name: key.name.clone(),
            etag: options.etag,
            request_id: options.write.request_id,
            validate_only: options.write.validate_only,
        };
        present(api.networks.clone().detach_port(request).await?.into_inner().port)
    }

    async fn watch(api: &Api, scope: &Scope, after_revision: i64) -> Result<Changes<Self>, Status> {
        let request = WatchPortsRequest {
            after_revision,
            slice: scope.slice.clone(),
            network: scope.network.clone(),
        };
        let responses = api.networks.clone().watch_ports(request).await?.into_inner();
        Ok(Box::pin(responses.map(|response| {
            let response = response?;
            change(response.kind(), response.port, response.revision)
        })))
    }
}

/// Which addresses are at two places, and where; empty: none.
fn conflict(conditions: &[Condition]) -> &str {
    let holds = |condition: &&Condition| {
        condition.r#type == "AddressConflict" && condition.status() == ConditionStatus::True
    };
    conditions.iter().find(holds).map_or("", |condition| &condition.message)
}

/// Whether a port that is stored so is as wanted; what is left open, the server may have chosen.
fn same_spec(wanted: Option<&PortSpec>, stored: Option<&PortSpec>) -> bool {
    let (Some(wanted), Some(stored)) = (wanted, stored) else { return wanted == stored };
    let open_or_same = |wanted: &str, stored: &str| wanted.is_empty() || wanted == stored;
    let same_attachment = match (&wanted.attachment, &stored.attachment) {
        (Some(Attachment::Namespace(wanted)), Some(Attachment::Namespace(stored))) => {
            wanted.path == stored.path && interface_name(wanted) == interface_name(stored)
        }
        (wanted, stored) => wanted == stored,
    };
    same_attachment
        && wanted.cluster == stored.cluster
        && wanted.node == stored.node
        && open_or_same(&wanted.mac, &stored.mac)
        && open_or_same(&wanted.address, &stored.address)
        && wanted.max_learned_addresses == stored.max_learned_addresses
}

/// The name in the namespace, by default that which the API says.
fn interface_name(attachment: &NamespaceAttachment) -> &str {
    if attachment.interface_name.is_empty() { "net1" } else { &attachment.interface_name }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(path: &str, interface_name: &str, mac: &str) -> Port {
        let namespace =
            NamespaceAttachment { path: path.into(), interface_name: interface_name.into() };
        let spec = PortSpec {
            attachment: Some(Attachment::Namespace(namespace)),
            mac: mac.into(),
            ..PortSpec::default()
        };
        Port { spec: Some(spec), ..Port::default() }
    }

    #[test]
    fn what_is_left_open_is_as_wanted_whatever_it_is() {
        let stored = port("/n", "net1", "02:00:00:00:00:01");
        assert!(port("/n", "", "").wants_the_same_as(&stored));
        assert!(port("/n", "net1", "02:00:00:00:00:01").wants_the_same_as(&stored));
        assert!(!port("/other", "", "").wants_the_same_as(&stored));
        assert!(!port("/n", "eth1", "").wants_the_same_as(&stored));
        assert!(!port("/n", "", "02:00:00:00:00:02").wants_the_same_as(&stored));
        let mut learning = port("/n", "", "");
        learning.spec.as_mut().unwrap().max_learned_addresses = 1;
        assert!(!learning.wants_the_same_as(&stored));
    }

    #[test]
    fn a_port_shows_what_was_learned_behind_it_and_what_is_elsewhere_too() {
        let condition = |r#type: &str, status: ConditionStatus, message: &str| Condition {
            r#type: r#type.into(),
            status: status.into(),
            message: message.into(),
            ..Condition::default()
        };
        let mut port = port("/n", "", "");
        let status = port.status.get_or_insert_default();
        status.learned_macs = vec!["02:00:00:00:00:08".into(), "02:00:00:00:00:09".into()];
        let conflict = condition("AddressConflict", ConditionStatus::True, "at p and at q");
        status.conditions = vec![condition("Ready", ConditionStatus::True, ""), conflict];
        let cells = port.cells();
        assert_eq!(cells[4..], ["02:00:00:00:00:08,02:00:00:00:00:09", "at p and at q"]);
        let over = condition("AddressConflict", ConditionStatus::False, "");
        port.status.as_mut().unwrap().conditions = vec![over];
        assert_eq!(port.cells()[5], "");
    }
}
