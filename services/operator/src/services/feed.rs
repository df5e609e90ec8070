use std::sync::Arc;

use l2sces_watch::follow;
use tokio::sync::broadcast::{self, error::RecvError};
use tonic::Status;

use super::{Board, ChangeStream, News};

/// News that a listener may be behind; who falls behind further looks at everything.
const MOST_NEWS: usize = 1_024;

/// How a service's objects fare, by one watch for all of the process that want to know.
#[derive(Clone)]
pub(crate) struct Feed {
    service: &'static str,
    pub(crate) board: Arc<Board>,
    news: broadcast::Sender<News>,
}

/// Somebody who is told the news.
pub(crate) struct Listener(broadcast::Receiver<News>);

/// What a listener is told.
#[derive(Debug)]
pub(crate) enum Told {
    /// This.
    News(News),
    /// Some news were missed: anything may fare otherwise.
    Missed,
}

impl Feed {
    /// A feed of a service, called so in messages.
    pub(crate) fn new(service: &'static str) -> Self {
        Self { service, board: Arc::new(Board::new()), news: broadcast::Sender::new(MOST_NEWS) }
    }

    /// Keeps the board at what the watch tells, for ever.
    pub(crate) async fn follow(&self, watch: impl AsyncFn() -> Result<ChangeStream, Status>) {
        // That nobody listens is no failure.
        let tell = |news| drop(self.news.send(news));
        follow(self.service, &self.board, watch, tell).await;
    }

    /// Listens to all news from now on.
    pub(crate) fn listen(&self) -> Listener {
        Listener(self.news.subscribe())
    }
}

impl Listener {
    /// The next news; nothing: there will be none, as the feed is gone.
    pub(crate) async fn next(&mut self) -> Option<Told> {
        match self.0.recv().await {
            Ok(news) => Some(Told::News(news)),
            Err(RecvError::Lagged(_)) => Some(Told::Missed),
            Err(RecvError::Closed) => None,
        }
    }
}
