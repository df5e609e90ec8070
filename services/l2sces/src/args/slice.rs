use clap::{Args, Subcommand};
use l2sces_proto::slice::v1::{Link, Slice, SliceCluster};

use super::{
    DeleteArgs, UpdateArgs, WriteArgs,
    compound::Compound,
    measure::{self, Measure},
};

#[derive(Debug, Subcommand)]
pub(crate) enum SliceCommand {
    /// Create a slice
    Create {
        /// Name of the slice
        name: String,
        #[command(flatten)]
        flags: SliceFlags,
        #[command(flatten)]
        write: WriteArgs,
    },
    /// Show a slice
    Get {
        /// Name of the slice
        name: String,
    },
    /// Show all slices
    List,
    /// Change what is wanted of a slice; what no flag names stays as it is
    Update {
        /// Name of the slice
        name: String,
        #[command(flatten)]
        flags: SliceFlags,
        /// Take their interfaces from pods in clusters that it loses
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        update: UpdateArgs,
    },
    /// Delete a slice
    Delete {
        /// Name of the slice
        name: String,
        /// Delete its networks and their ports too, and take their interfaces from their pods
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        delete: DeleteArgs,
    },
    /// Show every change until interrupted
    Watch {
        /// Name of the slice; none: all
        name: Option<String>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct SliceFlags {
    /// A cluster of the slice: node=NAME of each node that takes part (none: all), link=A:B[:COST]
    /// of each link between them (none: every node with every other), and transit-label=KEY=VALUE of
    /// each label that a node must have to carry the frames of others (none: every node does).
    /// Repeat for every cluster
    #[arg(long = "cluster", value_name = "NAME[,KEY=VALUE]...", value_parser = parse_cluster)]
    pub(crate) clusters: Vec<SliceCluster>,
    /// A link between two clusters; none: every cluster with every other. cost=N makes frames
    /// prefer cheaper ways (default: 1); gateway-a=NODE and gateway-b=NODE are the gateways that it
    /// ends on (none: every one of the cluster). Repeat for every link
    #[arg(long = "link", value_name = "A:B[,KEY=VALUE]...", value_parser = parse_cluster_link)]
    pub(crate) links: Vec<Link>,
    /// What is measured of every link, by probes over it: rtt, jitter, loss and throughput, or none.
    /// interval=DURATION is from one round of probes to the next (default: 10s), probes=N how many
    /// each has (default: 20), and max-share=N the most of a link that they may take, in thousandths
    /// (default: 10)
    #[arg(long, value_name = "METRIC[,METRIC]...[,KEY=VALUE]...", value_parser = measure::parse)]
    pub(crate) measure: Option<Measure>,
}

impl SliceFlags {
    /// Puts what the flags name into the slice.
    pub(crate) fn change(self, slice: &mut Slice) {
        let spec = slice.spec.get_or_insert_default();
        if !self.clusters.is_empty() {
            spec.clusters = self.clusters;
        }
        if !self.links.is_empty() {
            spec.links = self.links;
        }
        if let Some(Measure(policy)) = self.measure {
            spec.measurement = policy;
        }
    }
}

fn parse_cluster(text: &str) -> Result<SliceCluster, String> {
    let cluster = Compound::parse(text, &["node", "link", "transit-label"])?;
    Ok(SliceCluster {
        cluster: cluster.name.to_owned(),
        nodes: cluster.all("node").map(ToOwned::to_owned).collect(),
        links: cluster.all("link").map(parse_node_link).collect::<Result<_, _>>()?,
        transit_labels: cluster.labels("transit-label")?,
    })
}

/// A link between two nodes: `A:B[:COST]`.
fn parse_node_link(text: &str) -> Result<Link, String> {
    match text.split(':').collect::<Vec<_>>()[..] {
        [a, b, cost] => Ok(Link { cost: parse_cost(cost)?, ..link_between(a, b)? }),
        [a, b] => link_between(a, b),
        _ => Err(format!("a link must have the form A:B or A:B:COST, not {text:?}")),
    }
}

/// A link between two clusters: `A:B[,KEY=VALUE]...`.
fn parse_cluster_link(text: &str) -> Result<Link, String> {
    let link = Compound::parse(text, &["cost", "gateway-a", "gateway-b"])?;
    let Some((a, b)) = link.name.split_once(':') else {
        return Err(format!("a link must begin with A:B, not {text:?}"));
    };
    Ok(Link {
        cost: link.one("cost")?.map_or(Ok(0), parse_cost)?,
        gateway_a: link.one("gateway-a")?.unwrap_or_default().to_owned(),
        gateway_b: link.one("gateway-b")?.unwrap_or_default().to_owned(),
        ..link_between(a, b)?
    })
}

fn link_between(a: &str, b: &str) -> Result<Link, String> {
    if a.is_empty() || b.is_empty() {
        return Err("a link must have a name at both ends".to_owned());
    }
    Ok(Link { endpoint_a: a.to_owned(), endpoint_b: b.to_owned(), ..Link::default() })
}

fn parse_cost(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("a cost must be a number, not {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_may_be_limited_to_nodes_and_links() {
        let cluster = parse_cluster("a,node=a1,node=a2,link=a1:a2,transit-label=x=y").unwrap();
        assert_eq!(cluster.nodes, ["a1", "a2"]);
        assert_eq!(cluster.links, [link_between("a1", "a2").unwrap()]);
        assert_eq!(cluster.transit_labels["x"], "y");
        let cluster = parse_cluster("a,link=a1:a2:7").unwrap();
        assert_eq!(cluster.links[0].cost, 7);
        for text in [
            "a,link=a1",
            "a,link=:a2",
            "a,node",
            "a,link=a1:a2:x",
            "a,link=a1:a2:3:4",
            "a,transit-label=x",
        ] {
            assert!(parse_cluster(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_link_between_clusters_may_have_a_cost_and_gateways() {
        let link = parse_cluster_link("a:b,cost=5,gateway-a=a1").unwrap();
        assert_eq!((link.endpoint_a.as_str(), link.endpoint_b.as_str()), ("a", "b"));
        assert_eq!((link.cost, link.gateway_a.as_str(), link.gateway_b.as_str()), (5, "a1", ""));
        assert_eq!(parse_cluster_link("a:b").unwrap(), link_between("a", "b").unwrap());
        for text in ["a", "a:", ":b,cost=1", "a:b,cost=x", "a:b,cost=1,cost=2", "a:b,gateway=x"] {
            assert!(parse_cluster_link(text).is_err(), "{text}");
        }
    }
}
