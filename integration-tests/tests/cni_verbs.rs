//! The verbs of the network plugin, as containerd calls them, with real parts: the plugin's binary in
//! the nodes' network namespaces, sps-agents, Open vSwitch, an operator, an sdn-controller, and an API
//! server of Kubernetes. The test stands for containerd alone.
//!
//! That a real containerd and a real kubelet call it behind other plugins, the story
//! `kubernetes_networks` shows.

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use integration_tests::container_runtime::{
    Call, PATIENCE, REFUSED, Runtime, interfaces, is_as_told, previous, told,
};
use l2sces_lab::{Unit, wait};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn every_verb_does_what_the_specification_says() -> Result<()> {
    let runtime = Runtime::up().await?;
    the_versions_are_told(&runtime).await?;
    a_pod_comes_and_goes(&runtime).await?;
    a_pod_gets_another_sandbox(&runtime).await?;
    what_a_later_attempt_has_made_stays(&runtime).await?;
    addresses_are_chosen_where_a_network_has_none(&runtime).await?;
    every_version_is_spoken(&runtime).await?;
    alone_its_first_network_is_the_pods_interface(&runtime).await?;
    as_multus_would_call_it(&runtime).await?;
    pods_are_found_by_their_alias_as_well(&runtime).await?;
    a_check_finds_what_was_tampered_with(&runtime).await?;
    garbage_goes_and_what_is_valid_stays(&runtime).await?;
    the_status_is_the_nodes(&runtime).await?;
    runtime.only(&[]).await?;
    runtime.down().await
}

async fn the_versions_are_told(runtime: &Runtime) -> Result<()> {
    let told = runtime.succeed(&Call::on("a1", "VERSION"), &json!({"cniVersion": "1.1.0"})).await?;
    let all = json!(["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]);
    ensure!(told["supportedVersions"] == all, "{told}");
    Ok(())
}

/// Behind another plugin, as containerd calls it: attached once however often it is asked for, and gone
/// at the first of four to six DELs, of which some are at the same time, and some know no namespace.
async fn a_pod_comes_and_goes(runtime: &Runtime) -> Result<()> {
    let one = runtime.pod("a1", "one", Some("blue,red")).await?;
    let other = runtime.pod("a1", "other", Some(r#"[{"name": "blue"}]"#)).await?;
    let configuration = runtime.chained(&one, "0.4.0")?;
    let del = Call::about(&one, "DEL");
    // Nothing is attached yet.
    runtime.succeed(&del, &configuration).await?;

    let add = Call::about(&one, "ADD");
    let result = runtime.succeed(&add, &configuration).await?;
    let before = previous(&one, "0.4.0");
    ensure!(result["interfaces"][1] == before["interfaces"][1], "{result}");
    ensure!(result["ips"][0] == before["ips"][0] && result["routes"] == before["routes"]);
    is_as_told(&one, &result, "net1").await?;
    is_as_told(&one, &result, "net2").await?;
    ensure!(runtime.succeed(&add, &configuration).await? == result, "the second ADD differs");
    let again = [&add; 4].map(|add| runtime.succeed(add, &configuration));
    ensure!(try_join_all(again).await?.iter().all(|told| *told == result), "ADDs at once differ");
    runtime.only(&[&one]).await?;

    let result = runtime.attach(&other).await?;
    let (_, address) = told(&result, "net1")?;
    let address = address.trim_end_matches("/16").to_owned();
    one.netns.run(["ping", "-c", "1", "-w", "30", "-I", "net1", &address]).await?;
    runtime.named("other", "blue", &[&address]).await?;
    runtime.counts("blue", 2).await?;
    runtime.counts("red", 1).await?;
    let bare = runtime.alone("a1", "0.4.0")?;
    let late = Call::about(&one, "DEL").set("CNI_NETNS", "");
    let dels = [(&del, &configuration), (&del, &bare), (&late, &bare), (&late, &configuration)];
    try_join_all(dels.map(|(del, configuration)| runtime.del(del, configuration))).await?;
    runtime.only(&[&other]).await?;
    ensure!(!interfaces(&one).await?.iter().any(|name| name.starts_with("net")));
    runtime.remove(&one).await?;
    // The namespace of the other is gone before anybody says so, but the pod is not: nobody else would
    // remove its port.
    runtime.lab.delete_pod(&other.netns)?;
    for _ in 0..2 {
        let late = Call::about(&other, "DEL").set("CNI_NETNS", "").set("CNI_ARGS", "");
        runtime.del(&late, &bare).await?;
    }
    runtime.only(&[]).await?;
    runtime.forget(&other).await?;
    runtime.named("other", "blue", &[]).await?;
    runtime.counts("blue", 0).await?;
    runtime.counts("red", 0).await?;

    // Pods that ask for nothing, and those of namespaces that are left alone.
    let plain = runtime.pod("a1", "plain", None).await?;
    let configuration = runtime.chained(&plain, "1.0.0")?;
    let result = runtime.succeed(&Call::about(&plain, "ADD"), &configuration).await?;
    ensure!(result == previous(&plain, "1.0.0"), "{result}");
    runtime.succeed(&Call::about(&plain, "DEL"), &configuration).await?;
    runtime.remove(&plain).await
}

/// A pod's next sandbox is not detached by a late DEL of the first.
async fn a_pod_gets_another_sandbox(runtime: &Runtime) -> Result<()> {
    let first = runtime.pod("a1", "again", Some("blue")).await?;
    runtime.attach(&first).await?;
    runtime.detach(&first).await?;
    let second = runtime.next_sandbox(&first).await?;
    let result = runtime.attach(&second).await?;
    try_join_all([0; 3].map(|_| runtime.detach(&first))).await?;
    is_as_told(&second, &result, "net1").await?;
    runtime.only(&[&second]).await?;
    runtime.detach(&second).await?;
    runtime.remove(&second).await
}

/// A replica of the operator that is late to undo a failed attempt removes nothing that a later one has
/// got from another replica.
async fn what_a_later_attempt_has_made_stays(runtime: &Runtime) -> Result<()> {
    let pod = runtime.pod("a1", "tries-again", Some("blue")).await?;
    runtime.attach(&pod).await?;
    let earlier = runtime.ports_of(&pod).await?;
    let result = runtime.attach(&pod).await?;
    let later = runtime.ports_of(&pod).await?;
    ensure!(runtime.undo(&earlier[0]).await?, "it is the later attempt's");
    is_as_told(&pod, &result, "net1").await?;
    runtime.only(&[&pod]).await?;
    ensure!(!runtime.undo(&later[0]).await?, "it is not undone");
    runtime.only(&[]).await?;
    runtime.detach(&pod).await?;
    runtime.remove(&pod).await
}

/// As L2S-M's users do it: the network has no addresses, and the pods say theirs.
async fn addresses_are_chosen_where_a_network_has_none(runtime: &Runtime) -> Result<()> {
    runtime.create_network("bare", None).await?;
    let asking = |address: &str| format!(r#"[{{"name": "bare", "ips": ["{address}"]}}]"#);
    let one = runtime.pod("a1", "chooses", Some(&asking("192.168.1.2/24"))).await?;
    let other = runtime.pod("a1", "chooses-too", Some(&asking("192.168.1.3/24"))).await?;
    for (pod, address) in [(&one, "192.168.1.2/24"), (&other, "192.168.1.3/24")] {
        let result = runtime.attach(pod).await?;
        ensure!(told(&result, "net1")?.1 == address, "{result}");
        is_as_told(pod, &result, "net1").await?;
    }
    one.netns.run(["ping", "-c", "1", "-w", "30", "192.168.1.3"]).await?;
    runtime.named("chooses-too", "bare", &["192.168.1.3"]).await?;
    // It is in use, whatever the prefix.
    let late = runtime.pod("a1", "late", Some(&asking("192.168.1.3/16"))).await?;
    let configuration = runtime.chained(&late, "1.0.0")?;
    let refusal = runtime.fail(&Call::about(&late, "ADD"), &configuration).await?;
    ensure!(refusal.code == REFUSED && refusal.message.contains("192.168.1.3"), "{refusal:?}");
    for pod in [&one, &other, &late] {
        runtime.detach(pod).await?;
    }
    runtime.only(&[]).await?;
    for pod in [&one, &other, &late] {
        runtime.remove(pod).await?;
    }
    runtime.delete_network("bare").await
}

/// The versions that containerd, CRI-O and Multus speak, old ones in their own form.
async fn every_version_is_spoken(runtime: &Runtime) -> Result<()> {
    for version in ["0.3.1", "0.4.0", "1.0.0", "1.1.0"] {
        let pod =
            runtime.pod("a1", &format!("v{}", version.replace('.', "-")), Some("blue")).await?;
        let mut configuration = runtime.chained(&pod, version)?;
        let result = runtime.succeed(&Call::about(&pod, "ADD"), &configuration).await?;
        is_as_told(&pod, &result, "net1").await?;
        ensure!(result["cniVersion"] == version, "{result}");
        let is_old = version.starts_with("0.");
        ensure!(result["ips"][1]["version"].is_null() != is_old, "{version}: {result}");
        configuration["prevResult"] = result;
        let check = Call::about(&pod, "CHECK");
        if version == "0.3.1" {
            ensure!(runtime.fail(&check, &configuration).await?.code == 1);
        } else {
            runtime.succeed(&check, &configuration).await?;
        }
        runtime.del(&Call::about(&pod, "DEL"), &configuration).await?;
        runtime.remove(&pod).await?;
    }
    runtime.only(&[]).await
}

async fn alone_its_first_network_is_the_pods_interface(runtime: &Runtime) -> Result<()> {
    let pod = runtime.pod("a2", "alone", Some("blue,red")).await?;
    let mut configuration = runtime.alone("a2", "1.0.0")?;
    let result = runtime.succeed(&Call::about(&pod, "ADD"), &configuration).await?;
    is_as_told(&pod, &result, "eth0").await?;
    is_as_told(&pod, &result, "net1").await?;
    ensure!(interfaces(&pod).await?.len() == 2, "{:?}", interfaces(&pod).await?);
    configuration["prevResult"] = result;
    runtime.succeed(&Call::about(&pod, "CHECK"), &configuration).await?;
    runtime.del(&Call::about(&pod, "DEL"), &configuration).await?;
    runtime.remove(&pod).await?;
    runtime.create_network("bare", None).await?;
    let lan = r#"[{"name": "red", "ifname": "lan0"}]"#;
    for (name, networks, reason) in [
        ("nothing", None, "asks for no network"),
        ("elsewhere", Some(lan), "must name an interface eth0"),
        ("no-address", Some("bare,red"), "network bare has no addresses"),
    ] {
        // The kubelet would know no address of the pod.
        let pod = runtime.pod("a2", name, networks).await?;
        let configuration = runtime.alone("a2", "1.0.0")?;
        let refusal = runtime.fail(&Call::about(&pod, "ADD"), &configuration).await?;
        ensure!(refusal.code == REFUSED && refusal.message.contains(reason), "{refusal:?}");
        runtime.remove(&pod).await?;
    }
    runtime.only(&[]).await?;
    runtime.delete_network("bare").await
}

/// As Multus would call it, which cannot be had here: for one network at a time, by the configuration of
/// a NetworkAttachmentDefinition, with the interface's name and what the pod wishes for.
async fn as_multus_would_call_it(runtime: &Runtime) -> Result<()> {
    let pod = runtime.pod("a1", "delegated", None).await?;
    let delegate = |network: &str, wishes: Value| -> Result<Value> {
        let mut configuration = runtime.alone("a1", "0.3.1")?;
        configuration["name"] = network.into();
        configuration["network"] = network.into();
        configuration["namespace"] = "default".into();
        configuration["runtimeConfig"] = wishes;
        Ok(configuration)
    };
    let wishes = json!({"ips": ["10.1.7.7/16"], "mac": "02:00:00:00:07:07"});
    let blue = delegate("blue", wishes)?;
    let red = delegate("red", json!({}))?;
    let call = |verb, interface| Call::about(&pod, verb).set("CNI_IFNAME", interface);
    let result = runtime.succeed(&call("ADD", "net1"), &blue).await?;
    is_as_told(&pod, &result, "net1").await?;
    let asked = ("02:00:00:00:07:07".to_owned(), "10.1.7.7/16".to_owned());
    ensure!(told(&result, "net1")? == asked, "{result}");
    let result = runtime.succeed(&call("ADD", "lan0"), &red).await?;
    is_as_told(&pod, &result, "lan0").await?;
    ensure!(result["interfaces"].as_array().is_some_and(|all| all.len() == 1), "{result}");

    // One goes, the other stays.
    runtime.del(&call("DEL", "net1"), &blue).await?;
    wait::holds("net1 is gone", PATIENCE, || async {
        let found = interfaces(&pod).await.map_err(|error| error.to_string())?;
        if found == ["lan0"] { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await?;
    runtime.only(&[&pod]).await?;
    runtime.del(&call("DEL", "lan0"), &red).await?;
    runtime.only(&[]).await?;
    runtime.remove(&pod).await
}

/// The label `l2sm/app` gives pods another name, which they share wherever they run.
async fn pods_are_found_by_their_alias_as_well(runtime: &Runtime) -> Result<()> {
    let one = runtime.pod("a1", "shop-1", Some("blue,red")).await?;
    let other = runtime.pod("a2", "shop-2", Some("blue")).await?;
    runtime.kubectl.run(["label", "pods", "shop-1", "shop-2", "l2sm/app=shop"]).await?;
    let (attached, attached_too) = (runtime.attach(&one).await?, runtime.attach(&other).await?);
    let address = |result: &Value, interface: &str| -> Result<String> {
        let (_, address) = told(result, interface)?;
        Ok(address.trim_end_matches("/16").to_owned())
    };
    let [blue, red] = [address(&attached, "net1")?, address(&attached, "net2")?];
    let other_blue = address(&attached_too, "net1")?;
    runtime.named("shop-1", "blue", &[&blue]).await?;
    runtime.named("shop-2", "blue", &[&other_blue]).await?;
    runtime.named("shop", "blue", &[&blue, &other_blue]).await?;
    runtime.named("shop", "red", &[&red]).await?;

    runtime.detach(&one).await?;
    runtime.named("shop", "blue", &[&other_blue]).await?;
    runtime.named("shop", "red", &[]).await?;
    runtime.detach(&other).await?;
    for name in ["shop", "shop-1", "shop-2"] {
        runtime.named(name, "blue", &[]).await?;
    }
    runtime.only(&[]).await?;
    runtime.remove(&one).await?;
    runtime.remove(&other).await
}

/// What somebody does to a pod's interface, and what of it is found.
struct Tampering {
    done: &'static [&'static str],
    found: &'static str,
    undone: &'static [&'static str],
}

/// Of these the switch does not know: they stay until somebody undoes them.
const UNSEEN: [Tampering; 3] = [
    Tampering {
        done: &["link", "set", "net1", "mtu", "1000"],
        found: "has MTU 1000",
        undone: &["link", "set", "net1", "mtu", "MTU"],
    },
    Tampering {
        done: &["address", "del", "ADDRESS", "dev", "net1"],
        found: "does not have address",
        undone: &["address", "add", "ADDRESS", "dev", "net1"],
    },
    Tampering {
        done: &["link", "set", "net1", "address", "02:00:00:00:99:99"],
        found: "has another MAC address",
        undone: &["link", "set", "net1", "address", "MAC"],
    },
];

/// Of these the switch tells the controller, which mends them.
const SEEN: [&[&str]; 2] = [&["link", "set", "net1", "down"], &["link", "del", "net1"]];

async fn a_check_finds_what_was_tampered_with(runtime: &Runtime) -> Result<()> {
    let pod = runtime.pod("a1", "checked", Some("blue")).await?;
    let mut configuration = runtime.chained(&pod, "1.1.0")?;
    let result = runtime.succeed(&Call::about(&pod, "ADD"), &configuration).await?;
    let mtu = result["interfaces"][2]["mtu"].to_string();
    let (mac, address) = told(&result, "net1")?;
    configuration["prevResult"] = result.clone();
    let check = Call::about(&pod, "CHECK");
    runtime.succeed(&check, &configuration).await?;
    for Tampering { done, found, undone } in UNSEEN {
        let filled = |word: &&'static str| match *word {
            "MTU" => mtu.clone(),
            "ADDRESS" => address.clone(),
            "MAC" => mac.clone(),
            word => word.to_owned(),
        };
        pod.netns.namespace().ip(done.iter().map(filled)).await?;
        let refusal = runtime.fail(&check, &configuration).await?;
        ensure!(refusal.code == REFUSED && refusal.message.contains(found), "{found}: {refusal:?}");
        pod.netns.namespace().ip(undone.iter().map(filled)).await?;
        runtime.succeed(&check, &configuration).await?;
    }
    for done in SEEN {
        pod.netns.namespace().ip(done).await?;
        // It may have been mended before anybody looks, but what a CHECK says is so.
        if runtime.run(&check, &configuration).await?.is_ok() {
            is_as_told(&pod, &result, "net1").await.with_context(|| format!("{done:?}"))?;
        }
        wait::holds("what was tampered with is mended", PATIENCE, || async {
            let checked = runtime.succeed(&check, &configuration).await.map(drop);
            checked.map_err(|error| format!("{done:?}: {error}"))
        })
        .await?;
        is_as_told(&pod, &result, "net1").await?;
    }
    runtime.detach(&pod).await?;
    wait::holds("a CHECK of what is detached says so", PATIENCE, || async {
        let told = runtime.run(&check, &configuration).await.map_err(|error| error.to_string())?;
        let is_unknown = told.as_ref().is_err_and(|refusal| refusal.code == 3);
        if is_unknown { Ok(()) } else { Err(format!("{told:?}")) }
    })
    .await?;
    runtime.only(&[]).await?;
    runtime.remove(&pod).await
}

async fn garbage_goes_and_what_is_valid_stays(runtime: &Runtime) -> Result<()> {
    let names = ["kept", "stale-1", "stale-2"].map(str::to_owned);
    let sandboxes = runtime.pods("a1", &names, Some("blue,red")).await?;
    let elsewhere = runtime.pod("a2", "elsewhere", Some("blue")).await?;
    for sandbox in sandboxes.iter().chain([&elsewhere]) {
        let configuration = runtime.chained(sandbox, "1.1.0")?;
        runtime.succeed(&Call::about(sandbox, "ADD"), &configuration).await?;
    }
    let mut configuration = runtime.alone("a1", "1.1.0")?;
    let gc = Call::on("a1", "GC");
    ensure!(runtime.fail(&gc, &configuration).await?.code == 7, "everything would be garbage");
    configuration["cni.dev/valid-attachments"] =
        json!([{"containerID": sandboxes[0].id, "ifname": "eth0"}]);
    runtime.succeed(&gc, &configuration).await?;
    runtime.only(&[&sandboxes[0], &elsewhere]).await?;
    for stale in &sandboxes[1..] {
        ensure!(interfaces(stale).await?.is_empty(), "{:?}", interfaces(stale).await?);
        runtime.named(stale.netns.name(), "blue", &[]).await?;
    }
    ensure!(interfaces(&sandboxes[0]).await? == ["net1", "net2"]);
    configuration["cni.dev/valid-attachments"] = json!([]);
    runtime.succeed(&gc, &configuration).await?;
    runtime.only(&[&elsewhere]).await?;
    runtime.del(&Call::about(&elsewhere, "DEL"), &runtime.alone("a2", "1.1.0")?).await?;
    runtime.only(&[]).await?;
    for sandbox in sandboxes.iter().chain([&elsewhere]) {
        runtime.remove(sandbox).await?;
    }
    Ok(())
}

/// STATUS is about the node: that the operator or the controller is away keeps no node from being ready,
/// or the pod of an operator could not start on it.
async fn the_status_is_the_nodes(runtime: &Runtime) -> Result<()> {
    let status = Call::on("a1", "STATUS");
    let configuration = runtime.alone("a1", "1.1.0")?;
    runtime.succeed(&status, &configuration).await?;
    for away in [Unit::Operator("a".to_owned()), Unit::SdnController("a".to_owned())] {
        runtime.lab.kill(&away).await?;
        runtime.succeed(&status, &configuration).await?;
        runtime.lab.start(&away).await?;
    }
    let database = Unit::OvsdbServer("a1".to_owned());
    runtime.lab.kill(&database).await?;
    has_status(runtime, &status, &configuration, Some(51)).await?;
    runtime.lab.start(&database).await?;
    has_status(runtime, &status, &configuration, None).await?;
    let agent = Unit::SpsAgent("a1".to_owned());
    runtime.lab.kill(&agent).await?;
    ensure!(runtime.fail(&status, &configuration).await?.code == 50);
    runtime.lab.start(&agent).await?;
    has_status(runtime, &status, &configuration, None).await
}

async fn has_status(
    runtime: &Runtime,
    status: &Call,
    configuration: &Value,
    wanted: Option<u64>,
) -> Result<()> {
    wait::holds("the node has the status", PATIENCE, || async {
        let told = runtime.run(status, configuration).await.map_err(|error| error.to_string())?;
        let code = told.as_ref().err().map(|refusal| refusal.code);
        if code == wanted { Ok(()) } else { Err(format!("{told:?}")) }
    })
    .await?;
    Ok(())
}
