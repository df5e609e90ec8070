//! Which gateways and links work, as the switches say.
//!
//! What has not been heard of yet gets the benefit of the doubt for a grace: after a start, switches
//! connect one by one, and no plan may change for that. The same grace is given to a gateway whose
//! switch has lost the controller: frames do not need the controller. A link that was seen to work
//! and then to fail has failed at once.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use l2sces_controller::{Event, LinkState};
use l2sces_model::DatapathId;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use crate::domain::{GatewayKey, GatewayLink, Topology};

/// The switches at the ends of a link, the lower one first.
type Ends = (DatapathId, DatapathId);

/// What was last heard of a gateway or a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    Up,
    /// Nothing, since then.
    Missing(Instant),
    /// It was up, and does not work.
    Broken,
}

/// Which gateways and links work.
#[derive(Debug)]
pub struct Health {
    grace: Duration,
    inner: Mutex<Inner>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    gateways: HashMap<DatapathId, Presence>,
    links: HashMap<Ends, Presence>,
}

/// What of a topology does not work.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failures {
    gateways: BTreeSet<GatewayKey>,
    links: BTreeSet<(GatewayKey, GatewayKey)>,
}

/// What of a topology has not been heard of yet, and still has the benefit of the doubt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Doubts {
    gateways: BTreeSet<GatewayKey>,
    links: BTreeSet<(GatewayKey, GatewayKey)>,
}

impl Doubts {
    /// Whether there are none: the rest works.
    pub(crate) fn is_empty(&self) -> bool {
        self.gateways.is_empty() && self.links.is_empty()
    }

    /// Whether it is not known that a link works.
    pub(crate) fn concern_link(&self, link: &GatewayLink) -> bool {
        self.links.iter().any(|(a, b)| (a, b) == (&link.a, &link.b))
    }
}

impl Failures {
    /// Whether a gateway works.
    pub fn spares_gateway(&self, gateway: &GatewayKey) -> bool {
        !self.gateways.contains(gateway)
    }

    /// Whether a link works, whose ends are given in the topology's order.
    pub fn spares_link(&self, a: &GatewayKey, b: &GatewayKey) -> bool {
        // No copies for a question: there are few failures.
        !self.links.iter().any(|(one, other)| one == a && other == b)
    }
}

impl Health {
    /// Nothing has been heard yet. What is silent for longer than `grace` has failed.
    pub fn new(grace: Duration) -> Self {
        Self { grace, inner: Mutex::default(), changed: Notify::new() }
    }

    /// Takes note of what the switches say.
    pub fn observe(&self, event: &Event) {
        let now = Instant::now();
        let mut inner = self.lock();
        match event {
            Event::SwitchReady(id) => {
                inner.gateways.insert(*id, Presence::Up);
                // Discovery begins anew for it.
                inner.doubt_links(*id, now, true);
            }
            Event::SwitchDown { id, .. } => {
                let presence = inner.gateways.entry(*id).or_insert(Presence::Missing(now));
                if *presence == Presence::Up {
                    *presence = Presence::Missing(now);
                }
                inner.doubt_links(*id, now, false);
            }
            // They are asked for.
            Event::LinksChanged => {}
            _ => return,
        }
        self.changed.notify_one();
    }

    /// Takes note of the states of all links that the switches are asked for. Of links of the
    /// topologies in use that are not among them nothing is heard; all others are forgotten.
    pub(crate) fn take_in<'topology>(
        &self,
        links: &[LinkState],
        in_use: impl IntoIterator<Item = &'topology Topology>,
    ) {
        let now = Instant::now();
        let mut up: HashMap<Ends, bool> = HashMap::new();
        for link in links {
            // It works if both directions do.
            *up.entry(ends(link.from.switch, link.to.switch)).or_insert(true) &= link.up;
        }
        // Links that are forgotten and asked for again in turns would look new every time.
        let in_use = in_use.into_iter().flat_map(|topology| &topology.links);
        let kept: HashSet<Ends> =
            in_use.map(|link| ends(link.a.datapath_id(), link.b.datapath_id())).collect();
        let mut inner = self.lock();
        inner.links.retain(|ends, presence| {
            let is_asked_for = up.contains_key(ends);
            if !is_asked_for && !matches!(presence, Presence::Missing(_)) {
                *presence = Presence::Missing(now);
            }
            is_asked_for || kept.contains(ends)
        });
        for (ends, up) in up {
            let presence = inner.links.entry(ends).or_insert(Presence::Missing(now));
            match (up, *presence) {
                (true, _) => *presence = Presence::Up,
                (false, Presence::Up) => *presence = Presence::Broken,
                (false, _) => {}
            }
        }
    }

    /// Forgets a gateway that is gone.
    pub(crate) fn forget_gateway(&self, id: DatapathId) {
        self.lock().gateways.remove(&id);
    }

    /// What of a topology does not work now. What was never asked for before counts as new.
    pub(crate) fn failures(&self, topology: &Topology) -> Failures {
        let now = Instant::now();
        let has_failed = |presence: Presence| match presence {
            Presence::Up => false,
            Presence::Missing(since) => since + self.grace <= now,
            Presence::Broken => true,
        };
        let (gateways, links) = self.select(topology, now, has_failed);
        Failures { gateways, links }
    }

    /// What of a topology may work or not.
    pub(crate) fn doubts(&self, topology: &Topology) -> Doubts {
        let now = Instant::now();
        let is_in_doubt = |presence: Presence| match presence {
            Presence::Missing(since) => since + self.grace > now,
            Presence::Up | Presence::Broken => false,
        };
        let (gateways, links) = self.select(topology, now, is_in_doubt);
        Doubts { gateways, links }
    }

    /// The gateways and links of which something holds.
    fn select(
        &self,
        topology: &Topology,
        now: Instant,
        holds: impl Fn(Presence) -> bool,
    ) -> (BTreeSet<GatewayKey>, BTreeSet<(GatewayKey, GatewayKey)>) {
        let mut inner = self.lock();
        let known = inner.gateways.len() + inner.links.len();
        let (mut gateways, mut links) = (BTreeSet::new(), BTreeSet::new());
        for gateway in &topology.gateways {
            let new = Presence::Missing(now);
            if holds(*inner.gateways.entry(gateway.datapath_id()).or_insert(new)) {
                gateways.insert(gateway.clone());
            }
        }
        for GatewayLink { a, b, .. } in &topology.links {
            let ends = ends(a.datapath_id(), b.datapath_id());
            if holds(*inner.links.entry(ends).or_insert(Presence::Missing(now))) {
                links.insert((a.clone(), b.clone()));
            }
        }
        if inner.gateways.len() + inner.links.len() > known {
            // Their grace may be the next to end.
            self.changed.notify_one();
        }
        (gateways, links)
    }

    /// Waits until links are to be asked for, and failures may be others than before.
    pub(crate) async fn changed(&self) {
        match self.next_look() {
            None => self.changed.notified().await,
            Some(deadline) => tokio::select! {
                () = self.changed.notified() => {}
                () = sleep_until(deadline) => {}
            },
        }
    }

    /// When something may be found to have failed without anybody saying so.
    fn next_look(&self) -> Option<Instant> {
        let now = Instant::now();
        let inner = self.lock();
        let all = inner.gateways.values().chain(inner.links.values());
        let graces = all.filter_map(|presence| match presence {
            Presence::Missing(since) => Some(*since + self.grace).filter(|end| *end > now),
            Presence::Up | Presence::Broken => None,
        });
        graces.min()
    }

    /// Every method leaves the maps whole at every point where it could panic.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// What is known of a switch's links is out of date: those that worked, or all.
    fn doubt_links(&mut self, id: DatapathId, now: Instant, all: bool) {
        for ((a, b), presence) in &mut self.links {
            if (*a == id || *b == id) && (all || *presence == Presence::Up) {
                *presence = Presence::Missing(now);
            }
        }
    }
}

fn ends(one: DatapathId, other: DatapathId) -> Ends {
    if one < other { (one, other) } else { (other, one) }
}

#[cfg(test)]
mod tests {
    use l2sces_controller::{LinkEnd, LinkSpec};

    use super::*;

    const GRACE: Duration = Duration::from_secs(30);

    fn gateway(cluster: &str) -> GatewayKey {
        GatewayKey { cluster: cluster.parse().unwrap(), node: "n".parse().unwrap() }
    }

    fn topology() -> Topology {
        let link = GatewayLink { a: gateway("a"), b: gateway("b"), cost: 1 };
        Topology { gateways: vec![gateway("a"), gateway("b")], links: vec![link] }
    }

    fn links(up: bool) -> Vec<LinkState> {
        let LinkSpec { a, b, .. } = LinkSpec::from(&topology().links[0]);
        let state = |from: &LinkEnd, to: &LinkEnd, up| LinkState {
            from: from.clone(),
            to: to.clone(),
            up,
            message: String::new(),
        };
        vec![state(&a, &b, true), state(&b, &a, up)]
    }

    fn down(cluster: &str) -> Event {
        Event::SwitchDown { id: gateway(cluster).datapath_id(), reason: String::new() }
    }

    fn ready(cluster: &str) -> Event {
        Event::SwitchReady(gateway(cluster).datapath_id())
    }

    fn failures(gateways: &[&str], link: bool) -> Failures {
        Failures {
            gateways: gateways.iter().map(|cluster| gateway(cluster)).collect(),
            links: link.then(|| (gateway("a"), gateway("b"))).into_iter().collect(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_never_heard_of_fails_after_a_grace() {
        let health = Health::new(GRACE);
        assert_eq!(health.failures(&topology()), failures(&[], false));
        health.observe(&ready("a"));
        health.take_in(&links(false), [&topology()]);
        assert_eq!(health.failures(&topology()), failures(&[], false));
        health.changed().await;
        let begin = Instant::now();
        while health.failures(&topology()) == failures(&[], false) {
            health.changed().await;
        }
        assert!(Instant::now() - begin <= GRACE, "it wakes in time");
        assert_eq!(health.failures(&topology()), failures(&["b"], true));
        health.observe(&ready("b"));
        health.take_in(&links(true), [&topology()]);
        assert_eq!(health.failures(&topology()), failures(&[], false));
    }

    #[tokio::test(start_paused = true)]
    async fn a_link_that_broke_has_failed_at_once_and_a_lost_switch_later() {
        let health = Health::new(GRACE);
        for cluster in ["a", "b"] {
            health.observe(&ready(cluster));
        }
        health.take_in(&links(true), [&topology()]);
        health.take_in(&links(false), [&topology()]);
        assert_eq!(health.failures(&topology()), failures(&[], true));
        health.observe(&down("a"));
        assert_eq!(health.failures(&topology()), failures(&[], true), "it stays broken");
        tokio::time::advance(GRACE).await;
        assert_eq!(health.failures(&topology()), failures(&["a"], true));
        // Another reason why it is down is not another absence.
        health.observe(&down("a"));
        assert_eq!(health.failures(&topology()), failures(&["a"], true));
    }

    #[tokio::test(start_paused = true)]
    async fn a_link_that_no_switch_is_asked_for_has_a_grace_that_ends_once() {
        let health = Health::new(GRACE);
        for cluster in ["a", "b"] {
            health.observe(&ready(cluster));
        }
        health.take_in(&links(true), [&topology()]);
        health.changed().await;
        let begin = Instant::now();
        health.take_in(&[], [&topology()]);
        assert_eq!(health.failures(&topology()), failures(&[], false));
        health.changed().await;
        assert!(Instant::now() - begin >= GRACE, "there is nothing to be found before");
        health.take_in(&[], [&topology()]);
        assert_eq!(health.failures(&topology()), failures(&[], true));
    }

    #[tokio::test(start_paused = true)]
    async fn a_switch_that_connects_anew_has_links_that_are_not_known_yet() {
        let health = Health::new(GRACE);
        health.observe(&ready("a"));
        health.observe(&ready("b"));
        health.take_in(&links(true), [&topology()]);
        health.observe(&down("a"));
        health.take_in(&links(false), [&topology()]);
        assert_eq!(health.failures(&topology()), failures(&[], false));
        health.observe(&ready("a"));
        health.take_in(&links(false), [&topology()]);
        assert_eq!(health.failures(&topology()), failures(&[], false));
        health.take_in(&links(true), [&topology()]);
        health.take_in(&links(false), [&topology()]);
        assert_eq!(health.failures(&topology()), failures(&[], true));
    }
}
