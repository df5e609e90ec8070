//! A real server on loopback, and credentials for it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    dead_code,
    reason = "test support, shared by several tests"
)]

use std::{net::SocketAddr, path::Path, sync::LazyLock};

use l2sces_grpc::{Access, Channel, Dialer, TlsArgs, Violations, departure, peer, serve_on};
use l2sces_pki::{Authority, Identity, Role};
use l2sces_proto::dns::v1::{
    ApplyRecordRequest, ApplyRecordResponse, DeleteRecordRequest, DeleteRecordResponse,
    ListRecordsRequest, ListRecordsResponse, Record, RecordKey,
    record_service_client::RecordServiceClient,
    record_service_server::{RecordService, RecordServiceServer},
};
use opentelemetry::trace::TraceContextExt;
use tempfile::TempDir;
use tokio::{
    net::TcpListener,
    sync::{oneshot, watch},
    task::JoinHandle,
};
use tonic::{Request, Response, Status, service::Routes};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// How far the one call with the host "slow" is: started, released by the test, finished.
pub(crate) static STAGE: LazyLock<watch::Sender<&str>> = LazyLock::new(|| watch::Sender::new(""));

/// How far the one call with the host "depart" is: waiting for its client to go, and told so.
pub(crate) static DEPARTURE: LazyLock<watch::Sender<&str>> =
    LazyLock::new(|| watch::Sender::new(""));

/// A directory with an authority and credentials that it signed.
pub(crate) struct Pki {
    pub(crate) dir: TempDir,
    pub(crate) authority: Authority,
}

impl Pki {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::create().unwrap();
        authority.save(dir.path()).unwrap();
        Self { dir, authority }
    }

    pub(crate) fn tls(&self, role: Role) -> TlsArgs {
        self.tls_of(&Identity::new(role, "test").unwrap())
    }

    pub(crate) fn tls_of(&self, identity: &Identity) -> TlsArgs {
        let stem = match (identity.name.as_str(), identity.role.as_str()) {
            ("test", role) => role.to_owned(),
            (name, role) => format!("{role}-{name}"),
        };
        let issued = self.authority.issue(identity, &["127.0.0.1".to_owned()]).unwrap();
        issued.save(self.dir.path(), &stem).unwrap();
        tls_args(&self.dir.path().join("ca.pem"), self.dir.path(), &stem)
    }
}

pub(crate) fn tls_args(ca: &Path, dir: &Path, stem: &str) -> TlsArgs {
    TlsArgs {
        tls_ca: Some(ca.to_owned()),
        tls_cert: Some(dir.join(format!("{stem}.pem"))),
        tls_key: Some(dir.join(format!("{stem}.key"))),
        insecure_plaintext: false,
    }
}

pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    scheme: &'static str,
    shutdown: Option<oneshot::Sender<()>>,
    pub(crate) task: JoinHandle<()>,
}

impl TestServer {
    /// Serves [`Records`] to the slice-manager, operators and admins, and their list to the slice-operator.
    pub(crate) async fn start(tls: TlsArgs) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = Routes::new(RecordServiceServer::new(Records));
        let roles = [Role::SliceManager, Role::Operator, Role::Admin];
        let access = Access::new()
            .allow::<RecordServiceServer<()>>(&roles)
            .allow_methods::<RecordServiceServer<()>>(Role::SliceOperator, &["ListRecords"]);
        let scheme = if tls.insecure_plaintext { "http" } else { "https" };
        let (shutdown, asked) = oneshot::channel();
        let task = tokio::spawn(async move {
            let asked = async {
                let _ = asked.await;
            };
            serve_on(listener, &tls, routes, access, asked).await.unwrap();
        });
        Self { address, scheme, shutdown: Some(shutdown), task }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    pub(crate) fn channel(&self, tls: &TlsArgs) -> Channel {
        Dialer::new(tls).unwrap().channel(&self.endpoint()).unwrap()
    }

    pub(crate) fn client(&self, tls: &TlsArgs) -> RecordServiceClient<Channel> {
        RecordServiceClient::new(self.channel(tls))
    }

    pub(crate) fn shut_down(&mut self) {
        self.shutdown.take().unwrap().send(()).unwrap();
    }
}

/// Does what the host of a record says.
pub(crate) struct Records;

#[tonic::async_trait]
impl RecordService for Records {
    async fn apply_record(
        &self,
        request: Request<ApplyRecordRequest>,
    ) -> Result<Response<ApplyRecordResponse>, Status> {
        let departure = departure(&request);
        let key = request.into_inner().record.and_then(|record| record.key).unwrap_or_default();
        match key.host.as_str() {
            "hang" => std::future::pending().await,
            "depart" => {
                DEPARTURE.send_replace("waiting");
                departure.cancelled().await;
                DEPARTURE.send_replace("noticed");
                Ok(Response::new(ApplyRecordResponse {}))
            }
            "panic" => panic!("as asked"),
            "slow" => {
                STAGE.send_replace("started");
                let _ = STAGE.subscribe().wait_for(|stage| *stage == "released").await;
                STAGE.send_replace("finished");
                Ok(Response::new(ApplyRecordResponse {}))
            }
            "" => {
                let mut violations = Violations::new();
                violations.add("record.key.host", "must not be empty");
                Err(violations.into_status())
            }
            _ => Ok(Response::new(ApplyRecordResponse {})),
        }
    }

    async fn delete_record(
        &self,
        _: Request<DeleteRecordRequest>,
    ) -> Result<Response<DeleteRecordResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    /// Tells who called, and in which trace.
    async fn list_records(
        &self,
        request: Request<ListRecordsRequest>,
    ) -> Result<Response<ListRecordsResponse>, Status> {
        let identity = peer(&request).and_then(|peer| peer.identity()).map(ToString::to_string);
        let context = Span::current().context();
        let trace_id = context.span().span_context().trace_id().to_string();
        let key = RecordKey { host: identity.unwrap_or_default(), ..RecordKey::default() };
        let record = Record { key: Some(key), addresses: vec![trace_id], aliases: vec![] };
        Ok(Response::new(ListRecordsResponse { records: vec![record], ..Default::default() }))
    }
}

pub(crate) fn apply(host: &str) -> ApplyRecordRequest {
    let key = RecordKey { host: host.to_owned(), ..RecordKey::default() };
    ApplyRecordRequest { record: Some(Record { key: Some(key), ..Record::default() }) }
}
