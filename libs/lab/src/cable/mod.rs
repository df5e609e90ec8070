//! Cables that delay, lose and drop frames, in user space: not every kernel has netem, and none
//! loses the same frames again.
//!
//! The model is in [`Impairment`]; it is exact, and deterministic for a seed. A frame is dropped if
//! it is larger than the MTU; it waits in the queue until the rate lets it leave, or is dropped if
//! the queue is full; it may be lost; it arrives after the delay. A thread moves the frames, and is
//! woken by the kernel's high-resolution timer: see `docs/lab.md` for how precise that is.

mod impairment;
mod line;
mod nat;
mod plugs;
mod random;
mod relay;
mod socket;

use std::{
    net::SocketAddrV4,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use l2sces_model::MacAddress;

pub(crate) use self::plugs::Plugs;
pub use self::{
    impairment::{Impairment, ImpairmentError, Loss, Rate},
    line::Counters,
    nat::Nat,
};
use self::{
    plugs::Plug,
    relay::{Lines, Relay},
};
use crate::{
    error::{Context, LabError},
    namespace::Namespace,
};

/// A direction of a cable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// From the end that is named first to the other.
    Forth,
    /// From the end that is named second to the first.
    Back,
}

impl Direction {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Forth, Self::Back];

    fn index(self) -> usize {
        match self {
            Self::Forth => 0,
            Self::Back => 1,
        }
    }

    /// Index of the end where frames go in.
    fn near(self) -> usize {
        self.index()
    }

    /// Index of the end where frames come out.
    fn far(self) -> usize {
        1 - self.index()
    }
}

/// What a cable does, from the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CableSpec {
    /// Decides which frames are lost, and how much the delay of each deviates.
    pub seed: u64,
    /// What it does to frames from the first end to the second.
    pub forth: Impairment,
    /// What it does to frames from the second end to the first.
    pub back: Impairment,
    /// A home router at the first end; none: the ends see each other's addresses.
    pub nat: Option<Nat>,
}

impl CableSpec {
    /// The same in both directions; what is lost in one is no hint to what is lost in the other.
    pub fn symmetric(seed: u64, impairment: Impairment) -> Self {
        Self { seed, forth: impairment, back: impairment, nat: None }
    }
}

/// Where a cable ends: an interface, and who is behind it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CableEnd {
    /// Name of the interface in the cable's namespace.
    pub interface: String,
    /// The cable carries what is sent to this address, and to groups of addresses, to the
    /// interface.
    pub station: MacAddress,
}

/// A cable between two interfaces, for frames without 802.1Q tags. Dropping it unplugs it, which takes
/// some milliseconds.
#[derive(Debug)]
pub struct Cable {
    lines: Arc<Lines>,
    // The thread has ended before the path without it is open again.
    relay: Relay,
    overlooked: AtomicU64,
    _plug: Option<Plug>,
}

impl Cable {
    /// Plugs a cable between two interfaces of a namespace that nothing else connects. For the
    /// nodes of a lab see [`Lab::cable`](crate::Lab::cable).
    ///
    /// # Errors
    /// No cable can do what is asked for, or there is no such interface.
    pub fn plug(
        namespace: &Namespace,
        ends: &[CableEnd; 2],
        spec: &CableSpec,
    ) -> Result<Self, LabError> {
        spec.forth.validate()?;
        spec.back.validate()?;
        let lines = Arc::new(Lines::new(spec));
        let relay = Relay::start(namespace, ends, Arc::clone(&lines)).context(|| {
            let [one, other] = ends.each_ref().map(|end| &end.interface);
            format!("plug a cable between {one} and {other} in {}", namespace.name())
        })?;
        Ok(Self { lines, relay, overlooked: AtomicU64::default(), _plug: None })
    }

    /// Changes what happens to the frames that come from now on; those under way arrive as they
    /// would have.
    ///
    /// # Errors
    /// No cable can do that; nothing has changed.
    pub fn set(&self, direction: Direction, impairment: Impairment) -> Result<(), ImpairmentError> {
        impairment.validate()?;
        self.lines.lock(direction).set(impairment);
        Ok(())
    }

    /// Cuts the cable: what is under way is dropped, and what comes, in both directions.
    pub fn cut(&self) {
        for direction in Direction::BOTH {
            self.lines.lock(direction).cut();
        }
    }

    /// Heals the cable: it is again what it was before the cut.
    pub fn heal(&self) {
        for direction in Direction::BOTH {
            self.lines.lock(direction).heal();
        }
    }

    /// What became of the frames of a direction since the cable was plugged.
    pub fn counters(&self, direction: Direction) -> Counters {
        self.lines.lock(direction).counters()
    }

    /// What is behind the router at the first end, and where the second end sees it.
    pub fn mappings(&self) -> Vec<(SocketAddrV4, SocketAddrV4)> {
        let now = self.lines.now();
        self.lines.translator().map(|mut nat| nat.mappings(now)).unwrap_or_default()
    }

    /// Makes the router at the first end forget every mapping, as when it is switched off and on.
    pub fn forget_mappings(&self) {
        if let Some(mut translator) = self.lines.translator() {
            translator.forget();
        }
    }

    /// Frames that never came to the cable, because the machine was too busy: unless this is 0, more
    /// was lost than the counters say.
    pub fn overlooked(&self) -> u64 {
        let since = self.relay.overlooked();
        self.overlooked.fetch_add(since, Ordering::SeqCst) + since
    }
}
