//! What is done for each verb (CNI 1.1.0, section 4).

use std::{
    io::{self, Write},
    time::Duration,
};

use l2sces_proto::attachment::v1::{
    AttachRequest, CheckRequest, CollectRequest, DetachRequest, GetStatusRequest, Pod,
};
use tonic::{Code as GrpcCode, Status};

use crate::{
    agent::{Patience, call},
    configuration::Configuration,
    error::{CniError, Code},
    invocation::{Invocation, Sandbox},
    outcome,
    version::Version,
};

/// An attachment waits for switches; while agents and operators are restarted, nobody answers for some
/// seconds.
const ATTACH: Patience =
    Patience { deadline: Duration::from_secs(55), unanswered: Duration::from_secs(20) };
/// What remains of a sandbox is removed by others too, see `del`.
const DETACH: Patience =
    Patience { deadline: Duration::from_secs(10), unanswered: Duration::from_secs(2) };
/// Questions are asked again by whoever asked.
const ASK: Patience =
    Patience { deadline: Duration::from_secs(10), unanswered: Duration::from_secs(2) };

/// Does what the runtime wants, and returns what it is told.
///
/// # Errors
/// See [`Code`].
pub(crate) async fn run(
    invocation: &Invocation,
    configuration: &Configuration,
) -> Result<String, CniError> {
    match invocation {
        Invocation::Add(sandbox, pod) => add(sandbox, pod, configuration).await,
        Invocation::Del(sandbox) => del(sandbox, configuration).await,
        Invocation::Check(sandbox, pod) => check(sandbox, pod, configuration).await,
        Invocation::Status => status(configuration).await,
        Invocation::Gc => gc(configuration).await,
        Invocation::Version => Ok(outcome::versions()),
    }
}

/// Attaches a sandbox. Without a network in the configuration, the pod is asked what it wants: in a
/// chain, beside the interface that another plugin made; alone, with the interface that the runtime asks
/// for, by whose address the pod is known.
async fn add(
    sandbox: &Sandbox,
    pod: &Pod,
    configuration: &Configuration,
) -> Result<String, CniError> {
    let told = |made: &[_]| {
        let previous = configuration.previous.as_ref();
        outcome::result(configuration.version, previous, &sandbox.namespace_path, made)
    };
    if is_excluded(pod, configuration) {
        return told(&[]);
    }
    let is_first = configuration.network.is_some() || configuration.previous.is_none();
    let request = AttachRequest {
        pod: Some(pod.clone()),
        sandbox_id: sandbox.id.clone(),
        namespace_path: sandbox.namespace_path.clone(),
        network: configuration.network.clone(),
        interface_name: if is_first { sandbox.interface_name.clone() } else { String::new() },
        address: configuration.address.clone(),
        mac: configuration.mac.clone(),
        ..AttachRequest::default()
    };
    let response = call(&configuration.socket, ATTACH, request, |mut client, request| async move {
        client.attach(request).await
    });
    let made = response.await.map_err(|status| failure(&status))?.interfaces;
    if made.is_empty() && configuration.previous.is_none() {
        let message = format!(
            "pod {}/{} asks for no network (label l2sm, annotation l2sm/networks), and no other \
             plugin gives it one",
            pod.namespace, pod.name
        );
        return Err(CniError::new(Code::Refused, message));
    }
    told(&made)
}

/// Detaches a sandbox, as far as it is attached. That nobody can be asked is no failure: the pod could
/// not go before its agent is back. Whoever is asked otherwise removes the ports of pods that are gone.
async fn del(sandbox: &Sandbox, configuration: &Configuration) -> Result<String, CniError> {
    let is_one = configuration.network.is_some();
    let request = DetachRequest {
        node: String::new(),
        sandbox_id: sandbox.id.clone(),
        network: configuration.network.clone(),
        interface_name: if is_one { sandbox.interface_name.clone() } else { String::new() },
    };
    let response = call(&configuration.socket, DETACH, request, |mut client, request| async move {
        client.detach(request).await
    });
    if let Err(status) = response.await {
        // The runtime logs it. Where it does not, nothing can be done.
        let _ = writeln!(
            io::stderr(),
            "sandbox {} is left to be detached later: {}",
            sandbox.id,
            status.message()
        );
    }
    Ok(String::new())
}

/// Says whether a sandbox is attached as its ADD said.
async fn check(
    sandbox: &Sandbox,
    pod: &Pod,
    configuration: &Configuration,
) -> Result<String, CniError> {
    needs(Version::V0_4_0, configuration, "CHECK")?;
    let previous = configuration
        .previous
        .as_ref()
        .ok_or_else(|| CniError::new(Code::Configuration, "prevResult must be given to CHECK"))?;
    if is_excluded(pod, configuration) {
        return Ok(String::new());
    }
    let request = CheckRequest {
        node: String::new(),
        pod: Some(pod.clone()),
        sandbox_id: sandbox.id.clone(),
        namespace_path: sandbox.namespace_path.clone(),
        network: configuration.network.clone(),
    };
    let response = call(&configuration.socket, ASK, request, |mut client, request| async move {
        client.check(request).await
    });
    let there = response.await.map_err(|status| failure(&status))?.interfaces;
    match outcome::missing_in(previous, &there) {
        Some(message) => Err(CniError::new(Code::Refused, message)),
        None => Ok(String::new()),
    }
}

/// Says whether the node can attach sandboxes.
async fn status(configuration: &Configuration) -> Result<String, CniError> {
    needs(Version::V1_1_0, configuration, "STATUS")?;
    let request = GetStatusRequest {};
    let response = call(&configuration.socket, ASK, request, |mut client, request| async move {
        client.get_status(request).await
    });
    let status = response
        .await
        .map_err(|status| CniError::new(Code::Unavailable, status.message().to_owned()))?;
    if status.ready { Ok(String::new()) } else { Err(CniError::new(Code::Limited, status.message)) }
}

/// Detaches all sandboxes that the runtime does not know.
async fn gc(configuration: &Configuration) -> Result<String, CniError> {
    needs(Version::V1_1_0, configuration, "GC")?;
    // Without the list nothing would be valid, and everything detached.
    let valid = configuration.valid.clone().ok_or_else(|| {
        CniError::new(Code::Configuration, "cni.dev/valid-attachments must be given to GC")
    })?;
    let request =
        CollectRequest { node: String::new(), valid, network: configuration.network.clone() };
    let response = call(&configuration.socket, ASK, request, |mut client, request| async move {
        client.collect(request).await
    });
    response.await.map_err(|status| failure(&status))?;
    Ok(String::new())
}

/// Whether a pod is none of this plugin's. Not where it is the only one: the pod would have no network.
fn is_excluded(pod: &Pod, configuration: &Configuration) -> bool {
    configuration.network.is_none()
        && configuration.previous.is_some()
        && configuration.excluded_namespaces.contains(&pod.namespace)
}

fn needs(version: Version, configuration: &Configuration, verb: &str) -> Result<(), CniError> {
    if configuration.version >= version {
        return Ok(());
    }
    let message = format!("{verb} needs cniVersion {version}, not {}", configuration.version);
    Err(CniError::new(Code::IncompatibleVersion, message))
}

/// What the runtime is told of a call that failed.
fn failure(status: &Status) -> CniError {
    let code = match status.code() {
        GrpcCode::InvalidArgument | GrpcCode::FailedPrecondition | GrpcCode::PermissionDenied => {
            Code::Refused
        }
        GrpcCode::NotFound => Code::UnknownContainer,
        _ => Code::TryAgain,
    };
    CniError::new(code, status.message().to_owned())
}
