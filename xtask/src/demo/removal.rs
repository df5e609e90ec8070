//! The end of the demo: everything is deleted, and nothing is left.

use anyhow::{Context, Result, ensure};
use l2sces_lab::{TableRows, probe};

use super::{Network, SLICE};
use crate::{
    cli::{Cli, words},
    narrator::Narrator,
    site::Site,
};

/// Deletes everything with the command line, which waits until it is gone.
pub(super) async fn delete_everything<S: Site>(site: &S, cli: &Cli<'_, S>) -> Result<()> {
    for network in ["blue", "red", "green"] {
        cli.run(&words(&format!("network delete {network} --slice {SLICE} --force"))).await?;
    }
    cli.run(&words(&format!("slice delete {SLICE}"))).await?;
    for cluster in site.clusters() {
        cli.run(&words(&format!("cluster delete {cluster}"))).await?;
    }
    Ok(())
}

/// Looks for anything that is left, with the tools of those who would know. `before` is what the
/// services' tables held before there was anything.
pub(super) async fn nothing_is_left(
    site: &impl Site,
    before: &[TableRows],
    networks: &[Network],
    narrator: &Narrator,
) -> Result<String> {
    let mut left = Vec::new();
    for node in site.nodes() {
        left.extend(site.made_on(&node.name).await?);
    }
    narrator.say("bridges with their ports and flows, interfaces on the nodes: looked at");
    for pod in site.pods() {
        let links = pod.namespace().ip(["-oneline", "link", "show"]).await?;
        let others = links.lines().filter(|line| !line.contains(": lo:")).count();
        if others > 0 {
            left.push(format!("{others} interfaces in pod {}", pod.name()));
        }
    }
    narrator.say("interfaces in the pods: looked at");
    let tables = site.table_rows().await?;
    ensure!(!tables.is_empty(), "the services have no tables: this looked at the wrong place");
    let (histories, state): (Vec<_>, Vec<_>) = tables.iter().partition(|table| table.is_history());
    for table in state.iter().filter(|table| table.rows > 0 && !before.contains(table)) {
        left.push(format!("{} rows in {}.{}", table.rows, table.schema, table.table));
    }
    narrator.say(&format!("{} tables of the services: looked at", state.len()));
    for history in histories {
        narrator.say(&format!(
            "  {}.{} remembers {} for a while",
            history.schema, history.table, history.rows
        ));
    }
    let (server, resolvers) = (site.dns(), site.resolvers());
    let control = resolvers.first().context("no host asks for names")?;
    for network in networks {
        for member in &network.members {
            let name = format!("{}.{}.inter.l2sces", member.pod.node(), network.name);
            let answer = probe::resolve(&control.namespace, server, &name, "A").await?;
            if answer.status != "NXDOMAIN" || !answer.data.is_empty() {
                left.push(format!("{name}: {} {}", answer.status, answer.data.join(" ")));
            }
        }
    }
    narrator.say("DNS records: looked at");
    ensure!(left.is_empty(), "{}", left.join("; "));
    Ok(format!("no bridge, port, flow, interface or record; no row in {} tables", state.len()))
}
