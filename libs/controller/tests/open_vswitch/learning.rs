//! Endpoints that nobody announced, learned from frames that a real switch hands over.

use std::collections::{BTreeMap, BTreeSet};

use l2sces_controller::{
    AgeingTime, EndpointSpec, Event, NetworkSpec, Place, PortId, PortRole, PortSpec,
};
use l2sces_model::MacAddress;
use tokio::time::{Duration, Instant, timeout};

use crate::support::{
    Controller, OpenVswitch, PATIENCE, eventually, id, in_namespace, switch, vni,
};

const VNI: u32 = 5;
const LIMIT: u16 = 2;
/// Between two looks at what is told.
const PAUSE: Duration = Duration::from_millis(100);
/// The ports, and what they count as sent to them.
const PORTS: [&str; 3] = ["one", "two", "three"];

fn guest(number: u8) -> MacAddress {
    MacAddress::new([2, 0, 0, 0xaa, 0, number])
}

/// The address of a port itself.
fn own(name: &str) -> MacAddress {
    let number = PORTS.iter().position(|port| *port == name).unwrap();
    MacAddress::new([2, 0, 0, 0, 0, number as u8 + 1])
}

fn port(name: &str, max_learned: u16) -> PortSpec {
    PortSpec {
        id: name.into(),
        vni: vni(VNI),
        switch: id(1),
        interface: name.parse().unwrap(),
        role: PortRole::Access { mac: own(name), max_learned },
    }
}

/// A bridge with three ports of a network; `three` learns nothing.
struct Bridge {
    ovs: OpenVswitch,
    controller: Controller,
    learned: BTreeMap<PortId, BTreeSet<MacAddress>>,
    conflicts: BTreeMap<PortId, BTreeMap<MacAddress, Place>>,
}

impl Bridge {
    async fn start(ageing_time: AgeingTime) -> Self {
        let mut controller = Controller::with(|config| config.ageing_time = ageing_time).await;
        let ovs = OpenVswitch::start().await;
        controller.relay(&ovs, "br1");
        ovs.add_bridge("br1", 1).await;
        // Nothing but the frames of the tests.
        ovs.inside("sysctl -qw net.ipv6.conf.default.disable_ipv6=1");
        for name in PORTS {
            ovs.add_port("br1", name);
            ovs.inside(&format!("ip link set {name} up"));
        }
        put(&controller).await;
        controller.engine.set_complete().await;
        controller.ready([1]).await;
        Self { ovs, controller, learned: BTreeMap::new(), conflicts: BTreeMap::new() }
    }

    /// Sends a frame as if it came in by a port.
    fn send(&self, from: &str, source: MacAddress, destination: MacAddress) {
        let hex = |mac: MacAddress| mac.to_string().replace(':', "");
        let payload = "00".repeat(46);
        let frame = format!("{}{}88b5{payload}", hex(destination), hex(source));
        let packet = format!("in_port={from},packet={frame},actions=TABLE");
        self.ovs.ofctl("--names packet-out", "br1", &packet);
    }

    /// How many frames each port was sent.
    fn counters(&self) -> BTreeMap<&'static str, u64> {
        let count = |name: &&'static str| {
            let counters = self.ovs.ofctl("--names dump-ports", "br1", name);
            let sent = counters.split("tx pkts=").nth(1).unwrap();
            (*name, sent.split(',').next().unwrap().parse().unwrap())
        };
        PORTS.iter().map(count).collect()
    }

    /// Waits until what has been told of addresses is so.
    async fn hears(&mut self, wanted: impl Fn(&Self) -> bool) {
        while !wanted(self) {
            let told = self.controller.event(addresses).await;
            self.note(told);
        }
    }

    /// Sends a frame, and again while it is taken for one from where the address was before, until
    /// what has been told of addresses is so.
    async fn sends_until(
        &mut self,
        (from, source, destination): (&str, MacAddress, MacAddress),
        wanted: impl Fn(&Self) -> bool,
    ) {
        let start = Instant::now();
        while !wanted(self) {
            assert!(
                start.elapsed() < PATIENCE,
                "{source} at {from}: {:?} {:?}",
                self.learned,
                self.conflicts
            );
            self.send(from, source, destination);
            while let Ok(told) = timeout(PAUSE, self.controller.event(addresses)).await {
                self.note(told);
            }
        }
    }

    fn note(&mut self, (id, learned, conflicts): Addresses) {
        self.learned.insert(id.clone(), learned);
        self.conflicts.insert(id, conflicts);
    }

    fn has_learned(&self, name: &str, guests: &[u8]) -> bool {
        let guests = guests.iter().map(|number| guest(*number)).collect();
        self.learned.get(&name.into()) == Some(&guests)
    }

    fn has_conflict(&self, name: &str, mac: MacAddress, place: &Place) -> bool {
        self.conflicts.get(&name.into()).and_then(|all| all.get(&mac)) == Some(place)
    }

    /// The flows by which learned addresses are let in.
    fn flows(&self) -> usize {
        let flows = self.ovs.ofctl("dump-flows", "br1", "table=10");
        flows.matches("idle_timeout").count()
    }
}

type Addresses = (PortId, BTreeSet<MacAddress>, BTreeMap<MacAddress, Place>);

fn addresses(event: Event) -> Option<Addresses> {
    match event {
        Event::PortAddresses { id, learned, conflicts } => Some((id, learned, conflicts)),
        _ => None,
    }
}

async fn put(controller: &Controller) {
    controller.engine.put_switch(switch(1)).await;
    controller.put_slice(&[1], &[]).await;
    let slice = "s1".parse().unwrap();
    controller.engine.put_network(NetworkSpec { vni: vni(VNI), slice }).await;
    for (name, max_learned) in [("one", LIMIT), ("two", LIMIT), ("three", 0)] {
        controller.engine.put_port(port(name, max_learned)).await;
    }
}

#[test]
fn an_address_is_learned_where_it_may_be_and_its_first_frame_goes_on() {
    in_namespace(|| async {
        let mut bridge = Bridge::start(AgeingTime::default()).await;
        let before = bridge.counters();
        bridge.send("one", guest(1), own("two"));
        bridge.hears(|it| it.has_learned("one", &[1])).await;
        eventually("the first frame arrives", || async {
            bridge.counters()["two"] == before["two"] + 1
        })
        .await;

        // From now on it is known: nobody else gets its frames.
        bridge.send("two", own("two"), guest(1));
        eventually("it is reached", || async { bridge.counters()["one"] == before["one"] + 1 })
            .await;
        assert_eq!(bridge.counters()["three"], before["three"]);

        // A second one, and no third; none at a port that learns nothing.
        bridge.send("one", guest(2), own("two"));
        bridge.hears(|it| it.has_learned("one", &[1, 2])).await;
        bridge.send("one", guest(3), own("two"));
        bridge.send("three", guest(4), own("two"));
        bridge.send("two", guest(5), own("one"));
        bridge.hears(|it| it.has_learned("two", &[5])).await;
        assert!(bridge.has_learned("one", &[1, 2]));
        eventually("the flows are there", || async { bridge.flows() == 3 }).await;
        eventually("the frames of those that were learned arrive", || async {
            let now = bridge.counters();
            now["two"] == before["two"] + 2 && now["one"] == before["one"] + 2
        })
        .await;
    });
}

#[test]
fn an_address_is_followed_and_one_at_two_places_is_told() {
    in_namespace(|| async {
        let mut bridge = Bridge::start(AgeingTime::default()).await;
        bridge.send("one", guest(1), own("three"));
        bridge.hears(|it| it.has_learned("one", &[1])).await;
        for there in ["two", "one", "two", "one", "two"] {
            let left = if there == "one" { "two" } else { "one" };
            let frame = (there, guest(1), own("three"));
            let has_moved = |it: &Bridge| it.has_learned(there, &[1]) && it.has_learned(left, &[]);
            bridge.sends_until(frame, has_moved).await;
        }
        // Once too often: it stays where it is.
        let place = Place::Port("two".into());
        let frame = ("one", guest(1), own("three"));
        bridge.sends_until(frame, |it| it.has_conflict("one", guest(1), &place)).await;
        eventually("only where it is", || async { bridge.flows() == 1 }).await;
        assert!(bridge.has_learned("two", &[1]));

        // What was announced is not learned elsewhere, in this cluster or in another.
        bridge.send("one", own("three"), own("two"));
        let place = Place::Port("three".into());
        bridge.hears(|it| it.has_conflict("one", own("three"), &place)).await;
        let region: l2sces_model::Name = "b".parse().unwrap();
        let there = |number, is_learned| EndpointSpec {
            vni: vni(VNI),
            mac: guest(number),
            region: region.clone(),
            is_learned,
        };
        bridge.controller.engine.put_endpoint(there(7, false)).await;
        bridge.send("one", guest(7), own("two"));
        let place = Place::Region(region.clone());
        bridge.hears(|it| it.has_conflict("one", guest(7), &place)).await;

        // One that was learned in another cluster comes here, and goes back.
        bridge.controller.engine.put_endpoint(there(8, true)).await;
        bridge.send("one", guest(8), own("two"));
        bridge.hears(|it| it.has_learned("one", &[8])).await;
        bridge.controller.engine.remove_endpoint(vni(VNI), guest(8)).await;
        bridge.controller.engine.put_endpoint(there(8, true)).await;
        bridge.hears(|it| it.has_learned("one", &[])).await;
    });
}

#[test]
fn what_was_learned_is_restored_and_what_is_silent_is_forgotten() {
    in_namespace(|| async {
        let mut bridge = Bridge::start(AgeingTime::default()).await;
        bridge.send("one", guest(1), own("two"));
        bridge.hears(|it| it.has_learned("one", &[1])).await;
        let before = bridge.ovs.program("br1").await;
        drop(bridge.controller);

        // Another that is told what was learned changes nothing.
        let mut second = Controller::start().await;
        second.relay(&bridge.ovs, "br1");
        put(&second).await;
        second.engine.put_learned("one".into(), BTreeSet::from([guest(1)])).await;
        second.engine.set_complete().await;
        second.ready([1]).await;
        assert_eq!(bridge.ovs.program("br1").await, before);
        assert!(!second.seen().iter().any(crate::relay::Seen::is_change));
        drop(second);

        // One that forgets after a second.
        let mut third = Controller::with(|config| config.ageing_time = AgeingTime(1)).await;
        third.relay(&bridge.ovs, "br1");
        put(&third).await;
        third.engine.put_learned("one".into(), BTreeSet::from([guest(1)])).await;
        third.engine.set_complete().await;
        third.ready([1]).await;
        bridge.controller = third;
        bridge.hears(|it| it.has_learned("one", &[])).await;
        eventually("it is let in no more", || async { bridge.flows() == 0 }).await;

        bridge.send("two", guest(1), own("three"));
        bridge.hears(|it| it.has_learned("two", &[1])).await;
    });
}
