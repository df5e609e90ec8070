//! A real Prometheus scrapes every service, has data for every panel, and tells of faults.

use anyhow::{Context, Result, ensure};
use integration_tests::{LIMIT, World, dashboards::dashboards, members_of, prometheus::Prometheus};
use l2sces_lab::{Unit, probe, wait};
use l2sces_proto::slice::v1::GetSliceRequest;

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_sees_every_service_and_has_data_for_every_panel() -> Result<()> {
    let mut world = World::up().await?;
    let prometheus = Prometheus::start(&world.lab).await?;
    let services = world.lab.layout().services().count();
    wait::holds("every service is scraped", LIMIT, || async {
        let up = prometheus.query("up == 1").await.map_err(|error| format!("{error:#}"))?;
        if up.len() == services { Ok(()) } else { Err(format!("{up:?}")) }
    })
    .await?;

    let blue = members_of(&mut world, "blue").await?;
    let server = world.lab.layout().control.dns;
    let dashboards = dashboards()?;
    wait::holds("every panel has data", 4 * LIMIT, || async {
        // What panels show must happen again and again, because most show rates.
        let busy = async {
            blue[0].reaches(&blue[3]).await?;
            let name = format!("{}.blue.inter.l2sces", blue[0].pod.name());
            let answer = probe::resolve(&world.lab.control(), server, &name, "A").await?;
            ensure!(!answer.data.is_empty(), "{name} is not known: {answer:?}");
            let missing = GetSliceRequest { name: "missing".to_owned() };
            let refused = world.slices.clone().get_slice(missing).await;
            ensure!(refused.is_err(), "{refused:?}");
            let mut without = Vec::new();
            for dashboard in &dashboards {
                for panel in &dashboard.panels {
                    for target in &panel.targets {
                        let expression = target.of_everything(&dashboard.templating.list);
                        let samples = prometheus.query(&expression).await?;
                        if !samples.iter().any(|sample| sample.value.is_finite()) {
                            without.push(format!(
                                "{}, {}: {expression}",
                                dashboard.title, panel.title
                            ));
                        }
                    }
                }
            }
            ensure!(without.is_empty(), "no data for {without:#?}");
            Ok(())
        };
        busy.await.map_err(|error: anyhow::Error| format!("{error:#}"))
    })
    .await?;
    drop(prometheus);
    world.down().await
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_fire_for_faults_and_clear_when_they_are_mended() -> Result<()> {
    let world = World::up().await?;
    let prometheus = Prometheus::start(&world.lab).await?;
    wait::holds("all is well", 4 * LIMIT, || async {
        let tunnels = prometheus.query("l2sces_tunnel_up == 1").await;
        let tunnels = tunnels.map_err(|error| format!("{error:#}"))?;
        let firing = prometheus.firing().await.map_err(|error| format!("{error:#}"))?;
        // Both ends of one tunnel in each cluster, and of one between them.
        if tunnels.len() == 6 && firing.is_empty() {
            Ok(())
        } else {
            Err(format!("{tunnels:?} are up and {firing:?} fire"))
        }
    })
    .await?;

    let agent = Unit::SpsAgent("a2".to_owned());
    world.lab.kill(&agent).await?;
    prometheus.alert("ServiceDown", &["a2"], true).await?;
    world.lab.start(&agent).await?;
    prometheus.alert("ServiceDown", &["a2"], false).await?;

    world.lab.set_pair("a1", "a2", false).await?;
    prometheus.alert("TunnelBroken", &["a1", "a2"], true).await?;
    let firing = prometheus.firing().await?;
    let of_b = firing.iter().find(|(_, labels)| labels.get("cluster").is_some_and(|it| it == "b"));
    ensure!(of_b.is_none(), "nothing is wrong in cluster b: {of_b:?}");
    world.lab.set_pair("a1", "a2", true).await?;
    prometheus.alert("TunnelBroken", &["a1", "a2"], false).await?;
    drop(prometheus);
    world.down().await.context("after the faults")
}
