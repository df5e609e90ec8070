//! The core at scale: time and memory to build a model, and how long a single change of it takes.
//!
//! usage: model_scale SWITCHES NETWORKS PORTS_PER_NETWORK ROUNDS
//! prints one figure a line: its name and its value

#![expect(clippy::print_stdout, reason = "the figures are its output")]

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
    fs,
    time::{Duration, Instant},
};

use l2sces_fabric::{
    Fabric, LinkEnd, LinkSpec, NetworkSpec, PortRole, PortSpec, Revision, SliceSpec, SwitchSpec,
};
use l2sces_model::{DatapathId, InterfaceName, MacAddress, Name, Vni};

/// Most links of a switch.
const DEGREE: usize = 16;
/// The switch's number of its first access port; tunnels have the numbers below.
const FIRST_ACCESS: u32 = 1000;

type Failure = Box<dyn Error>;

fn main() -> Result<(), Failure> {
    let numbers: Vec<u32> =
        std::env::args().skip(1).map(|text| text.parse()).collect::<Result<_, _>>()?;
    let [switches, networks, ports, rounds] = numbers[..] else {
        return Err("usage: model_scale SWITCHES NETWORKS PORTS_PER_NETWORK ROUNDS".into());
    };
    let mut dice = Dice(1);
    let start = Instant::now();
    let mut model = Model::build(switches, networks, ports, &mut dice)?;
    println!("build_ms {:.1}", start.elapsed().as_secs_f64() * 1e3);
    println!("rss_mib {:.1}", resident()?);
    println!("links {}", model.links.len());
    println!("ports {}", networks * ports);

    let mut attach = Vec::new();
    for round in 0..rounds {
        let network = dice.below(networks);
        let at = dice.below(switches);
        let start = Instant::now();
        model.attach(network, at, networks * ports + round)?;
        let revision = model.fabric.recompile();
        attach.push(start.elapsed());
        check(&revision)?;
    }
    report("attach", attach);

    let (mut cut, mut heal) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let index = usize::try_from(dice.below(u32::try_from(model.links.len())?))?;
        let link = &model.links[index];
        let broken =
            BTreeSet::from([(link.a.clone(), link.b.clone()), (link.b.clone(), link.a.clone())]);
        for (times, broken) in [(&mut cut, broken), (&mut heal, BTreeSet::new())] {
            let start = Instant::now();
            model.fabric.set_broken_links(broken);
            let revision = model.fabric.recompile();
            times.push(start.elapsed());
            check(&revision)?;
        }
    }
    report("cut", cut);
    report("heal", heal);
    Ok(())
}

/// A change that changes nothing would be measured for nothing.
fn check(revision: &Revision) -> Result<(), Failure> {
    if revision.steps.is_empty() { Err("a change has changed no switch".into()) } else { Ok(()) }
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort();
    for (name, share) in [("p50", 50), ("p99", 99)] {
        let index = times.len().saturating_sub(1) * share / 100;
        let time = times.get(index).copied().unwrap_or_default();
        println!("{what}_{name}_us {:.1}", time.as_secs_f64() * 1e6);
    }
}

/// Memory of this process, in MiB.
fn resident() -> Result<f64, Failure> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib / 1024.0)
}

/// SplitMix64 (Steele, Lea and Flood, 2014): every run has the same model.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u32::try_from((mixed ^ (mixed >> 31)) % u64::from(limit.max(1))).unwrap_or_default()
    }
}

struct Model {
    fabric: Fabric,
    slice: Name,
    switches: Vec<DatapathId>,
    links: Vec<LinkSpec>,
    /// The number of every switch's next access port.
    next: Vec<u32>,
}

impl Model {
    fn build(switches: u32, networks: u32, ports: u32, dice: &mut Dice) -> Result<Self, Failure> {
        let slice: Name = "s1".parse()?;
        let ids: Vec<_> =
            (0..switches).map(|n| DatapathId::derived(&["model", &n.to_string()])).collect();
        let mut model = Self {
            fabric: Fabric::new(),
            links: links(&ids, dice)?,
            next: vec![FIRST_ACCESS; ids.len()],
            switches: ids,
            slice,
        };
        let mut tunnels: BTreeMap<DatapathId, BTreeMap<InterfaceName, u32>> = BTreeMap::new();
        for end in model.links.iter().flat_map(|link| [&link.a, &link.b]) {
            let of = tunnels.entry(end.switch).or_default();
            let number = u32::try_from(of.len())? + 1;
            of.insert(end.interface.clone(), number);
        }
        for (ordinal, id) in (1..).zip(&model.switches) {
            let name = format!("switch {ordinal}");
            model.fabric.put_switch(SwitchSpec {
                id: *id,
                ordinal,
                name,
                cluster: "a".parse()?,
                node: format!("n{ordinal}").parse()?,
            });
            model.fabric.set_connected(*id);
            model.fabric.set_interfaces(*id, &tunnels[id]);
        }
        model.fabric.put_slice(SliceSpec {
            name: model.slice.clone(),
            ordinal: 1,
            switches: model.switches.clone(),
            links: model.links.clone(),
            avoid_transit: BTreeSet::new(),
            is_measured: false,
        });
        for network in 0..networks {
            let vni = Vni::try_from(network + 1)?;
            model.fabric.put_network(NetworkSpec { vni, slice: model.slice.clone() });
            for port in 0..ports {
                model.attach(network, dice.below(switches), network * ports + port)?;
            }
        }
        check(&model.fabric.recompile())?;
        Ok(model)
    }

    /// A new interface appears on a switch, and is attached.
    fn attach(&mut self, network: u32, at: u32, number: u32) -> Result<(), Failure> {
        let at = usize::try_from(at)?;
        let id = self.switches[at];
        let interface: InterfaceName = format!("p{number}").parse()?;
        self.fabric.set_interface(id, &interface, Some(self.next[at]));
        self.next[at] += 1;
        let [a, b, c, d] = number.to_be_bytes();
        let mac = MacAddress::new([2, 0, a, b, c, d]);
        self.fabric.put_port(PortSpec {
            id: format!("port {number}").into(),
            vni: Vni::try_from(network + 1)?,
            switch: id,
            interface,
            role: PortRole::Access { mac, max_learned: 0 },
        });
        Ok(())
    }
}

/// A ring, so that everything is connected, and random chords.
fn links(ids: &[DatapathId], dice: &mut Dice) -> Result<Vec<LinkSpec>, Failure> {
    let count = u32::try_from(ids.len())?;
    let mut pairs = BTreeSet::new();
    let mut degrees = vec![0; ids.len()];
    let chords = count * u32::try_from(DEGREE)? / 2;
    let ring = (0..count).map(|n| (n, (n + 1) % count));
    let chords: Vec<_> = (0..chords).map(|_| (dice.below(count), dice.below(count))).collect();
    for (a, b) in ring.chain(chords) {
        let (a, b) = (usize::try_from(a.min(b))?, usize::try_from(a.max(b))?);
        if a != b && degrees[a] < DEGREE && degrees[b] < DEGREE && pairs.insert((a, b)) {
            degrees[a] += 1;
            degrees[b] += 1;
        }
    }
    pairs
        .into_iter()
        .map(|(a, b)| {
            let end = |own: usize, peer: usize| -> Result<LinkEnd, Failure> {
                Ok(LinkEnd { switch: ids[own], interface: format!("t{peer}").parse()? })
            };
            Ok(LinkSpec { a: end(a, b)?, b: end(b, a)?, cost: 1 })
        })
        .collect()
}
