use std::net::SocketAddr;

use anyhow::Result;
use l2sces_lab::{Lab, Namespace, Pod, TableRows, Unit, command, command::Output};
use tonic::transport::Channel;

use super::{Host, Site, SiteNode};
use crate::{
    cli::{Cli, create_cluster},
    narrator::Narrator,
};

impl Site for Lab {
    fn nodes(&self) -> Vec<SiteNode> {
        let describe = |node: &l2sces_lab::layout::Node| {
            let role = match &node.gateway {
                Some(gateway) => format!("gateway, WAN address {}", gateway.wan_address),
                None => "node".to_owned(),
            };
            format!("underlay address {}  {role}", node.underlay_address)
        };
        self.layout()
            .nodes()
            .map(|node| SiteNode {
                name: node.name.clone(),
                cluster: node.cluster.clone(),
                description: describe(node),
            })
            .collect()
    }

    async fn register(&self, narrator: &Narrator) -> Result<()> {
        let cli = Cli::new(self, narrator);
        for cluster in &self.layout().clusters {
            cli.run(&create_cluster(cluster)).await?;
        }
        Ok(())
    }

    async fn l2sces(&self, arguments: &[String]) -> Result<Output> {
        let mut l2sces = self.control().command(self.layout().binaries.join("l2sces"))?;
        l2sces.envs(self.environment()?).args(arguments);
        Ok(command::output(&mut l2sces).await?)
    }

    fn slice_manager(&self) -> Result<Channel> {
        Ok(self.channel(&Unit::SliceManager)?)
    }

    async fn pod(&self, node: &str, name: &str) -> Result<Pod> {
        Ok(Lab::pod(self, node, name).await?)
    }

    fn pods(&self) -> Vec<Pod> {
        Lab::pods(self)
    }

    fn dns(&self) -> SocketAddr {
        self.layout().control.dns
    }

    fn resolvers(&self) -> Vec<Host> {
        let mut hosts = vec![Host { name: "control".to_owned(), namespace: self.control() }];
        for cluster in &self.layout().clusters {
            hosts.extend(cluster.nodes.last().map(|node| Host {
                name: node.name.clone(),
                namespace: Namespace::named(&node.namespace),
            }));
        }
        hosts
    }

    async fn table_rows(&self) -> Result<Vec<TableRows>> {
        Ok(Lab::table_rows(self).await?)
    }

    async fn made_on(&self, node: &str) -> Result<Vec<String>> {
        let node = self.node(node)?;
        let mut made = Vec::new();
        for bridge in node.bridges().await? {
            let flows = node.flows(&bridge).await?.len();
            let ports = node.ports(&bridge).await?.len();
            made.push(format!("{bridge} on {} with {ports} ports, {flows} flows", node.name));
        }
        let veths = node.veths().await?;
        made.extend(veths.iter().map(|veth| format!("interface {veth} on {}", node.name)));
        Ok(made)
    }

    async fn warnings(&self) -> Result<Vec<String>> {
        let mut all = Vec::new();
        for process in self.processes() {
            let Ok(log) = self.log(&process.spec.unit) else { continue };
            let is_warning = |line: &&str| line.contains("WARN") || line.contains("ERROR");
            let warnings: Vec<_> = log.lines().filter(is_warning).collect();
            let latest = &warnings[warnings.len().saturating_sub(5)..];
            all.extend(latest.iter().map(|warning| format!("{}: {warning}", process.spec.unit)));
        }
        Ok(all)
    }

    fn suggestions(&self) -> String {
        let (dns, prefix) = (self.layout().control.dns.ip(), self.layout().prefix());
        format!(
            "
  cargo xtask lab status
  cargo xtask lab exec -- l2sces port list --slice s1 --network blue
  cargo xtask lab exec --in blue-a1 -- ping -c 3 10.1.0.22
  cargo xtask lab exec --in a1 -- tcpdump -ni br-wan udp            # the tunnel between the clusters
  cargo xtask lab exec -- dig @{dns} b2.b.blue.s1.inter.l2sces
  cargo xtask lab restart sdn-controller-a                          # kill -9, then start again

  cargo xtask lab pod --node b1 mine
  cargo xtask lab exec -- l2sces port attach mine --slice s1 --network blue --cluster b \\
      --node b1 --namespace /run/netns/{prefix}p-mine

  cargo xtask lab exec -- sh -c 'buf curl --protocol grpc \\
      --cacert $L2SCES_TLS_CA --cert $L2SCES_TLS_CERT --key $L2SCES_TLS_KEY \\
      $L2SCES_ENDPOINT/l2sces.slice.v1.NetworkService/ListNetworks'
  cargo xtask lab exec -- sh -c 'grpcurl \\
      -cacert $L2SCES_TLS_CA -cert $L2SCES_TLS_CERT -key $L2SCES_TLS_KEY \\
      ${{L2SCES_ENDPOINT#https://}} list'

  cargo xtask lab exec -- l2sces slice delete s1 --force
  cargo xtask lab down"
        )
    }

    async fn down(self) -> Result<&'static str> {
        Lab::down(self).await?;
        Ok("no process, namespace or file")
    }
}
