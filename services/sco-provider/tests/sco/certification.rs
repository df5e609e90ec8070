//! Agents are certified for operators, by their certificates.

use std::net::SocketAddr;

use l2sces_grpc::{Access, serve_on};
use l2sces_pki::{Authority, CertificateRequest, Identity, Role, summarize};
use l2sces_proto::issuer::v1::{
    AgentRole, CertifyAgentRequest, authority_service_client::AuthorityServiceClient,
    authority_service_server::AuthorityServiceServer,
};
use sco_provider::grpc::AuthorityApi;
use tokio::net::TcpListener;
use tonic::{Code, service::Routes};

use crate::support::Certificates;

/// Serves the authority of the certificates, or says that there is none.
async fn serve(certificates: &Certificates, has_authority: bool) -> SocketAddr {
    let authority = has_authority.then(|| Authority::load(certificates.directory()).unwrap());
    let routes = Routes::new(AuthorityServiceServer::new(AuthorityApi::new(authority)));
    let access = Access::new().allow::<AuthorityServiceServer<()>>(&[Role::Operator]);
    let tls = certificates.args(Role::ScoProvider, "sco");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        serve_on(listener, &tls, routes, access, std::future::pending()).await.unwrap();
    });
    address
}

fn request(node: &str) -> CertifyAgentRequest {
    CertifyAgentRequest {
        csr_pem: CertificateRequest::create().unwrap().csr_pem,
        role: AgentRole::SpsAgent.into(),
        node: node.to_owned(),
        addresses: vec!["10.0.0.11".to_owned()],
    }
}

#[tokio::test]
async fn an_operator_gets_agents_of_its_own_cluster_and_nobody_else_gets_any() {
    let certificates = Certificates::new();
    let address = serve(&certificates, true).await;
    for cluster in ["a", "b"] {
        let channel = certificates.channel(address, Role::Operator, cluster);
        let mut operator = AuthorityServiceClient::new(channel);
        let certified = operator.certify_agent(request("n1")).await.unwrap().into_inner();
        let identity = summarize(&certified.certificate_pem).unwrap().identity;
        assert_eq!(identity, Identity::in_cluster(Role::SpsAgent, cluster, "n1").ok());
    }
    let channel = certificates.channel(address, Role::Operator, "a");
    let mut operator = AuthorityServiceClient::new(channel);
    let garbage = CertifyAgentRequest { csr_pem: "garbage".to_owned(), ..request("n1") };
    for request in [request("b/n1"), request("../b/n1"), garbage] {
        let refused = operator.certify_agent(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    }

    let others = Role::ALL.into_iter().filter(|role| *role != Role::Operator);
    let others = others.map(|role| Identity::new(role, "a").unwrap());
    let agent = Identity::in_cluster(Role::SpsAgent, "a", "n1").unwrap();
    for other in others.chain([agent]) {
        let channel = certificates.channel_of(address, &other);
        let refused = AuthorityServiceClient::new(channel).certify_agent(request("n1")).await;
        assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied, "{other}");
    }
}

#[tokio::test]
async fn without_an_authority_nobody_is_certified() {
    let certificates = Certificates::new();
    let address = serve(&certificates, false).await;
    let channel = certificates.channel(address, Role::Operator, "a");
    let refused = AuthorityServiceClient::new(channel).certify_agent(request("n1")).await;
    assert_eq!(refused.unwrap_err().code(), Code::FailedPrecondition);
}
