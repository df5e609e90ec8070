//! Slices and networks are made of the custom resources of a control cluster, by the real programs: their
//! ports reach each other, their statuses tell how they fare, and nothing is left when they are deleted,
//! in whatever order. What others have made is left alone.

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use integration_tests::{
    Labels, World, described,
    kubernetes::{SYSTEM, shows},
    named,
    topology::{mesh, slice},
};
use l2sces_lab::{Kubectl, Unit};
use l2sces_proto::slice::v1::{GetSliceRequest, Slice, UpdateSliceRequest};

/// The cluster whose resources are carried out.
const CONTROL: &str = "control";

/// A slice of both clusters and a network of it, whose provider is that of their namespace.
const RESOURCES: &str = r#"
apiVersion: l2sces.l2sm.io/v1
kind: ProviderProfile
metadata: {name: default, namespace: default}
spec: {provider: {name: s1, domain: [provider.example]}}
---
apiVersion: l2sces.l2sm.io/v1
kind: SliceOverlay
metadata: {name: overlay, namespace: default}
spec:
  topology:
    nodes:
      - {name: a}
      - {name: b, gateway: {ipAddress: GATEWAY}}
  monitor: {metrics: [{name: rtt}]}
---
apiVersion: l2sces.l2sm.io/v1
kind: SliceNetwork
metadata: {name: blue, namespace: default}
spec: {type: vnet, clusters: [a, b], networkCIDR: 10.1.0.0/24}
"#;

/// One that would be the same slice, and one that would be a slice of others.
const RIVALS: &str = r#"
apiVersion: l2sces.l2sm.io/v1
kind: SliceOverlay
metadata: {name: younger, namespace: default}
spec: {topology: {nodes: [{name: a}]}}
---
apiVersion: l2sces.l2sm.io/v1
kind: SliceOverlay
metadata: {name: usurper, namespace: default}
spec: {topology: {nodes: [{name: a}]}, provider: {name: s2, domain: []}}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn slices_are_what_the_resources_of_a_control_cluster_say() -> Result<()> {
    let mut world = World::with_control_cluster().await?;
    let kubectl = world.lab.kubectl(CONTROL)?;
    rights_are_what_is_needed(&kubectl).await?;
    let resources = resources(&world)?;
    they_wait_for_their_clusters(&mut world, &kubectl, &resources).await?;
    ports_reach_each_other(&mut world).await?;
    what_others_have_made_is_left_alone(&mut world, &kubectl).await?;
    what_others_change_is_put_right(&mut world, &kubectl).await?;
    a_killed_operator_goes_on(&mut world, &kubectl).await?;
    a_provider_is_for_life(&world, &kubectl).await?;
    the_slice_goes_after_its_networks(&mut world, &kubectl).await?;
    all_can_go_at_once(&mut world, &kubectl, &resources).await?;
    world.delete_everything().await?;
    world.nothing_left().await?;
    world.down().await
}

/// The resources of this lab, where cluster b has one gateway.
fn resources(world: &World) -> Result<String> {
    let gateway = world.lab.node("b1")?.gateway.as_ref().context("b1 is no gateway")?;
    Ok(RESOURCES.replace("GATEWAY", &gateway.wan_address.to_string()))
}

/// The reason of a resource's condition, as soon as it is this.
async fn says(kubectl: &Kubectl, resource: &str, reason: &str) -> Result<()> {
    let template = "jsonpath={.status.conditions[?(@.type=='Ready')].reason}";
    let ask = ["get", resource, "--output", template];
    shows(kubectl, &ask, |shown| shown == reason).await.map(drop)
}

/// A field of a resource.
async fn field(kubectl: &Kubectl, resource: &str, path: &str) -> Result<String> {
    let template = format!("jsonpath={{{path}}}");
    Ok(kubectl.run(["get", resource, "--output", &template]).await?)
}

async fn slice_named(world: &World, name: &str) -> Result<Slice> {
    let request = GetSliceRequest { name: name.to_owned() };
    let answer = world.slices.clone().get_slice(request).await?;
    answer.into_inner().slice.context("no slice")
}

/// It acts as its service account.
async fn rights_are_what_is_needed(kubectl: &Kubectl) -> Result<()> {
    let account = format!("--as=system:serviceaccount:{SYSTEM}:slice-operator");
    for (question, answer) in [
        ("patch sliceoverlays", "yes"),
        ("delete sliceoverlays", "no"),
        ("patch providerprofiles", "no"),
        ("get secrets", "no"),
        ("list pods", "no"),
    ] {
        let words = ["auth", "can-i", "--all-namespaces", &account];
        let asked = kubectl.output(words.into_iter().chain(question.split(' '))).await?;
        ensure!(asked.stdout.trim() == answer, "{question}: {asked:?}");
    }
    Ok(())
}

async fn they_wait_for_their_clusters(
    world: &mut World,
    kubectl: &Kubectl,
    resources: &str,
) -> Result<()> {
    let register = |name: &str| -> Result<_> {
        Ok(described(world.lab.layout().cluster(name)?, &Labels::new()))
    };
    let (a, b) = (register("a")?, register("b")?);
    world.register(vec![a]).await?;
    kubectl.apply(resources).await?;
    says(kubectl, "sliceoverlay/overlay", "UnknownCluster").await?;
    says(kubectl, "slicenetwork/blue", "Waiting").await?;
    says(kubectl, "providerprofile/default", "Ready").await?;
    let phase = field(kubectl, "sliceoverlay/overlay", ".status.phase").await?;
    ensure!(phase == "Failed", "{phase}");

    world.register(vec![b]).await?;
    says(kubectl, "sliceoverlay/overlay", "Ready").await?;
    says(kubectl, "slicenetwork/blue", "Ready").await?;
    let row = ["get", "sliceoverlay", "overlay", "--no-headers"];
    shows(kubectl, &row, |row| row.split_whitespace().take(3).eq(["overlay", "Ready", "4"]))
        .await?;
    let clusters = ".status.clusterStatuses[*]['clusterName','status']";
    let clusters = field(kubectl, "slicenetwork/blue", clusters).await?;
    ensure!(clusters == "a b Ready Ready", "{clusters}");

    let slice = slice_named(world, "s1").await?;
    let uid = field(kubectl, "sliceoverlay/overlay", ".metadata.uid").await?;
    let managed_by = slice.metadata.unwrap_or_default().managed_by;
    ensure!(managed_by == format!("SliceOverlay/default/overlay/{uid}"), "{managed_by}");
    let spec = slice.spec.unwrap_or_default();
    let [link] = &spec.links[..] else { anyhow::bail!("{:?}", spec.links) };
    ensure!((link.gateway_a.as_str(), link.gateway_b.as_str()) == ("", "b1"), "{link:?}");
    ensure!(spec.measurement.is_some(), "what its monitor asks for is not measured");
    let network = world.network("blue").await?;
    let vni = field(kubectl, "slicenetwork/blue", ".status.vni").await?;
    ensure!(vni == network.status.unwrap_or_default().vni.to_string(), "{vni}");
    let events = ["get", "events", "--output", "jsonpath={.items[*].reason}"];
    shows(kubectl, &events, |reasons| {
        reasons.contains("UnknownCluster") && reasons.contains("Ready")
    })
    .await?;
    Ok(())
}

async fn ports_reach_each_other(world: &mut World) -> Result<()> {
    let one = world.join("blue", "a2", "one", 11).await?;
    let two = world.join("blue", "b2", "two", 12).await?;
    for member in [&one, &two] {
        world.port_ready("blue", member.pod.name()).await?;
    }
    try_join_all([one.reaches(&two), two.reaches(&one)]).await?;
    Ok(())
}

async fn what_others_have_made_is_left_alone(world: &mut World, kubectl: &Kubectl) -> Result<()> {
    world.create_slice_of("s2", slice(vec![mesh("a", &[]), mesh("b", &[])], Vec::new())).await?;
    kubectl.apply(RIVALS).await?;
    says(kubectl, "sliceoverlay/younger", "NameTaken").await?;
    says(kubectl, "sliceoverlay/usurper", "AlreadyExists").await?;
    kubectl.delete(RIVALS).await?;
    for name in ["s1", "s2"] {
        let slice = slice_named(world, name).await?;
        ensure!(slice.metadata.unwrap_or_default().delete_time.is_none(), "{name} is deleted");
        ensure!(slice.spec.unwrap_or_default().clusters.len() == 2, "{name} is changed");
    }
    Ok(())
}

async fn what_others_change_is_put_right(world: &mut World, kubectl: &Kubectl) -> Result<()> {
    let before = slice_named(world, "s1").await?;
    let mut spec = before.spec.clone().unwrap_or_default();
    spec.measurement = None;
    let changed = Slice { metadata: named("s1"), spec: Some(spec), status: None };
    let request = UpdateSliceRequest { slice: Some(changed), ..Default::default() };
    world.slices.update_slice(request).await?;
    until_slice(world, |slice| slice.spec == before.spec).await?;
    says(kubectl, "sliceoverlay/overlay", "Ready").await
}

/// Waits until the slice is as wanted.
async fn until_slice(world: &World, is_wanted: impl Fn(&Slice) -> bool) -> Result<()> {
    l2sces_lab::wait::holds("the slice is as wanted", world.limit, || async {
        let slice = slice_named(world, "s1").await.map_err(|error| format!("{error:#}"))?;
        if is_wanted(&slice) { Ok(()) } else { Err(format!("{slice:?}")) }
    })
    .await?;
    Ok(())
}

async fn a_killed_operator_goes_on(world: &mut World, kubectl: &Kubectl) -> Result<()> {
    world.lab.kill(&Unit::SliceOperator).await?;
    let change = r#"{"spec": {"monitor": null, "switchTemplate": {"spec": {"containers": []}}}}"#;
    kubectl.run(["patch", "sliceoverlay", "overlay", "--type=merge", "--patch", change]).await?;
    world.lab.start(&Unit::SliceOperator).await?;
    until_slice(world, |slice| slice.spec.as_ref().is_some_and(|spec| spec.measurement.is_none()))
        .await?;
    let observed = "jsonpath={.metadata.generation}={.status.observedGeneration}";
    let ask = ["get", "sliceoverlay/overlay", "--output", observed];
    shows(kubectl, &ask, |shown| shown.split_once('=').is_some_and(|(a, b)| a == b)).await?;
    says(kubectl, "sliceoverlay/overlay", "Ready").await?;
    let ignored = ".status.conditions[?(@.type=='FieldsIgnored')].message";
    let ignored = field(kubectl, "sliceoverlay/overlay", ignored).await?;
    ensure!(ignored.contains("spec.switchTemplate"), "{ignored}");
    Ok(())
}

/// Another provider in the profile moves nothing, and is told of by whoever has it.
async fn a_provider_is_for_life(world: &World, kubectl: &Kubectl) -> Result<()> {
    let named = |name: &str| format!(r#"{{"spec": {{"provider": {{"name": "{name}"}}}}}}"#);
    let profile = |patch: String| async move {
        kubectl
            .run(["patch", "providerprofile", "default", "--type=merge", "--patch", &patch])
            .await
    };
    profile(named("other")).await?;
    says(kubectl, "sliceoverlay/overlay", "ProviderChanged").await?;
    says(kubectl, "slicenetwork/blue", "ProviderChanged").await?;
    slice_named(world, "s1").await?;
    profile(named("s1")).await?;
    says(kubectl, "sliceoverlay/overlay", "Ready").await?;
    says(kubectl, "slicenetwork/blue", "Ready").await
}

async fn the_slice_goes_after_its_networks(world: &mut World, kubectl: &Kubectl) -> Result<()> {
    kubectl.run(["delete", "sliceoverlay", "overlay", "--wait=false"]).await?;
    says(kubectl, "sliceoverlay/overlay", "Deleting").await?;
    let message = ".status.conditions[?(@.type=='Ready')].message";
    let message = field(kubectl, "sliceoverlay/overlay", message).await?;
    ensure!(message.contains("still has networks: blue"), "{message}");
    ensure!(slice_named(world, "s1").await?.metadata.unwrap_or_default().delete_time.is_none());
    // It takes its ports with it.
    kubectl.run(["delete", "slicenetwork", "blue"]).await?;
    let all = ["get", "sliceoverlays,slicenetworks", "--output", "name"];
    shows(kubectl, &all, str::is_empty).await?;
    ensure!(slice_named(world, "s1").await.is_err(), "its slice is there");
    Ok(())
}

async fn all_can_go_at_once(world: &mut World, kubectl: &Kubectl, resources: &str) -> Result<()> {
    kubectl.apply(resources).await?;
    says(kubectl, "slicenetwork/blue", "Ready").await?;
    let kinds = "providerprofiles,sliceoverlays,slicenetworks";
    kubectl.run(["delete", kinds, "--all"]).await?;
    ensure!(slice_named(world, "s1").await.is_err(), "its slice is there");
    // Also when they are deleted before anything is made.
    kubectl.apply(resources).await?;
    kubectl.run(["delete", kinds, "--all"]).await?;
    ensure!(slice_named(world, "s1").await.is_err(), "its slice is there");
    Ok(())
}
