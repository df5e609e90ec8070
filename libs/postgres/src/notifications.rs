use backon::BackoffBuilder;
use sqlx::{Acquire, PgPool, postgres::PgListener};
use tokio::{
    sync::mpsc::{self, error::TrySendError},
    time::{Instant, sleep, sleep_until},
};

use crate::{PING_INTERVAL, backoff, ping};

/// Notifications that may wait to be received. One more is not queued but forgotten, and a
/// [`Notification::Resync`] told instead.
const CAPACITY: usize = 1_024;

/// What `NOTIFY` tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notification {
    /// Anything may have changed unnoticed: look at everything.
    Resync,
    /// The payload of a `NOTIFY`.
    Payload(String),
}

/// Listens on a channel: [`Notification::Resync`] once listening has begun, and again whenever
/// something may have been missed (the connection was lost, or the receiver was too slow). Ends
/// when the receiver is dropped or the pool closed. Occupies one connection of the pool.
pub fn notifications(pool: PgPool, channel: &'static str) -> mpsc::Receiver<Notification> {
    let (sender, receiver) = mpsc::channel(CAPACITY);
    tokio::spawn(async move {
        tokio::select! {
            () = listen_for_ever(&pool, channel, &sender) => {}
            () = sender.closed() => {}
        }
    });
    receiver
}

async fn listen_for_ever(
    pool: &PgPool,
    channel: &'static str,
    sender: &mpsc::Sender<Notification>,
) {
    let mut pauses = backoff().build();
    loop {
        match begin(pool, channel).await {
            Ok(mut listener) => {
                pauses = backoff().build();
                if let Err(error) = forward(&mut listener, sender).await {
                    tracing::warn!(channel, %error, "lost the database's notifications");
                }
            }
            Err(error) => tracing::warn!(channel, %error, "cannot listen for notifications"),
        }
        if pool.is_closed() {
            return;
        }
        sleep(pauses.next().unwrap_or_default()).await;
    }
}

async fn begin(pool: &PgPool, channel: &str) -> Result<PgListener, sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    // Reconnecting is done here, where it can be told.
    listener.eager_reconnect(false);
    listener.listen(channel).await?;
    Ok(listener)
}

/// Passes on what comes, until the connection or the receiver is gone.
async fn forward(
    listener: &mut PgListener,
    sender: &mpsc::Sender<Notification>,
) -> Result<(), sqlx::Error> {
    let mut missed = true;
    let mut next_ping = Instant::now() + PING_INTERVAL;
    loop {
        tokio::select! {
            permit = sender.reserve(), if missed => {
                let Ok(permit) = permit else { return Ok(()) };
                permit.send(Notification::Resync);
                missed = false;
            }
            received = listener.try_recv() => {
                let Some(notification) = received? else {
                    return Err(sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into()));
                };
                next_ping = Instant::now() + PING_INTERVAL;
                // A resync that is still to be told covers this one.
                if missed {
                    continue;
                }
                let payload = Notification::Payload(notification.payload().to_owned());
                match sender.try_send(payload) {
                    Ok(()) => {}
                    Err(TrySendError::Full(_)) => missed = true,
                    Err(TrySendError::Closed(_)) => return Ok(()),
                }
            }
            () = sleep_until(next_ping) => {
                ping(listener.acquire().await?).await?;
                next_ping = Instant::now() + PING_INTERVAL;
            }
        }
    }
}
