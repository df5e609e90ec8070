//! Whose certificate a switch must show.

use std::net::{Ipv4Addr, SocketAddr};

use l2sces_controller::EngineConfig;
use l2sces_pki::{Authority, CredentialPaths, Credentials};
use tempfile::TempDir;

use crate::{
    process::replace,
    support::{Controller, OpenVswitch, eventually, in_namespace, run, switch},
};

/// Where the controller listens, as the switch reaches it.
const CONTROLLER: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(10, 9, 0, 254)), 6653);

/// An authority, and a switch that shows certificates of it.
struct World {
    authority: Authority,
    directory: TempDir,
    ovs: OpenVswitch,
}

impl World {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::create().unwrap();
        authority.save(directory.path()).unwrap();
        let ovs = OpenVswitch::start().await;
        let pid = ovs.pid();
        let cable = format!("link add cable type veth peer name underlay netns {pid}");
        run("ip", cable.split_whitespace());
        run("ip", format!("address add {}/24 dev cable", CONTROLLER.ip()).split_whitespace());
        run("ip", ["link", "set", "cable", "up"]);
        ovs.inside("ip address add 10.9.0.1/24 dev underlay");
        ovs.inside("ip link set underlay up");
        ovs.add_bridge("br1", 1).await;
        Self { authority, directory, ovs }
    }

    fn credentials(&self, identity: &str) -> Credentials {
        let identity = format!("spiffe://l2sces/{identity}").parse().unwrap();
        let directory = self.directory.path();
        self.authority.issue(&identity, &[]).unwrap().save(directory, "own").unwrap();
        let [ca, cert, key] = ["ca.pem", "own.pem", "own.key"].map(|name| directory.join(name));
        Credentials::load(&CredentialPaths { ca, cert, key }).unwrap()
    }

    /// The switch connects, and shows the certificate of this identity.
    fn connect_as(&self, identity: &str) {
        let (certificate, key) = self.credentials(identity).own_pem();
        let write = |name: &str, text: &str| {
            let path = self.ovs.directory().join(name);
            replace(&path, text);
            path.display().to_string()
        };
        // The switch looks at the files all the time, and takes both as soon as the key is another
        // one.
        let pem = write("switch.pem", &certificate);
        let key = write("switch.key", &key);
        self.ovs.vsctl("del-controller br1");
        let ca = self.directory.path().join("ca.pem");
        self.ovs.vsctl(&format!("set-ssl {key} {pem} {}", ca.display()));
        self.ovs.vsctl(&format!(
            "set-controller br1 ssl:{CONTROLLER} -- set controller br1 max_backoff=1000"
        ));
    }

    async fn is_connected(&self) {
        eventually("the switch is connected", || async {
            self.ovs.vsctl("get controller br1 is_connected").trim() == "true"
        })
        .await;
    }

    async fn is_thrown_out(&self) {
        eventually("the switch was let in and thrown out", || async {
            let state = self.ovs.vsctl("get controller br1 is_connected status");
            state.starts_with("false") && state.contains("sec_since_disconnect")
        })
        .await;
        assert!(!self.ovs.ofctl("dump-flows", "br1", "").contains("table="));
    }
}

#[test]
fn a_switch_is_let_in_by_a_certificate_of_its_node_in_its_cluster() {
    in_namespace(|| async {
        let world = World::start().await;
        let credentials = world.credentials("sdn-controller/a");
        let config = EngineConfig::new(CONTROLLER, Some(credentials)).unwrap();
        let mut controller = Controller::of(config).await;

        // It is not known yet whose it is.
        world.connect_as("sps-agent/b/n1");
        world.is_connected().await;
        controller.engine.put_switch(switch(1)).await;
        controller.engine.set_complete().await;
        world.is_thrown_out().await;
        for other in ["ned-agent/b/n1", "sps-agent/n2", "operator/n1"] {
            world.connect_as(other);
            world.is_thrown_out().await;
        }
        for own in ["sps-agent/a/n1", "ned-agent/a/n1", "sps-agent/n1"] {
            world.connect_as(own);
            controller.ready([1]).await;
        }
    });
}
