use std::{io, sync::Arc, time::Duration};

use backon::{BackoffBuilder, ExponentialBuilder};
use futures::{StreamExt, stream};
use l2sces_grpc::Channel;
use l2sces_proto::attachment::v1::attachment_service_client::AttachmentServiceClient;
use l2sces_switch_agent::{Agent, AgentError, PortChange, has_interface};
use tokio::time::{sleep, timeout};
use tonic::{Request, Status};

use super::{
    ATTACH_DEADLINE,
    attempts::Attempts,
    records::{Record, Records},
};

/// How long it is waited after a port has gone, so that many that go at once are looked for at once.
const SETTLING: Duration = Duration::from_secs(1);
/// The longest time between two looks at what is there: an interface may go long after its port has, or
/// without one.
const LOOK_INTERVAL: Duration = Duration::from_secs(30);
/// The first pause before what is missing is asked for again.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest, which chance makes up to twice as long.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// How many interfaces are asked for at a time.
const AT_ONCE: usize = 8;

/// Gives sandboxes back what they have lost without having been detached: the ports of a network go with
/// it, and are wanted again when it is made again. The container runtime asks only once.
pub(super) struct Restoration {
    pub(super) node: String,
    pub(super) records: Records,
    pub(super) attempts: Arc<Attempts>,
    pub(super) agent: Arc<Agent>,
    pub(super) operator: AttachmentServiceClient<Channel>,
}

impl Restoration {
    /// Does it for ever. While nothing is missing, nobody is asked for anything.
    pub(super) async fn run(&self) {
        loop {
            self.agent.connected().await;
            if let Ok(mut ports) = self.agent.watch_ports() {
                self.restore().await;
                // A watch that was too slow to tell may have had one to tell of.
                let one_goes = async {
                    while let Ok(Some(change)) = ports.next().await {
                        if matches!(change, PortChange::Deleted(_)) {
                            break;
                        }
                    }
                };
                // Without one, it is time to look all the same.
                let _ = timeout(LOOK_INTERVAL, one_goes).await;
            }
            sleep(SETTLING).await;
        }
    }

    /// Asks for what is missing until nothing is.
    async fn restore(&self) {
        let backoff = ExponentialBuilder::default()
            .with_min_delay(FIRST_PAUSE)
            .with_max_delay(LONGEST_PAUSE)
            .without_max_times()
            .with_jitter();
        for pause in backoff.build() {
            match self.missing().await {
                Ok(missing) if missing.is_empty() => return,
                Ok(missing) => {
                    let attaching = stream::iter(missing);
                    attaching.for_each_concurrent(AT_ONCE, |record| self.attach(record)).await;
                }
                Err(error) => tracing::warn!(%error, "cannot read what is attached"),
            }
            sleep(pause).await;
        }
    }

    /// The interfaces that are to be there and are not. Forgets sandboxes that are gone: nobody was there
    /// to be told.
    async fn missing(&self) -> io::Result<Vec<Record>> {
        let mut missing = Vec::new();
        for record in self.records.all()? {
            match has_interface(&record.namespace_path, &record.interface).await {
                Ok(true) => {}
                Ok(false) => missing.push(record),
                Err(AgentError::NoNamespace(_) | AgentError::NotANamespace(_)) => {
                    self.records.remove(&record)?;
                }
                Err(error) => tracing::warn!(%error, "cannot look into a sandbox"),
            }
        }
        Ok(missing)
    }

    async fn attach(&self, record: Record) {
        // It has had to wait for others, and a former sandbox of a pod would take the ports of the next.
        if !self.records.has(&record) {
            return;
        }
        let mut request = Request::new(record.attachment(&self.node, self.attempts.next()));
        request.set_timeout(ATTACH_DEADLINE);
        let outcome = match self.operator.clone().attach(request).await {
            Ok(_) if self.records.has(&record) => {
                tracing::info!(?record, "attached a sandbox again");
                Ok(())
            }
            Ok(_) => self.let_go(&record).await,
            Err(status) => Err(status),
        };
        if let Err(status) = outcome {
            // Its network may never be made again.
            tracing::debug!(%status, ?record, "a sandbox is not attached as it was");
        }
    }

    /// Detaches what was detached while it was being attached again.
    async fn let_go(&self, record: &Record) -> Result<(), Status> {
        let request = record.detachment(&self.node);
        self.operator.clone().detach(request).await.map(drop)
    }
}
