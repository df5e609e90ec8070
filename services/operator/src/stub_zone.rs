//! Names across clusters in pods: a block of the cluster's CoreDNS that asks the inter-domain-dns for
//! its zones.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::json;
use tokio::time::sleep;

/// Where CoreDNS has its configuration, as kubeadm and most others lay it out.
const NAMESPACE: &str = "kube-system";
const CONFIG_MAP: &str = "coredns";
const KEY: &str = "Corefile";

/// Between these lines is what the operator writes; the rest is others'.
const BEGIN: &str = "# BEGIN l2sces: written by the operator";
const END: &str = "# END l2sces";

/// How often it is looked whether somebody has overwritten the block.
const PERIOD: Duration = Duration::from_secs(60);

/// Where zones are forwarded to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StubZones {
    pub(crate) zones: Vec<String>,
    pub(crate) server: SocketAddr,
}

/// Keeps the block in place for ever; where there is no such CoreDNS there is nothing to do.
pub(crate) async fn keep(client: &Client, stub: &StubZones) {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
    loop {
        if let Err(error) = write(&maps, stub).await {
            tracing::warn!(%error, "cannot write the stub zones of {NAMESPACE}/{CONFIG_MAP}");
        }
        sleep(PERIOD).await;
    }
}

async fn write(maps: &Api<ConfigMap>, stub: &StubZones) -> kube::Result<()> {
    let Some(map) = maps.get_opt(CONFIG_MAP).await? else { return Ok(()) };
    let Some(before) = map.data.as_ref().and_then(|data: &BTreeMap<_, _>| data.get(KEY)) else {
        return Ok(());
    };
    let after = with_block(before, stub);
    if after == *before {
        return Ok(());
    }
    // Refused if somebody has written it since it was read; the next look tries again.
    let patch = json!({
        "metadata": { "resourceVersion": map.metadata.resource_version },
        "data": { KEY: after },
    });
    maps.patch(CONFIG_MAP, &PatchParams::default(), &Patch::Merge(patch)).await?;
    tracing::info!(zones = ?stub.zones, server = %stub.server, "CoreDNS forwards the zones");
    Ok(())
}

/// A Corefile with the block as it is to be, and everything else as it is. A zone that it serves
/// otherwise is left to whoever wrote that: CoreDNS takes no zone twice.
fn with_block(corefile: &str, stub: &StubZones) -> String {
    let mut text = without_block(corefile);
    let zones = stub.zones.iter().filter(|zone| !serves(&text, zone));
    let zones: Vec<String> = zones.map(|zone| format!("{zone}:53")).collect();
    if zones.is_empty() {
        return text;
    }
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    let (zones, server) = (zones.join(" "), stub.server);
    // The names of pods come and go: nothing is kept for longer than the server allows.
    text.push_str(&format!(
        "{BEGIN}\n{zones} {{\n    errors\n    forward . {server}\n    cache 5\n}}\n{END}\n"
    ));
    text
}

/// Whether a block of a Corefile is for a zone.
fn serves(corefile: &str, zone: &str) -> bool {
    let heads = corefile.lines().filter_map(|line| line.trim().strip_suffix('{'));
    let mut names = heads.flat_map(|head| head.split([' ', ',']));
    names.any(|name| {
        let name = name.strip_prefix("dns://").unwrap_or(name);
        name.split(':').next().is_some_and(|name| name.trim_end_matches('.') == zone)
    })
}

/// A Corefile without the block, if it has one from begin to end.
fn without_block(corefile: &str) -> String {
    let found = corefile.split_once(BEGIN).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(END)?;
        Some((before, after.strip_prefix('\n').unwrap_or(after)))
    });
    match found {
        Some((before, after)) => format!("{before}{after}"),
        None => corefile.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OTHERS: &str = ".:53 {\n    errors\n    kubernetes cluster.local\n}\n";

    fn stub(server: &str) -> StubZones {
        StubZones {
            zones: vec!["inter.l2sces".to_owned(), "inter.l2sm".to_owned()],
            server: server.parse().unwrap(),
        }
    }

    #[test]
    fn the_block_is_added_once_and_the_rest_stays() {
        let once = with_block(OTHERS, &stub("10.0.0.1:53"));
        assert!(once.starts_with(OTHERS));
        assert!(once.contains("inter.l2sces:53 inter.l2sm:53 {\n"), "{once}");
        assert!(once.contains("    forward . 10.0.0.1:53\n"), "{once}");
        assert_eq!(with_block(&once, &stub("10.0.0.1:53")), once);
        assert_eq!(without_block(&once), OTHERS);
    }

    #[test]
    fn another_server_replaces_the_block_wherever_it_is() {
        let before = with_block("", &stub("10.0.0.1:53")) + OTHERS;
        let after = with_block(&before, &stub("[fd00::1]:5353"));
        assert!(after.starts_with(OTHERS) && !after.contains("10.0.0.1"), "{after}");
        assert!(after.contains("forward . [fd00::1]:5353"));
        assert_eq!(after.matches(BEGIN).count(), 1);
    }

    #[test]
    fn what_others_have_is_left_to_them() {
        let others = "inter.l2sm:53 {\n    forward . 10.9.9.9\n}\n";
        let text = with_block(others, &stub("10.0.0.1:53"));
        assert!(text.starts_with(others) && text.contains("\ninter.l2sces:53 {\n"), "{text}");
        let both = format!("{others}dns://inter.l2sces. {{\n}}\n");
        assert_eq!(with_block(&both, &stub("10.0.0.1:53")), both);
        let unfinished = format!("{BEGIN}\n.:53 {{\n}}\n");
        assert_eq!(without_block(&unfinished), unfinished);
    }

    #[test]
    fn a_file_without_a_line_end_is_not_run_together_with_the_block() {
        let text = with_block(".:53 {\n}", &stub("10.0.0.1:53"));
        assert!(text.starts_with(&format!(".:53 {{\n}}\n{BEGIN}\n")), "{text}");
    }
}
