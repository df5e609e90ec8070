//! Whose certificate a token asks for.

use std::collections::BTreeSet;

use k8s_openapi::api::{
    authentication::v1::{TokenReview, TokenReviewSpec, UserInfo},
    core::v1::{Node, Pod},
};
use kube::{Api, Client, api::PostParams};
use l2sces_custom_resources::NetworkEdgeDevice;
use l2sces_model::Name;
use l2sces_pki::Role;

use crate::plan::{Machines, gateway};

/// Audience that tokens must be for: one that was stolen from another service is of no use here.
const AUDIENCE: &str = "l2sces";
/// What a token that is bound to a pod says of it.
const POD_NAME: &str = "authentication.kubernetes.io/pod-name";
const POD_UID: &str = "authentication.kubernetes.io/pod-uid";

/// Who gets a certificate, and the addresses that others reach it by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Workload {
    pub(crate) role: Role,
    pub(crate) node: Name,
    pub(crate) addresses: BTreeSet<String>,
}

/// Why somebody gets no certificate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// The API server does not know the token, or it is for something else.
    #[error("the token is not valid for the audience {AUDIENCE:?}: {0}")]
    Token(String),
    /// The token is none of an agent's pod.
    #[error("{0}")]
    Stranger(String),
    /// The API server does not answer.
    #[error("the API server: {0}")]
    Kubernetes(#[from] kube::Error),
}

/// A pod, as a token tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Bearer {
    role: Role,
    pod: String,
    pod_uid: String,
}

/// The agent that has a token. Its pod must be one of this namespace.
///
/// # Errors
/// It gets no certificate.
pub(crate) async fn of_token(
    client: &Client,
    namespace: &str,
    token: &str,
) -> Result<Workload, Refusal> {
    let bearer = bearer(namespace, &review(client, token).await?)?;
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let pod = pods.get_opt(&bearer.pod).await?;
    let pod = pod.filter(|pod| pod.metadata.uid.as_ref() == Some(&bearer.pod_uid));
    let spec = pod.and_then(|pod| pod.spec).ok_or_else(|| {
        Refusal::Stranger(format!("pod {namespace}/{} of the token is gone", bearer.pod))
    })?;
    let node = spec.node_name.ok_or_else(|| {
        Refusal::Stranger(format!("pod {namespace}/{} is on no node yet", bearer.pod))
    })?;
    let addresses = addresses(client, &node, bearer.role).await?;
    Ok(Workload { role: bearer.role, node: Name::standing_for(&node), addresses })
}

async fn review(client: &Client, token: &str) -> Result<UserInfo, Refusal> {
    let reviews: Api<TokenReview> = Api::all(client.clone());
    let review = TokenReview {
        spec: TokenReviewSpec {
            token: Some(token.to_owned()),
            audiences: Some(vec![AUDIENCE.to_owned()]),
        },
        ..TokenReview::default()
    };
    let status = reviews.create(&PostParams::default(), &review).await?.status.unwrap_or_default();
    // An API server that knows no audiences would say nothing of them.
    let is_for_us = status.audiences.iter().flatten().any(|audience| audience == AUDIENCE);
    match status.user {
        Some(user) if status.authenticated == Some(true) && is_for_us => Ok(user),
        _ => Err(Refusal::Token(status.error.unwrap_or_else(|| "nobody has it".to_owned()))),
    }
}

fn bearer(namespace: &str, user: &UserInfo) -> Result<Bearer, Refusal> {
    let username = user.username.as_deref().unwrap_or_default();
    let account = username.strip_prefix(&format!("system:serviceaccount:{namespace}:"));
    let role = match account {
        Some("sps-agent") => Role::SpsAgent,
        Some("ned-agent") => Role::NedAgent,
        _ => {
            let message = format!("{username:?} is not the service account of an agent");
            return Err(Refusal::Stranger(message));
        }
    };
    let extra = |key: &str| user.extra.as_ref()?.get(key)?.first().cloned();
    let unbound = || Refusal::Stranger("the token is bound to no pod".to_owned());
    let pod = extra(POD_NAME).ok_or_else(unbound)?;
    let pod_uid = extra(POD_UID).ok_or_else(unbound)?;
    Ok(Bearer { role, pod, pod_uid })
}

/// The addresses that an agent is reached by on its node, those of its gateways among them.
async fn addresses(client: &Client, node: &str, role: Role) -> Result<BTreeSet<String>, Refusal> {
    let nodes: Api<Node> = Api::all(client.clone());
    let nodes: Vec<_> = nodes.get_opt(node).await?.into_iter().map(std::sync::Arc::new).collect();
    let machines = Machines::of(&nodes);
    let name = Name::standing_for(node);
    let Some(machine) = machines.get(&name) else {
        return Err(Refusal::Stranger(format!("node {node} has no InternalIP")));
    };
    let mut addresses = BTreeSet::from([machine.address.to_string()]);
    if role == Role::NedAgent {
        let devices: Api<NetworkEdgeDevice> = Api::all(client.clone());
        let devices = devices.list(&Default::default()).await?;
        let gateways = devices.iter().filter_map(|device| gateway(device, &machines).ok());
        addresses.extend(
            gateways.filter(|gateway| gateway.node == name).map(|it| it.address.to_string()),
        );
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn user(username: &str, extra: &[(&str, &str)]) -> UserInfo {
        let extra: BTreeMap<_, _> = extra
            .iter()
            .map(|(key, value)| ((*key).to_owned(), vec![(*value).to_owned()]))
            .collect();
        UserInfo { username: Some(username.to_owned()), extra: Some(extra), ..UserInfo::default() }
    }

    #[test]
    fn only_agents_in_pods_of_the_own_namespace_are_known() {
        let pod = [(POD_NAME, "sps-agent-x"), (POD_UID, "u")];
        let bearer = |username: &str, extra| bearer("l2sces-system", &user(username, extra));
        let known = bearer("system:serviceaccount:l2sces-system:sps-agent", &pod).unwrap();
        assert_eq!(
            (known.role, &*known.pod, &*known.pod_uid),
            (Role::SpsAgent, "sps-agent-x", "u")
        );
        let known = bearer("system:serviceaccount:l2sces-system:ned-agent", &pod).unwrap();
        assert_eq!(known.role, Role::NedAgent);
        for stranger in [
            "system:serviceaccount:default:sps-agent",
            "system:serviceaccount:l2sces-system:default",
            "system:serviceaccount:l2sces-system:sps-agent:x",
            "sps-agent",
            "",
        ] {
            assert!(bearer(stranger, &pod).is_err(), "{stranger:?}");
        }
        let unbound = bearer("system:serviceaccount:l2sces-system:sps-agent", &[]);
        assert!(matches!(unbound, Err(Refusal::Stranger(_))), "{unbound:?}");
    }
}
