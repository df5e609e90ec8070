//! Flags, each with an environment variable.

use std::net::SocketAddr;

use clap::Parser;
use l2sces_grpc::ServerArgs;
use l2sces_model::Name;
use l2sces_telemetry::TelemetryArgs;

use crate::issuer::IssuerArgs;

/// The operator of one Kubernetes cluster: carries out its custom resources (L2Network, Overlay,
/// NetworkEdgeDevice) by asking the cluster's sdn-controller and the sco-provider, by gRPC. The API
/// server is found as kubectl finds it: by the service account of the pod, else by KUBECONFIG. Any
/// number of replicas may run; one of them leads and reconciles.
#[derive(Clone, Debug, Parser)]
#[command(version)]
pub struct Config {
    /// Name of the cluster, a DNS label, as the sdn-controller has it
    #[arg(long, env = "L2SCES_CLUSTER")]
    pub cluster: Name,
    /// Endpoint of the cluster's sdn-controller, such as https://sdn-controller.l2sces-system:50052
    #[arg(long, env = "L2SCES_SDN_CONTROLLER", value_name = "URL")]
    pub sdn_controller: String,
    /// Endpoint of the sco-provider, such as https://10.0.0.1:50060
    #[arg(long, env = "L2SCES_SCO_PROVIDER", value_name = "URL")]
    pub sco_provider: String,
    /// Namespace that the operator runs in, where its Lease is
    #[arg(long, env = "L2SCES_NAMESPACE", default_value = "l2sces-system")]
    pub namespace: String,
    /// Name of this replica among all, such as that of its pod
    #[arg(long, env = "L2SCES_REPLICA", value_name = "NAME")]
    pub replica: String,
    /// Port of the sps-agents on the addresses of their nodes
    #[arg(long, env = "L2SCES_SPS_AGENT_PORT", value_name = "PORT", default_value_t = 50053)]
    pub sps_agent_port: u16,
    /// Port of the ned-agents on the addresses of their nodes
    #[arg(long, env = "L2SCES_NED_AGENT_PORT", value_name = "PORT", default_value_t = 50054)]
    pub ned_agent_port: u16,
    /// Address and port of the inter-domain-dns: the cluster's CoreDNS (ConfigMap coredns in
    /// kube-system, where there is one) is made to forward --zone to it [default: none is]
    #[arg(long, env = "L2SCES_DNS", value_name = "ADDRESS:PORT")]
    pub dns: Option<SocketAddr>,
    /// Zone that the inter-domain-dns has; may be repeated
    #[arg(
        long = "zone",
        env = "L2SCES_ZONE",
        value_name = "DOMAIN",
        value_delimiter = ',',
        default_values = ["inter.l2sces", "inter.l2sm"]
    )]
    pub zones: Vec<String>,
    /// Address and port that admission reviews of pods are served on, with the certificate of the
    /// API, which needs the name of the operator's service (such as operator.l2sces-system.svc)
    /// [default: none are]
    #[arg(long, env = "L2SCES_WEBHOOK_LISTEN", value_name = "ADDRESS:PORT")]
    pub webhook_listen: Option<SocketAddr>,
    /// Name of the MutatingWebhookConfiguration that has the API server ask for reviews: --tls-ca is
    /// written into it
    #[arg(
        long,
        env = "L2SCES_WEBHOOK_CONFIGURATION",
        value_name = "NAME",
        default_value = "l2sces"
    )]
    pub webhook_configuration: String,
    /// Certificates for agents.
    #[command(flatten)]
    pub issuer: IssuerArgs,
    /// How the API is served.
    #[command(flatten)]
    pub server: ServerArgs,
    /// What is logged.
    #[command(flatten)]
    pub telemetry: TelemetryArgs,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_flags_are_consistent() {
        Config::command().debug_assert();
    }
}
