use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A process that a lab supervises. Written as its log file is named: `slice-manager`,
/// `sdn-controller-a`, `sps-agent-a1`, `ovs-vswitchd-a1`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Unit {
    /// The database.
    Postgres,
    /// The OVSDB server of a node.
    OvsdbServer(String),
    /// The switch of a node.
    OvsVswitchd(String),
    /// The slice-manager.
    SliceManager,
    /// The sco-provider.
    ScoProvider,
    /// The inter-domain-dns.
    InterDomainDns,
    /// The sdn-controller of a cluster.
    SdnController(String),
    /// The sps-agent of a node.
    SpsAgent(String),
    /// The ned-agent of a gateway node.
    NedAgent(String),
    /// The operator of a cluster.
    Operator(String),
    /// The operator of the control cluster.
    SliceOperator,
    /// The store of a Kubernetes cluster.
    Etcd(String),
    /// The API server of a Kubernetes cluster.
    KubeApiserver(String),
    /// The controllers of a Kubernetes cluster.
    KubeControllerManager(String),
    /// The scheduler of a Kubernetes cluster.
    KubeScheduler(String),
    /// The DNS server of a Kubernetes cluster.
    ClusterDns(String),
    /// A node of a Kubernetes cluster, with all that runs on it.
    KubernetesNode(String),
}

impl Unit {
    /// The program's name, and the node or cluster that it serves.
    fn parts(&self) -> (&'static str, Option<&str>) {
        match self {
            Self::Postgres => ("postgres", None),
            Self::OvsdbServer(node) => ("ovsdb-server", Some(node)),
            Self::OvsVswitchd(node) => ("ovs-vswitchd", Some(node)),
            Self::SliceManager => ("slice-manager", None),
            Self::ScoProvider => ("sco-provider", None),
            Self::InterDomainDns => ("inter-domain-dns", None),
            Self::SdnController(cluster) => ("sdn-controller", Some(cluster)),
            Self::SpsAgent(node) => ("sps-agent", Some(node)),
            Self::NedAgent(node) => ("ned-agent", Some(node)),
            Self::Operator(cluster) => ("operator", Some(cluster)),
            Self::SliceOperator => ("slice-operator", None),
            Self::Etcd(cluster) => ("etcd", Some(cluster)),
            Self::KubeApiserver(cluster) => ("kube-apiserver", Some(cluster)),
            Self::KubeControllerManager(cluster) => ("kube-controller-manager", Some(cluster)),
            Self::KubeScheduler(cluster) => ("kube-scheduler", Some(cluster)),
            Self::ClusterDns(cluster) => ("cluster-dns", Some(cluster)),
            Self::KubernetesNode(node) => ("kubernetes-node", Some(node)),
        }
    }

    /// Whether it is one of ours, with a gRPC health service.
    pub fn is_service(&self) -> bool {
        matches!(
            self,
            Self::SliceManager
                | Self::ScoProvider
                | Self::InterDomainDns
                | Self::SdnController(_)
                | Self::SpsAgent(_)
                | Self::NedAgent(_)
                | Self::Operator(_)
                | Self::SliceOperator
        )
    }

    /// Name of the program.
    pub fn program(&self) -> &'static str {
        self.parts().0
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.parts() {
            (program, None) => f.write_str(program),
            (program, Some(of)) => write!(f, "{program}-{of}"),
        }
    }
}

impl FromStr for Unit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let of = |program: &str| {
            let rest = text.strip_prefix(program)?.strip_prefix('-')?;
            (!rest.is_empty()).then(|| rest.to_owned())
        };
        match text {
            "postgres" => return Ok(Self::Postgres),
            "slice-manager" => return Ok(Self::SliceManager),
            "sco-provider" => return Ok(Self::ScoProvider),
            "inter-domain-dns" => return Ok(Self::InterDomainDns),
            "slice-operator" => return Ok(Self::SliceOperator),
            _ => {}
        }
        of("ovsdb-server")
            .map(Self::OvsdbServer)
            .or_else(|| of("ovs-vswitchd").map(Self::OvsVswitchd))
            .or_else(|| of("sdn-controller").map(Self::SdnController))
            .or_else(|| of("sps-agent").map(Self::SpsAgent))
            .or_else(|| of("ned-agent").map(Self::NedAgent))
            .or_else(|| of("operator").map(Self::Operator))
            .or_else(|| of("etcd").map(Self::Etcd))
            .or_else(|| of("kube-apiserver").map(Self::KubeApiserver))
            .or_else(|| of("kube-controller-manager").map(Self::KubeControllerManager))
            .or_else(|| of("kube-scheduler").map(Self::KubeScheduler))
            .or_else(|| of("cluster-dns").map(Self::ClusterDns))
            .or_else(|| of("kubernetes-node").map(Self::KubernetesNode))
            .ok_or_else(|| format!("{text:?} names no process of a lab"))
    }
}

impl TryFrom<String> for Unit {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Unit> for String {
    fn from(unit: Unit) -> Self {
        unit.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_and_parse_are_inverse() {
        for unit in [
            Unit::Postgres,
            Unit::OvsdbServer("a-1".to_owned()),
            Unit::OvsVswitchd("a".to_owned()),
            Unit::SliceManager,
            Unit::ScoProvider,
            Unit::InterDomainDns,
            Unit::SdnController("x".to_owned()),
            Unit::SpsAgent("y".to_owned()),
            Unit::NedAgent("z".to_owned()),
            Unit::Operator("a".to_owned()),
            Unit::SliceOperator,
            Unit::Etcd("a".to_owned()),
            Unit::KubeApiserver("a".to_owned()),
            Unit::KubeControllerManager("a".to_owned()),
            Unit::KubeScheduler("a".to_owned()),
            Unit::ClusterDns("a".to_owned()),
            Unit::KubernetesNode("a1".to_owned()),
        ] {
            assert_eq!(unit.to_string().parse(), Ok(unit));
        }
        assert!("sps-agent-".parse::<Unit>().is_err());
        assert!("init".parse::<Unit>().is_err());
    }
}
