//! For which cluster a caller may speak.

use l2sces_grpc::peer;
use l2sces_model::Name;
use l2sces_pki::{Identity, Role};
use tonic::{Request, Status};

pub(super) fn caller<T>(request: &Request<T>) -> Option<Identity> {
    peer(request)?.identity().cloned()
}

/// The identity of an sdn-controller, or operator, is named after its cluster, and it speaks for no
/// other. (Without TLS nobody has an identity, and everybody may do everything.)
pub(super) fn authorize(caller: Option<&Identity>, cluster: &Name) -> Result<(), Status> {
    match caller {
        Some(Identity { role: role @ (Role::SdnController | Role::Operator), name, .. })
            if name != cluster.as_str() =>
        {
            Err(Status::permission_denied(format!(
                "the {role} of cluster {name} does not speak for cluster {cluster}"
            )))
        }
        _ => Ok(()),
    }
}

/// Who speaks for one cluster does not speak for all.
pub(super) fn authorize_whole(caller: Option<&Identity>) -> Result<(), Status> {
    match caller {
        Some(Identity { role: role @ Role::Operator, name, .. }) => {
            Err(Status::permission_denied(format!(
                "the {role} of cluster {name} describes its own part of slices and networks only"
            )))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    fn identity(role: Role, name: &str) -> Identity {
        Identity::new(role, name).unwrap()
    }

    #[test]
    fn who_belongs_to_a_cluster_speaks_for_that_one_only() {
        let a: Name = "a".parse().unwrap();
        for role in [Role::SdnController, Role::Operator] {
            assert!(authorize(Some(&identity(role, "a")), &a).is_ok());
            let refused = authorize(Some(&identity(role, "b")), &a).unwrap_err();
            assert_eq!(refused.code(), Code::PermissionDenied);
        }
        assert!(authorize(Some(&identity(Role::Admin, "root")), &a).is_ok());
        assert!(authorize(None, &a).is_ok());
    }

    #[test]
    fn an_operator_describes_nothing_whole() {
        let refused = authorize_whole(Some(&identity(Role::Operator, "a"))).unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied);
        assert!(authorize_whole(Some(&identity(Role::SliceManager, "m"))).is_ok());
        assert!(authorize_whole(None).is_ok());
    }
}
