//! One direction of a cable, without sockets and clocks: time is whatever the caller says.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    time::Duration,
};

use super::{
    Direction,
    impairment::{ETHERNET_HEADER, Impairment, Loss, burst_begins},
    random::Random,
};

/// The most that is under way in one direction, in bytes: what 1 Gbit/s fills in half a second.
const CAPACITY: usize = 64 << 20;

/// What became of the frames of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames that came to the near end.
    pub offered: u64,
    /// Frames that left the far end.
    pub carried: u64,
    /// Frames that were lost on the way.
    pub lost: u64,
    /// Frames that found the queue full.
    pub dropped_by_queue: u64,
    /// Frames larger than the MTU.
    pub dropped_by_mtu: u64,
    /// Frames that came while the cable was cut, were under way when it was, or found the interface
    /// at the far end down.
    pub dropped_by_cut: u64,
    /// Frames that the router at the first end did not let pass.
    pub dropped_by_nat: u64,
}

impl Counters {
    /// Frames that have neither arrived nor been dropped yet.
    pub fn under_way(&self) -> u64 {
        let dropped = self.dropped_by_queue + self.dropped_by_mtu;
        let dropped = dropped + self.dropped_by_cut + self.dropped_by_nat;
        self.offered - self.carried - self.lost - dropped
    }
}

/// A frame under way. The first to arrive is the least; of two, the one that was sent first.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct UnderWay {
    due: Duration,
    number: u64,
    frame: Vec<u8>,
}

/// One direction of a cable. The same frames at the same times have the same fate for a seed.
#[derive(Debug)]
pub(super) struct Line {
    impairment: Impairment,
    is_cut: bool,
    losses: Random,
    in_burst: bool,
    deviations: Random,
    /// When the last frame came.
    now: Duration,
    /// When the bits of the frames so far have left, were the bucket empty at the first.
    busy_until: Duration,
    /// When the frames that wait will have left, and their sizes.
    queue: VecDeque<(Duration, usize)>,
    queued: usize,
    under_way: BinaryHeap<Reverse<UnderWay>>,
    /// Bytes under way.
    load: usize,
    last_due: Duration,
    counters: Counters,
}

impl Line {
    pub(super) fn new(seed: u64, direction: Direction, impairment: Impairment) -> Self {
        let stream = 2 * direction.index() as u64;
        Self {
            impairment,
            is_cut: false,
            losses: Random::new(seed, stream),
            in_burst: false,
            deviations: Random::new(seed, stream + 1),
            now: Duration::ZERO,
            busy_until: Duration::ZERO,
            queue: VecDeque::new(),
            queued: 0,
            under_way: BinaryHeap::new(),
            load: 0,
            last_due: Duration::ZERO,
            counters: Counters::default(),
        }
    }

    /// Changes what happens to the frames that come from now on.
    pub(super) fn set(&mut self, impairment: Impairment) {
        self.impairment = impairment;
    }

    /// Drops all that is under way and all that comes, until the line heals.
    pub(super) fn cut(&mut self) {
        self.is_cut = true;
        self.counters.dropped_by_cut += self.under_way.len() as u64;
        self.under_way.clear();
        self.load = 0;
        self.queue.clear();
        self.queued = 0;
        self.busy_until = Duration::ZERO;
        self.last_due = Duration::ZERO;
    }

    pub(super) fn heal(&mut self) {
        self.is_cut = false;
    }

    pub(super) fn counters(&self) -> Counters {
        self.counters
    }

    /// Takes a frame that came to the near end at a time.
    pub(super) fn offer(&mut self, now: Duration, frame: &[u8]) {
        // The clock that frames are stamped by may be set back.
        self.now = self.now.max(now);
        let number = self.counters.offered;
        let (lost, deviation) = self.draw();
        if self.is_cut {
            self.counters.dropped_by_cut += 1;
            return;
        }
        let size = frame.len();
        let payload = size.saturating_sub(ETHERNET_HEADER);
        if self.impairment.mtu.is_some_and(|mtu| payload > mtu as usize) {
            self.counters.dropped_by_mtu += 1;
            return;
        }
        let departure = self.departure(size).filter(|_| self.load + size <= CAPACITY);
        let Some(departure) = departure else {
            self.counters.dropped_by_queue += 1;
            return;
        };
        if lost {
            self.counters.lost += 1;
            return;
        }
        let Impairment { delay, jitter, reorder, .. } = self.impairment;
        let least = delay.saturating_sub(jitter);
        let mut due = departure + least + (jitter * 2).mul_f64(deviation);
        if !reorder {
            due = due.max(self.last_due);
            self.last_due = due;
        }
        self.load += size;
        self.under_way.push(Reverse(UnderWay { due, number, frame: frame.to_vec() }));
    }

    /// Counts a frame that came and that the router at the first end does not let pass.
    pub(super) fn refuse(&mut self) {
        self.draw();
        self.counters.dropped_by_nat += 1;
    }

    /// Counts a frame, and decides whether it is lost and where between its least and its greatest
    /// its delay is. Every frame takes its numbers, whatever becomes of it: what happens to the
    /// frames after it then depends on the seed alone.
    fn draw(&mut self) -> (bool, f64) {
        self.counters.offered += 1;
        (self.is_next_lost(), self.deviations.fraction())
    }

    fn is_next_lost(&mut self) -> bool {
        let chance = self.losses.fraction();
        match self.impairment.loss {
            Loss::None => {
                self.in_burst = false;
                false
            }
            Loss::Independent { probability } => {
                self.in_burst = false;
                chance < probability
            }
            Loss::Bursts { probability, mean_length } => {
                let changes = if self.in_burst {
                    1.0 / mean_length
                } else {
                    burst_begins(probability, mean_length)
                };
                self.in_burst ^= chance < changes;
                self.in_burst
            }
        }
    }

    /// When a frame that comes now will have left; none if it finds the queue full.
    fn departure(&mut self, size: usize) -> Option<Duration> {
        let Some(rate) = self.impairment.rate else { return Some(self.now) };
        while let Some((departure, size)) = self.queue.front().copied()
            && departure <= self.now
        {
            self.queue.pop_front();
            self.queued -= size;
        }
        if self.queued + size > rate.queue as usize {
            return None;
        }
        let full_bucket = self.now.saturating_sub(rate.time(rate.burst.into()));
        self.busy_until = self.busy_until.max(full_bucket) + rate.time(size as u64);
        let departure = self.busy_until.max(self.now);
        self.queue.push_back((departure, size));
        self.queued += size;
        Some(departure)
    }

    /// When the next frame arrives, if any is under way.
    pub(super) fn next_due(&self) -> Option<Duration> {
        self.under_way.peek().map(|Reverse(next)| next.due)
    }

    /// Hands over every frame that has arrived by a time. `send` says whether it could be sent.
    pub(super) fn deliver(&mut self, now: Duration, mut send: impl FnMut(&[u8]) -> bool) {
        while self.next_due().is_some_and(|due| due <= now)
            && let Some(Reverse(UnderWay { frame, .. })) = self.under_way.pop()
        {
            self.load -= frame.len();
            if send(&frame) {
                self.counters.carried += 1;
            } else {
                self.counters.dropped_by_cut += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests;
