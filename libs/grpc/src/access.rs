use std::collections::HashMap;

use l2sces_pki::{Identity, Role};
use tonic::{Status, server::NamedService};

use crate::Peer;

/// Full name of the health service.
pub(crate) const HEALTH_SERVICE: &str = "grpc.health.v1.Health";

/// Services that everybody with a certificate of the authority may call.
const OPEN_SERVICES: [&str; 3] = [
    HEALTH_SERVICE,
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
];

/// Which roles may call which services and methods. What is not allowed is refused with
/// PERMISSION_DENIED; health and reflection are open to every role. A server of one cluster is called
/// by nobody of another, whatever its role, if both their certificates name their clusters.
#[derive(Clone, Debug, Default)]
pub struct Access {
    allowed: HashMap<&'static str, Callers>,
    own_cluster: Option<String>,
}

/// Who may call a service.
#[derive(Clone, Debug, Default)]
struct Callers {
    /// Who may call all its methods.
    of_all: Vec<Role>,
    /// Who else may call one, by its name.
    of_one: HashMap<&'static str, Vec<Role>>,
}

impl Callers {
    fn include(&self, role: Role, method: &str) -> bool {
        let of_one = self.of_one.get(method).map(Vec::as_slice).unwrap_or_default();
        self.of_all.contains(&role) || of_one.contains(&role)
    }
}

impl Access {
    /// Nobody may call anything but health and reflection.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets these roles call all methods of the service `S`, such as `FabricServiceServer<()>`.
    #[must_use]
    pub fn allow<S: NamedService>(mut self, roles: &[Role]) -> Self {
        self.allowed.entry(S::NAME).or_default().of_all.extend_from_slice(roles);
        self
    }

    /// Lets a role call these methods, such as "GetRecord", of the service `S`, and no others.
    #[must_use]
    pub fn allow_methods<S: NamedService>(mut self, role: Role, methods: &[&'static str]) -> Self {
        let callers = self.allowed.entry(S::NAME).or_default();
        for &method in methods {
            callers.of_one.entry(method).or_default().push(role);
        }
        self
    }

    /// The same for a server that is known by this identity.
    pub(crate) fn of(self, own: Option<&Identity>) -> Self {
        let own_cluster = own.and_then(Identity::own_cluster).map(str::to_owned);
        Self { own_cluster, ..self }
    }

    /// The services that somebody may call: those that the server has.
    pub(crate) fn services(&self) -> impl Iterator<Item = &'static str> {
        self.allowed.keys().copied()
    }

    /// Whether `peer` may call a method of `service`, by its full name.
    pub(crate) fn check(&self, peer: &Peer, service: &str, method: &str) -> Result<(), Status> {
        // Plaintext is asked for explicitly, and then there is nobody to tell apart; whom a local
        // socket is for, its permissions say.
        if !peer.is_authenticated() || OPEN_SERVICES.contains(&service) {
            return Ok(());
        }
        let Some(identity) = peer.identity() else {
            return Err(Status::permission_denied("the client's certificate has no identity"));
        };
        let callers = self.allowed.get(service);
        if !callers.is_some_and(|callers| callers.include(identity.role, method)) {
            let message = format!("the role {} may not call {service}/{method}", identity.role);
            return Err(Status::permission_denied(message));
        }
        match (self.own_cluster.as_deref(), identity.own_cluster()) {
            (Some(own), Some(other)) if own != other => Err(Status::permission_denied(format!(
                "{identity} may not call {service} of cluster {own}"
            ))),
            _ => Ok(()),
        }
    }
}
