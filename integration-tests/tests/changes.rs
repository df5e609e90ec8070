//! A random walk of changes under streams: links are cut and healed, nodes and links come into the
//! slice and leave it, ports are attached, detached and moved. Nothing ever comes twice or circles,
//! and after each change everyone is reached again.
//!
//! `L2SCES_CHANGES` says how many changes, `L2SCES_SEED` which; `cargo xtask test --changes N
//! --seed S` sets them, and shows the figures.

#![expect(clippy::print_stdout, reason = "the long walk reports its figures")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use integration_tests::{
    Labels, Member, Traffic, World,
    topology::{link, link_by, mesh, slice},
};
use l2sces_lab::probe::LinkCounters;
use l2sces_proto::slice::v1::{SliceCluster, SliceSpec};

const TOPOLOGY: &str = "a=a1*,a2*,a3 b=b1*,b2";
const INTERVAL: Duration = Duration::from_millis(20);
const NODES: [&str; 5] = ["a1", "a2", "a3", "b1", "b2"];
/// The links that the slice may have inside clusters, and between them.
const INSIDE: [Pair; 4] = [("a1", "a2"), ("a1", "a3"), ("a2", "a3"), ("b1", "b2")];
const BETWEEN: [Pair; 2] = [("a1", "b1"), ("a2", "b1")];
/// The nodes of the pods that stay: the others come and go and move.
const ANCHORS: [&str; 2] = ["a3", "b2"];
const ROVERS: u8 = 3;
/// How long the sco-provider gives a new link between clusters the benefit of the doubt, in seconds:
/// one that was cut before it came into the slice has never worked, and nobody is reached over it.
const GRACE: &str = "3";
/// After so many changes the streams that have ended are judged and forgotten.
const RETIRE_AFTER: u32 = 25;

type Pair = (&'static str, &'static str);

fn number(variable: &str, default: u64) -> Result<u64> {
    match std::env::var(variable) {
        Ok(text) => text.parse().with_context(|| format!("{variable}={text}")),
        Err(_) => Ok(default),
    }
}

/// SplitMix64 (Steele, Lea and Flood, 2014): a seed means the same walk for ever.
struct Dice(u64);

impl Dice {
    fn choose<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let index = (mixed ^ (mixed >> 31)) % from.len().max(1) as u64;
        &from[usize::try_from(index).unwrap_or_default()]
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Change {
    Cut(Pair),
    Heal(Pair),
    AddNode(&'static str),
    RemoveNode(&'static str),
    AddLink(Pair),
    RemoveLink(Pair),
    Attach(u8, &'static str),
    Detach(u8),
    Move(u8, &'static str),
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut((a, b)) => write!(f, "cut {a}-{b}"),
            Self::Heal((a, b)) => write!(f, "heal {a}-{b}"),
            Self::AddNode(node) => write!(f, "add {node} to the slice"),
            Self::RemoveNode(node) => write!(f, "remove {node} from the slice"),
            Self::AddLink((a, b)) => write!(f, "add link {a}-{b} to the slice"),
            Self::RemoveLink((a, b)) => write!(f, "remove link {a}-{b} from the slice"),
            Self::Attach(rover, node) => write!(f, "attach port {rover} on {node}"),
            Self::Detach(rover) => write!(f, "detach port {rover}"),
            Self::Move(rover, node) => write!(f, "move port {rover} to {node}"),
        }
    }
}

impl Change {
    /// Names its kind, for sums.
    fn kind(self) -> &'static str {
        match self {
            Self::Cut(_) => "cuts",
            Self::Heal(_) => "heals",
            Self::AddNode(_) => "nodes added",
            Self::RemoveNode(_) => "nodes removed",
            Self::AddLink(_) => "links added",
            Self::RemoveLink(_) => "links removed",
            Self::Attach(..) => "attached",
            Self::Detach(_) => "detached",
            Self::Move(..) => "moved",
        }
    }
}

/// What the slice is made of, what is cut, and where the ports are that come and go.
#[derive(Clone, Debug)]
struct Plan {
    nodes: BTreeSet<&'static str>,
    links: BTreeSet<Pair>,
    cut: BTreeSet<Pair>,
    rovers: BTreeMap<u8, &'static str>,
}

impl Plan {
    fn new() -> Self {
        let links = INSIDE.into_iter().chain(BETWEEN).collect();
        let rovers = BTreeMap::new();
        Self { nodes: NODES.into(), links, cut: BTreeSet::new(), rovers }
    }

    /// What `change` makes of it; `None`: it changes nothing, or makes no sense.
    fn after(&self, change: Change) -> Option<Self> {
        let mut plan = self.clone();
        let has_changed = match change {
            Change::Cut(pair) => plan.links.contains(&pair) && plan.cut.insert(pair),
            Change::Heal(pair) => plan.cut.remove(&pair),
            Change::AddNode(node) => {
                let is_new = plan.nodes.insert(node);
                let joins =
                    |(a, b): &Pair| (*a == node || *b == node) && self.knows_other(a, b, node);
                plan.links.extend(INSIDE.into_iter().chain(BETWEEN).filter(joins));
                is_new
            }
            Change::RemoveNode(node) => {
                plan.links.retain(|(a, b)| *a != node && *b != node);
                plan.nodes.remove(node)
            }
            Change::AddLink((a, b)) => {
                plan.nodes.contains(a) && plan.nodes.contains(b) && plan.links.insert((a, b))
            }
            Change::RemoveLink(pair) => plan.links.remove(&pair),
            Change::Attach(rover, node) => plan.rovers.insert(rover, node).is_none(),
            Change::Detach(rover) => plan.rovers.remove(&rover).is_some(),
            Change::Move(rover, node) => {
                plan.rovers.insert(rover, node).is_some_and(|before| before != node)
            }
        };
        (has_changed && plan.is_whole()).then_some(plan)
    }

    fn knows_other(&self, a: &str, b: &str, node: &str) -> bool {
        self.nodes.contains(if a == node { b } else { a })
    }

    /// Whether everyone can reach everyone: each cluster within itself, and one by one link at
    /// least the other.
    fn is_whole(&self) -> bool {
        let usable: Vec<Pair> = self.links.difference(&self.cut).copied().collect();
        let is_connected = |cluster: &str| {
            let mut left: BTreeSet<&str> =
                self.nodes.iter().copied().filter(|node| node.starts_with(cluster)).collect();
            let mut reached: Vec<&str> = left.pop_first().into_iter().collect();
            while let Some(node) = reached.pop() {
                for (a, b) in &usable {
                    let next = if *a == node {
                        *b
                    } else if *b == node {
                        *a
                    } else {
                        continue;
                    };
                    reached.extend(left.take(next));
                }
            }
            left.is_empty()
        };
        let ports = self.rovers.values().chain(&ANCHORS);
        is_connected("a")
            && is_connected("b")
            && usable.iter().any(|pair| BETWEEN.contains(pair))
            && ports.into_iter().all(|node| self.nodes.contains(node))
    }

    /// The changes that leave it whole, by kind.
    fn changes(&self) -> BTreeMap<&'static str, Vec<Change>> {
        let pairs = || INSIDE.into_iter().chain(BETWEEN);
        let of_pairs = pairs().flat_map(|pair| {
            [Change::Cut, Change::Heal, Change::AddLink, Change::RemoveLink].map(|of| of(pair))
        });
        let of_nodes =
            NODES.into_iter().flat_map(|node| [Change::AddNode(node), Change::RemoveNode(node)]);
        let of_rovers = (1..=ROVERS).flat_map(|rover| {
            // A port that is there is moved, one that is not is attached.
            let is_there = self.rovers.contains_key(&rover);
            let place = if is_there { Change::Move } else { Change::Attach };
            NODES.map(|node| place(rover, node)).into_iter().chain([Change::Detach(rover)])
        });
        let mut changes: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for change in of_pairs.chain(of_nodes).chain(of_rovers) {
            if self.after(change).is_some() {
                changes.entry(change.kind()).or_default().push(change);
            }
        }
        changes
    }

    fn choose(&self, dice: &mut Dice) -> Change {
        let changes: Vec<_> = self.changes().into_values().collect();
        let of_one_kind: &Vec<Change> = dice.choose(&changes);
        *dice.choose(of_one_kind)
    }

    fn slice(&self) -> SliceSpec {
        let links = |all: &[Pair]| -> Vec<Pair> {
            all.iter().copied().filter(|pair| self.links.contains(pair)).collect()
        };
        let inside = links(&INSIDE);
        let cluster = |name: &str| {
            let nodes: Vec<_> =
                self.nodes.iter().copied().filter(|node| node.starts_with(name)).collect();
            let own = inside.iter().filter(|(a, _)| a.starts_with(name));
            SliceCluster { links: own.map(|(a, b)| link(a, b)).collect(), ..mesh(name, &nodes) }
        };
        let between = links(&BETWEEN).into_iter();
        slice(
            vec![cluster("a"), cluster("b")],
            between.map(|(a, b)| link_by(("a", a), ("b", b))).collect(),
        )
    }
}

#[test]
fn a_plan_is_whole_as_long_as_everyone_can_be_reached() {
    let plan = Plan::new();
    let after = |changes: &[Change]| {
        changes.iter().try_fold(plan.clone(), |plan, change| plan.after(*change))
    };
    assert!(after(&[Change::Cut(("a1", "a3"))]).is_some());
    assert!(after(&[Change::Cut(("a1", "a3")), Change::Cut(("a2", "a3"))]).is_none());
    assert!(after(&[Change::Cut(("a1", "b1")), Change::RemoveNode("a2")]).is_none());
    assert!(after(&[Change::RemoveNode("a3")]).is_none(), "a port is there");
    assert!(after(&[Change::Attach(1, "a1"), Change::RemoveNode("a1")]).is_none());
    let back = after(&[Change::RemoveNode("a1"), Change::AddNode("a1")]);
    assert_eq!(back.map(|plan| plan.links), Some(plan.links.clone()));
    assert!(plan.changes()["attached"].len() == 15 && !plan.changes().contains_key("heals"));
}

/// The walk: the plan, and what it has become in the lab.
struct Walk {
    world: World,
    plan: Plan,
    traffic: Traffic,
    links: LinkCounters,
    anchors: Vec<Member>,
    rovers: BTreeMap<u8, Member>,
    /// Pods made so far: names are not used again.
    pods: u32,
}

impl Walk {
    async fn begin() -> Result<Self> {
        let grace = ("L2SCES_GATEWAY_GRACE".to_owned(), GRACE.to_owned());
        let mut world = World::of(TOPOLOGY, &Labels::new(), vec![grace]).await?;
        let plan = Plan::new();
        world.create_slice_of("s1", plan.slice()).await?;
        world.create_network("blue", "10.1.0.0/24").await?;
        let mut anchors = Vec::new();
        for (number, node) in (11..).zip(ANCHORS) {
            anchors.push(world.join("blue", node, &format!("anchor-{node}"), number).await?);
        }
        let mut traffic = Traffic::new(INTERVAL);
        for anchor in &anchors {
            world.port_ready("blue", anchor.pod.name()).await?;
            traffic.listen(anchor)?;
            traffic.broadcast(anchor)?;
        }
        traffic.unicast(&anchors[0], anchors[1].mac)?;
        traffic.unicast(&anchors[1], anchors[0].mac)?;
        traffic.settled().await?;
        let links = LinkCounters::start(world.lab.layout())?;
        Ok(Self { world, plan, traffic, links, anchors, rovers: BTreeMap::new(), pods: 0 })
    }

    async fn make(&mut self, change: Change) -> Result<()> {
        self.plan = self.plan.after(change).context("the change makes no sense")?;
        match change {
            Change::Cut((a, b)) => self.world.lab.set_pair(a, b, false).await?,
            Change::Heal((a, b)) => self.world.lab.set_pair(a, b, true).await?,
            Change::AddNode(_)
            | Change::RemoveNode(_)
            | Change::AddLink(_)
            | Change::RemoveLink(_) => {
                self.world.update_slice("s1", self.plan.slice()).await?;
                self.world.slice_observed("s1").await?;
            }
            Change::Attach(rover, node) => {
                self.attach(rover, node).await?;
                let mac = self.rovers[&rover].mac;
                for anchor in &self.anchors {
                    self.traffic.unicast(anchor, mac)?;
                }
            }
            Change::Detach(rover) => {
                let mac = self.rovers[&rover].mac;
                self.detach(rover).await?;
                self.traffic.end_to(mac);
            }
            Change::Move(rover, node) => {
                self.detach(rover).await?;
                self.attach(rover, node).await?;
            }
        }
        Ok(())
    }

    async fn attach(&mut self, rover: u8, node: &str) -> Result<()> {
        self.pods += 1;
        let pod = format!("rover-{rover}-{}", self.pods);
        let member = self.world.join("blue", node, &pod, 20 + rover).await?;
        self.world.port_ready("blue", &pod).await?;
        self.traffic.listen(&member)?;
        self.traffic.broadcast(&member)?;
        for anchor in &self.anchors {
            self.traffic.unicast(&member, anchor.mac)?;
        }
        self.rovers.insert(rover, member);
        Ok(())
    }

    async fn detach(&mut self, rover: u8) -> Result<()> {
        let Some(Member { pod, .. }) = self.rovers.remove(&rover) else { return Ok(()) };
        self.world.detach("blue", pod.name()).await?;
        self.world.port_gone("blue", pod.name()).await?;
        self.traffic.leave(pod.name());
        self.world.lab.delete_pod(&pod)?;
        Ok(())
    }

    /// Everyone is reached, and nothing has come twice or circled.
    async fn judge(&self) -> Result<()> {
        self.traffic.settled().await?;
        self.traffic.nothing_twice()?;
        self.traffic.nothing_circled(&self.links)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_repeat_no_frame_and_leave_everyone_reached() -> Result<()> {
    let (count, seed) = (number("L2SCES_CHANGES", 20)?, number("L2SCES_SEED", 1)?);
    let mut dice = Dice(seed);
    let mut walk = Walk::begin().await?;
    let (mut kinds, mut times) = (BTreeMap::<_, u32>::new(), Vec::new());
    for step in 1..=u32::try_from(count)? {
        let change = walk.plan.choose(&mut dice);
        let start = Instant::now();
        let result = match walk.make(change).await {
            Ok(()) => walk.judge().await,
            Err(error) => Err(error),
        };
        if let Err(error) = result {
            let (errors, plan) = (walk.world.errors_logged(), &walk.plan);
            let kept = walk.world.lab.keep_evidence().await?;
            let kept = kept.display();
            return Err(error.context(format!(
                "seed {seed}, change {step}: {change}: {plan:?}; evidence in {kept}; {errors}"
            )));
        }
        times.push(start.elapsed());
        *kinds.entry(change.kind()).or_default() += 1;
        println!("{step:>5} {:>6.0} ms  {change}", times[times.len() - 1].as_secs_f64() * 1e3);
        if step % RETIRE_AFTER == 0 {
            walk.traffic.retire(&walk.links)?;
        }
    }
    walk.traffic.end();
    walk.judge_end(seed, &kinds, &mut times)?;
    walk.world.down().await
}

impl Walk {
    fn judge_end(
        &self,
        seed: u64,
        kinds: &BTreeMap<&str, u32>,
        times: &mut [Duration],
    ) -> Result<()> {
        self.traffic.nothing_twice()?;
        self.traffic.nothing_circled(&self.links)?;
        times.sort();
        ensure!(!times.is_empty(), "a walk has changes");
        let time = |share: usize| times[(times.len() - 1) * share / 100].as_secs_f64() * 1e3;
        let [one, other] = [0, 1].map(|n| self.anchors[n].pod.name());
        let ((there, sent), (back, _)) =
            (self.traffic.lost_between(one, other), self.traffic.lost_between(other, one));
        println!(
            "seed {seed}: {} changes ({kinds:?}); {}; nothing twice, nothing circled; settled \
             after {:.0} ms (median), {:.0} ms (99 %), {:.0} ms (most); between the pods that \
             stayed {there} and {back} of {sent} frames were lost each way",
            times.len(),
            self.traffic.figures(),
            time(50),
            time(99),
            time(100),
        );
        Ok(())
    }
}
