//! Sequences of changes: what the revisions add up to is what compiling everything gives, and on
//! the way there no frame loops, is duplicated, leaks or gets lost.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use l2sces_fabric::{Fabric, Revision, Step};
use l2sces_model::MacAddress;
use l2sces_openflow::{Action, Change, GroupId, Program};
use proptest::{collection::vec, prelude::*, sample::Index};

use crate::{
    scenario::{Attached, Scenario, SlicePart, id, scenario, slice},
    simulator::{Frame, Simulator, Walk},
};

/// A change of what is wanted or seen.
#[derive(Clone, Debug)]
enum Move {
    /// A port is attached, detached or moved.
    Port(Index, Index, Option<Index>),
    /// An address is learned behind a port, moves behind another, or is forgotten.
    Guest(Index, Index, Option<Index>),
    /// A network goes, or comes back.
    Network(Index),
    /// A slice goes, or comes back.
    Slice(Index),
    /// A slice gets other switches and links.
    Shape(Index, SlicePart),
    /// A link of a slice breaks, or is whole again.
    Link(Index, Index),
    /// A switch loses its controller, or finds it again.
    Connection(Index),
    /// The controller restarts, and finds a link of a slice broken or whole again.
    Restart(Index, Index),
}

fn moves(switches: u64) -> impl Strategy<Value = Move> {
    let index = any::<Index>;
    prop_oneof![
        4 => (index(), index(), proptest::option::weighted(0.7, index()))
            .prop_map(|(network, port, to)| Move::Port(network, port, to)),
        3 => (index(), index(), proptest::option::weighted(0.8, index()))
            .prop_map(|(network, guest, host)| Move::Guest(network, guest, host)),
        1 => index().prop_map(Move::Network),
        1 => index().prop_map(Move::Slice),
        2 => (index(), slice(switches)).prop_map(|(at, shape)| Move::Shape(at, shape)),
        6 => (index(), index()).prop_map(|(slice, link)| Move::Link(slice, link)),
        2 => index().prop_map(Move::Connection),
        1 => (index(), index()).prop_map(|(slice, link)| Move::Restart(slice, link)),
    ]
}

/// The switches as they are, beside what is wanted.
struct World {
    scenario: Scenario,
    fabric: Fabric,
    installed: BTreeMap<u64, Program>,
    connected: BTreeSet<u64>,
}

impl World {
    fn new(scenario: Scenario) -> Self {
        let mut fabric = Fabric::new();
        scenario.put(&mut fabric);
        fabric.recompile();
        let connected: BTreeSet<_> = scenario.switch_ids().collect();
        let program = |switch: &u64| (*switch, fabric.program(id(*switch)));
        let installed = connected.iter().map(program).collect();
        connected.iter().for_each(|switch| fabric.set_connected(id(*switch)));
        Self { scenario, fabric, installed, connected }
    }

    /// Changes what is wanted. Nothing is changed on a switch that cannot be: whether a port there
    /// is what it is wanted to be could not be said.
    fn wish(&mut self, change: &Move) {
        let Scenario { switches, slices, networks, broken } = &mut self.scenario;
        match change {
            Move::Port(network, port, to) => {
                let network = network.get_mut(networks);
                let port = port.get_mut(&mut network.ports);
                let to = to.map(|to| to.index(*switches as usize) as u64 + 1);
                let is_free =
                    |switch: Option<u64>| switch.is_none_or(|at| self.connected.contains(&at));
                if is_free(*port) && is_free(to) {
                    *port = to;
                }
            }
            Move::Guest(network, guest, host) => {
                let network = network.get_mut(networks);
                let host = host.map(|host| host.index(network.ports.len()));
                let guest = guest.get_mut(&mut network.guests);
                let switch = |host: Option<usize>| network.ports[host?];
                let is_free = |host| switch(host).is_none_or(|at| self.connected.contains(&at));
                if is_free(*guest) && is_free(host) {
                    *guest = host;
                }
            }
            Move::Network(network) if self.connected.len() == *switches as usize => {
                let network = network.get_mut(networks);
                network.exists = !network.exists;
            }
            Move::Slice(at) if self.connected.len() == *switches as usize => {
                let slice = at.get_mut(slices);
                slice.exists = !slice.exists;
            }
            Move::Shape(at, shape) if self.connected.len() == *switches as usize => {
                let slice = at.get_mut(slices);
                *slice = SlicePart { exists: slice.exists, ..shape.clone() };
            }
            Move::Restart(slice, link) | Move::Link(slice, link) => {
                let links: Vec<_> = slice.get(slices).links.keys().copied().collect();
                if !links.is_empty() {
                    let link = *link.get(&links);
                    if !broken.remove(&link) {
                        broken.insert(link);
                    }
                }
            }
            Move::Network(_) | Move::Slice(_) | Move::Shape(..) | Move::Connection(_) => {}
        }
    }

    /// A new controller reads what all switches have, and only then changes them: what it does in
    /// no order, and the steps after that.
    fn restart(&mut self) -> Vec<Step> {
        self.fabric = Fabric::new();
        self.scenario.put(&mut self.fabric);
        self.fabric.recompile();
        let mut unordered = Step::new();
        for switch in &self.connected {
            let there = self.installed[switch].clone();
            let now = self.fabric.adopt(id(*switch), &there);
            self.fabric.set_connected(id(*switch));
            unordered.insert(id(*switch), (there, now));
        }
        vec![unordered]
    }

    fn simulator(&self) -> Simulator {
        self.scenario.simulator(|switch| self.installed[&switch].clone())
    }
}

/// The changes of a step for one switch, in an order that a switch accepts: groups before what
/// refers to them, and what refers to groups before they go.
fn changes(before: &Program, after: &Program) -> Vec<Change> {
    let refers = |group: &l2sces_openflow::GroupBody| {
        let actions = group.buckets.iter().flat_map(|bucket| &bucket.actions);
        actions.filter(|action| matches!(action, Action::Group(_))).count()
    };
    let mut list = Vec::new();
    let mut groups: Vec<_> = after.groups.iter().collect();
    groups.sort_by_key(|(id, group)| (refers(group), **id));
    for (id, group) in groups {
        match before.groups.get(id) {
            None => list.push(Change::PutGroup(group.with_id(*id))),
            Some(there) if there != group => list.push(Change::ModifyGroup(group.with_id(*id))),
            Some(_) => {}
        }
    }
    for (key, body) in &after.flows {
        if before.flows.get(key) != Some(body) {
            list.push(Change::AddFlow(body.with_key(key)));
        }
    }
    let flows = before.flows.keys().filter(|key| !after.flows.contains_key(*key));
    list.extend(flows.cloned().map(Change::DeleteFlow));
    let groups = before.groups.keys().filter(|id| !after.groups.contains_key(id));
    list.extend(groups.copied().map(Change::DeleteGroup));
    let meters = after.meters.values().filter(|meter| !before.meters.contains_key(&meter.id));
    list.splice(0..0, meters.cloned().map(Change::PutMeter));
    let meters = before.meters.keys().filter(|id| !after.meters.contains_key(id));
    list.extend(meters.copied().map(Change::DeleteMeter));
    list
}

/// The groups that a change turns elsewhere.
fn turns(before: &Program, after: &Program) -> BTreeSet<GroupId> {
    let is_turned = |id: &&GroupId| {
        before.groups.get(id).is_some_and(|body| after.groups.get(id) != Some(body))
    };
    after.groups.keys().filter(is_turned).copied().collect()
}

fn make(program: &mut Program, change: Change) {
    match change {
        Change::AddFlow(flow) => program.put_flow(flow),
        Change::DeleteFlow(key) => {
            program.flows.remove(&key);
        }
        Change::PutGroup(group) | Change::ModifyGroup(group) => program.put_group(group),
        Change::DeleteGroup(id) => {
            program.groups.remove(&id);
        }
        Change::PutMeter(meter) | Change::ModifyMeter(meter) => program.put_meter(meter),
        Change::DeleteMeter(id) => {
            program.meters.remove(&id);
        }
    }
}

/// A frame between ports that are there all the time.
struct Flight {
    from: Attached,
    to: MacAddress,
    /// Who must get it, before and after the change: in between as well.
    due: Vec<(u64, u32)>,
    /// Who may get it: the ports of the network, before or after.
    allowed: BTreeSet<(u64, u32)>,
}

fn flights(before: &Scenario, after: &Scenario) -> Vec<Flight> {
    let (then, now) = (before.attached(), after.attached());
    let mut flights = Vec::new();
    for from in &now {
        let same = |port: &&Attached| port.place() == from.place() && port.network == from.network;
        if !then.iter().any(|port| same(&port) && port.mac == from.mac) {
            continue;
        }
        let of_network = |ports: &[Attached]| -> BTreeSet<(u64, u32)> {
            let ports = ports.iter().filter(|port| port.network == from.network);
            ports.map(Attached::place).collect()
        };
        let allowed: BTreeSet<_> = of_network(&then).union(&of_network(&now)).copied().collect();
        let peers = now.iter().filter(|port| port.network == from.network && !same(port));
        let macs: BTreeSet<_> = peers.map(|port| port.mac).collect();
        for to in macs.into_iter().chain([MacAddress::BROADCAST]) {
            let (due_then, due_now) =
                (before.expected(&then, from, to), after.expected(&now, from, to));
            let due = due_now.into_iter().filter(|place| due_then.contains(place)).collect();
            flights.push(Flight { from: from.clone(), to, due, allowed: allowed.clone() });
        }
    }
    flights
}

fn check(simulator: &Simulator, flights: &[Flight], is_stable: bool) -> Result<(), TestCaseError> {
    for Flight { from, to, due, allowed } in flights {
        let walk: Walk = simulator.inject(from.switch, from.port, Frame::new(from.mac, *to));
        prop_assert!(!walk.looped, "{:?} to {} loops", from, to);
        let places = walk.places();
        let unique: BTreeSet<_> = places.iter().copied().collect();
        prop_assert_eq!(places.len(), unique.len(), "{:?} to {} is duplicated", from, to);
        prop_assert!(unique.is_subset(allowed), "{:?} to {} leaks: {:?}", from, to, unique);
        if is_stable {
            for place in due {
                prop_assert!(unique.contains(place), "{:?} to {} misses {:?}", from, to, place);
            }
        }
    }
    Ok(())
}

/// Makes a step's changes one by one, in a random order that keeps each switch's own order, and
/// looks at some of the states between.
fn carry_out(
    world: &mut World,
    step: Step,
    flights: &[Flight],
    is_stable: bool,
    random: &mut u64,
) -> Result<(), TestCaseError> {
    let mut queues: Vec<(u64, std::vec::IntoIter<Change>)> = step
        .into_iter()
        .filter(|(at, _)| world.connected.contains(&at.get()))
        .map(|(at, (before, after))| (at.get(), changes(&before, &after).into_iter()))
        .collect();
    let total: usize = queues.iter().map(|(_, queue)| queue.len()).sum();
    let mut made = 0;
    while !queues.is_empty() {
        *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let turn = (*random >> 33) as usize % queues.len();
        let (switch, queue) = &mut queues[turn];
        match queue.next() {
            Some(change) => make(world.installed.get_mut(switch).unwrap(), change),
            None => {
                queues.swap_remove(turn);
                continue;
            }
        }
        made += 1;
        if total < 12 || made % (total / 8) == 0 {
            check(&world.simulator(), flights, is_stable)?;
        }
    }
    Ok(())
}

fn play(scenario: Scenario, moves: &[Move], mut random: u64) -> Result<(), TestCaseError> {
    let mut world = World::new(scenario);
    for change in moves {
        let before = world.scenario.clone();
        let before_it = world.simulator();
        let mut steps = Vec::new();
        let mut is_back = false;
        if let Move::Connection(switch) = change {
            let switch = switch.index(world.scenario.switches as usize) as u64 + 1;
            if world.connected.remove(&switch) {
                world.fabric.set_disconnected(id(switch), &BTreeSet::new());
            } else {
                // As the engine does: compile what has come in, then bring the switch to that, and
                // only then count on it.
                steps.extend(world.fabric.recompile().steps);
                is_back = world.connected.insert(switch);
                let there = world.installed[&switch].clone();
                let wanted = world.fabric.adopt(id(switch), &there);
                steps.push(Step::from([(id(switch), (there, wanted))]));
                world.fabric.set_connected(id(switch));
            }
        } else if let Move::Restart(..) = change {
            // Of a switch that is not there, a new controller cannot know what it does.
            if world.connected.len() == world.scenario.switches as usize {
                world.wish(change);
                steps.extend(world.restart());
            }
        } else {
            world.wish(change);
            world.scenario.put_wishes(&mut world.fabric);
        }
        let Revision { steps: more, .. } = world.fabric.recompile();
        steps.extend(more);
        let mut flights = flights(&before, &world.scenario);
        // What a switch without controller lacks is nobody's promise.
        let mut is_stable = world.connected.len() == world.scenario.switches as usize
            && !matches!(change, Move::Connection(_));
        if is_back && world.connected.len() == world.scenario.switches as usize {
            // But that the last one is back makes nothing worse. While another is away that may
            // have turned or not, nobody counts on that.
            is_stable = true;
            for Flight { from, to, due, .. } in &mut flights {
                let frame = Frame::new(from.mac, *to);
                let reached = before_it.inject(from.switch, from.port, frame).places();
                due.retain(|place| reached.contains(place));
            }
        }
        let mut steps: VecDeque<_> = steps.into();
        let may_fail = matches!(change, Move::Link(..));
        while let Some(mut step) = steps.pop_front() {
            // In the middle of its changes of this step a switch loses its controller.
            let victim = step.keys().nth(random as usize % step.len().max(1)).copied();
            let victim = victim.filter(|at| {
                may_fail && random.is_multiple_of(3) && world.connected.contains(&at.get())
            });
            if let Some(at) = victim
                && let Some((before, after)) = step.remove(&at)
            {
                let list = changes(&before, &after);
                let made = random as usize % (list.len() + 1);
                let installed = world.installed.get_mut(&at.get()).unwrap();
                list.into_iter().take(made).for_each(|change| make(installed, change));
                world.connected.remove(&at.get());
                let mut unconfirmed = turns(&before, &after);
                for step in &mut steps {
                    if let Some((before, after)) = step.remove(&at) {
                        unconfirmed.extend(turns(&before, &after));
                    }
                }
                world.fabric.take_back(std::mem::take(&mut steps), []);
                world.fabric.set_disconnected(at, &unconfirmed);
                is_stable = false;
            }
            carry_out(&mut world, step, &flights, is_stable, &mut random)?;
            if steps.is_empty() {
                steps.extend(world.fabric.recompile().steps);
            }
        }
        check(&world.simulator(), &flights, is_stable)?;
        let mut fresh = Fabric::new();
        world.scenario.put(&mut fresh);
        for switch in world.connected.clone() {
            let wanted = world.fabric.program(id(switch));
            prop_assert!(world.installed[&switch] == wanted, "changes do not add up");
            if world.connected.len() == world.scenario.switches as usize {
                prop_assert!(wanted == fresh.program(id(switch)), "not as compiled anew");
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn every_state_on_the_way_is_sound(
        (scenario, moves) in scenario(10, 5)
            .prop_flat_map(|scenario| {
                let moves = vec(moves(scenario.switches), 1..12);
                (Just(scenario), moves)
            }),
        random in any::<u64>(),
    ) {
        play(scenario, &moves, random)?;
    }
}
