//! Names across clusters in pods: a block of the cluster's CoreDNS that asks the inter-domain-dns for
//! its zones.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use l2sces_custom_resources::{
    COREFILE_CONFIG_MAP, COREFILE_KEY, COREFILE_NAMESPACE, StubZones, with_stub_zones,
};
use serde_json::json;
use tokio::time::sleep;

/// How often it is looked whether somebody has overwritten the block.
const PERIOD: Duration = Duration::from_secs(60);

/// Keeps the block in place for ever; where there is no such CoreDNS there is nothing to do.
pub(crate) async fn keep(client: &Client, stub: &StubZones) {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), COREFILE_NAMESPACE);
    loop {
        if let Err(error) = write(&maps, stub).await {
            tracing::warn!(%error, "cannot write the stub zones into the Corefile");
        }
        sleep(PERIOD).await;
    }
}

async fn write(maps: &Api<ConfigMap>, stub: &StubZones) -> kube::Result<()> {
    let Some(map) = maps.get_opt(COREFILE_CONFIG_MAP).await? else { return Ok(()) };
    let Some(before) = map.data.as_ref().and_then(|data: &BTreeMap<_, _>| data.get(COREFILE_KEY))
    else {
        return Ok(());
    };
    let after = with_stub_zones(before, stub);
    if after == *before {
        return Ok(());
    }
    // Refused if somebody has written it since it was read; the next look tries again.
    let patch = json!({
        "metadata": { "resourceVersion": map.metadata.resource_version },
        "data": { COREFILE_KEY: after },
    });
    maps.patch(COREFILE_CONFIG_MAP, &PatchParams::default(), &Patch::Merge(patch)).await?;
    tracing::info!(zones = ?stub.zones, server = %stub.server, "CoreDNS forwards the zones");
    Ok(())
}
