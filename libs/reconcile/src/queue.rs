use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fmt::Debug,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use l2sces_trace::{Causes, TraceContext};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use crate::measure::QueueMeasure;

/// Keys that wait for a worker. Cheap to clone; all clones are one queue.
#[derive(Debug)]
pub struct Queue<K> {
    shared: Arc<Shared<K>>,
}

#[derive(Debug)]
struct Shared<K> {
    name: &'static str,
    state: Mutex<State<K>>,
    /// Told whenever a worker may have something to do, or has to look at the clock anew.
    changed: Notify,
}

#[derive(Debug)]
struct State<K> {
    keys: HashMap<K, Entry>,
    /// Keys that may be taken, oldest first.
    ready: VecDeque<K>,
    /// Keys to be taken later, by time; the number makes equal times distinct.
    delayed: BTreeMap<(Instant, u64), K>,
    next_number: u64,
    /// How many keys failed when they ran last.
    failing: usize,
    measure: QueueMeasure,
}

#[derive(Debug)]
struct Entry {
    phase: Phase,
    failures: u32,
    /// Why it is to run next.
    causes: Causes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Ready,
    Delayed((Instant, u64)),
    Running(WhenDone),
}

/// What is to become of a running key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WhenDone {
    /// What the run's outcome says.
    Outcome,
    /// Run again: it was woken meanwhile, so the run may have missed a change.
    Again,
    /// Nothing: it was forgotten meanwhile.
    Forget,
}

impl<K> Clone for Queue<K> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<K: Clone + Eq + Hash + Debug + Send> Queue<K> {
    /// An empty queue. What becomes of its keys is measured under its name, which no other queue of
    /// the process has at the time.
    pub fn new(name: &'static str) -> Self {
        let state = State {
            keys: HashMap::new(),
            ready: VecDeque::new(),
            delayed: BTreeMap::new(),
            next_number: 0,
            failing: 0,
            measure: QueueMeasure::new(name),
        };
        let state = Mutex::new(state);
        Self { shared: Arc::new(Shared { name, state, changed: Notify::new() }) }
    }

    /// Has `key` reconciled soon: once, however often it is woken before that. A key that runs is
    /// run again; one that backs off or waits is run at once. The run follows from the current span.
    pub fn wake(&self, key: K) {
        let cause = TraceContext::current();
        let mut state = self.state();
        match state.keys.get_mut(&key) {
            Some(entry) => {
                entry.causes.add(cause);
                match &mut entry.phase {
                    Phase::Ready => return,
                    Phase::Running(when_done) => {
                        *when_done = WhenDone::Again;
                        return;
                    }
                    Phase::Delayed(time) => {
                        let time = *time;
                        entry.phase = Phase::Ready;
                        state.delayed.remove(&time);
                    }
                }
            }
            None => {
                let mut entry = Entry::new(Phase::Ready, 0);
                entry.causes.add(cause);
                state.put(key.clone(), entry);
            }
        }
        state.ready.push_back(key);
        state.tell();
        drop(state);
        self.shared.changed.notify_one();
    }

    /// Drops a key whose object is gone: it is not run until it is woken again. A run that goes on
    /// is not interrupted, but its outcome does not bring the key back.
    pub fn forget(&self, key: &K) {
        let mut state = self.state();
        let Some(entry) = state.keys.get_mut(key) else { return };
        match entry.phase {
            Phase::Running(_) => entry.phase = Phase::Running(WhenDone::Forget),
            Phase::Ready => {
                state.take_out(key);
                state.ready.retain(|ready| ready != key);
            }
            Phase::Delayed(time) => {
                state.take_out(key);
                state.delayed.remove(&time);
            }
        }
        state.tell();
    }

    /// Waits for a key that may run, and marks it running.
    pub(crate) async fn take(&self) -> Running<K> {
        loop {
            // Created before the look at the state, so that no change in between is missed.
            let changed = self.shared.changed.notified();
            let next = {
                let mut state = self.state();
                state.promote(Instant::now());
                if let Some((key, causes)) = state.pop() {
                    state.tell();
                    if !state.ready.is_empty() {
                        // One permit may stand for several keys: pass it on.
                        self.shared.changed.notify_one();
                    }
                    return Running { queue: self.clone(), key, causes, finished: false };
                }
                state.delayed.keys().next().map(|(time, _)| *time)
            };
            match next {
                Some(time) => tokio::select! {
                    () = changed => {}
                    () = sleep_until(time) => {}
                },
                None => changed.await,
            }
        }
    }

    /// The name under which it is measured.
    pub(crate) fn name(&self) -> &'static str {
        self.shared.name
    }

    fn state(&self) -> MutexGuard<'_, State<K>> {
        // No code that holds the lock can leave the state half changed.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Clone + Eq + Hash> State<K> {
    /// Moves keys whose time has come to those that may be taken.
    fn promote(&mut self, now: Instant) {
        while let Some(first) = self.delayed.first_entry() {
            if first.key().0 > now {
                return;
            }
            let key = first.remove();
            if let Some(entry) = self.keys.get_mut(&key) {
                entry.phase = Phase::Ready;
                self.ready.push_back(key);
            }
        }
    }

    fn pop(&mut self) -> Option<(K, Causes)> {
        let key = self.ready.pop_front()?;
        let entry = self.keys.get_mut(&key)?;
        entry.phase = Phase::Running(WhenDone::Outcome);
        if entry.failures > 0 {
            self.measure.retried();
        }
        Some((key, std::mem::take(&mut entry.causes)))
    }

    /// What has run, or failed, does not cause the next run: that is another trace.
    fn delay(&mut self, key: &K, pause: Duration, failures: u32) {
        let time = (Instant::now() + pause, self.next_number);
        self.next_number += 1;
        self.delayed.insert(time, key.clone());
        self.put(key.clone(), Entry::new(Phase::Delayed(time), failures));
    }

    fn again(&mut self, key: &K, failures: u32, causes: Causes) {
        self.put(key.clone(), Entry { causes, ..Entry::new(Phase::Ready, failures) });
        self.ready.push_back(key.clone());
    }

    /// Adds a key that is not there.
    fn put(&mut self, key: K, entry: Entry) {
        self.failing += usize::from(entry.failures > 0);
        self.keys.insert(key, entry);
    }

    fn take_out(&mut self, key: &K) -> Option<Entry> {
        let entry = self.keys.remove(key)?;
        self.failing -= usize::from(entry.failures > 0);
        Some(entry)
    }

    /// Has what has changed measured.
    fn tell(&self) {
        self.measure.set(self.ready.len(), self.failing);
    }
}

impl Entry {
    fn new(phase: Phase, failures: u32) -> Self {
        Self { phase, failures, causes: Causes::default() }
    }
}

/// A key that is being reconciled, by nobody else. Dropped before it is finished (the workers were
/// stopped), it goes back to the queue.
pub(crate) struct Running<K: Clone + Eq + Hash + Debug + Send> {
    queue: Queue<K>,
    key: K,
    causes: Causes,
    finished: bool,
}

/// How a run ended, for the queue.
pub(crate) enum Finish {
    Done,
    After(Duration),
    /// Failed; the function gives the pause after that many failures in a row.
    Failed(fn(u32) -> Duration),
}

impl Finish {
    /// The name under which it is measured.
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::After(_) => "waiting",
            Self::Failed(_) => "failed",
        }
    }
}

impl<K: Clone + Eq + Hash + Debug + Send> Running<K> {
    pub(crate) fn key(&self) -> &K {
        &self.key
    }

    /// Why it runs.
    pub(crate) fn causes(&self) -> &Causes {
        &self.causes
    }

    /// Gives the key back; the pause until its next run, if it failed and has one.
    pub(crate) fn finish(mut self, finish: &Finish) -> Option<Duration> {
        self.finished = true;
        let mut state = self.queue.state();
        let Entry { phase, failures, causes } = state.take_out(&self.key)?;
        let failures = match finish {
            Finish::Failed(_) => failures.saturating_add(1),
            Finish::Done | Finish::After(_) => 0,
        };
        let pause = match (phase, finish) {
            (Phase::Running(WhenDone::Forget), _)
            | (Phase::Running(WhenDone::Outcome), Finish::Done) => None,
            (Phase::Running(WhenDone::Outcome), Finish::After(pause)) => {
                state.delay(&self.key, *pause, failures);
                None
            }
            (Phase::Running(WhenDone::Outcome), Finish::Failed(pause)) => {
                let pause = pause(failures);
                state.delay(&self.key, pause, failures);
                Some(pause)
            }
            (Phase::Running(WhenDone::Again) | Phase::Ready | Phase::Delayed(_), _) => {
                state.again(&self.key, failures, causes);
                None
            }
        };
        state.tell();
        drop(state);
        self.queue.shared.changed.notify_one();
        pause
    }
}

impl<K: Clone + Eq + Hash + Debug + Send> Drop for Running<K> {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        let mut state = self.queue.state();
        if let Some(entry) = state.take_out(&self.key)
            && entry.phase != Phase::Running(WhenDone::Forget)
        {
            state.again(&self.key, entry.failures, std::mem::take(&mut self.causes));
        }
        state.tell();
        drop(state);
        self.queue.shared.changed.notify_one();
    }
}
