//! A slice-manager that knows slices only, and the real program run against it.
#![allow(clippy::unwrap_used, reason = "test support")]

use std::{
    collections::BTreeMap,
    process::Stdio,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use l2sces_grpc::{Access, TlsArgs, Violations, already_exists, not_found, serve_on};
use l2sces_pki::Role;
use l2sces_proto::{
    measurement::v1::LinkMeasurement,
    resource::v1::{ChangeKind, Condition, ConditionStatus},
    slice::v1::{
        CreateSliceRequest, CreateSliceResponse, DeleteSliceRequest, DeleteSliceResponse,
        GetSliceRequest, GetSliceResponse, LinkEnd, LinkStatus, ListLinksRequest,
        ListLinksResponse, ListSlicesRequest, ListSlicesResponse, Slice, SliceStatus,
        UpdateSliceRequest, UpdateSliceResponse, WatchSlicesRequest, WatchSlicesResponse,
        slice_service_server::{SliceService, SliceServiceServer},
    },
};
use tokio::{
    io::AsyncWriteExt,
    net::TcpListener,
    process::Command,
    sync::{mpsc, watch},
    time::sleep,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Request, Response, Status,
    service::Routes,
    transport::{Server, server::TcpIncoming},
};
use tonic_health::ServingStatus;

/// How long the fake takes to carry out a write, once somebody has seen that it has not.
const DELAY: Duration = Duration::from_millis(200);

/// A slice-manager whose slices get ready a while after somebody has seen that they are not, unless
/// "stuck" is in their name.
#[derive(Clone)]
pub(crate) struct FakeSliceManager {
    state: Arc<Mutex<State>>,
    revision: watch::Sender<i64>,
    /// The latest revision that somebody has seen.
    seen: watch::Sender<i64>,
}

#[derive(Default)]
struct State {
    slices: BTreeMap<String, Slice>,
    /// All that ever happened, by revision.
    changes: Vec<WatchSlicesResponse>,
}

impl FakeSliceManager {
    /// Starts it; returns its endpoint too.
    pub(crate) async fn start(tls: TlsArgs) -> (Self, String) {
        let fake = Self {
            state: Arc::default(),
            revision: watch::Sender::new(0),
            seen: watch::Sender::new(0),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scheme = if tls.insecure_plaintext { "http" } else { "https" };
        let endpoint = format!("{scheme}://{}", listener.local_addr().unwrap());
        let routes = Routes::new(SliceServiceServer::new(fake.clone()));
        let access = Access::new().allow::<SliceServiceServer<()>>(&[Role::Admin]);
        tokio::spawn(async move {
            serve_on(listener, &tls, routes, access, std::future::pending()).await.unwrap();
        });
        (fake, endpoint)
    }

    /// Waits until somebody watches.
    pub(crate) async fn watched(&self) {
        while self.revision.receiver_count() == 0 {
            sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.state().slices.keys().cloned().collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn get(&self, name: &str) -> Result<Slice, Status> {
        self.state().slices.get(name).cloned().ok_or_else(|| not_found("slice", name))
    }

    fn record(&self, kind: ChangeKind, mut slice: Slice) -> Slice {
        let mut state = self.state();
        let revision = i64::try_from(state.changes.len()).unwrap() + 1;
        let name = slice.metadata.as_ref().unwrap().name.clone();
        slice.metadata.as_mut().unwrap().revision = revision;
        match kind {
            ChangeKind::Deleted => drop(state.slices.remove(&name)),
            _ => drop(state.slices.insert(name, slice.clone())),
        }
        let change =
            WatchSlicesResponse { kind: kind.into(), slice: Some(slice.clone()), revision };
        state.changes.push(change);
        drop(state);
        self.revision.send_replace(revision);
        slice
    }

    fn show(&self, revision: i64) {
        self.seen.send_modify(|seen| *seen = revision.max(*seen));
    }

    /// Stores it with a status, as not ready, and gets it ready later.
    fn write(&self, mut slice: Slice) -> Slice {
        let metadata = slice.metadata.as_mut().unwrap();
        metadata.generation += 1;
        metadata.uid = format!("uid-{}", metadata.name);
        metadata.etag = format!("etag-{}", metadata.generation);
        let (name, generation) = (metadata.name.clone(), metadata.generation);
        set_ready(&mut slice, ConditionStatus::False, 0);
        let stored = self.record(ChangeKind::Put, slice);
        let fake = self.clone();
        let revision = stored.metadata.as_ref().unwrap().revision;
        let mut seen = self.seen.subscribe();
        tokio::spawn(async move {
            seen.wait_for(|seen| *seen >= revision).await.unwrap();
            sleep(DELAY).await;
            let Ok(mut slice) = fake.get(&name) else { return };
            let stuck = name.contains("stuck");
            let status = if stuck { ConditionStatus::False } else { ConditionStatus::True };
            set_ready(&mut slice, status, generation);
            fake.record(ChangeKind::Put, slice);
        });
        stored
    }
}

/// Starts a service that says of itself that it does not serve; returns its endpoint.
pub(crate) async fn not_serving() -> String {
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_service_status("", ServingStatus::NotServing).await;
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let endpoint = format!("http://{}", incoming.local_addr().unwrap());
    tokio::spawn(Server::builder().add_service(health).serve_with_incoming(incoming));
    endpoint
}

fn set_ready(slice: &mut Slice, status: ConditionStatus, observed_generation: i64) {
    let condition = Condition {
        r#type: "Ready".into(),
        status: status.into(),
        reason: "LinkDown".into(),
        message: "a cannot reach b".into(),
        observed_generation,
        last_transition_time: None,
    };
    slice.status = Some(SliceStatus { conditions: vec![condition] });
}

fn check(slice: Option<Slice>) -> Result<Slice, Status> {
    let slice = slice.unwrap_or_default();
    let mut violations = Violations::new();
    if slice.spec.as_ref().is_none_or(|spec| spec.clusters.is_empty()) {
        violations.add("slice.spec.clusters", "must have at least one cluster");
    }
    violations.into_result().map(|()| slice)
}

#[tonic::async_trait]
impl SliceService for FakeSliceManager {
    async fn create_slice(
        &self,
        request: Request<CreateSliceRequest>,
    ) -> Result<Response<CreateSliceResponse>, Status> {
        let request = request.into_inner();
        assert!(
            !request.request_id.is_empty(),
            "a write without a request id is not safe to repeat"
        );
        let slice = check(request.slice)?;
        let name = slice.metadata.clone().unwrap_or_default().name;
        if self.get(&name).is_ok() {
            return Err(already_exists("slice", name));
        }
        let slice = if request.validate_only { slice } else { self.write(slice) };
        Ok(Response::new(CreateSliceResponse { slice: Some(slice) }))
    }

    async fn get_slice(
        &self,
        request: Request<GetSliceRequest>,
    ) -> Result<Response<GetSliceResponse>, Status> {
        let slice = self.get(&request.get_ref().name)?;
        self.show(slice.metadata.as_ref().unwrap().revision);
        Ok(Response::new(GetSliceResponse { slice: Some(slice) }))
    }

    /// A slice a page.
    async fn list_slices(
        &self,
        request: Request<ListSlicesRequest>,
    ) -> Result<Response<ListSlicesResponse>, Status> {
        let after = &request.get_ref().page_token;
        let state = self.state();
        let mut rest = state.slices.iter().filter(|(name, _)| *name > after);
        let slices: Vec<_> = rest.next().map(|(_, slice)| slice.clone()).into_iter().collect();
        let last = slices.first().and_then(|slice| slice.metadata.as_ref()).map(|m| m.name.clone());
        let next_page_token = last.filter(|_| rest.next().is_some()).unwrap_or_default();
        Ok(Response::new(ListSlicesResponse { slices, next_page_token }))
    }

    async fn list_links(
        &self,
        request: Request<ListLinksRequest>,
    ) -> Result<Response<ListLinksResponse>, Status> {
        self.get(&request.get_ref().slice)?;
        let end = |node: &str| Some(LinkEnd { cluster: "a".to_owned(), node: node.to_owned() });
        let link = LinkStatus {
            source: end("a1"),
            target: end("a2"),
            up: true,
            message: String::new(),
            measurement: Some(LinkMeasurement { loss: Some(0.5), ..LinkMeasurement::default() }),
            measurement_message: "its agent is away".to_owned(),
        };
        let unreachable = vec!["cluster b is away".to_owned()];
        Ok(Response::new(ListLinksResponse { links: vec![link], unreachable }))
    }

    async fn update_slice(
        &self,
        request: Request<UpdateSliceRequest>,
    ) -> Result<Response<UpdateSliceResponse>, Status> {
        let request = request.into_inner();
        let wanted = check(request.slice)?;
        let metadata = wanted.metadata.unwrap_or_default();
        let mut slice = self.get(&metadata.name)?;
        let etag = &slice.metadata.as_ref().unwrap().etag;
        if !metadata.etag.is_empty() && metadata.etag != *etag {
            return Err(Status::aborted("somebody else was faster"));
        }
        slice.spec = wanted.spec;
        let slice = if request.validate_only { slice } else { self.write(slice) };
        Ok(Response::new(UpdateSliceResponse { slice: Some(slice) }))
    }

    async fn delete_slice(
        &self,
        request: Request<DeleteSliceRequest>,
    ) -> Result<Response<DeleteSliceResponse>, Status> {
        let mut slice = self.get(&request.get_ref().name)?;
        slice.metadata.as_mut().unwrap().delete_time = Some(prost_types::Timestamp::default());
        let deleting = self.record(ChangeKind::Put, slice);
        let (fake, slice) = (self.clone(), deleting.clone());
        tokio::spawn(async move {
            sleep(DELAY).await;
            fake.record(ChangeKind::Deleted, slice);
        });
        Ok(Response::new(DeleteSliceResponse { slice: Some(deleting) }))
    }

    type WatchSlicesStream = ReceiverStream<Result<WatchSlicesResponse, Status>>;

    async fn watch_slices(
        &self,
        request: Request<WatchSlicesRequest>,
    ) -> Result<Response<Self::WatchSlicesStream>, Status> {
        let fake = self.clone();
        let mut next = usize::try_from(request.get_ref().after_revision).unwrap();
        let (sender, receiver) = mpsc::channel(16);
        tokio::spawn(async move {
            let mut revision = fake.revision.subscribe();
            loop {
                let new = fake.state().changes[next..].to_vec();
                next += new.len();
                for change in new {
                    fake.show(change.revision);
                    if sender.send(Ok(change)).await.is_err() {
                        return;
                    }
                }
                if revision.changed().await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

/// The real program, with its connection flags in the environment.
pub(crate) fn program(endpoint: &str, tls: &TlsArgs) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_l2sces"));
    command.env_clear().env("L2SCES_ENDPOINT", endpoint).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let files = [
        ("L2SCES_TLS_CA", &tls.tls_ca),
        ("L2SCES_TLS_CERT", &tls.tls_cert),
        ("L2SCES_TLS_KEY", &tls.tls_key),
    ];
    for (variable, file) in files {
        if let Some(file) = file {
            command.env(variable, file);
        }
    }
    if tls.insecure_plaintext {
        command.env("L2SCES_INSECURE_PLAINTEXT", "true");
    }
    command
}

/// What the program printed, and its exit status.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) code: Option<i32>,
}

/// Runs the program over plaintext with these arguments and this on its stdin.
pub(crate) async fn run(endpoint: &str, arguments: &[&str], stdin: &str) -> Ran {
    run_with(endpoint, &plaintext(), arguments, stdin).await
}

pub(crate) async fn run_with(
    endpoint: &str,
    tls: &TlsArgs,
    arguments: &[&str],
    stdin: &str,
) -> Ran {
    let mut command = program(endpoint, tls);
    let mut child = command.args(arguments).stdin(Stdio::piped()).spawn().unwrap();
    let mut pipe = child.stdin.take().unwrap();
    pipe.write_all(stdin.as_bytes()).await.unwrap();
    drop(pipe);
    let output = child.wait_with_output().await.unwrap();
    Ran {
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
        code: output.status.code(),
    }
}

pub(crate) fn plaintext() -> TlsArgs {
    TlsArgs { insecure_plaintext: true, ..TlsArgs::default() }
}
