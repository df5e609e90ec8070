//! Plugins, pods and services die in the middle of an ADD, which leaves nothing, or is carried out when they
//! are back; networks go and come back under pods that run; and a crowd of pods comes to one node at once.
//! Parts as in the story `cni_verbs`.

use std::{collections::BTreeSet, time::Instant};

use anyhow::{Result, ensure};
use futures::future::{try_join, try_join_all};
use integration_tests::container_runtime::{
    Call, PATIENCE, REFUSED, Runtime, Sandbox, TRY_AGAIN, interfaces, is_as_told, told,
};
use l2sces_lab::{Unit, wait};

#[tokio::test(flavor = "multi_thread")]
async fn whoever_dies_in_the_middle_of_an_add_leaves_nothing() -> Result<()> {
    let runtime = Runtime::up().await?;
    plugins_die(&runtime).await?;
    nobody_waits_any_more(&runtime).await?;
    a_pod_dies(&runtime).await?;
    services_die(&runtime).await?;
    what_is_half_done_is_undone(&runtime).await?;
    a_lost_del_is_made_up_for(&runtime).await?;
    a_network_comes_back_to_its_pods(&runtime).await?;
    runtime.only(&[]).await?;
    runtime.down().await
}

/// At several moments. The runtime takes it for a failed ADD, and makes a DEL.
async fn plugins_die(runtime: &Runtime) -> Result<()> {
    for (number, moment) in ["started", "stored", "made"].into_iter().enumerate() {
        let pod = runtime.pod("a1", &format!("killed-{number}"), Some("blue,red")).await?;
        let configuration = runtime.chained(&pod, "1.0.0")?;
        let mut plugin = runtime.start(&Call::about(&pod, "ADD"), &configuration).await?;
        match moment {
            "stored" => is_stored(runtime, &pod).await?,
            "made" => is_made(&pod).await?,
            _ => {}
        }
        plugin.kill().await?;
        runtime.detach(&pod).await?;
        runtime.only(&[]).await?;
        // The kubelet tries it again.
        let result = runtime.attach(&pod).await?;
        is_as_told(&pod, &result, "net2").await?;
        runtime.detach(&pod).await?;
        runtime.remove(&pod).await?;
    }
    runtime.only(&[]).await
}

/// A port that cannot become ready, as the node's switch is away, goes with the plugin that waits for
/// it, though nobody makes a DEL.
async fn nobody_waits_any_more(runtime: &Runtime) -> Result<()> {
    let pod = runtime.pod("a1", "given-up", Some("blue,red")).await?;
    let configuration = runtime.chained(&pod, "1.0.0")?;
    let switch = Unit::OvsVswitchd("a1".to_owned());
    runtime.lab.kill(&switch).await?;
    let mut plugin = runtime.start(&Call::about(&pod, "ADD"), &configuration).await?;
    is_stored(runtime, &pod).await?;
    plugin.kill().await?;
    wait::holds("the ports are being removed", PATIENCE, || async {
        let ports = runtime.ports_of(&pod).await.map_err(|error| error.to_string())?;
        let mut states = ports.iter().flat_map(|port| &port.state);
        if states.all(|state| state.reason == "Deleting") {
            Ok(())
        } else {
            Err(format!("{ports:?}"))
        }
    })
    .await?;
    runtime.lab.start(&switch).await?;
    runtime.only(&[]).await?;
    runtime.remove(&pod).await
}

/// Its DEL comes while its ADD is under way, and when its namespace is gone.
async fn a_pod_dies(runtime: &Runtime) -> Result<()> {
    let pod = runtime.pod("a1", "dying", Some("blue,red")).await?;
    let configuration = runtime.chained(&pod, "1.0.0")?;
    let switch = Unit::OvsVswitchd("a1".to_owned());
    runtime.lab.kill(&switch).await?;
    let add = Call::about(&pod, "ADD");
    let dying = async {
        is_stored(runtime, &pod).await?;
        runtime.lab.delete_pod(&pod.netns)?;
        let late = Call::about(&pod, "DEL").set("CNI_NETNS", "");
        runtime.succeed(&late, &configuration).await.map(drop)
    };
    let (refusal, ()) = try_join(runtime.fail(&add, &configuration), dying).await?;
    ensure!(refusal.code == TRY_AGAIN, "{refusal:?}");
    runtime.lab.start(&switch).await?;
    runtime.only(&[]).await?;
    runtime.forget(&pod).await
}

/// Whichever of those that the plugin needs dies, it waits until that is back, and the pod is attached.
async fn services_die(runtime: &Runtime) -> Result<()> {
    let switch = Unit::OvsVswitchd("a1".to_owned());
    for unit in [
        Unit::SpsAgent("a1".to_owned()),
        Unit::Operator("a".to_owned()),
        Unit::SdnController("a".to_owned()),
    ] {
        let pod = runtime.pod("a1", &format!("waits-{}", unit.program()), Some("blue,red")).await?;
        // So that it is not attached before that.
        runtime.lab.kill(&switch).await?;
        let dying = async {
            is_stored(runtime, &pod).await?;
            runtime.restart(&unit).await?;
            Ok(runtime.lab.start(&switch).await?)
        };
        let configuration = runtime.chained(&pod, "1.0.0")?;
        let add = Call::about(&pod, "ADD");
        let (result, ()) = try_join(runtime.succeed(&add, &configuration), dying).await?;
        is_as_told(&pod, &result, "net1").await?;
        is_as_told(&pod, &result, "net2").await?;
        runtime.only(&[&pod]).await?;
        runtime.detach(&pod).await?;
        runtime.only(&[]).await?;
        runtime.remove(&pod).await?;
    }
    Ok(())
}

/// One of two networks cannot be had: the other is let go, without a DEL.
async fn what_is_half_done_is_undone(runtime: &Runtime) -> Result<()> {
    let wish = r#"[{"name": "red", "ips": ["10.1.9.9"]}]"#;
    let holder = runtime.pod("a1", "holder", Some(wish)).await?;
    runtime.attach(&holder).await?;
    let wishes = r#"[{"name": "blue"}, {"name": "red", "ips": ["10.1.9.9"]}]"#;
    let pod = runtime.pod("a1", "half", Some(wishes)).await?;
    let configuration = runtime.chained(&pod, "1.0.0")?;
    let refusal = runtime.fail(&Call::about(&pod, "ADD"), &configuration).await?;
    ensure!(refusal.code == REFUSED && refusal.message.contains("10.1.9.9"), "{refusal:?}");
    runtime.only(&[&holder]).await?;
    runtime.detach(&holder).await?;
    for sandbox in [&holder, &pod] {
        runtime.remove(sandbox).await?;
    }
    runtime.only(&[]).await
}

/// Nobody could be asked when the pod went.
async fn a_lost_del_is_made_up_for(runtime: &Runtime) -> Result<()> {
    let names = ["lost", "alive"].map(str::to_owned);
    let pods = runtime.pods("a1", &names, Some("blue")).await?;
    for pod in &pods {
        runtime.attach(pod).await?;
    }
    let (lost, alive) = (&pods[0], &pods[1]);
    let agent = Unit::SpsAgent("a1".to_owned());
    runtime.lab.kill(&agent).await?;
    let configuration = runtime.chained(lost, "1.0.0")?;
    runtime.succeed(&Call::about(lost, "DEL"), &configuration).await?;
    runtime.lab.start(&agent).await?;
    runtime.remove(lost).await?;
    // Who leads looks for such ports at once, and every half a minute.
    runtime.restart(&Unit::Operator("a".to_owned())).await?;
    runtime.only(&[alive]).await?;
    runtime.detach(alive).await?;
    runtime.only(&[]).await?;
    runtime.remove(alive).await
}

/// Somebody deletes the network of pods that run, and makes it again: they are attached as they were, but
/// for those that have been detached meanwhile. The switch may be away when the ports go, or the agent when
/// the network comes.
async fn a_network_comes_back_to_its_pods(runtime: &Runtime) -> Result<()> {
    let stays = runtime.pod("a1", "stays", Some("red,blue")).await?;
    let neighbour = runtime.pod("a1", "neighbour", Some("blue")).await?;
    let leaves = runtime.pod("a1", "leaves", Some("blue")).await?;
    runtime.kubectl.run(["label", "pod", "neighbour", "l2sm/app=beside"]).await?;
    let [result, of_neighbour] = [runtime.attach(&stays).await?, runtime.attach(&neighbour).await?];
    runtime.attach(&leaves).await?;
    let goes = async || {
        runtime.delete_network("blue").await?;
        for (pod, left) in [(&stays, &["net1"][..]), (&neighbour, &[]), (&leaves, &[])] {
            wait::holds("the interface to the network is gone", PATIENCE, || async {
                let found = interfaces(pod).await.map_err(|error| error.to_string())?;
                if found == left { Ok(()) } else { Err(format!("{found:?}")) }
            })
            .await?;
        }
        anyhow::Ok(())
    };
    let is_back = async || {
        runtime.create_network("blue", Some("10.1.0.0/16")).await?;
        for (pod, result, interface) in
            [(&stays, &result, "net2"), (&neighbour, &of_neighbour, "net1")]
        {
            wait::holds("the network is back", PATIENCE, || async {
                is_as_told(pod, result, interface).await.map_err(|error| error.to_string())
            })
            .await?;
        }
        is_as_told(&stays, &result, "net1").await
    };

    // Then interfaces go long after their ports.
    let switch = Unit::OvsVswitchd("a1".to_owned());
    runtime.lab.kill(&switch).await?;
    goes().await?;
    runtime.lab.start(&switch).await?;
    runtime.detach(&leaves).await?;
    is_back().await?;

    goes().await?;
    runtime.restart(&Unit::SpsAgent("a1".to_owned())).await?;
    is_back().await?;
    runtime.only(&[&stays, &neighbour]).await?;
    let (_, address) = told(&of_neighbour, "net1")?;
    let address = address.trim_end_matches("/16");
    stays.netns.run(["ping", "-c", "1", "-w", "30", "-I", "net2", address]).await?;
    runtime.named("beside", "blue", &[address]).await?;
    for pod in [&stays, &neighbour] {
        runtime.detach(pod).await?;
    }
    runtime.only(&[]).await?;
    ensure!(interfaces(&stays).await?.is_empty());
    for pod in [&stays, &neighbour, &leaves] {
        runtime.remove(pod).await?;
    }
    Ok(())
}

/// How many pods come to a node at once.
const CROWD: usize = 200;

#[expect(clippy::print_stdout, reason = "figures, for whoever wants to see them")]
#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_comes_to_one_node_at_once_and_goes() -> Result<()> {
    let runtime = Runtime::up().await?;
    let names: Vec<_> = (0..CROWD).map(|number| format!("pod-{number}")).collect();
    let pods = runtime.pods("a1", &names, Some("blue")).await?;
    let attaching = pods.iter().map(async |pod| {
        let begun = Instant::now();
        let result = runtime.attach(pod).await?;
        anyhow::Ok((begun.elapsed(), result))
    });
    let mut took = Vec::new();
    let mut macs = BTreeSet::new();
    let mut addresses = BTreeSet::new();
    for (pod, (time, result)) in pods.iter().zip(try_join_all(attaching).await?) {
        is_as_told(pod, &result, "net1").await?;
        let (mac, address) = told(&result, "net1")?;
        macs.insert(mac);
        addresses.insert(address);
        took.push(time);
    }
    took.sort();
    let [median, last] = [50, 99].map(|percent| took[CROWD * percent / 100].as_millis());
    println!("{CROWD} ADDs at once: p50 {median} ms, p99 {last} ms");
    ensure!((macs.len(), addresses.len()) == (CROWD, CROWD), "{macs:?}, {addresses:?}");
    runtime.only(&pods.iter().collect::<Vec<_>>()).await?;
    runtime.counts("blue", CROWD).await?;
    for (from, to) in [(0, CROWD - 1), (CROWD / 2, 0)] {
        let (_, address) = told(&runtime.attach(&pods[to]).await?, "net1")?;
        let address = address.trim_end_matches("/16");
        pods[from].netns.run(["ping", "-c", "1", "-w", "30", address]).await?;
    }

    // As containerd does it: more than once, some at the same time.
    try_join_all(pods.iter().flat_map(|pod| [runtime.detach(pod), runtime.detach(pod)])).await?;
    runtime.only(&[]).await?;
    for pod in &pods {
        ensure!(interfaces(pod).await?.is_empty());
    }
    runtime.counts("blue", 0).await?;
    runtime.down().await
}

/// Waits until the controller has the port of a sandbox.
async fn is_stored(runtime: &Runtime, sandbox: &Sandbox) -> Result<()> {
    wait::holds("the port is stored", PATIENCE, || async {
        let ports = runtime.ports_of(sandbox).await.map_err(|error| error.to_string())?;
        if ports.is_empty() { Err("none yet") } else { Ok(()) }.map_err(str::to_owned)
    })
    .await?;
    Ok(())
}

/// Waits until a sandbox has an interface.
async fn is_made(sandbox: &Sandbox) -> Result<()> {
    wait::holds("an interface is made", PATIENCE, || async {
        let found = interfaces(sandbox).await.map_err(|error| error.to_string())?;
        if found.is_empty() { Err("none yet".to_owned()) } else { Ok(()) }
    })
    .await?;
    Ok(())
}
