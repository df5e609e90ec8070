//! A switch loses its controller in the middle of a change, whose steps wait for it.

use std::time::Duration;

use l2sces_controller::{Event, NetworkSpec, PortRole};
use l2sces_fabric::{Fabric, pipeline};
use l2sces_model::MacAddress;
use l2sces_openflow::Action;

use crate::{
    nodes::{Pings, make_underlay, node},
    relay::{Relay, Seen},
    simulator::{Frame, Simulator, Wire},
    support::{
        Controller, OpenVswitch, eventually, id, in_namespace_within, port, slice, switch, vni,
    },
};

const SWITCHES: [u64; 4] = [1, 2, 3, 4];
const NETWORK: u32 = 5;
const POD: u32 = 100;

/// How long a datapath may go on by what it has cached: it may have no processor for a while.
const SETTLING: Duration = Duration::from_secs(1);
/// The switches turn some thirty times.
const LIMIT: Duration = Duration::from_secs(300);

/// A ring of four switches. The ways to switch 4 lead over switch 1, or, if the link between them
/// is dear, the other way round: then 3, 2 and 1 turn, in this order. What goes after that is a
/// link between 1 and 3, which nobody uses.
fn links(cost: u32) -> Vec<(u64, u64, u32)> {
    let ring = vec![(1, 2, 1), (2, 3, 1), (3, 4, 10), (4, 1, cost)];
    if cost == 1 { [ring, vec![(1, 3, 50)]].concat() } else { ring }
}

fn mac(number: u64) -> MacAddress {
    match port(NETWORK, number).role {
        PortRole::Access { mac, .. } => mac,
        PortRole::Trunk { .. } => unreachable!("it is an access port"),
    }
}

fn peers(number: u64) -> Vec<u64> {
    let peer = |(a, b, _)| match number {
        _ if number == a => Some(b),
        _ if number == b => Some(a),
        _ => None,
    };
    links(1).into_iter().filter_map(peer).collect()
}

/// What every switch should have, compiled at once.
fn wanted(cost: u32) -> Fabric {
    let mut fabric = Fabric::new();
    for number in SWITCHES {
        fabric.put_switch(switch(number));
        let tunnels = peers(number).into_iter().map(|peer| (format!("{number}-{peer}"), peer));
        let pod = (format!("pod{NETWORK}-{number}"), POD.into());
        let interfaces = tunnels
            .chain([pod])
            .map(|(name, number)| (name.parse().unwrap(), u32::try_from(number).unwrap()));
        fabric.set_interfaces(id(number), &interfaces.collect());
        fabric.put_port(port(NETWORK, number));
    }
    fabric.put_slice(slice(&SWITCHES, &links(cost)));
    fabric.put_network(NetworkSpec { vni: vni(NETWORK), slice: "s1".parse().unwrap() });
    fabric
}

struct Ring {
    controller: Controller,
    nodes: Vec<OpenVswitch>,
    relays: Vec<Relay>,
}

impl Ring {
    /// Four nodes, with a pod on each that all others reach.
    async fn start() -> Self {
        make_underlay();
        let mut controller = Controller::with(|config| config.settling = SETTLING).await;
        let (mut nodes, mut relays) = (Vec::new(), Vec::new());
        for number in SWITCHES {
            let peers = peers(number);
            let (ovs, relay) = node(&controller, number, &peers, None).await;
            let pod = format!("pod{NETWORK}-{number}");
            ovs.vsctl(&format!(
                "add-port br{number} {pod} -- set interface {pod} type=internal ofport_request={POD}"
            ));
            ovs.inside(&format!("ip link set {pod} address {} up", mac(number)));
            ovs.inside(&format!("ip address add 10.5.0.{number}/24 dev {pod}"));
            controller.engine.put_switch(switch(number)).await;
            nodes.push(ovs);
            relays.push(relay);
        }
        controller.put_slice(&SWITCHES, &links(1)).await;
        controller.put_network(NETWORK, &SWITCHES).await;
        controller.engine.set_complete().await;
        controller.links_up().await;
        // What turned while links came up is over when this is.
        controller.put_slice(&SWITCHES, &links(1)).await;
        let this = Self { controller, nodes, relays };
        // The underlay's addresses are resolved, and the pods know each other's.
        for (from, to) in this.pairs() {
            let from = &this.nodes[from as usize - 1];
            from.inside(&format!("ping -n -q -c 1 -w 20 10.5.0.{to}"));
        }
        this
    }

    fn pairs(&self) -> impl Iterator<Item = (u64, u64)> + use<> {
        let pairs = SWITCHES.into_iter().flat_map(|from| SWITCHES.map(|to| (from, to)));
        pairs.filter(|(from, to)| from != to)
    }

    fn pings(&self) -> Vec<Pings> {
        let ping =
            |(from, to)| Pings::start(&self.nodes[from as usize - 1], &format!("10.5.0.{to}"));
        self.pairs().map(ping).collect()
    }

    /// Walks the tables that the switches have: everyone is reached once, and nothing loops.
    async fn judge(&self, when: &str) {
        let mut simulator = Simulator::default();
        for (number, ovs) in SWITCHES.into_iter().zip(&self.nodes) {
            simulator.load(number, &ovs.program(&format!("br{number}")).await);
        }
        for (a, b, _) in links(1) {
            simulator.wires.insert((a, b as u32), Wire::Tunnel(b, a as u32));
            simulator.wires.insert((b, a as u32), Wire::Tunnel(a, b as u32));
        }
        for (from, to) in self.pairs() {
            let walk = simulator.inject(from, POD, Frame::new(mac(from), mac(to)));
            assert!(!walk.looped, "{when}: {from} to {to} loops");
            assert_eq!(walk.places(), [(to, POD)], "{when}: {from} to {to}");
        }
        for from in SWITCHES {
            let walk = simulator.inject(from, POD, Frame::new(mac(from), MacAddress::BROADCAST));
            assert!(!walk.looped, "{when}: what {from} floods loops");
            let others = SWITCHES.into_iter().filter(|to| *to != from).map(|to| (to, POD));
            assert_eq!(walk.places(), others.collect::<Vec<_>>(), "{when}: what {from} floods");
        }
    }

    /// Every switch has what it should, and nothing else.
    async fn is_as_wanted(&self, cost: u32, when: &str) {
        let fabric = wanted(cost);
        for (number, ovs) in SWITCHES.into_iter().zip(&self.nodes) {
            let wanted = fabric.program(id(number));
            eventually(&format!("{when}: switch {number} is as wanted"), || async {
                ovs.program(&format!("br{number}")).await == wanted
            })
            .await;
        }
        self.judge(when).await;
    }

    /// Waits until a switch has been told to turn.
    async fn told_to_turn(&self, number: u64) {
        let bridge = format!("br{number}");
        let is_it = |seen: &Seen| seen.bridge == bridge && seen.is_turn();
        eventually(&format!("switch {number} is told to turn"), || async {
            self.controller.log.lock().unwrap().iter().any(is_it)
        })
        .await;
    }

    /// The next hop of a switch to switch 4, as it has it.
    async fn next_hop(&self, number: u64) -> Option<u32> {
        let program = self.nodes[number as usize - 1].program(&format!("br{number}")).await;
        let group = pipeline::destination_group(1, 4);
        let bucket = program.groups.get(&group)?.buckets.first()?.clone();
        bucket.actions.iter().find_map(|action| match action {
            Action::Output(port) => Some(*port),
            _ => None,
        })
    }
}

/// Whether the switch that is lost has made the change that it was told to make last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Lost,
    MadeButNotConfirmed,
}

#[test]
fn what_waits_for_a_switch_that_is_lost_is_ordered_anew() {
    in_namespace_within(LIMIT, || async {
        let mut ring = Ring::start().await;
        let cases = [(2, Order::Lost), (2, Order::MadeButNotConfirmed), (3, Order::Lost)];
        for (victim, order) in cases {
            let case = format!("switch {victim}, order {order:?}");
            let engine = ring.controller.engine.clone();
            let relay = &ring.relays[victim as usize - 1];
            ring.controller.seen();
            let pings = ring.pings();
            match order {
                Order::Lost => relay.lose_orders(),
                Order::MadeButNotConfirmed => relay.hold_barriers(true),
            }
            let change = tokio::spawn(async move {
                engine.put_slice(slice(&SWITCHES, &links(100))).await;
            });
            ring.told_to_turn(victim).await;
            if order == Order::MadeButNotConfirmed {
                eventually("it has turned", || async {
                    ring.next_hop(victim).await == Some(victim as u32 + 1)
                })
                .await;
            }
            relay.cut_off();
            change.await.unwrap();
            ring.judge(&format!("{case}, while it is away")).await;
            assert_eq!(ring.next_hop(1).await, Some(4), "{case}: 1 counts on what is not there");
            if order == Order::Lost {
                let old = victim as u32 - 1;
                assert_eq!(ring.next_hop(victim).await, Some(old), "{case}");
            }

            let relay = &ring.relays[victim as usize - 1];
            relay.hold_barriers(false);
            relay.heal();
            let is_back = Event::SwitchReady(id(victim));
            ring.controller.event(|event| (event == is_back).then_some(())).await;
            ring.is_as_wanted(100, &format!("{case}, when it is back")).await;
            pings.into_iter().for_each(Pings::end);
            ring.controller.put_slice(&SWITCHES, &links(1)).await;
            ring.is_as_wanted(1, &format!("{case}, turned back")).await;
        }
    });
}
