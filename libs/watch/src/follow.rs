use std::{
    collections::{BTreeMap, BTreeSet},
    pin::{Pin, pin},
    time::Duration,
};

use futures::{Stream, StreamExt};
use tokio::time::{Instant, sleep, timeout};
use tonic::Status;

use crate::Board;

/// Pauses between attempts, after the first of all.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A watch that lasted this long was no failure.
const LASTING: Duration = Duration::from_secs(10);
/// How long nothing may be known of a service before that is told: one that is restarted, or replaced by
/// another version, is back sooner, and whoever is told says so in the status of everything there is.
const GRACE: Duration = Duration::from_secs(10);
/// Longest that a service may take to tell everything that it has.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(60);

/// What a service's watch tells.
#[derive(Debug)]
pub enum Change<K, S> {
    /// An object fares like this.
    Put(K, S),
    /// An object is gone.
    Gone(K),
    /// Every object that exists has been told.
    Synced,
    /// Something that is of no interest here.
    Other,
}

/// What a service's watch tells, until it breaks.
pub type ChangeStream<K, S> = Pin<Box<dyn Stream<Item = Result<Change<K, S>, Status>> + Send>>;

/// What is new on a board.
#[derive(Clone, Debug)]
pub enum News<K> {
    /// The service is there again, or for the first time; these objects differ from what was known.
    Synced(BTreeSet<K>),
    /// One object fares otherwise.
    Changed(K),
    /// One object is gone.
    Gone(K),
    /// The service is away, and has been for a while.
    Lost,
}

/// A watch, and everything that it has told first.
type Begun<K, S> = (ChangeStream<K, S>, BTreeMap<K, S>);

/// Keeps the board at what the watch tells, for ever, and tells the news. That the service is away is on the
/// board at once, but news only when it is not back soon, and then once.
pub async fn follow<K: Clone + Ord, S: Clone + PartialEq>(
    service: &str,
    board: &Board<K, S>,
    watch: impl AsyncFn() -> Result<ChangeStream<K, S>, Status>,
    tell: impl Fn(News<K>),
) {
    board.lost(fault(service, "it has not answered yet"));
    let mut pauses = Pauses::default();
    loop {
        let (mut stream, states) = {
            let mut beginning = pin!(begin(service, board, &watch, &mut pauses));
            match timeout(GRACE, beginning.as_mut()).await {
                Ok(begun) => begun,
                Err(_) => {
                    board.given_up();
                    tell(News::Lost);
                    beginning.await
                }
            }
        };
        tell(News::Synced(board.synced(states)));
        let begun = Instant::now();
        let status = hear(&mut stream, board, &tell).await;
        lose(service, board, &status);
        if begun.elapsed() >= LASTING {
            pauses.next = FIRST_PAUSE;
        }
    }
}

fn lose<K: Clone + Ord, S: Clone + PartialEq>(service: &str, board: &Board<K, S>, status: &Status) {
    tracing::debug!(service, %status, "lost the watch");
    board.lost(fault(service, status.message()));
}

fn fault(service: &str, why: &str) -> String {
    format!("{service} is unreachable: {why}")
}

/// Begins to watch, however many attempts that takes.
async fn begin<K: Clone + Ord, S: Clone + PartialEq>(
    service: &str,
    board: &Board<K, S>,
    watch: &impl AsyncFn() -> Result<ChangeStream<K, S>, Status>,
    pauses: &mut Pauses,
) -> Begun<K, S> {
    loop {
        sleep(pauses.take()).await;
        let status = match timeout(SNAPSHOT_TIMEOUT, begin_once(watch)).await {
            Ok(Ok(begun)) => return begun,
            Ok(Err(status)) => status,
            Err(_) => Status::deadline_exceeded("the watch did not tell everything in time"),
        };
        lose(service, board, &status);
    }
}

async fn begin_once<K: Ord, S>(
    watch: &impl AsyncFn() -> Result<ChangeStream<K, S>, Status>,
) -> Result<Begun<K, S>, Status> {
    let mut stream = watch().await?;
    let mut states = BTreeMap::new();
    loop {
        match next(&mut stream).await? {
            Change::Put(key, state) => drop(states.insert(key, state)),
            Change::Gone(key) => drop(states.remove(&key)),
            Change::Other => {}
            Change::Synced => return Ok((stream, states)),
        }
    }
}

/// Notes what the watch tells until it breaks, and tells it.
async fn hear<K: Clone + Ord, S: Clone + PartialEq>(
    stream: &mut ChangeStream<K, S>,
    board: &Board<K, S>,
    tell: &impl Fn(News<K>),
) -> Status {
    loop {
        let (key, state) = match next(stream).await {
            Ok(Change::Put(key, state)) => (key, Some(state)),
            Ok(Change::Gone(key)) => (key, None),
            Ok(Change::Synced | Change::Other) => continue,
            Err(status) => return status,
        };
        let is_gone = state.is_none();
        board.told(key.clone(), state);
        tell(if is_gone { News::Gone(key) } else { News::Changed(key) });
    }
}

async fn next<K, S>(stream: &mut ChangeStream<K, S>) -> Result<Change<K, S>, Status> {
    stream.next().await.unwrap_or_else(|| Err(Status::unavailable("the watch ended")))
}

/// Pauses between attempts, doubled each time, with jitter.
#[derive(Default)]
struct Pauses {
    /// The next one at most.
    next: Duration,
}

impl Pauses {
    fn take(&mut self) -> Duration {
        let longest = self.next;
        self.next = (longest * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
        longest.mul_f64(rand::random_range(0.5..1.0))
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, future::pending};

    use futures::stream;
    use tokio::sync::watch;

    use super::*;

    /// A service with one object, which may be away, and why; and what was told of it.
    struct World {
        board: Board<&'static str, u32>,
        away: watch::Sender<Option<&'static str>>,
        told: RefCell<Vec<News<&'static str>>>,
    }

    impl World {
        fn new() -> Self {
            let away = watch::Sender::new(None);
            Self { board: Board::new(), away, told: RefCell::default() }
        }

        async fn watch(&self) -> Result<ChangeStream<&'static str, u32>, Status> {
            let mut away = self.away.subscribe();
            if let Some(why) = *away.borrow() {
                return Err(Status::unavailable(why));
            }
            let ended = async move {
                let _ = away.wait_for(Option::is_some).await;
                Err(Status::unavailable("it ends"))
            };
            let told = stream::iter([Ok(Change::Put("one", 1)), Ok(Change::Synced)]);
            let changes: ChangeStream<&'static str, u32> =
                Box::pin(told.chain(stream::once(ended)));
            Ok(changes)
        }

        /// Follows the service until the story ends.
        async fn follow(
            &self,
            watch: impl AsyncFn() -> Result<ChangeStream<&'static str, u32>, Status>,
            story: impl Future<Output = ()>,
        ) {
            let tell = |news| self.told.borrow_mut().push(news);
            tokio::select! {
                // It begins before anything is followed.
                biased;
                () = story => {}
                () = follow("the service", &self.board, watch, tell) => unreachable!("it goes on"),
            }
        }

        /// Whether nothing else has been told since this was asked last than that the service is there.
        fn is_back(&self) -> bool {
            matches!(self.told.take()[..], [News::Synced(_)])
        }

        fn is_lost(&self) -> bool {
            matches!(self.told.take()[..], [News::Lost])
        }

        fn is_silent(&self) -> bool {
            self.told.take().is_empty()
        }
    }

    const SHORT: Duration = Duration::from_secs(3);

    #[tokio::test(start_paused = true)]
    async fn that_a_service_is_restarted_is_no_news_and_known_all_the_same() {
        let world = World::new();
        let story = async {
            assert!(world.board.is_in_doubt());
            sleep(SHORT).await;
            assert!(world.is_back() && !world.board.is_in_doubt());
            assert_eq!(world.board.is_there(&"one"), Ok(true));

            world.away.send_replace(Some("it begins"));
            sleep(SHORT).await;
            assert!(world.is_silent() && world.board.is_in_doubt());
            assert!(world.board.is_there(&"one").is_err(), "nothing is decided by what was");
            assert_eq!(world.board.current(&"one"), None);
            assert_eq!(world.board.state(&"one"), Some(1));

            world.away.send_replace(None);
            sleep(LONGEST_PAUSE).await;
            assert!(world.is_back() && !world.board.is_in_doubt());
            assert_eq!(world.board.fault(), None);
        };
        world.follow(async || world.watch().await, story).await;
    }

    #[tokio::test(start_paused = true)]
    async fn that_a_service_is_away_is_told_once_and_why_by_the_last_attempt() {
        let world = World::new();
        let fault = || world.board.fault().unwrap_or_default();
        let story = async {
            sleep(SHORT).await;
            assert!(world.is_back());
            world.away.send_replace(Some("nobody listens"));
            sleep(GRACE - SHORT).await;
            assert!(world.is_silent());
            sleep(2 * SHORT).await;
            assert!(world.is_lost() && !world.board.is_in_doubt());
            assert_eq!(fault(), "the service is unreachable: nobody listens");

            world.away.send_replace(Some("there is no route"));
            sleep(10 * GRACE).await;
            assert!(world.is_silent() && !world.board.is_in_doubt());
            assert_eq!(fault(), "the service is unreachable: there is no route");

            world.away.send_replace(None);
            sleep(LONGEST_PAUSE).await;
            assert!(world.is_back());
        };
        world.follow(async || world.watch().await, story).await;
    }

    #[tokio::test(start_paused = true)]
    async fn that_a_service_does_not_answer_is_told() {
        let world = World::new();
        let story = async {
            sleep(GRACE - SHORT).await;
            assert!(world.is_silent() && world.board.is_in_doubt());
            sleep(2 * SHORT).await;
            assert!(world.is_lost() && !world.board.is_in_doubt());
            let fault = world.board.fault().unwrap_or_default();
            assert!(fault.contains("has not answered yet"), "{fault}");
        };
        world.follow(async || pending().await, story).await;
    }
}
