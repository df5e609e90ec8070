use l2sces_proto::slice::v1::{self as api, slice_service_server::SliceService};
use tonic::{Request, Response, Status};

use super::{
    Api,
    answer::Shown,
    links::Found,
    options, page,
    watch::{Told, WatchStream},
};
use crate::{
    domain::{Key, Kind, Slice},
    intent::Refusal,
    store::Scope,
    validate,
};

#[tonic::async_trait]
impl SliceService for Api {
    async fn create_slice(
        &self,
        request: Request<api::CreateSliceRequest>,
    ) -> Result<Response<api::CreateSliceResponse>, Status> {
        let request = request.into_inner();
        let described = validate::slice(request.slice.as_ref())?;
        let options = options("CreateSlice", &request, &request.request_id, request.validate_only);
        let stored = self.intents.create_slice(described, options).await?;
        Ok(Response::new(api::CreateSliceResponse { slice: Some(Slice::show(&stored)) }))
    }

    async fn get_slice(
        &self,
        request: Request<api::GetSliceRequest>,
    ) -> Result<Response<api::GetSliceResponse>, Status> {
        let stored = self.intents.get(&key(&request.into_inner().name)?).await?;
        Ok(Response::new(api::GetSliceResponse { slice: Some(Slice::show(&stored)) }))
    }

    async fn list_slices(
        &self,
        request: Request<api::ListSlicesRequest>,
    ) -> Result<Response<api::ListSlicesResponse>, Status> {
        let request = request.into_inner();
        let scope = Scope::default();
        let size = page::size(request.page_size)?;
        let after = page::after(Kind::Slice, scope, &request.page_token)?;
        let page = self.intents.list::<Slice>(scope, &[], after.as_ref(), size).await?;
        Ok(Response::new(api::ListSlicesResponse {
            next_page_token: page::next(scope, &page),
            slices: page.resources.iter().map(Slice::show).collect(),
        }))
    }

    async fn update_slice(
        &self,
        request: Request<api::UpdateSliceRequest>,
    ) -> Result<Response<api::UpdateSliceResponse>, Status> {
        let request = request.into_inner();
        let described = validate::slice(request.slice.as_ref())?;
        let options = options("UpdateSlice", &request, &request.request_id, request.validate_only);
        let stored = self.intents.update_slice(described, request.force, options).await?;
        Ok(Response::new(api::UpdateSliceResponse { slice: Some(Slice::show(&stored)) }))
    }

    async fn delete_slice(
        &self,
        request: Request<api::DeleteSliceRequest>,
    ) -> Result<Response<api::DeleteSliceResponse>, Status> {
        let request = request.into_inner();
        let key = key(&request.name)?;
        let options = options("DeleteSlice", &request, &request.request_id, request.validate_only);
        let stored = self.intents.delete_slice(&key, &request.etag, request.force, options).await?;
        Ok(Response::new(api::DeleteSliceResponse { slice: Some(Slice::show(&stored)) }))
    }

    async fn list_links(
        &self,
        request: Request<api::ListLinksRequest>,
    ) -> Result<Response<api::ListLinksResponse>, Status> {
        let [name] = validate::named([("slice", &request.into_inner().slice)])?;
        let slice = self.intents.get::<Slice>(&Key::Slice(name)).await?;
        let found = self.links.of_slice(&slice).await.map_err(Refusal::Store)?;
        let Found { links, unreachable } = found;
        Ok(Response::new(api::ListLinksResponse { links, unreachable }))
    }

    type WatchSlicesStream = WatchStream<api::WatchSlicesResponse>;

    async fn watch_slices(
        &self,
        request: Request<api::WatchSlicesRequest>,
    ) -> Result<Response<Self::WatchSlicesStream>, Status> {
        let after = request.into_inner().after_revision;
        let wrap = |told: Told<api::Slice>| api::WatchSlicesResponse {
            kind: told.kind.into(),
            slice: told.resource,
            revision: told.revision,
        };
        let stream = self.watches.begin::<Slice, _>(Scope::default(), after, wrap).await?;
        Ok(Response::new(stream))
    }
}

fn key(name: &str) -> Result<Key, validate::Report> {
    let [name] = validate::named([("name", name)])?;
    Ok(Key::Slice(name))
}
