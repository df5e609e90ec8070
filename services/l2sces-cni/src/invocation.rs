//! What a container runtime wants, as the environment says it (CNI 1.1.0, section 2).

use std::{collections::HashMap, env};

use l2sces_model::InterfaceName;
use l2sces_proto::attachment::v1::Pod;

use crate::error::{CniError, Code};

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Add,
    Del,
    Check,
    Status,
    Gc,
    Version,
}

impl Verb {
    /// The verb in `CNI_COMMAND`.
    ///
    /// # Errors
    /// There is none, or it is unknown.
    pub(crate) fn from_environment() -> Result<Self, CniError> {
        match required("CNI_COMMAND")?.as_str() {
            "ADD" => Ok(Self::Add),
            "DEL" => Ok(Self::Del),
            "CHECK" => Ok(Self::Check),
            "STATUS" => Ok(Self::Status),
            "GC" => Ok(Self::Gc),
            "VERSION" => Ok(Self::Version),
            other => Err(wrong(format!("CNI_COMMAND {other:?} is unknown"))),
        }
    }
}

/// A sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sandbox {
    /// Id.
    pub(crate) id: String,
    /// Path of the network namespace; empty: gone.
    pub(crate) namespace_path: String,
    /// Name of the interface that the runtime asks for.
    pub(crate) interface_name: String,
}

/// What is to be done with what.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Invocation {
    Add(Sandbox, Pod),
    Del(Sandbox),
    Check(Sandbox, Pod),
    Status,
    Gc,
    Version,
}

impl Invocation {
    /// What the environment says about a verb.
    ///
    /// # Errors
    /// A variable that the verb needs is missing or wrong.
    pub(crate) fn from_environment(verb: Verb) -> Result<Self, CniError> {
        match verb {
            Verb::Add => Ok(Self::Add(sandbox()?, pod()?)),
            Verb::Check => Ok(Self::Check(sandbox()?, pod()?)),
            // Of what is gone, nobody may know more than the id.
            Verb::Del => Ok(Self::Del(Sandbox {
                id: container_id()?,
                namespace_path: optional("CNI_NETNS"),
                interface_name: optional("CNI_IFNAME"),
            })),
            Verb::Status => Ok(Self::Status),
            Verb::Gc => Ok(Self::Gc),
            Verb::Version => Ok(Self::Version),
        }
    }
}

fn sandbox() -> Result<Sandbox, CniError> {
    let namespace_path = required("CNI_NETNS")?;
    if !namespace_path.starts_with('/') {
        return Err(wrong("CNI_NETNS must be an absolute path".to_owned()));
    }
    let interface_name = required("CNI_IFNAME")?;
    interface_name
        .parse::<InterfaceName>()
        .map_err(|error| wrong(format!("CNI_IFNAME {error}")))?;
    Ok(Sandbox { id: container_id()?, namespace_path, interface_name })
}

fn container_id() -> Result<String, CniError> {
    let id = required("CNI_CONTAINERID")?;
    let mut characters = id.chars();
    let is_valid = characters.next().is_some_and(|c| c.is_ascii_alphanumeric())
        && characters.all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'));
    if is_valid { Ok(id) } else { Err(wrong(format!("CNI_CONTAINERID {id:?} is not valid"))) }
}

fn pod() -> Result<Pod, CniError> {
    pod_in(&optional("CNI_ARGS"))
}

/// The pod that `CNI_ARGS` names, whose parts come in any order.
fn pod_in(arguments: &str) -> Result<Pod, CniError> {
    let mut values: HashMap<&str, &str> =
        arguments.split(';').filter_map(|part| part.split_once('=')).collect();
    let mut named = |key: &str| {
        let value = values.remove(key).filter(|value| !value.is_empty());
        value.map(str::to_owned)
    };
    let missing = |key: &str| wrong(format!("CNI_ARGS must have {key}: only pods are attached"));
    Ok(Pod {
        namespace: named("K8S_POD_NAMESPACE").ok_or_else(|| missing("K8S_POD_NAMESPACE"))?,
        name: named("K8S_POD_NAME").ok_or_else(|| missing("K8S_POD_NAME"))?,
        uid: named("K8S_POD_UID").unwrap_or_default(),
    })
}

fn required(variable: &str) -> Result<String, CniError> {
    match env::var(variable) {
        Ok(value) if !value.is_empty() => Ok(value),
        _ => Err(wrong(format!("{variable} must be set"))),
    }
}

fn optional(variable: &str) -> String {
    env::var(variable).unwrap_or_default()
}

fn wrong(message: String) -> CniError {
    CniError::new(Code::Environment, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_found_in_whatever_order() {
        let pod = Pod { namespace: "shop".into(), name: "web-0".into(), uid: "u1".into() };
        let texts = [
            "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0;K8S_POD_UID=u1",
            "K8S_POD_UID=u1;K8S_POD_NAME=web-0;K8S_POD_INFRA_CONTAINER_ID=x;K8S_POD_NAMESPACE=shop",
        ];
        for text in texts {
            assert_eq!(pod_in(text).unwrap(), pod, "{text}");
        }
        let without_uid = pod_in("K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0").unwrap();
        assert_eq!(without_uid, Pod { uid: String::new(), ..pod });
        for text in ["", "K8S_POD_NAMESPACE=shop", "K8S_POD_NAMESPACE=;K8S_POD_NAME=web-0"] {
            assert_eq!(pod_in(text).unwrap_err().code, Code::Environment, "{text}");
        }
    }
}
