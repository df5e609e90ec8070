//! The real program, as container runtimes call it, and what it asks the sps-agent.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use l2sces_proto::attachment::v1::{
    AttachRequest, CheckRequest, CollectRequest, DetachRequest, GetStatusResponse,
    NetworkReference, Pod, ValidAttachment,
};
use serde_json::{Value, json};
use support::{Agent, Call, PREVIOUS, blue};
use tonic::Status;

fn previous() -> Value {
    serde_json::from_str(PREVIOUS).unwrap()
}

/// A configuration of the node, as containerd hands it over.
fn chained(agent: &Agent) -> Value {
    json!({
        "cniVersion": "0.4.0", "name": "pods", "type": "l2sces-cni", "socket": agent.socket(),
        "excludeNamespaces": ["kube-system"], "prevResult": previous(),
    })
}

fn with(mut configuration: Value, key: &str, value: Value) -> Value {
    configuration[key] = value;
    configuration
}

fn without(mut configuration: Value, key: &str) -> Value {
    configuration.as_object_mut().unwrap().remove(key);
    configuration
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_chain_the_pods_own_interface_stays_and_ours_come_behind_it() {
    let agent = Agent::start().await;
    agent.attaches(vec![blue("net1")]);
    let told = Call::new("ADD").json(&chained(&agent)).await.unwrap();
    let mut expected = previous();
    let interface = json!({"name": "net1", "mac": "02:00:00:00:00:01", "sandbox": "/run/netns/p"});
    expected["interfaces"].as_array_mut().unwrap().push(interface);
    let address = json!({"version": "4", "address": "10.1.0.1/24", "interface": 2});
    expected["ips"].as_array_mut().unwrap().push(address);
    assert_eq!(told, expected);
    let request = AttachRequest {
        pod: Some(Pod { namespace: "shop".into(), name: "web".into(), uid: "u1".into() }),
        sandbox_id: "sandbox-1".into(),
        namespace_path: "/run/netns/p".into(),
        ..AttachRequest::default()
    };
    assert_eq!(agent.attach_requests(), [request]);

    // A pod that asks for nothing.
    agent.attaches(Vec::new());
    assert_eq!(Call::new("ADD").json(&chained(&agent)).await.unwrap(), previous());
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_the_first_network_is_the_pods_own_interface() {
    let agent = Agent::start().await;
    agent.attaches(vec![blue("eth0")]);
    let configuration = without(with(chained(&agent), "cniVersion", json!("1.1.0")), "prevResult");
    let told = Call::new("ADD").json(&configuration).await.unwrap();
    let interface =
        json!({"name": "eth0", "mac": "02:00:00:00:00:01", "sandbox": "/run/netns/p", "mtu": 1438});
    assert_eq!(told["interfaces"], json!([interface]));
    assert_eq!(told["ips"], json!([{"address": "10.1.0.1/24", "interface": 0}]));
    assert_eq!(agent.attach_requests()[0].interface_name, "eth0");

    // A pod without any interface could not be reached by the kubelet.
    agent.attaches(Vec::new());
    let error = Call::new("ADD").json(&configuration).await.unwrap_err();
    assert_eq!((error.code, error.message.contains("shop/web")), (100, true), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn multus_names_one_network_and_what_the_pod_wants_in_it() {
    let agent = Agent::start().await;
    agent.attaches(vec![blue("net3")]);
    let configuration = json!({
        "cniVersion": "0.3.1", "name": "blue", "type": "l2sces-cni", "socket": agent.socket(),
        "network": "blue", "namespace": "shop",
        "runtimeConfig": {"ips": ["10.1.0.9/24"], "mac": "02:00:00:00:00:09"},
    });
    let call = |verb| Call::new(verb).set("CNI_IFNAME", "net3");
    let told = call("ADD").json(&configuration).await.unwrap();
    assert_eq!(told["interfaces"][0]["name"], "net3");
    let network = Some(NetworkReference { namespace: "shop".into(), name: "blue".into() });
    let request = &agent.attach_requests()[0];
    assert_eq!(request.network, network);
    assert_eq!(request.interface_name, "net3");
    assert_eq!((&request.address[..], &request.mac[..]), ("10.1.0.9/24", "02:00:00:00:00:09"));

    // It goes by its own: other interfaces of the sandbox stay.
    call("DEL").run(&configuration).await.unwrap();
    let request = DetachRequest {
        sandbox_id: "sandbox-1".into(),
        network,
        interface_name: "net3".into(),
        ..DetachRequest::default()
    };
    assert_eq!(agent.detach_requests(), [request]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_comes_back_is_waited_for() {
    let agent = Agent::absent();
    let configuration = chained(&agent);
    let adding = tokio::spawn(async move { Call::new("ADD").json(&configuration).await });
    // Whether the plugin has already looked for the agent or not, it finds it.
    agent.attaches(vec![blue("net1")]);
    let _agent = agent.come().await;
    assert_eq!(adding.await.unwrap().unwrap()["interfaces"].as_array().unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_of_excluded_namespaces_need_nobody() {
    let agent = Agent::absent();
    let call = |verb| {
        Call::new(verb).set("CNI_ARGS", "K8S_POD_NAMESPACE=kube-system;K8S_POD_NAME=coredns")
    };
    assert_eq!(call("ADD").json(&chained(&agent)).await.unwrap(), previous());
    call("CHECK").run(&chained(&agent)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_had_is_told_with_the_number_for_it() {
    let agent = Agent::start().await;
    let cases = [
        (Status::failed_precondition("network green does not exist"), 100),
        (Status::invalid_argument("sandbox_id: too long"), 100),
        (Status::permission_denied("not on this node"), 100),
        (Status::aborted("the pod is gone"), 11),
        (Status::deadline_exceeded("not ready"), 11),
        (Status::resource_exhausted("no address left"), 11),
    ];
    for (status, code) in cases {
        let message = status.message().to_owned();
        agent.refuses(status);
        let error = Call::new("ADD").json(&chained(&agent)).await.unwrap_err();
        assert_eq!((error.code, error.message, error.version), (code, message, "0.4.0".into()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_calls_are_told_with_the_number_for_them() {
    let agent = Agent::start().await;
    let configuration = chained(&agent);
    let code = async |call: Call| call.run(&configuration).await.unwrap_err().code;
    assert_eq!(code(Call::new("RUN")).await, 4);
    for variable in ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS"] {
        assert_eq!(code(Call::new("ADD").set(variable, "")).await, 4, "{variable}");
    }
    for (variable, value) in
        [("CNI_CONTAINERID", "../x"), ("CNI_NETNS", "netns"), ("CNI_IFNAME", "a/b")]
    {
        assert_eq!(code(Call::new("ADD").set(variable, value)).await, 4, "{variable}");
    }
    assert_eq!(code(Call::new("DEL").set("CNI_CONTAINERID", "")).await, 4);
    let error = Call::new("ADD").run_text("{").await.unwrap_err();
    assert_eq!(error.code, 6);
    let old = with(configuration.clone(), "cniVersion", json!("0.2.0"));
    let error = Call::new("ADD").run(&old).await.unwrap_err();
    assert_eq!((error.code, error.message.contains("1.1.0")), (1, true), "{error:?}");
    assert!(agent.attach_requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_goes_whatever_is_left_of_it() {
    let agent = Agent::start().await;
    let configuration = chained(&agent);
    // As containerd does it: several at a time, the later ones without namespace and prevResult.
    let bare = without(configuration.clone(), "prevResult");
    let calls = (0..5).map(|number| {
        let netns = if number == 0 { "/run/netns/p" } else { "" };
        let configuration = if number == 0 { configuration.clone() } else { bare.clone() };
        tokio::spawn(
            async move { Call::new("DEL").set("CNI_NETNS", netns).run(&configuration).await },
        )
    });
    for call in calls.collect::<Vec<_>>() {
        assert_eq!(call.await.unwrap().unwrap(), "");
    }
    let request = DetachRequest { sandbox_id: "sandbox-1".into(), ..DetachRequest::default() };
    assert_eq!(agent.detach_requests(), vec![request; 5]);

    // Without pod and interface.
    let call = Call::new("DEL").set("CNI_ARGS", "").set("CNI_IFNAME", "");
    call.run(&configuration).await.unwrap();
    agent.refuses(Status::internal("broken"));
    Call::new("DEL").run(&configuration).await.unwrap();
    let nobody = Agent::absent();
    Call::new("DEL").run(&chained(&nobody)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_compares_what_is_with_what_was_told() {
    let agent = Agent::start().await;
    agent.attaches(vec![blue("net1")]);
    let told = Call::new("ADD").json(&chained(&agent)).await.unwrap();
    let configuration = with(chained(&agent), "prevResult", told);
    let check = || Call::new("CHECK");
    assert_eq!(check().run(&configuration).await.unwrap(), "");
    let request = CheckRequest {
        pod: Some(Pod { namespace: "shop".into(), name: "web".into(), uid: "u1".into() }),
        sandbox_id: "sandbox-1".into(),
        namespace_path: "/run/netns/p".into(),
        ..CheckRequest::default()
    };
    assert_eq!(agent.check_requests(), [request]);

    // It was never told of ours.
    assert_eq!(check().run(&chained(&agent)).await.unwrap_err().code, 100);
    agent.refuses(Status::not_found("not attached to blue"));
    assert_eq!(check().run(&configuration).await.unwrap_err().code, 3);
    agent.refuses(Status::failed_precondition("interface net1 is gone"));
    assert_eq!(check().run(&configuration).await.unwrap_err().code, 100);
    let untold = without(configuration.clone(), "prevResult");
    assert_eq!(check().run(&untold).await.unwrap_err().code, 7);
    let old = with(configuration, "cniVersion", json!("0.3.1"));
    assert_eq!(check().run(&old).await.unwrap_err().code, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_is_the_nodes() {
    let agent = Agent::start().await;
    let latest =
        |agent: &Agent| without(with(chained(agent), "cniVersion", json!("1.1.0")), "prevResult");
    let status = || Call::bare("STATUS");
    agent.has_status(GetStatusResponse { ready: true, message: String::new() });
    assert_eq!(status().run(&latest(&agent)).await.unwrap(), "");
    agent.has_status(GetStatusResponse { ready: false, message: "no database".into() });
    let error = status().run(&latest(&agent)).await.unwrap_err();
    assert_eq!((error.code, &error.message[..]), (51, "no database"));
    assert_eq!(status().run(&latest(&Agent::absent())).await.unwrap_err().code, 50);
    assert_eq!(status().run(&chained(&agent)).await.unwrap_err().code, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_list_of_what_is_valid_makes_the_rest_garbage() {
    let agent = Agent::start().await;
    let latest = without(with(chained(&agent), "cniVersion", json!("1.1.0")), "prevResult");
    let gc = || Call::bare("GC");
    assert_eq!(gc().run(&latest).await.unwrap_err().code, 7);
    assert_eq!(gc().run(&chained(&agent)).await.unwrap_err().code, 1);
    assert!(agent.collect_requests().is_empty());
    let valid = json!([{"containerID": "sandbox-1", "ifname": "eth0"}]);
    let configuration = with(latest.clone(), "cni.dev/valid-attachments", valid);
    assert_eq!(gc().run(&configuration).await.unwrap(), "");
    let none = with(latest, "cni.dev/valid-attachments", json!([]));
    assert_eq!(gc().run(&none).await.unwrap(), "");
    let one = ValidAttachment { sandbox_id: "sandbox-1".into(), interface_name: "eth0".into() };
    let request = |valid| CollectRequest { valid, ..CollectRequest::default() };
    assert_eq!(agent.collect_requests(), [request(vec![one]), request(Vec::new())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_versions_are_told_to_whoever_asks() {
    let told = Call::bare("VERSION").run_text(r#"{"cniVersion": "0.4.0"}"#).await.unwrap();
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["supportedVersions"], json!(["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]));
    assert_eq!(told["cniVersion"], "1.1.0");
}
