//! An agent that answers as it is told to, and calls of the plugin.

use std::{
    collections::BTreeMap,
    process::Stdio,
    sync::{Arc, Mutex},
};

use l2sces_grpc::{Access, serve_local};
use l2sces_proto::attachment::v1::{
    AttachRequest, AttachResponse, AttachedInterface, CheckRequest, CheckResponse, CollectRequest,
    CollectResponse, DetachRequest, DetachResponse, GetStatusRequest, GetStatusResponse,
    attachment_service_server::{AttachmentService, AttachmentServiceServer},
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{io::AsyncWriteExt, net::UnixStream, process::Command, task::JoinHandle};
use tonic::{Request, Response, Status, service::Routes};

/// What another plugin has made before.
pub(crate) const PREVIOUS: &str = r#"{
    "cniVersion": "0.4.0",
    "interfaces": [{"name": "cni0"}, {"name": "eth0", "mac": "0a:00:00:00:00:01", "sandbox": "/run/netns/p"}],
    "ips": [{"version": "4", "address": "10.244.1.5/24", "interface": 1, "gateway": "10.244.1.1"}],
    "routes": [{"dst": "0.0.0.0/0"}],
    "dns": {}
}"#;

/// An interface to network blue.
pub(crate) fn blue(name: &str) -> AttachedInterface {
    AttachedInterface {
        network: "blue".into(),
        name: name.into(),
        mac: "02:00:00:00:00:01".into(),
        address: "10.1.0.1/24".into(),
        mtu: 1438,
    }
}

#[derive(Default)]
struct Script {
    interfaces: Vec<AttachedInterface>,
    refusal: Option<Status>,
    status: GetStatusResponse,
    attach: Vec<AttachRequest>,
    detach: Vec<DetachRequest>,
    check: Vec<CheckRequest>,
    collect: Vec<CollectRequest>,
}

#[derive(Clone, Default)]
struct Scripted(Arc<Mutex<Script>>);

impl Scripted {
    fn answer<R>(&self, answer: impl FnOnce(&mut Script) -> R) -> Result<Response<R>, Status> {
        let mut script = self.0.lock().unwrap();
        let answer = answer(&mut script);
        script.refusal.clone().map_or(Ok(Response::new(answer)), Err)
    }
}

#[tonic::async_trait]
impl AttachmentService for Scripted {
    async fn attach(
        &self,
        request: Request<AttachRequest>,
    ) -> Result<Response<AttachResponse>, Status> {
        self.answer(|script| {
            script.attach.push(request.into_inner());
            AttachResponse { interfaces: script.interfaces.clone() }
        })
    }

    async fn detach(
        &self,
        request: Request<DetachRequest>,
    ) -> Result<Response<DetachResponse>, Status> {
        self.answer(|script| {
            script.detach.push(request.into_inner());
            DetachResponse {}
        })
    }

    async fn check(
        &self,
        request: Request<CheckRequest>,
    ) -> Result<Response<CheckResponse>, Status> {
        self.answer(|script| {
            script.check.push(request.into_inner());
            CheckResponse { interfaces: script.interfaces.clone() }
        })
    }

    async fn collect(
        &self,
        request: Request<CollectRequest>,
    ) -> Result<Response<CollectResponse>, Status> {
        self.answer(|script| {
            script.collect.push(request.into_inner());
            CollectResponse::default()
        })
    }

    async fn get_status(
        &self,
        _: Request<GetStatusRequest>,
    ) -> Result<Response<GetStatusResponse>, Status> {
        self.answer(|script| script.status.clone())
    }
}

/// An agent; gone when dropped.
pub(crate) struct Agent {
    directory: TempDir,
    scripted: Scripted,
    serving: Option<JoinHandle<()>>,
}

impl Agent {
    /// An agent that is not there yet.
    pub(crate) fn absent() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self { directory, scripted: Scripted::default(), serving: None }
    }

    /// An agent that attaches nothing.
    pub(crate) async fn start() -> Self {
        Self::absent().come().await
    }

    /// The agent, as soon as it listens.
    pub(crate) async fn come(mut self) -> Self {
        let path = self.directory.path().join("attachment.sock");
        let routes = Routes::new(AttachmentServiceServer::new(self.scripted.clone()));
        let access = Access::new().allow::<AttachmentServiceServer<Scripted>>(&[]);
        let socket = path.clone();
        self.serving = Some(tokio::spawn(async move {
            serve_local(&socket, routes, access, std::future::pending()).await.unwrap();
        }));
        while UnixStream::connect(&path).await.is_err() {
            tokio::task::yield_now().await;
        }
        self
    }

    pub(crate) fn socket(&self) -> String {
        self.directory.path().join("attachment.sock").display().to_string()
    }

    pub(crate) fn attaches(&self, interfaces: Vec<AttachedInterface>) {
        self.script(|script| script.interfaces = interfaces);
    }

    pub(crate) fn refuses(&self, status: Status) {
        self.script(|script| script.refusal = Some(status));
    }

    pub(crate) fn has_status(&self, status: GetStatusResponse) {
        self.script(|script| script.status = status);
    }

    pub(crate) fn attach_requests(&self) -> Vec<AttachRequest> {
        self.script(|script| script.attach.clone())
    }

    pub(crate) fn detach_requests(&self) -> Vec<DetachRequest> {
        self.script(|script| script.detach.clone())
    }

    pub(crate) fn check_requests(&self) -> Vec<CheckRequest> {
        self.script(|script| script.check.clone())
    }

    pub(crate) fn collect_requests(&self) -> Vec<CollectRequest> {
        self.script(|script| script.collect.clone())
    }

    fn script<R>(&self, change: impl FnOnce(&mut Script) -> R) -> R {
        change(&mut self.scripted.0.lock().unwrap())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Some(serving) = &self.serving {
            serving.abort();
        }
    }
}

/// An error as runtimes see it.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) code: u64,
    pub(crate) message: String,
    pub(crate) version: String,
}

/// A call of the plugin.
pub(crate) struct Call {
    environment: BTreeMap<&'static str, String>,
}

impl Call {
    /// A call for sandbox sandbox-1 of pod shop/web.
    pub(crate) fn new(verb: &str) -> Self {
        let arguments = "IgnoreUnknown=1;K8S_POD_UID=u1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web";
        Self::bare(verb)
            .set("CNI_CONTAINERID", "sandbox-1")
            .set("CNI_NETNS", "/run/netns/p")
            .set("CNI_IFNAME", "eth0")
            .set("CNI_ARGS", arguments)
    }

    /// A call that is about no sandbox.
    pub(crate) fn bare(verb: &str) -> Self {
        let environment =
            [("CNI_COMMAND", verb.to_owned()), ("CNI_PATH", "/opt/cni/bin".to_owned())];
        Self { environment: environment.into() }
    }

    pub(crate) fn set(mut self, variable: &'static str, value: &str) -> Self {
        self.environment.insert(variable, value.to_owned());
        self
    }

    /// What the plugin tells, which must be JSON.
    pub(crate) async fn json(self, configuration: &Value) -> Result<Value, Refusal> {
        Ok(serde_json::from_str(&self.run(configuration).await?).unwrap())
    }

    pub(crate) async fn run(self, configuration: &Value) -> Result<String, Refusal> {
        self.run_text(&configuration.to_string()).await
    }

    pub(crate) async fn run_text(self, input: &str) -> Result<String, Refusal> {
        let mut plugin = Command::new(env!("CARGO_BIN_EXE_l2sces-cni"))
            .env_clear()
            .envs(self.environment)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A plugin that refuses the environment does not read.
        let _ = plugin.stdin.take().unwrap().write_all(input.as_bytes()).await;
        let output = plugin.wait_with_output().await.unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        if output.status.success() {
            return Ok(text);
        }
        let error: Value = serde_json::from_str(&text).unwrap();
        let text = |key: &str| error[key].as_str().unwrap().to_owned();
        let code = error["code"].as_u64().unwrap();
        Err(Refusal { code, message: text("msg"), version: text("cniVersion") })
    }
}
