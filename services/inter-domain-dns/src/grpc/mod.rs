//! The records' API: requests to the domain and back, and the status codes.

mod parse;

use std::sync::Arc;

use l2sces_proto::dns::v1::{
    ApplyRecordRequest, ApplyRecordResponse, DeleteRecordRequest, DeleteRecordResponse,
    ListRecordsRequest, ListRecordsResponse, record_service_server::RecordService,
};
use tonic::{Request, Response, Status};

use crate::{
    memory::{Memory, NotYet},
    store::{Listing, Store, StoreError},
    zone::Authority,
};

/// `l2sces.dns.v1.RecordService`.
#[derive(Debug)]
pub struct Records {
    store: Store,
    memory: Memory,
    authority: Arc<Authority>,
}

impl Records {
    /// Stores in `store`, answers from `memory` what `authority` has names for.
    pub fn new(store: Store, memory: Memory, authority: Arc<Authority>) -> Self {
        Self { store, memory, authority }
    }
}

#[tonic::async_trait]
impl RecordService for Records {
    async fn apply_record(
        &self,
        request: Request<ApplyRecordRequest>,
    ) -> Result<Response<ApplyRecordResponse>, Status> {
        let record = parse::apply(request.into_inner(), &self.authority)?;
        self.store.apply(&record).await?;
        self.memory.refresh(record.key).await?;
        Ok(Response::new(ApplyRecordResponse {}))
    }

    async fn delete_record(
        &self,
        request: Request<DeleteRecordRequest>,
    ) -> Result<Response<DeleteRecordResponse>, Status> {
        let key = parse::delete(request.into_inner())?;
        self.store.delete(&key).await?;
        self.memory.refresh(key).await?;
        Ok(Response::new(DeleteRecordResponse {}))
    }

    async fn list_records(
        &self,
        request: Request<ListRecordsRequest>,
    ) -> Result<Response<ListRecordsResponse>, Status> {
        let listing = parse::list(&request.into_inner())?;
        let page_size = listing.limit;
        // One more than the page tells whether there is another.
        let mut records = self.store.list(&Listing { limit: page_size + 1, ..listing }).await?;
        let more = records.len() > usize::from(page_size);
        records.truncate(page_size.into());
        let next_page_token = match records.last() {
            Some(last) if more => parse::page_token(&last.key),
            _ => String::new(),
        };
        let records = records.into_iter().map(Into::into).collect();
        Ok(Response::new(ListRecordsResponse { records, next_page_token }))
    }
}

impl From<StoreError> for Status {
    fn from(error: StoreError) -> Self {
        tracing::warn!(%error, "store");
        match error {
            StoreError::Database(_) => Self::unavailable("the database is away; try again"),
            StoreError::Row(_) => Self::data_loss("a stored record cannot be read"),
        }
    }
}

impl From<NotYet> for Status {
    fn from(error: NotYet) -> Self {
        Self::unavailable(error.to_string())
    }
}
