//! An agent in the test's process, asked without a network in between.

use std::sync::Arc;

use l2sces_switch_agent::{Agent, AgentConfig, AgentKind, DatapathType, SwitchApi};
use tokio::time::timeout;

use crate::support::{Node, PATIENCE};

/// How an agent of a node is started.
pub(crate) fn config(node: &Node, kind: AgentKind) -> AgentConfig {
    AgentConfig {
        kind,
        ovsdb: node.ovsdb().parse().unwrap(),
        bridge: kind.default_bridge().to_owned(),
        datapath_type: DatapathType::Netdev,
        tls: None,
        parameters: "/proc/sys/net".into(),
        patience: PATIENCE,
        link_patience: PATIENCE,
    }
}

/// Starts an agent, and waits until it has read the database.
pub(crate) async fn start(config: AgentConfig) -> SwitchApi {
    let agent = Agent::start(config).unwrap();
    timeout(PATIENCE, agent.connected()).await.unwrap();
    SwitchApi::new(Arc::new(agent))
}
