use l2sces_proto::{
    resource::v1::{Condition, Metadata},
    slice::v1::{
        CreateSliceRequest, DeleteSliceRequest, GetSliceRequest, ListSlicesRequest, Slice,
        UpdateSliceRequest, WatchSlicesRequest,
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

impl Resource for Slice {
    const KIND: Kind = Kind::Slice;
    const NAME_COLUMNS: &'static [&'static str] = &["NAME"];
    const COLUMNS: &'static [&'static str] = &["CLUSTERS"];

    fn key(&self) -> Key {
        Key { name: self.metadata().name.clone(), ..Key::default() }
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
        let parts = self.spec.iter().flat_map(|spec| &spec.clusters);
        let clusters: Vec<_> = parts.map(|part| part.cluster.as_str()).collect();
        vec![clusters.join(",")]
    }

    fn manifest(&self) -> Manifest {
        Manifest::Slice(self.clone().into())
    }

    fn wants_the_same_as(&self, stored: &Self) -> bool {
        let mut wanted = self.spec.clone();
        let policy = wanted.as_mut().and_then(|spec| spec.measurement.as_mut());
        let stored_policy = stored.spec.as_ref().and_then(|spec| spec.measurement.as_ref());
        if let (Some(policy), Some(stored)) = (policy, stored_policy) {
            // Where nothing is said the server has its default.
            let or = |said: u32, default: u32| if said == 0 { default } else { said };
            policy.interval_ms = or(policy.interval_ms, stored.interval_ms);
            policy.probes = or(policy.probes, stored.probes);
            policy.max_share_permille = or(policy.max_share_permille, stored.max_share_permille);
            policy.metrics.sort_unstable();
        }
        wanted == stored.spec
    }

    async fn create(api: &Api, resource: Self, options: WriteOptions) -> Result<Self, Status> {
        let request = CreateSliceRequest {
            slice: Some(resource),
            request_id: options.request_id,
            validate_only: options.validate_only,
        };
        present(api.slices.clone().create_slice(request).await?.into_inner().slice)
    }

    async fn get(api: &Api, key: &Key) -> Result<Self, Status> {
        let request = GetSliceRequest { name: key.name.clone() };
        present(api.slices.clone().get_slice(request).await?.into_inner().slice)
    }

    async fn list(api: &Api, _: &Scope, page_token: String) -> Result<Page<Self>, Status> {
        let request = ListSlicesRequest { page_size: PAGE_SIZE, page_token };
        let page = api.slices.clone().list_slices(request).await?.into_inner();
        Ok((page.slices, page.next_page_token))
    }

    async fn update(api: &Api, resource: Self, options: WriteOptions) -> Result<Self, Status> {
        let request = UpdateSliceRequest {
            slice: Some(resource),
            request_id: options.request_id,
            validate_only: options.validate_only,
            force: options.force,
        };
        present(api.slices.clone().update_slice(request).await?.into_inner().slice)
    }

    async fn delete(api: &Api, key: &Key, options: DeleteOptions) -> Result<Self, Status> {
        let request = DeleteSliceRequest {
            name: key.name.clone(),
            etag: options.etag,
            request_id: options.write.request_id,
            validate_only: options.write.validate_only,
            force: options.force,
        };
        present(api.slices.clone().delete_slice(request).await?.into_inner().slice)
    }

    async fn watch(api: &Api, _: &Scope, after_revision: i64) -> Result<Changes<Self>, Status> {
        let request = WatchSlicesRequest { after_revision };
        let responses = api.slices.clone().watch_slices(request).await?.into_inner();
        Ok(Box::pin(responses.map(|response| {
            let response = response?;
            change(response.kind(), response.slice, response.revision)
        })))
    }
}
