//! Brings one connected switch up to date: a task that carries out work in order.

use l2sces_model::DatapathId;
use l2sces_openflow::{Action, Change, OpenFlowError, Program, port};
use l2sces_southbound::{RequestError, SwitchHandle};
use tokio::sync::{mpsc, oneshot};
use tracing::warn;

use crate::rounds::RoundId;

/// What an installer is to do.
#[derive(Debug)]
pub(crate) enum Work {
    /// Read what the switch has, and turn it into what it should have.
    Synchronize,
    /// Make a round's changes.
    Apply { round: RoundId, changes: Vec<Change> },
    /// Send a frame out of a port.
    Send { port: u32, frame: Vec<u8> },
}

/// What an installer tells the actor.
#[derive(Debug)]
pub(crate) enum Progress {
    /// This is what the switch has; what is to be changed?
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
}

/// One switch's installer.
pub(crate) struct Installer<F> {
    pub(crate) handle: SwitchHandle,
    /// Hands progress to the actor; false if it is gone.
    pub(crate) report: F,
}

impl<F, Fut> Installer<F>
where
    F: Fn(Progress) -> Fut,
    Fut: Future<Output = bool>,
{
    /// Works until the connection or the actor is gone.
    pub(crate) async fn run(self, mut work: mpsc::Receiver<Work>) {
        let mut through = 0;
        while let Some(next) = work.recv().await {
            let result = match next {
                Work::Synchronize => self.synchronize(&mut through).await,
                Work::Apply { round, .. } if round <= through => Ok(true),
                Work::Apply { round, changes } => self.apply(round, false, changes).await,
                Work::Send { port, frame } => {
                    let actions = vec![Action::Output(port)];
                    self.handle.packet_out(port::CONTROLLER, actions, frame).await.map(|()| true)
                }
            };
            if !matches!(result, Ok(true)) {
                self.handle.close();
                return;
            }
        }
    }

    async fn synchronize(&self, through: &mut RoundId) -> Result<bool, RequestError> {
        let program = self.handle.read_program().await?;
        let (sender, plan) = oneshot::channel();
        if !(self.report)(Progress::Installed { program, plan: sender }).await {
            return Ok(false);
        }
        let Ok(plan) = plan.await else { return Ok(false) };
        *through = plan.through;
        self.apply(plan.through, true, plan.changes).await
    }

    async fn apply(
        &self,
        round: RoundId,
        synchronized: bool,
        changes: Vec<Change>,
    ) -> Result<bool, RequestError> {
        let refused = if changes.is_empty() {
            None
        } else {
            let applied = self.handle.apply(changes.clone()).await?;
            refusal(self.handle.datapath_id(), &changes, &applied.errors)
        };
        Ok((self.report)(Progress::Confirmed { through: round, synchronized, refused }).await)
    }
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
