use clap::{Args, Subcommand};
use l2sces_proto::slice::v1::{Link, Slice, SliceCluster};

use super::{DeleteArgs, UpdateArgs, WriteArgs, compound::Compound};

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
        #[command(flatten)]
        update: UpdateArgs,
    },
    /// Delete a slice
    Delete {
        /// Name of the slice
        name: String,
        /// Delete its networks and their ports too
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
    /// A cluster of the slice: node=NAME of each node that takes part (none: all) and link=A:B of
    /// each link between them (none: every node with every other). Repeat for every cluster
    #[arg(long = "cluster", value_name = "NAME[,KEY=VALUE]...", value_parser = parse_cluster)]
    pub(crate) clusters: Vec<SliceCluster>,
    /// A link between two clusters; none: every cluster with every other. Repeat for every link
    #[arg(long = "link", value_name = "A:B", value_parser = parse_link)]
    pub(crate) links: Vec<Link>,
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
    }
}

fn parse_cluster(text: &str) -> Result<SliceCluster, String> {
    let cluster = Compound::parse(text, &["node", "link"])?;
    Ok(SliceCluster {
        cluster: cluster.name.to_owned(),
        nodes: cluster.all("node").map(ToOwned::to_owned).collect(),
        links: cluster.all("link").map(parse_link).collect::<Result<_, _>>()?,
    })
}

fn parse_link(text: &str) -> Result<Link, String> {
    match text.split_once(':') {
        Some((a, b)) if !a.is_empty() && !b.is_empty() => {
            Ok(Link { endpoint_a: a.to_owned(), endpoint_b: b.to_owned() })
        }
        _ => Err(format!("a link must have the form A:B, not {text:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_may_be_limited_to_nodes_and_links() {
        let cluster = parse_cluster("a,node=a1,node=a2,link=a1:a2").unwrap();
        assert_eq!(cluster.nodes, ["a1", "a2"]);
        assert_eq!(cluster.links, [parse_link("a1:a2").unwrap()]);
        for text in ["a,link=a1", "a,link=:a2", "a,node"] {
            assert!(parse_cluster(text).is_err(), "{text}");
        }
    }
}
