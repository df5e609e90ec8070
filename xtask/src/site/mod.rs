//! Where the demo is told: any installation of l2sces on this machine.

mod compose;
mod lab;

use std::net::SocketAddr;

use anyhow::{Context, Result};
use l2sces_lab::{Namespace, Pod, TableRows, command::Output};
use tonic::transport::Channel;

pub(crate) use self::compose::Compose;
use crate::narrator::Narrator;

/// A node of an installation.
pub(crate) struct SiteNode {
    pub(crate) name: String,
    pub(crate) cluster: String,
    /// What it is and where, for people.
    pub(crate) description: String,
}

/// A host that has a resolver.
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) namespace: Namespace,
}

/// An installation with everything that the demo looks at.
pub(crate) trait Site {
    /// The nodes, cluster by cluster.
    fn nodes(&self) -> Vec<SiteNode>;

    /// Registers the clusters, and waits until they are ready.
    async fn register(&self, narrator: &Narrator) -> Result<()>;

    /// Runs `l2sces` as an administrator, to its end, whatever that is.
    async fn l2sces(&self, arguments: &[String]) -> Result<Output>;

    /// A channel to the slice-manager, as an administrator.
    fn slice_manager(&self) -> Result<Channel>;

    /// Makes a pod. Names of pods are unique in the installation.
    async fn pod(&self, node: &str, name: &str) -> Result<Pod>;

    /// The pods made so far.
    fn pods(&self) -> Vec<Pod>;

    /// Where names are asked for.
    fn dns(&self) -> SocketAddr;

    /// Hosts that ask for names; the first is the control services'.
    fn resolvers(&self) -> Vec<Host>;

    /// Counts the rows of every table of every service.
    async fn table_rows(&self) -> Result<Vec<TableRows>>;

    /// What l2sces has on a node: bridges and interfaces, for people.
    async fn made_on(&self, node: &str) -> Result<Vec<String>>;

    /// What the services warned of lately.
    async fn warnings(&self) -> Result<Vec<String>>;

    /// What to try while it is left running.
    fn suggestions(&self) -> String;

    /// Takes all of it down. Returns what was looked for and is not left.
    async fn down(self) -> Result<&'static str>;

    /// Names of the clusters.
    fn clusters(&self) -> Vec<String> {
        let mut clusters: Vec<_> = self.nodes().into_iter().map(|node| node.cluster).collect();
        clusters.dedup();
        clusters
    }

    /// The cluster of a node.
    fn cluster_of(&self, node: &str) -> Result<String> {
        let found = self.nodes().into_iter().find(|candidate| candidate.name == node);
        Ok(found.with_context(|| format!("there is no node {node:?}"))?.cluster)
    }
}
