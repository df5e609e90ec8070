//! Certificates for the agents of Kubernetes clusters: their operators ask for them, and each gets those of
//! its own cluster.

use std::{collections::BTreeSet, net::IpAddr};

use l2sces_grpc::Violations;
use l2sces_model::Name;
use l2sces_pki::{Authority, Identity, PkiError, Role};
use l2sces_proto::issuer::v1::{
    AgentRole, CertifyAgentRequest, CertifyAgentResponse,
    authority_service_server::AuthorityService,
};
use tonic::{Request, Response, Status};

use super::{authority::caller, parse};

/// Longest request for a certificate: one for an RSA key of 16,384 bits has some 6,000 bytes.
const CSR_BYTES: usize = 16 * 1024;
/// Most addresses of one agent.
const MOST_ADDRESSES: usize = 16;

/// Serves AuthorityService.
pub struct AuthorityApi {
    /// `None`: this process has none.
    authority: Option<Authority>,
}

/// Whom a certificate is for.
#[derive(Debug, PartialEq, Eq)]
struct Agent {
    role: Role,
    node: Name,
    addresses: BTreeSet<IpAddr>,
}

impl AuthorityApi {
    /// The service of this authority, if there is one.
    pub fn new(authority: Option<Authority>) -> Self {
        Self { authority }
    }

    fn certify(
        &self,
        caller: Option<&Identity>,
        request: &CertifyAgentRequest,
    ) -> Result<String, Status> {
        let cluster = cluster_of(caller)?;
        let authority = self.authority.as_ref().ok_or_else(|| {
            Status::failed_precondition(
                "the sco-provider has no authority to certify agents by: start it with --authority",
            )
        })?;
        let agent = parse::request(|found| agent(found, request))?;
        let identity = Identity::in_cluster(agent.role, cluster.as_str(), agent.node.as_str());
        let identity = identity.map_err(|error| Status::internal(error.to_string()))?;
        let addresses: Vec<_> = agent.addresses.iter().map(IpAddr::to_string).collect();
        let signed = authority.certify(&request.csr_pem, &identity, &addresses);
        let certificate = signed.map_err(|error| refusal(&error))?;
        tracing::info!(%identity, ?addresses, "certified an agent");
        Ok(certificate)
    }
}

#[tonic::async_trait]
impl AuthorityService for AuthorityApi {
    async fn certify_agent(
        &self,
        request: Request<CertifyAgentRequest>,
    ) -> Result<Response<CertifyAgentResponse>, Status> {
        let caller = caller(&request);
        let certificate_pem = self.certify(caller.as_ref(), request.get_ref())?;
        Ok(Response::new(CertifyAgentResponse { certificate_pem }))
    }
}

/// The cluster that a caller speaks for: an operator's certificate is named after it. Without TLS nobody
/// has one, and nobody gets any.
fn cluster_of(caller: Option<&Identity>) -> Result<Name, Status> {
    let operator = caller.filter(|caller| caller.role == Role::Operator);
    let operator = operator.ok_or_else(|| {
        Status::permission_denied("agents are certified for operators, by their certificates")
    })?;
    operator.name.parse().map_err(|error| {
        Status::permission_denied(format!("the name of {operator} is no cluster's: it {error}"))
    })
}

fn agent(violations: &mut Violations, request: &CertifyAgentRequest) -> Option<Agent> {
    if request.csr_pem.len() > CSR_BYTES {
        violations.add("csr_pem", format!("must have at most {CSR_BYTES} bytes"));
    }
    let role = match request.role() {
        AgentRole::SpsAgent => Some(Role::SpsAgent),
        AgentRole::NedAgent => Some(Role::NedAgent),
        AgentRole::Unspecified => {
            violations.add("role", "must be AGENT_ROLE_SPS_AGENT or AGENT_ROLE_NED_AGENT");
            None
        }
    };
    let node = parse::name(violations, "node", &request.node);
    let count = request.addresses.len();
    if !(1..=MOST_ADDRESSES).contains(&count) {
        violations.add("addresses", format!("must be 1 to {MOST_ADDRESSES}, not {count}"));
        return None;
    }
    let mut addresses = BTreeSet::new();
    for (index, text) in request.addresses.iter().enumerate() {
        addresses.extend(violations.check(&format!("addresses[{index}]"), address(text)));
    }
    Some(Agent { role: role?, node: node?, addresses })
}

/// An address by which an agent is reached from other hosts. Never a name, and nothing that means another
/// host to everybody: whoever connects there would take the agent for what is at home.
fn address(text: &str) -> Result<IpAddr, &'static str> {
    let address = text.parse::<IpAddr>().map_err(|_| "must be an IPv4 or IPv6 address")?;
    // One that is mapped into IPv6 is what it is in IPv4.
    let address = address.to_canonical();
    let is_broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    if address.is_loopback() || address.is_unspecified() || address.is_multicast() || is_broadcast {
        return Err("must be a unicast address, and none of loopback");
    }
    Ok(address)
}

fn refusal(error: &PkiError) -> Status {
    match error {
        PkiError::Request(_) => {
            let mut violations = Violations::new();
            violations.add("csr_pem", error.to_string());
            violations.into_status()
        }
        error => {
            tracing::error!(%error, "cannot certify an agent");
            Status::internal("the authority cannot sign")
        }
    }
}

#[cfg(test)]
mod tests {
    use l2sces_pki::{CertificateRequest, summarize};
    use tonic::Code;
    use tonic_types::StatusExt;

    use super::*;

    fn request() -> CertifyAgentRequest {
        CertifyAgentRequest {
            csr_pem: CertificateRequest::create().unwrap().csr_pem,
            role: AgentRole::SpsAgent.into(),
            node: "n1".to_owned(),
            addresses: vec!["10.0.0.11".to_owned()],
        }
    }

    fn operator(name: &str) -> Identity {
        Identity::new(Role::Operator, name).unwrap()
    }

    fn api() -> AuthorityApi {
        AuthorityApi::new(Some(Authority::create().unwrap()))
    }

    #[test]
    fn an_agent_is_one_of_the_callers_cluster() {
        let addresses = ["10.0.0.11", "2001:db8::1", "::ffff:10.0.0.12", "10.0.0.11"];
        for (role, wanted) in
            [(AgentRole::SpsAgent, Role::SpsAgent), (AgentRole::NedAgent, Role::NedAgent)]
        {
            let request = CertifyAgentRequest {
                role: role.into(),
                addresses: addresses.map(str::to_owned).to_vec(),
                ..request()
            };
            let certificate = api().certify(Some(&operator("a")), &request).unwrap();
            let summary = summarize(&certificate).unwrap();
            let identity = Identity::in_cluster(wanted, "a", "n1").unwrap();
            assert_eq!(summary.identity, Some(identity));
            assert_eq!(summary.alternative_names, ["10.0.0.11", "10.0.0.12", "2001:db8::1"]);
            assert!(!summary.is_authority);
        }
    }

    #[test]
    fn nobody_but_an_operator_is_answered() {
        let refused = |caller: Option<&Identity>| api().certify(caller, &request()).unwrap_err();
        for role in Role::ALL.into_iter().filter(|role| *role != Role::Operator) {
            let identity = Identity::new(role, "a").unwrap();
            assert_eq!(refused(Some(&identity)).code(), Code::PermissionDenied, "{role}");
        }
        assert_eq!(refused(None).code(), Code::PermissionDenied);
        for name in ["A", "a.b", "a_b"] {
            assert_eq!(refused(Some(&operator(name))).code(), Code::PermissionDenied, "{name}");
        }
    }

    #[test]
    fn without_an_authority_it_is_said_what_to_set() {
        let without = AuthorityApi::new(None);
        let refused = without.certify(Some(&operator("a")), &request()).unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition);
        assert!(refused.message().contains("--authority"), "{refused}");
    }

    #[test]
    fn what_no_agent_could_be_is_refused_field_by_field() {
        let violated = |request: &CertifyAgentRequest| {
            let refused = api().certify(Some(&operator("a")), request).unwrap_err();
            assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
            let violations = refused.get_details_bad_request().unwrap().field_violations;
            violations.into_iter().map(|violation| violation.field).collect::<Vec<_>>()
        };
        assert_eq!(violated(&CertifyAgentRequest::default()), ["role", "node", "addresses"]);
        for csr_pem in [String::new(), "garbage".to_owned(), "x".repeat(CSR_BYTES + 1)] {
            assert_eq!(violated(&CertifyAgentRequest { csr_pem, ..request() }), ["csr_pem"]);
        }
        for role in [0, 3, -1] {
            assert_eq!(violated(&CertifyAgentRequest { role, ..request() }), ["role"]);
        }
        for node in ["", "b/n1", "n1.example", "..", &"n".repeat(64)] {
            let node = node.to_owned();
            assert_eq!(violated(&CertifyAgentRequest { node, ..request() }), ["node"]);
        }
        for address in [
            "",
            "localhost",
            "a.example",
            "10.0.0.0/8",
            "127.0.0.1",
            "127.9.9.9",
            "::1",
            "0.0.0.0",
            "::",
            "224.0.0.1",
            "ff02::1",
            "255.255.255.255",
            "::ffff:127.0.0.1",
            "::ffff:0.0.0.0",
        ] {
            let addresses = vec!["10.0.0.11".to_owned(), address.to_owned()];
            let request = CertifyAgentRequest { addresses, ..request() };
            assert_eq!(violated(&request), ["addresses[1]"], "{address:?}");
        }
        let addresses = (0..17).map(|last| format!("10.0.0.{last}")).collect();
        assert_eq!(violated(&CertifyAgentRequest { addresses, ..request() }), ["addresses"]);
    }
}
