//! Brings one connected switch up to date: a task that carries out work in order.

use l2sces_model::DatapathId;
use l2sces_openflow::{Action, Change, OpenFlowError, Program, TunnelOption, port};
use l2sces_southbound::{RequestError, SwitchHandle};
use tokio::sync::{mpsc, oneshot};
use tracing::{Instrument, Span, info, warn};

use crate::rounds::RoundId;

/// The option that frames carry in a tunnel, as the fabric's flows match and set it.
const TUNNEL_OPTION: TunnelOption = TunnelOption { class: 0xfff2, kind: 0x81, length: 8, index: 0 };

/// While more changes than this are made at once, the switch is not asked to tell of the changes of
/// others: it sends a message for each of ours, which costs it a third of its rate.
const BULK: usize = 512;

/// What an installer is to do.
#[derive(Debug)]
pub(crate) enum Work {
    /// Read what the switch has, and turn it into what it should have.
    Synchronize,
    /// Make a round's changes.
    Apply { round: RoundId, changes: Vec<Change>, span: Span },
    /// Send frames, each out of a port.
    Send(Vec<(u32, Vec<u8>)>),
    /// Send a frame through the tables as if it came in by a port.
    Resume { port: u32, frame: Vec<u8> },
}

/// What an installer tells the actor.
#[derive(Debug)]
pub(crate) enum Progress {
    /// This is what the switch has; what is to be changed? Without an answer, nothing.
    Installed { program: Program, plan: oneshot::Sender<Plan> },
    /// The switch has made the changes of all rounds up to this one, but for what it refused.
    Confirmed { through: RoundId, synchronized: bool, refused: Option<String> },
}

/// The answer to [`Progress::Installed`].
#[derive(Debug)]
pub(crate) struct Plan {
    /// What turns what the switch has into what it should have.
    pub(crate) changes: Vec<Change>,
    /// The last round that is part of this: its changes, and those of the rounds before, must not
    /// be made again.
    pub(crate) through: RoundId,
    /// In which it is made.
    pub(crate) span: Span,
}

/// One switch's installer.
pub(crate) struct Installer<F> {
    handle: SwitchHandle,
    /// Hands progress to the actor; false if it is gone.
    report: F,
    /// The last round that a plan included.
    through: RoundId,
    /// Whether the switch shows the tunnel option.
    is_prepared: bool,
    /// Whether the switch tells of the changes of others.
    is_monitored: bool,
}

impl<F, Fut> Installer<F>
where
    F: Fn(Progress) -> Fut,
    Fut: Future<Output = bool>,
{
    pub(crate) fn new(handle: SwitchHandle, report: F) -> Self {
        Self { handle, report, through: 0, is_prepared: false, is_monitored: false }
    }

    /// Works until the connection or the actor is gone.
    pub(crate) async fn run(mut self, mut work: mpsc::Receiver<Work>) {
        while let Some(next) = work.recv().await {
            let result = match next {
                Work::Synchronize => self.synchronize().await,
                Work::Apply { round, .. } if round <= self.through => Ok(true),
                Work::Apply { round, changes, span } => {
                    self.apply(round, false, changes).instrument(span).await
                }
                Work::Send(frames) => self.send(frames).await,
                Work::Resume { port, frame } => self.resume(port, frame).await,
            };
            if !matches!(result, Ok(true)) {
                self.handle.close();
                return;
            }
        }
    }

    async fn synchronize(&mut self) -> Result<bool, RequestError> {
        if let Some(refused) = self.prepare().await? {
            let fault = Progress::Confirmed {
                through: self.through,
                synchronized: false,
                refused: Some(refused),
            };
            return Ok((self.report)(fault).await);
        }
        let program = self.handle.read_program().await?;
        let (sender, plan) = oneshot::channel();
        if !(self.report)(Progress::Installed { program, plan: sender }).await {
            return Ok(false);
        }
        let Ok(plan) = plan.await else { return Ok(true) };
        self.through = plan.through;
        self.apply(plan.through, true, plan.changes).instrument(plan.span).await
    }

    /// Does what must be done once per connection, before any flow is read or written: a flow that
    /// matches the tunnel option cannot be understood before the option is mapped, and what others
    /// change is told from before the reading on, so that nothing is missed in between. Returns
    /// why the switch is of no use, if it is not.
    async fn prepare(&mut self) -> Result<Option<String>, RequestError> {
        if self.is_prepared {
            return Ok(None);
        }
        match self.handle.map_tunnel_option(TUNNEL_OPTION).await {
            Ok(()) => {}
            Err(RequestError::Refused(error)) => {
                warn!(switch = %self.handle.datapath_id(), ?error, "the switch refused the tunnel option");
                return Ok(Some(format!("the switch refused to map the tunnel option: {error}")));
            }
            Err(error) => return Err(error),
        }
        self.is_prepared = true;
        self.monitor().await?;
        Ok(None)
    }

    /// A switch that cannot tell of the changes of others is put up with: they are found when it
    /// connects anew.
    async fn monitor(&mut self) -> Result<(), RequestError> {
        match self.handle.monitor_flows().await {
            Ok(()) => self.is_monitored = true,
            Err(RequestError::Refused(error)) => {
                info!(switch = %self.handle.datapath_id(), %error, "the switch cannot tell of the changes of others");
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    async fn apply(
        &mut self,
        round: RoundId,
        synchronized: bool,
        changes: Vec<Change>,
    ) -> Result<bool, RequestError> {
        let refused = self.make(changes).await.inspect_err(|_| fail_span())?;
        if refused.is_some() {
            fail_span();
        }
        Ok((self.report)(Progress::Confirmed { through: round, synchronized, refused }).await)
    }

    async fn make(&mut self, changes: Vec<Change>) -> Result<Option<String>, RequestError> {
        if changes.is_empty() {
            return Ok(None);
        }
        let pauses_monitor = changes.len() > BULK && self.is_monitored;
        if pauses_monitor {
            self.handle.cancel_monitor().await?;
            self.is_monitored = false;
        }
        let applied = self.handle.apply(changes.clone()).await?;
        if pauses_monitor {
            self.monitor().await?;
        }
        Ok(refusal(self.handle.datapath_id(), &changes, &applied.errors))
    }

    async fn resume(&self, in_port: u32, frame: Vec<u8>) -> Result<bool, RequestError> {
        self.handle.packet_out(in_port, vec![Action::Output(port::TABLE)], frame).await?;
        Ok(true)
    }

    async fn send(&self, frames: Vec<(u32, Vec<u8>)>) -> Result<bool, RequestError> {
        for (port, frame) in frames {
            let actions = vec![Action::Output(port)];
            self.handle.packet_out(port::CONTROLLER, actions, frame).await?;
        }
        Ok(true)
    }
}

/// Says of the span of an installation that not all of it was made.
fn fail_span() {
    Span::current().record("otel.status_code", "ERROR");
}

/// Logs what a switch refused, and puts the first of it in a sentence.
fn refusal(
    switch: DatapathId,
    changes: &[Change],
    errors: &[(usize, OpenFlowError)],
) -> Option<String> {
    for (index, error) in errors {
        warn!(%switch, change = ?changes.get(*index), %error, "the switch refused a change");
    }
    let (_, first) = errors.first()?;
    Some(format!("the switch refused {} of its flows and groups: {first}", errors.len()))
}
