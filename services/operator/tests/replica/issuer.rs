//! Agents get certificates for the tokens of their pods.

use std::sync::{Arc, Mutex};

use l2sces_grpc::{Access, Dialer, TlsArgs, peer, serve_on};
use l2sces_model::Name;
use l2sces_pki::{Authority, CertificateRequest, Identity, Role, summarize};
use l2sces_proto::{
    attachment::v1::{DetachRequest, attachment_service_client::AttachmentServiceClient},
    issuer::v1::{
        AgentRole, CertifyAgentRequest, CertifyAgentResponse, IssueCertificateRequest,
        authority_service_server::{AuthorityService, AuthorityServiceServer},
        issuer_service_client::IssuerServiceClient,
    },
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tonic::{Code, Request, Response, Status, service::Routes};

use crate::world::{Operator, SYSTEM, World};

/// Two nodes, of which the first has an awkward name, with an agent each, and a pod of somebody else.
const NODES: [(&str, &str); 2] = [("a1.example.net", "10.0.0.11"), ("a2", "10.0.0.12")];

/// Stands where the sco-provider does, and signs as it would, or refuses as it is told.
struct ScoProvider {
    authority: Authority,
    refusal: Arc<Mutex<Option<Status>>>,
}

impl ScoProvider {
    /// Starts it where the operators of a world look for it; what it refuses with.
    async fn start(world: &World) -> Arc<Mutex<Option<Status>>> {
        let refusal = Arc::default();
        let (authority, files) = (Authority::load(world.pki()).unwrap(), world.pki());
        let identity = Identity::new(Role::ScoProvider, "one").unwrap();
        let issued = authority.issue(&identity, &["127.0.0.1".to_owned()]).unwrap();
        issued.save(files, "sco-provider").unwrap();
        let tls = TlsArgs {
            tls_ca: Some(world.ca()),
            tls_cert: Some(files.join("sco-provider.pem")),
            tls_key: Some(files.join("sco-provider.key")),
            insecure_plaintext: false,
        };
        let listener = TcpListener::bind(("127.0.0.1", world.sco_provider)).await.unwrap();
        let service = Self { authority, refusal: Arc::clone(&refusal) };
        let routes = Routes::new(AuthorityServiceServer::new(service));
        let access = Access::new().allow::<AuthorityServiceServer<Self>>(&[Role::Operator]);
        tokio::spawn(async move {
            serve_on(listener, &tls, routes, access, std::future::pending()).await.unwrap();
        });
        refusal
    }
}

#[tonic::async_trait]
impl AuthorityService for ScoProvider {
    async fn certify_agent(
        &self,
        request: Request<CertifyAgentRequest>,
    ) -> Result<Response<CertifyAgentResponse>, Status> {
        if let Some(refusal) = self.refusal.lock().unwrap().clone() {
            return Err(refusal);
        }
        let operator = peer(&request).unwrap().identity().unwrap().clone();
        let request = request.into_inner();
        let role = match request.role() {
            AgentRole::NedAgent => Role::NedAgent,
            _ => Role::SpsAgent,
        };
        let identity = Identity::in_cluster(role, &operator.name, &request.node).unwrap();
        let signed = self.authority.certify(&request.csr_pem, &identity, &request.addresses);
        Ok(Response::new(CertifyAgentResponse { certificate_pem: signed.unwrap() }))
    }
}

async fn prepare(world: &World) {
    for (node, address) in NODES {
        let node = json!({
            "apiVersion": "v1", "kind": "Node", "metadata": { "name": node },
            "status": { "addresses": [{ "type": "InternalIP", "address": address }] },
        });
        world.api.kubectl().with_input(["create", "-f", "-"], &node.to_string()).await.unwrap();
    }
    for account in ["sps-agent", "ned-agent", "stranger"] {
        account_in(world, SYSTEM, account).await;
    }
    account_in(world, "default", "sps-agent").await;
    for (name, namespace, account, node) in [
        ("agent-1", SYSTEM, "sps-agent", NODES[0].0),
        ("agent-2", SYSTEM, "sps-agent", NODES[1].0),
        ("gateway", SYSTEM, "ned-agent", NODES[1].0),
        ("stranger", SYSTEM, "stranger", NODES[0].0),
        ("elsewhere", "default", "sps-agent", NODES[0].0),
    ] {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": name, "namespace": namespace },
            "spec": {
                "serviceAccountName": account, "nodeName": node,
                "containers": [{ "name": "pod", "image": "none" }],
            },
        });
        world.apply(&pod.to_string()).await;
    }
}

async fn account_in(world: &World, namespace: &str, name: &str) {
    let metadata = json!({ "name": name, "namespace": namespace });
    let account = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata });
    world.apply(&account.to_string()).await;
}

/// A token of a service account as the kubelet asks for it, bound to a pod or not.
async fn token(
    world: &World,
    namespace: &str,
    account: &str,
    pod: Option<&str>,
    audience: &str,
) -> String {
    let bound = pod.map(|name| json!({ "kind": "Pod", "apiVersion": "v1", "name": name }));
    let request = json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
        "spec": { "audiences": [audience], "boundObjectRef": bound },
    });
    let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token");
    let create = ["create", "--raw", &path, "-f", "-"];
    let answer = world.api.kubectl().with_input(create, &request.to_string()).await.unwrap();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    answer["status"]["token"].as_str().unwrap().to_owned()
}

/// Asks for the certificate of a new key.
async fn ask(world: &World, operator: &Operator, token: &str) -> Result<(String, String), Status> {
    let dialer = Dialer::without_certificate(&world.ca()).unwrap();
    let channel = dialer.channel(&format!("https://127.0.0.1:{}", operator.issuer)).unwrap();
    let request = CertificateRequest::create().unwrap();
    let message =
        IssueCertificateRequest { csr_pem: request.csr_pem.clone(), token: token.to_owned() };
    let answer = IssuerServiceClient::new(channel).issue_certificate(message).await?.into_inner();
    let issued = request.answered(answer.certificate_pem);
    Ok((issued.cert_pem, issued.key_pem))
}

#[tokio::test(flavor = "multi_thread")]
async fn only_agents_get_certificates_and_for_their_own_nodes() {
    let world = World::start().await;
    prepare(&world).await;
    let operator = world.operator("one");
    world.leader(|_| true).await;
    let agent = async |pod: &str| token(&world, SYSTEM, "sps-agent", Some(pod), "l2sces").await;

    // Who signs is away.
    let token_1 = agent("agent-1").await;
    let refused = ask(&world, &operator, &token_1).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    let refusal = ScoProvider::start(&world).await;
    for (of_operator, of_agent) in [
        (Code::FailedPrecondition, Code::FailedPrecondition),
        (Code::PermissionDenied, Code::FailedPrecondition),
    ] {
        *refusal.lock().unwrap() = Some(Status::new(of_operator, "it has its reasons"));
        let refused = ask(&world, &operator, &token_1).await.unwrap_err();
        assert_eq!(refused.code(), of_agent, "{refused}");
        assert!(refused.message().contains("it has its reasons"), "{refused}");
    }
    *refusal.lock().unwrap() = None;

    let (certificate, key) = ask(&world, &operator, &token_1).await.unwrap();
    let summary = summarize(&certificate).unwrap();
    let first = Name::standing_for(NODES[0].0);
    assert_eq!(summary.identity, Identity::in_cluster(Role::SpsAgent, "a", first.as_str()).ok());
    assert_eq!(summary.alternative_names, [NODES[0].1]);
    let gateway = token(&world, SYSTEM, "ned-agent", Some("gateway"), "l2sces").await;
    let (of_gateway, _) = ask(&world, &operator, &gateway).await.unwrap();
    let identity = summarize(&of_gateway).unwrap().identity;
    assert_eq!(identity, Identity::in_cluster(Role::NedAgent, "a", NODES[1].0).ok());

    for (what, token, code) in [
        (
            "a token for another service",
            token(&world, SYSTEM, "sps-agent", Some("agent-1"), "other").await,
            Code::Unauthenticated,
        ),
        ("no token", "nonsense".to_owned(), Code::Unauthenticated),
        (
            "another account",
            token(&world, SYSTEM, "stranger", Some("stranger"), "l2sces").await,
            Code::PermissionDenied,
        ),
        (
            "another namespace",
            token(&world, "default", "sps-agent", Some("elsewhere"), "l2sces").await,
            Code::PermissionDenied,
        ),
        (
            "a token of no pod",
            token(&world, SYSTEM, "sps-agent", None, "l2sces").await,
            Code::PermissionDenied,
        ),
    ] {
        let refused = ask(&world, &operator, &token).await.expect_err(what);
        assert_eq!(refused.code(), code, "{what}: {refused}");
    }
    // A token goes with its pod.
    let late = agent("agent-2").await;
    ask(&world, &operator, &late).await.unwrap();
    let delete = ["delete", "pod", "agent-2", "--force", "--grace-period=0"];
    world.run(&[&["--namespace", SYSTEM], &delete[..]].concat()).await;
    assert!(ask(&world, &operator, &late).await.is_err());

    // With its certificate, an agent speaks for its own node and no other.
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, pem: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, pem).unwrap();
        Some(path)
    };
    let tls = TlsArgs {
        tls_ca: file("ca.pem", world.authority.certificate_pem()),
        tls_cert: file("cert.pem", &certificate),
        tls_key: file("key.pem", &key),
        insecure_plaintext: false,
    };
    let channel = Dialer::new(&tls).unwrap();
    let channel = channel.channel(&format!("https://127.0.0.1:{}", operator.listen)).unwrap();
    let mut attachments = AttachmentServiceClient::new(channel);
    for ((node, _), code) in NODES.into_iter().zip([Code::Unavailable, Code::PermissionDenied]) {
        let sandbox_id = "sandbox-1".to_owned();
        let request = DetachRequest { node: node.to_owned(), sandbox_id, ..Default::default() };
        // The sdn-controller is away, which is known of those only who may ask for it.
        let refused = attachments.detach(request).await.unwrap_err();
        assert_eq!(refused.code(), code, "{node}: {refused}");
    }
}
