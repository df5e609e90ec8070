//! Cables in the place of the direct paths between the nodes of a lab.
//!
//! The nodes of a network meet at a bridge. The ports of two nodes with a cable between them are
//! isolated there: the bridge forwards nothing from one isolated port to another, and everything
//! else as before. So no interface comes or goes, which Open vSwitch would drop frames for. Where
//! several cables leave more ports isolated than they connect, straight cables connect the rest.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    io,
    net::Ipv4Addr,
    process::Command,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{Cable, CableEnd, CableSpec};
use crate::{
    cuts::gateway_address,
    error::{CommandError, Context, LabError},
    lab::Lab,
    layout::Node,
    namespace::Namespace,
    openvswitch, underlay,
};

impl Lab {
    /// Plugs a cable between two nodes, in the place of the path between them, and of no other:
    /// nodes of one cluster on their underlay, gateways of two on the WAN. Dropping the cable opens
    /// the path again; nothing is sent twice, but single frames may be lost at either moment. All
    /// cables of a lab are for one process to plug.
    ///
    /// # Errors
    /// There is no such node, it is no gateway, or there is a cable; no cable can do what is asked
    /// for.
    pub async fn cable(&self, one: &str, other: &str, spec: CableSpec) -> Result<Cable, LabError> {
        let (one, other) = (self.node(one)?, self.node(other)?);
        if one.name == other.name {
            return Err(LabError::Unknown {
                kind: "path from a node to itself",
                name: one.name.clone(),
            });
        }
        let end = |node: &Node, address: Ipv4Addr| CableEnd {
            interface: underlay::port(node),
            station: openvswitch::hardware_address(address),
        };
        let (namespace, ends) = if one.cluster == other.cluster {
            let ends = [end(one, one.underlay_address), end(other, other.underlay_address)];
            (&self.layout().cluster(&one.cluster)?.underlay.namespace, ends)
        } else {
            let ends = [end(one, gateway_address(one)?), end(other, gateway_address(other)?)];
            (&self.layout().wan.namespace, ends)
        };
        let (namespace, plugs) = (Namespace::named(namespace), Arc::clone(self.plugs()));
        let plugging = tokio::task::spawn_blocking(move || {
            let plug = Plug::new(plugs, namespace, ends)?;
            let cable = Cable::plug(&plug.namespace, &plug.ends, &spec)?;
            Ok(Cable { _plug: Some(plug), ..cable })
        });
        plugging.await.map_err(io::Error::other).context(|| "plug a cable".to_owned())?
    }
}

/// Which nodes have cables between them, by the namespace of their network.
#[derive(Debug, Default)]
pub(crate) struct Plugs(BTreeMap<Namespace, Network>);

/// Two ends, in order.
type Pair = [CableEnd; 2];

#[derive(Debug, Default)]
struct Network {
    cabled: BTreeSet<Pair>,
    straight: BTreeMap<Pair, Cable>,
}

/// A pair of nodes without a path between them, until it is dropped.
#[derive(Debug)]
pub(super) struct Plug {
    plugs: Arc<Mutex<Plugs>>,
    namespace: Namespace,
    ends: [CableEnd; 2],
}

impl Plug {
    fn new(
        plugs: Arc<Mutex<Plugs>>,
        namespace: Namespace,
        ends: [CableEnd; 2],
    ) -> Result<Self, LabError> {
        let pair = in_order(&ends);
        if !lock(&plugs).0.entry(namespace.clone()).or_default().cabled.insert(pair.clone()) {
            let [one, other] = ends.map(|end| end.interface);
            return Err(LabError::Plugged { one, other });
        }
        // From here on, dropping it undoes what has been done when something fails.
        let plug = Self { plugs, namespace, ends };
        for end in &plug.ends {
            isolate(&plug.namespace, &end.interface, true)?;
        }
        lock(&plug.plugs).straighten(&plug.namespace)?;
        Ok(plug)
    }

    fn unplug(&self) -> Result<(), LabError> {
        let mut plugs = lock(&self.plugs);
        let network = plugs.0.entry(self.namespace.clone()).or_default();
        network.cabled.remove(&in_order(&self.ends));
        let still_cabled = network.ends();
        if !self.namespace.exists() {
            plugs.0.remove(&self.namespace);
            return Ok(());
        }
        let straightened = plugs.straighten(&self.namespace);
        self.ends
            .iter()
            .filter(|end| !still_cabled.contains(*end))
            .map(|end| isolate(&self.namespace, &end.interface, false))
            .fold(straightened, Result::and)
    }
}

impl Drop for Plug {
    fn drop(&mut self) {
        if let Err(error) = self.unplug() {
            tracing::warn!(%error, "the path in the place of a cable could not be opened");
        }
    }
}

impl Plugs {
    /// Connects the isolated ports of a network that no cable connects, and no others.
    fn straighten(&mut self, namespace: &Namespace) -> Result<(), LabError> {
        let Some(network) = self.0.get_mut(namespace) else { return Ok(()) };
        let ends = Vec::from_iter(network.ends());
        let pairs = ends
            .iter()
            .enumerate()
            .flat_map(|(n, one)| ends[n + 1..].iter().map(|other| [one.clone(), other.clone()]));
        let wanted: BTreeSet<Pair> = pairs.filter(|pair| !network.cabled.contains(pair)).collect();
        network.straight.retain(|pair, _| wanted.contains(pair));
        for pair in wanted {
            if let Entry::Vacant(place) = network.straight.entry(pair) {
                let cable = Cable::plug(namespace, place.key(), &CableSpec::default())?;
                place.insert(cable);
            }
        }
        Ok(())
    }
}

impl Network {
    /// The ends of all cables that were asked for.
    fn ends(&self) -> BTreeSet<CableEnd> {
        self.cabled.iter().flatten().cloned().collect()
    }
}

fn lock(plugs: &Mutex<Plugs>) -> MutexGuard<'_, Plugs> {
    plugs.lock().unwrap_or_else(PoisonError::into_inner)
}

fn in_order(ends: &[CableEnd; 2]) -> Pair {
    let mut pair = ends.clone();
    pair.sort();
    pair
}

/// Makes a port of a bridge one that exchanges nothing with its like, or one as all. Synchronous,
/// because a cable is dropped where nothing can be awaited.
fn isolate(namespace: &Namespace, port: &str, isolated: bool) -> Result<(), LabError> {
    let mut ip = Command::new("ip");
    ip.args(["-n", namespace.name(), "link", "set", "dev", port, "type", "bridge_slave"]);
    ip.args(["isolated", if isolated { "on" } else { "off" }]);
    let command = format!("{ip:?}");
    match ip.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(CommandError::Failed {
            command,
            status: output.status.to_string(),
            stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        }
        .into()),
        Err(source) => Err(CommandError::Start { command, source }.into()),
    }
}
