//! Who signs: the sco-provider, which has the authority's key.

use l2sces_grpc::Channel;
use l2sces_pki::Role;
use l2sces_proto::issuer::v1::{
    AgentRole, CertifyAgentRequest, authority_service_client::AuthorityServiceClient,
};
use tonic::{Code, Status};

use super::workload::Workload;

/// The authority, as the operator of a cluster reaches it.
#[derive(Clone)]
pub(super) struct RemoteAuthority(AuthorityServiceClient<Channel>);

impl RemoteAuthority {
    pub(super) fn new(channel: Channel) -> Self {
        Self(AuthorityServiceClient::new(channel))
    }

    /// Has the key of an agent's request signed; the certificate, in PEM.
    ///
    /// # Errors
    /// As the agent is to be told.
    pub(super) async fn certify(
        &self,
        csr_pem: String,
        workload: &Workload,
    ) -> Result<String, Status> {
        let role = match workload.role {
            Role::NedAgent => AgentRole::NedAgent,
            _ => AgentRole::SpsAgent,
        };
        let request = CertifyAgentRequest {
            csr_pem,
            role: role.into(),
            node: workload.node.to_string(),
            addresses: workload.addresses.iter().cloned().collect(),
        };
        let answer = self.0.clone().certify_agent(request).await;
        let certificate = answer.map(|answer| answer.into_inner().certificate_pem);
        certificate.map_err(|status| {
            tracing::warn!(%status, node = %workload.node, "the sco-provider certifies no agent");
            told(status)
        })
    }
}

/// What an agent is told of a refusal. It is refused nothing itself, unless its request is no use: where
/// the operator is, or nobody answers, there may be a certificate later.
fn told(status: Status) -> Status {
    let message = status.message();
    match status.code() {
        Code::InvalidArgument => status,
        Code::FailedPrecondition => Status::failed_precondition(message),
        Code::Unimplemented => Status::failed_precondition(
            "the sco-provider certifies no agents: it is of an earlier version",
        ),
        Code::Unauthenticated | Code::PermissionDenied => {
            Status::failed_precondition(format!("the sco-provider refuses the operator: {message}"))
        }
        _ => Status::unavailable(format!("the sco-provider certifies no agents now: {message}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_is_refused_for_nothing_but_its_own_request() {
        for (code, wanted) in [
            (Code::InvalidArgument, Code::InvalidArgument),
            (Code::PermissionDenied, Code::FailedPrecondition),
            (Code::Unauthenticated, Code::FailedPrecondition),
            (Code::FailedPrecondition, Code::FailedPrecondition),
            (Code::Unimplemented, Code::FailedPrecondition),
            (Code::Unavailable, Code::Unavailable),
            (Code::DeadlineExceeded, Code::Unavailable),
            (Code::Internal, Code::Unavailable),
        ] {
            assert_eq!(told(Status::new(code, "why")).code(), wanted, "{code}");
        }
        assert!(told(Status::unavailable("it is away")).message().contains("it is away"));
    }
}
