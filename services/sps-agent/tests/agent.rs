//! The real binary in a node's network namespace.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../../libs/switch-agent/tests/support/mod.rs"]
mod support;

use std::{
    net::SocketAddr,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use l2sces_grpc::{Callee, Channel, Dialer, TlsArgs};
use l2sces_pki::{Authority, Identity, Role, peer_identity};
use l2sces_proto::switch::v1::{
    ApplyPortRequest, ApplySwitchRequest, DeletePortRequest, DeleteSwitchRequest, GetSwitchRequest,
    Switch, switch_service_client::SwitchServiceClient,
};
use support::{Namespace, Node, PATIENCE, port, switch};
use tokio::{net::TcpListener, time::timeout};
use tokio_rustls::TlsAcceptor;
use tonic::Code;

const LISTEN: &str = "127.0.0.1:50053";
/// How many interfaces a bridge without ports has: its own, and the one that keeps the UDP port of
/// tunnels open.
const BARE: usize = 2;

/// A running agent; killed when dropped.
struct Agent(Child);

impl Agent {
    fn start(node: &Node, flags: &[&str]) -> Self {
        let mut command = node.namespace.command(env!("CARGO_BIN_EXE_sps-agent"));
        command
            .current_dir(node.directory.path())
            .args(["--listen", LISTEN, "--ovsdb", &node.ovsdb(), "--datapath-type", "netdev"])
            .args(flags)
            .stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }

    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

type Client = SwitchServiceClient<Channel>;

fn client(tls: &TlsArgs) -> Client {
    let scheme = if tls.insecure_plaintext { "http" } else { "https" };
    let dialer = Dialer::new(tls).unwrap();
    Client::new(dialer.channel_to(Callee::Agent, &format!("{scheme}://{LISTEN}")).unwrap())
}

fn plaintext() -> TlsArgs {
    TlsArgs { insecure_plaintext: true, ..TlsArgs::default() }
}

/// Applies a port until it works: a busy switch may notice it later than the agent waits for.
async fn works(client: &mut Client, wanted: &ApplyPortRequest) {
    let started = Instant::now();
    loop {
        let applied = client.apply_port(wanted.clone()).await.unwrap().into_inner();
        let state = applied.state.unwrap();
        if state.ofport > 0 && state.error.is_empty() {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "{state:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until the agent serves and has its database.
async fn ready(client: &mut Client) {
    let started = Instant::now();
    loop {
        match client.get_switch(GetSwitchRequest {}).await {
            Ok(_) => return,
            Err(status) => assert!(started.elapsed() < PATIENCE, "{status}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[test]
fn an_agent_killed_at_any_moment_converges_when_it_returns() {
    let node = Node::start();
    let (one, two) = (Namespace::new("pod"), Namespace::new("pod"));
    node.block_on(async {
        let agent = Agent::start(&node, &["--insecure-plaintext"]);
        let mut client = client(&plaintext());
        ready(&mut client).await;
        client.apply_switch(ApplySwitchRequest { switch: Some(switch()) }).await.unwrap();
        node.forward_normally("br-sps");
        let apply = |number, pod| ApplyPortRequest { port: Some(port(number, pod)) };
        let delete = || DeletePortRequest { interface_name: "l2p-1".to_owned() };
        client.apply_port(apply(2, &two)).await.unwrap();
        agent.kill();

        // Each call is cut short a little later than the one before; from some round on it is not.
        for round in 0..12 {
            let moment = Duration::from_micros(1_200 * round);
            for is_attaching in [true, false] {
                let agent = Agent::start(&node, &["--insecure-plaintext"]);
                let mut client = self::client(&plaintext());
                ready(&mut client).await;
                let _cut_short = timeout(moment, async {
                    if is_attaching {
                        client.apply_port(apply(1, &one)).await.map(drop)
                    } else {
                        client.delete_port(delete()).await.map(drop)
                    }
                })
                .await;
                agent.kill();

                let agent = Agent::start(&node, &["--insecure-plaintext"]);
                let mut client = self::client(&plaintext());
                ready(&mut client).await;
                if is_attaching {
                    works(&mut client, &apply(1, &one)).await;
                    assert_eq!(node.count("Interface"), BARE + 2, "{moment:?}");
                    assert!(one.pings("10.1.0.2"), "{moment:?}");
                } else {
                    client.delete_port(delete()).await.unwrap();
                    assert_eq!(node.count("Interface"), BARE + 1, "{moment:?}");
                    assert!(node.namespace.link("l2p-1").is_none(), "{moment:?}");
                }
                agent.kill();
            }
        }

        let _agent = Agent::start(&node, &["--insecure-plaintext"]);
        let mut client = self::client(&plaintext());
        ready(&mut client).await;
        client.delete_switch(DeleteSwitchRequest {}).await.unwrap();
        assert_eq!(node.count("Interface"), 0);
        assert!(two.link("eth1").is_none());
    });
}

#[test]
fn only_its_controller_may_call_and_the_switch_has_its_certificate() {
    let node = Node::start();
    let directory = node.directory.path();
    let authority = Authority::create().unwrap();
    authority.save(directory).unwrap();
    let issue = |role: Role, name: &str| {
        let identity = Identity::new(role, name).unwrap();
        let issued = authority.issue(&identity, &["127.0.0.1".to_owned()]).unwrap();
        issued.save(directory, name).unwrap();
        TlsArgs {
            tls_ca: Some(directory.join("ca.pem")),
            tls_cert: Some(directory.join(format!("{name}.pem"))),
            tls_key: Some(directory.join(format!("{name}.key"))),
            insecure_plaintext: false,
        }
    };
    issue(Role::SpsAgent, "a-n1");
    let controller = issue(Role::SdnController, "a");
    let provider = issue(Role::ScoProvider, "sco");
    node.block_on(async {
        // Relative paths, which are another process's to read too.
        let flags = ["--tls-ca", "ca.pem", "--tls-cert", "a-n1.pem", "--tls-key", "a-n1.key"];
        let _agent = Agent::start(&node, &flags);
        let mut client = client(&controller);
        ready(&mut client).await;
        let refused = self::client(&provider).get_switch(GetSwitchRequest {}).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target: SocketAddr = listener.local_addr().unwrap();
        let wanted = Switch { controllers: vec![format!("ssl:{target}")], ..switch() };
        client.apply_switch(ApplySwitchRequest { switch: Some(wanted) }).await.unwrap();
        let credentials = controller.credentials().unwrap().unwrap();
        let acceptor = TlsAcceptor::from(credentials.server_config());
        // The switch gives up a connection that takes long, and begins another.
        let connected = async {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                if let Ok(stream) = acceptor.accept(stream).await {
                    return stream;
                }
            }
        };
        let stream = timeout(PATIENCE, connected).await.unwrap();
        let certificates = stream.get_ref().1.peer_certificates().unwrap();
        let identity = peer_identity(&certificates[0]).unwrap();
        assert_eq!((identity.role, identity.name.as_str()), (Role::SpsAgent, "a-n1"));
    });
}

#[test]
fn it_ends_when_asked_and_leaves_the_bridge() {
    let node = Node::start();
    node.block_on(async {
        let mut agent = Agent::start(&node, &["--insecure-plaintext"]);
        let mut client = client(&plaintext());
        ready(&mut client).await;
        client.apply_switch(ApplySwitchRequest { switch: Some(switch()) }).await.unwrap();
        drop(client);
        let pid = nix::unistd::Pid::from_raw(agent.0.id().cast_signed());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        let mut status = None;
        support::eventually("the agent ends", || {
            status = agent.0.try_wait().unwrap();
            status.is_some()
        })
        .await;
        assert!(status.unwrap().success());
        assert_eq!(node.vsctl(["list-br"]), "br-sps");
    });
}
