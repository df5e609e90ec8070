//! The fabric is proved by walking its tables with an interpreter. That is worth as much as the
//! interpreter does what Open vSwitch does: both are asked what becomes of a sample of frames.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use l2sces_fabric::Fabric;
use l2sces_model::MacAddress;
use l2sces_openflow::{
    Action, Bucket, Instruction, MatchField, Program, SessionConfig, TunnelOption,
};
use l2sces_southbound::{Applied, SwitchHandle, connect_unix, difference};
use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::TestRunner,
};

use crate::{
    clusters::{self, EDGE, NETWORKS, THROUGH_B, TOGETHER, TRUNK},
    scenario::{self, scenario},
    simulator::{Frame, Simulator},
    support::{OpenVswitch, in_namespace_within},
};

const OPTION: TunnelOption = TunnelOption { class: 0xfff2, kind: 0x81, length: 8, index: 0 };
/// Tunnels have the ports 1 to this, towards the underlay addresses 10.0.0.1 to this.
const TUNNELS: u32 = 16;
/// Access ports are 100 to this.
const LAST_ACCESS_PORT: u32 = 136;
const STRANGER: MacAddress = MacAddress::new([2, 0xff, 0, 0, 0, 1]);
/// Frames asked about, for each network of switches.
const SAMPLE: usize = 400;
/// How long so many questions may take.
const LIMIT: Duration = Duration::from_secs(600);

/// A switch, and a frame that comes in at one of its ports.
type Hop = (u64, u32, Frame);

/// What becomes of a program.
type Edit<'a> = dyn Fn(&mut Program) + 'a;

/// What leaves a switch.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Sent {
    port: u32,
    /// Network identifier and label, if it leaves by a tunnel.
    tunnel: Option<(u64, u64)>,
    /// Its mark, if it does not.
    mark: u32,
}

fn is_tunnel(port: u32) -> bool {
    port <= TUNNELS
}

/// One Open vSwitch that stands for any of the switches, with their ports and an underlay, so that
/// tunnel headers are made as they would be sent.
struct Traced {
    ovs: OpenVswitch,
    handle: SwitchHandle,
    installed: Program,
    /// The bridge's ports, by their number in the datapath.
    ports: BTreeMap<u32, u32>,
}

impl Traced {
    async fn start() -> Self {
        let ovs = OpenVswitch::start().await;
        ovs.add_bridge("br1", 1).await;
        ovs.vsctl(
            "add-br br-phy -- set bridge br-phy datapath_type=netdev \
             -- add-port br-phy wire -- set interface wire type=internal",
        );
        ovs.inside("ip address add 10.0.0.254/24 dev br-phy");
        ovs.inside("ip link set br-phy up");
        let tunnel = |port| {
            format!(
                "-- add-port br1 t{port} -- set interface t{port} type=geneve options:key=flow \
                 options:remote_ip=10.0.0.{port} ofport_request={port} "
            )
        };
        let other = |port| {
            format!(
                "-- add-port br1 p{port} -- set interface p{port} type=internal \
                 ofport_request={port} "
            )
        };
        let others = (100..=LAST_ACCESS_PORT).chain([TRUNK]).map(other);
        let ports: String = (1..=TUNNELS).map(tunnel).chain(others).collect();
        ovs.vsctl(ports.strip_prefix("-- ").unwrap());
        for port in 1..=TUNNELS {
            ovs.appctl(&format!("tnl/neigh/set br-phy 10.0.0.{port} 02:00:00:00:01:{port:02x}"));
        }
        let socket = ovs.management("br1");
        // The session does not get on while frames are traced: it must not take that for silence.
        let session = SessionConfig { echo_interval: LIMIT, ..SessionConfig::default() };
        let handle = connect_unix(socket, session).await.unwrap().handle;
        handle.map_tunnel_option(OPTION).await.unwrap();
        let ports = datapath_ports(&ovs.appctl("dpif/show"));
        Self { ovs, handle, installed: Program::default(), ports }
    }

    /// Has a program instead of the one before.
    async fn load(&mut self, program: Program) {
        let changes = difference(&program, &self.installed, true);
        assert_eq!(self.handle.apply(changes).await, Ok(Applied::default()));
        self.installed = program;
    }

    /// What leaves the switch for a frame, and what else the trace says.
    fn trace(&self, in_port: u32, frame: &Frame) -> (Vec<Sent>, String) {
        let Frame { source, destination, ethertype, tunnel_id, tunnel_metadata, mark } = frame;
        let mut flow = format!(
            "in_port={in_port},dl_src={source},dl_dst={destination},dl_type={ethertype:#x},\
             pkt_mark={mark:#x}"
        );
        if is_tunnel(in_port) {
            flow += &format!(
                ",tun_src=10.0.0.{in_port},tun_dst=10.0.0.254,tun_id={tunnel_id:#x},\
                 tun_metadata0={tunnel_metadata:#x}"
            );
        }
        let text = self.ovs.appctl(&format!("ofproto/trace br1 {flow}"));
        let actions = text.lines().find_map(|line| line.strip_prefix("Datapath actions: "));
        let actions = actions.unwrap_or_else(|| panic!("no actions: {text}"));
        (self.sent(actions, *mark), text)
    }

    /// What the actions of a datapath flow send, for a frame with a mark.
    fn sent(&self, actions: &str, mut mark: u32) -> Vec<Sent> {
        let mut sent = Vec::new();
        for action in split(actions) {
            // All but the last are cloned, together with the output to the underlay that follows.
            let action = action.strip_prefix("clone(").unwrap_or(action);
            if let Some(header) = action.strip_prefix("tnl_push(") {
                let port = between(header, ",dst=10.0.0.", ",").parse().unwrap();
                let vni = number(between(header, "vni=", ",")).unwrap();
                let label = number(between(header, ",type=0x81,len=8,", "}")).unwrap();
                sent.push(Sent { port, tunnel: Some((vni, label)), mark: 0 });
            } else if let Some(value) = action.strip_prefix("set(skb_mark(") {
                mark = number(value.trim_end_matches(')')).unwrap() as u32;
            } else if let Ok(port) = action.parse::<u32>() {
                let port = self.ports.get(&port).map(|&port| Sent { port, tunnel: None, mark });
                sent.extend(port);
            } else {
                // To the controller, through a meter or not.
                let goes_nowhere = action == "drop"
                    || action.starts_with("userspace(")
                    || action.starts_with("meter(");
                assert!(goes_nowhere, "unknown action {action} in {actions}");
            }
        }
        sent.sort_unstable();
        sent
    }
}

/// The text after a mark, up to another.
fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let (_, rest) = text.split_once(start).unwrap_or_else(|| panic!("no {start} in {text}"));
    rest.split_once(end).unwrap_or_else(|| panic!("no {end} in {rest}")).0
}

/// A number, hexadecimal if it begins so.
fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// Actions, at the commas that are in no parentheses.
fn split(actions: &str) -> Vec<&str> {
    let (mut list, mut start, mut depth) = (Vec::new(), 0, 0);
    for (at, letter) in actions.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                list.push(&actions[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    list.push(&actions[start..]);
    list
}

/// Reads `dpif/show`: lines like `p100 100/3: (tap)`, with the number in the bridge before that in
/// the datapath, which tunnels share.
fn datapath_ports(text: &str) -> BTreeMap<u32, u32> {
    let of_bridge = text.split_once("  br1:").unwrap().1;
    let ports = of_bridge.lines().filter_map(|line| {
        let (_, numbers) = line.split_once(':')?.0.trim().split_once(' ')?;
        let (port, in_datapath) = numbers.split_once('/')?;
        Some((in_datapath.parse().ok()?, port.parse().ok()?))
    });
    ports.collect()
}

/// What the interpreter says that leaves a switch.
fn walked(simulator: &Simulator, (switch, in_port, frame): &Hop) -> Vec<Sent> {
    let leaves = simulator.switch(*switch, *in_port, frame.clone());
    let sent = leaves.into_iter().map(|(port, frame)| match is_tunnel(port) {
        true => {
            let tunnel = Some((frame.tunnel_id, frame.tunnel_metadata));
            Sent { port, tunnel, mark: 0 }
        }
        false => Sent { port, tunnel: None, mark: frame.mark },
    });
    let mut sent: Vec<_> = sent.collect();
    sent.sort_unstable();
    sent
}

/// Programs of switches, and frames to ask about.
struct Case {
    programs: BTreeMap<u64, Program>,
    simulator: Simulator,
    hops: Vec<Hop>,
}

impl Case {
    /// Frames that enter at these places, with these addresses and some that nobody has, and what
    /// becomes of them at every switch on their way; and the same with another label or mark.
    fn new(
        programs: BTreeMap<u64, Program>,
        simulator: Simulator,
        entries: impl IntoIterator<Item = (u64, u32, MacAddress)>,
        addresses: &BTreeSet<MacAddress>,
        seed: u64,
    ) -> Self {
        let mut hops = BTreeSet::new();
        for (switch, port, mac) in entries {
            let destinations = addresses.iter().copied();
            for to in destinations.chain([MacAddress::BROADCAST, STRANGER]) {
                hops.extend(simulator.inject(switch, port, Frame::new(mac, to)).hops);
            }
            let spoofed = Frame::new(STRANGER, MacAddress::BROADCAST);
            let lldp = Frame { ethertype: 0x88cc, ..Frame::new(mac, MacAddress::BROADCAST) };
            hops.extend([spoofed, lldp].map(|frame| (switch, port, frame)));
        }
        for (switch, port, frame) in hops.clone() {
            if is_tunnel(port) {
                // Another epoch, flooded or not, another switch; another network; discovery.
                for bits in [1, 2, 1 << 31, 1 << 32, 1 << 48] {
                    let tunnel_metadata = frame.tunnel_metadata ^ bits;
                    hops.insert((switch, port, Frame { tunnel_metadata, ..frame.clone() }));
                }
                let tunnel_id = frame.tunnel_id ^ 3;
                hops.insert((switch, port, Frame { tunnel_id, ..frame.clone() }));
                let tunnel_id = 0;
                hops.insert((switch, port, Frame { tunnel_id, ethertype: 0x88cc, ..frame }));
            } else if port == TRUNK {
                // Another network, flooded or not, another epoch.
                for bits in [1, 1 << 24, 1 << 25, 3 << 25] {
                    let mark = frame.mark ^ bits;
                    hops.insert((switch, port, Frame { mark, ..frame.clone() }));
                }
            }
        }
        let mut hops = chosen(hops, seed);
        hops.sort_unstable();
        Self { programs, simulator, hops }
    }

    /// Frames with which interpreter and switch differ, when the switch has programs with an edit.
    async fn differences(&self, traced: &mut Traced, edit: &Edit<'_>) -> Vec<String> {
        let mut differences = Vec::new();
        let mut loaded = None;
        for hop in &self.hops {
            let (switch, in_port, frame) = hop;
            if loaded != Some(switch) {
                let mut program = self.programs[switch].clone();
                edit(&mut program);
                traced.load(program).await;
                loaded = Some(switch);
            }
            let walked = walked(&self.simulator, hop);
            let (sent, text) = traced.trace(*in_port, frame);
            if walked != sent {
                differences.push(format!("{hop:?}: {walked:?} by the walk, but {text}"));
            }
            let passes_on = is_tunnel(*in_port) && sent.iter().any(|sent| is_tunnel(sent.port));
            if passes_on && !reads_whole_label(&text, frame) {
                differences.push(format!("{hop:?} shares a cache entry: {text}"));
            }
        }
        differences
    }

    fn count(&self, is_counted: impl Fn(&Hop, &[Sent]) -> bool) -> usize {
        self.hops.iter().filter(|hop| is_counted(hop, &walked(&self.simulator, hop))).count()
    }
}

/// Some of the frames, as the seed has it.
fn chosen(hops: BTreeSet<Hop>, mut seed: u64) -> Vec<Hop> {
    let mut hops: Vec<_> = hops.into_iter().collect();
    let mut chosen = Vec::new();
    while chosen.len() < SAMPLE && !hops.is_empty() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        chosen.push(hops.swap_remove((seed >> 33) as usize % hops.len()));
    }
    chosen
}

/// Whether a datapath flow takes only frames with this one's label and network. Otherwise it would
/// write this one's into others.
fn reads_whole_label(trace: &str, frame: &Frame) -> bool {
    let entry = trace.lines().find_map(|line| line.strip_prefix("Megaflow: ")).unwrap();
    // A field that is not read whole has its mask after a slash.
    let reads = |name: &str, value: u64| {
        let mut fields = entry.split(',').filter_map(|field| field.split_once('='));
        fields.any(|(field, text)| field == name && number(text) == Some(value))
    };
    reads("tun_metadata0", frame.tunnel_metadata) && reads("tun_id", frame.tunnel_id)
}

/// A few of the walk's random graphs, always the same.
fn random_graphs() -> Vec<Case> {
    let mut runner = TestRunner::deterministic();
    let mut cases = Vec::new();
    while cases.len() < 4 {
        let scenario = scenario(TUNNELS.into(), 5).new_tree(&mut runner).unwrap().current();
        let mut fabric = Fabric::new();
        scenario.put(&mut fabric);
        let program = |switch| (switch, fabric.program(scenario::id(switch)));
        let programs: BTreeMap<_, _> = scenario.switch_ids().map(program).collect();
        let simulator = scenario.simulator(|switch| programs[&switch].clone());
        let ports = scenario.attached();
        let entries = ports.iter().map(|port| (port.switch, port.port, port.mac));
        let addresses = ports.iter().map(|port| port.mac).collect();
        let case = Case::new(programs, simulator, entries, &addresses, cases.len() as u64);
        // Many have nothing that crosses a switch.
        if case.count(|hop, sent| is_tunnel(hop.1) && sent.iter().any(|it| is_tunnel(it.port))) > 20
        {
            cases.push(case);
        }
    }
    cases
}

/// Three clusters, and what is between them.
fn several_clusters() -> Vec<Case> {
    let cases = [THROUGH_B, TOGETHER].into_iter().map(|plan| {
        let programs = clusters::programs((plan, None));
        let simulator = clusters::joined(|switch| programs[&switch].clone());
        let places = (1..=EDGE - 4).flat_map(|switch| NETWORKS.map(|network| (switch, network)));
        let entries = places.map(|(switch, network)| {
            let (switch, port) = clusters::access_port(switch, network);
            (switch, port, clusters::mac(switch))
        });
        let addresses = (1..=EDGE - 4).map(clusters::mac).collect();
        Case::new(programs, simulator, entries, &addresses, plan.epoch.into())
    });
    cases.collect()
}

#[test]
fn the_interpreter_and_open_vswitch_agree() {
    in_namespace_within(LIMIT, || async {
        let mut traced = Traced::start().await;
        let cases: Vec<_> = random_graphs().into_iter().chain(several_clusters()).collect();
        for case in &cases {
            let differences = case.differences(&mut traced, &|_| {}).await;
            assert!(differences.is_empty(), "{}, such as {}", differences.len(), differences[0]);
        }
        // Of everything there is, something was in the sample.
        let count = |is_counted: &dyn Fn(&Hop, &[Sent]) -> bool| -> usize {
            cases.iter().map(|case| case.count(is_counted)).sum()
        };
        let from_access = |(_, port, _): &Hop| !is_tunnel(*port) && *port != TRUNK;
        let to_tunnel = |sent: &[Sent]| sent.iter().any(|sent| is_tunnel(sent.port));
        let to_trunk = |sent: &[Sent]| sent.iter().any(|sent| sent.port == TRUNK);
        let counts = [
            count(&|hop, sent| from_access(hop) && to_tunnel(sent)),
            count(&|hop, sent| from_access(hop) && to_trunk(sent)),
            count(&|hop, sent| from_access(hop) && sent.is_empty()),
            count(&|hop, sent| is_tunnel(hop.1) && to_tunnel(sent)),
            count(&|hop, sent| is_tunnel(hop.1) && to_trunk(sent)),
            count(&|hop, sent| is_tunnel(hop.1) && sent.is_empty()),
            count(&|hop, sent| hop.1 == TRUNK && to_tunnel(sent)),
            count(&|hop, sent| hop.1 == TRUNK && sent.is_empty()),
            count(&|_, sent| sent.len() > 3),
        ];
        assert!(counts.iter().all(|count| *count >= 5), "{counts:?}");
    });
}

fn action_lists(program: &mut Program) -> impl Iterator<Item = &mut Vec<Action>> {
    let Program { flows, groups, .. } = program;
    let instructions = flows.values_mut().flat_map(|body| &mut body.instructions);
    let of_flows = instructions.filter_map(|instruction| match instruction {
        Instruction::ApplyActions(actions) => Some(actions),
        _ => None,
    });
    let buckets = groups.values_mut().flat_map(|group| &mut group.buckets);
    of_flows.chain(buckets.map(|Bucket { actions, .. }| actions))
}

/// Each fault that the comparison is there for is found when the switch has it and the interpreter
/// does not.
#[test]
fn a_switch_that_does_something_else_is_found() {
    in_namespace_within(LIMIT, || async {
        let mut traced = Traced::start().await;
        let case = several_clusters().remove(0);
        let change = |of: fn(&mut Action)| {
            move |program: &mut Program| action_lists(program).flatten().for_each(of)
        };
        let other_port = change(|action| {
            if let Action::Output(port) = action
                && is_tunnel(*port)
            {
                *port = *port % TUNNELS + 1;
            }
        });
        let other_network = change(|action| {
            if let Action::SetField(MatchField::TunnelId { value, .. }) = action {
                *value += 1;
            }
        });
        let other_epoch = change(|action| {
            if let Action::SetField(MatchField::TunnelMetadata { value, .. }) = action {
                *value ^= 1;
            }
        });
        let leaking_mark = |program: &mut Program| {
            for actions in action_lists(program) {
                actions.retain(|action| {
                    !matches!(action, Action::SetField(MatchField::PktMark { value: 0, .. }))
                });
            }
        };
        let half_read_label = |program: &mut Program| {
            for actions in action_lists(program).filter(|actions| actions.len() == 2) {
                let passes_on = matches!(actions[..], [Action::Move { .. }, Action::Group(_)]);
                actions.retain(|action| !passes_on || matches!(action, Action::Group(_)));
            }
        };
        let edits: [(&str, &Edit<'_>); 5] = [
            ("another port", &other_port),
            ("another network", &other_network),
            ("another epoch", &other_epoch),
            ("a mark that is not zeroed", &leaking_mark),
            ("a label that is half read", &half_read_label),
        ];
        for (what, edit) in edits {
            let differences = case.differences(&mut traced, edit).await;
            assert!(!differences.is_empty(), "{what} is not found");
        }
    });
}
