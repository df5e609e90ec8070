//! Clusters that an operator looks after: what is wanted of them stands in custom resources, and how
//! it fares in their conditions.
//!
//! A slice becomes an `Overlay` and a `NetworkEdgeDevice` for each gateway, a network an `L2Network`.
//! Each carries, as annotations, the version that it was made for. Nothing is touched that does not
//! carry the slice-manager's label.

mod connect;
mod manifests;
mod observation;
mod watch;

use std::{fmt, sync::Arc, time::Duration};

use kube::{
    Api, Client, Resource,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use l2sces_custom_resources::{L2Network, NetworkEdgeDevice, Overlay, SLICE_MANAGER};
use tonic::Status;

pub(crate) use self::connect::authorities;
use self::{
    manifests::{Custom, is_of, selector},
    observation::{Acknowledged, Observation},
};
use super::{ClusterBody, ObjectKey, ObjectState, SlicePart, remote::StateStream};
use crate::{
    domain::{DriftPolicy, KubernetesServer},
    vault::Credentials,
};

/// Longest that the API server may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A cluster's API server, and the custom resources in it. Cheap to clone.
#[derive(Clone)]
pub struct KubernetesClient {
    client: Client,
    namespace: String,
    drift: DriftPolicy,
    /// Which specifications of resources are known to be as wanted, or not.
    acknowledged: Arc<Acknowledged>,
}

impl fmt::Debug for KubernetesClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KubernetesClient").field("namespace", &self.namespace).finish()
    }
}

impl KubernetesClient {
    /// The API of a server, for whom these credentials name.
    ///
    /// # Errors
    /// There can be no such connection: why not, for people.
    pub fn new(server: &KubernetesServer, credentials: Credentials) -> Result<Self, String> {
        Ok(Self {
            client: connect::client(server, credentials)?,
            namespace: server.namespace.to_string(),
            drift: server.drift,
            acknowledged: Arc::default(),
        })
    }

    fn api<K: Custom>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Makes custom resources of an object; how they fare.
    ///
    /// # Errors
    /// The API server refuses, or does not answer.
    pub(super) async fn apply(&self, body: ClusterBody) -> Result<ObjectState, Status> {
        match body {
            ClusterBody::Slice(part) => self.apply_slice(&part).await,
            ClusterBody::Network(network) => {
                let resource = manifests::network(&network);
                let observation = self.put(&network.slice, resource).await?;
                Ok(self.acknowledged.state([&observation].into_iter()))
            }
            ClusterBody::Node(_) | ClusterBody::Port(_) => {
                Err(Status::failed_precondition("the cluster's operator looks after these"))
            }
        }
    }

    async fn apply_slice(&self, part: &SlicePart) -> Result<ObjectState, Status> {
        let slice = &part.within.name;
        let mut observations = vec![self.put(slice, manifests::overlay(part)).await?];
        let gateways = manifests::gateways(part);
        let kept: Vec<_> = gateways.iter().filter_map(|ned| ned.metadata.name.clone()).collect();
        for gateway in gateways {
            observations.push(self.put(slice, gateway).await?);
        }
        for name in self.names_of::<NetworkEdgeDevice>(slice).await? {
            if !kept.contains(&name) {
                self.remove::<NetworkEdgeDevice>(&name).await?;
            }
        }
        Ok(self.acknowledged.state(observations.iter()))
    }

    /// Removes what was made of an object; whether nothing of it is left.
    ///
    /// # Errors
    /// The API server refuses, or does not answer.
    pub(super) async fn delete(&self, key: &ObjectKey) -> Result<bool, Status> {
        match key {
            ObjectKey::Slice(slice) => {
                let (slice, mut is_gone) = (slice.as_str(), true);
                for name in self.names_of::<NetworkEdgeDevice>(slice).await? {
                    is_gone &= self.remove::<NetworkEdgeDevice>(&name).await?;
                }
                for name in self.names_of::<Overlay>(slice).await? {
                    is_gone &= self.remove::<Overlay>(&name).await?;
                }
                Ok(is_gone)
            }
            ObjectKey::Network { slice, name } => {
                let found = answer(self.api::<L2Network>().get_opt(name.as_str())).await?;
                match found {
                    Some(found) if is_of(&found, slice.as_str()) => {
                        self.remove::<L2Network>(name.as_str()).await
                    }
                    _ => Ok(true),
                }
            }
            // It has none of these.
            ObjectKey::Node(_) | ObjectKey::Gateway { .. } | ObjectKey::Port { .. } => Ok(true),
        }
    }

    /// Begins to tell how objects fare.
    pub(super) fn watch(&self) -> StateStream {
        watch::states(self)
    }

    /// Makes a resource what it should be, unless it is another's, or others have changed it and that
    /// is only to be reported.
    async fn put<K: Custom>(&self, slice: &str, wanted: K) -> Result<Observation, Status> {
        let api = self.api::<K>();
        let name = wanted.meta().name.clone().unwrap_or_default();
        let found = answer(api.get_opt(&name)).await?;
        if let Some(found) = found.as_ref().filter(|found| !is_of(*found, slice)) {
            return Err(Status::failed_precondition(foreign(found)));
        }
        let patch = Patch::Apply(&wanted);
        let parameters = PatchParams::apply(SLICE_MANAGER).force();
        if let Some(found) = found
            && self.drift == DriftPolicy::Report
            && manifests::version(&found) == manifests::version(&wanted)
        {
            let as_wanted = answer(api.patch(&name, &parameters.dry_run(), &patch)).await?;
            let has_drifted = as_wanted.specification() != found.specification();
            return Ok(self.acknowledged.note(&found, has_drifted));
        }
        let applied = answer(api.patch(&name, &parameters, &patch)).await?;
        Ok(self.acknowledged.note(&applied, false))
    }

    async fn names_of<K: Custom>(&self, slice: &str) -> Result<Vec<String>, Status> {
        let parameters = ListParams::default().labels(&selector(Some(slice)));
        let found = answer(self.api::<K>().list_metadata(&parameters)).await?;
        Ok(found.items.into_iter().filter_map(|found| found.metadata.name).collect())
    }

    /// Whether it is gone already.
    async fn remove<K: Custom>(&self, name: &str) -> Result<bool, Status> {
        let api = self.api::<K>();
        let parameters = DeleteParams::background();
        let removed = timed(api.delete(name, &parameters)).await?;
        match removed {
            Ok(_) => Ok(answer(api.get_metadata_opt(name)).await?.is_none()),
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(true),
            Err(error) => Err(refusal(&error)),
        }
    }
}

fn foreign<K: Resource<DynamicType = ()>>(found: &K) -> String {
    let (kind, meta) = (K::kind(&()), found.meta());
    let (name, namespace) = (meta.name.as_deref(), meta.namespace.as_deref());
    let owner = match manifests::slice_of(found) {
        Some(slice) => format!("is slice {slice}'s"),
        None => "was not made by the slice-manager".to_owned(),
    };
    format!(
        "{kind} {} in namespace {} {owner}: remove it, or choose another name",
        name.unwrap_or_default(),
        namespace.unwrap_or_default()
    )
}

async fn timed<T>(
    call: impl Future<Output = Result<T, kube::Error>>,
) -> Result<Result<T, kube::Error>, Status> {
    tokio::time::timeout(PATIENCE, call)
        .await
        .map_err(|_| Status::deadline_exceeded("the API server does not answer"))
}

async fn answer<T>(call: impl Future<Output = Result<T, kube::Error>>) -> Result<T, Status> {
    timed(call).await?.map_err(|error| refusal(&error))
}

/// What the API server says, or why it says nothing. Never what was sent: that may be a secret.
fn refusal(error: &kube::Error) -> Status {
    let kube::Error::Api(status) = error else {
        return Status::unavailable(error.to_string());
    };
    let message = status.message.clone();
    match status.code {
        401 | 403 => Status::permission_denied(message),
        404 => Status::failed_precondition(format!(
            "{message}: are the custom resources of l2sces installed?"
        )),
        409 => Status::aborted(message),
        400 | 422 => Status::failed_precondition(message),
        _ => Status::unavailable(message),
    }
}
