use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use l2sces_grpc::{failed_precondition, not_found};
use l2sces_model::Name;
use l2sces_proto::{
    attachment::v1::AttachedInterface,
    fabric::v1::{Port, PortKey},
};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use super::{
    directory::Directory,
    ports::{DELETING, Ports, SandboxPort},
    progress::{Arrival, Progress},
    request::{Attachment, Collection, Detachment, Selection},
    sandboxes::{Sandboxes, Turn},
    wish::{self, Wish},
};
use crate::{
    plan::{NetworkKey, slice_in_use},
    services::{ObjectKey, ObjectState},
};

/// How long an attachment may take. Less than the sps-agent waits for it.
const PATIENCE: Duration = Duration::from_secs(40);
/// How long what is refused is asked for again: a port of the same name may have to go first, or a
/// network be put in place.
const REFUSAL_PATIENCE: Duration = Duration::from_secs(10);
/// The first pause before another look.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Attaches sandboxes, by ports of the cluster's sdn-controller.
pub(crate) struct Attacher {
    cluster: Name,
    directory: Arc<dyn Directory>,
    ports: Ports,
    progress: Arc<Progress>,
    sandboxes: Sandboxes,
}

/// A port that an attachment is to have.
struct Making {
    port: Port,
    key: ObjectKey,
    /// It was there before: it is not this attachment's to undo.
    was_there: bool,
    /// How long it is asked for again when it is refused.
    refusal_patience: Duration,
}

impl Attacher {
    /// What attaches the sandboxes of a cluster.
    pub(crate) fn new(
        cluster: Name,
        directory: Arc<dyn Directory>,
        ports: Ports,
        progress: Arc<Progress>,
    ) -> Self {
        Self { cluster, directory, ports, progress, sandboxes: Sandboxes::default() }
    }

    /// Attaches a sandbox, and waits until its frames are delivered. What was made is removed when that
    /// fails, or when `given_up` is cancelled: nobody waits for the answer any more.
    pub(super) async fn attach(
        &self,
        attachment: &Attachment,
        given_up: &CancellationToken,
    ) -> Result<Vec<AttachedInterface>, Status> {
        let pod = wish::find_pod(&*self.directory, attachment).await?;
        let wishes = wish::wishes(&self.cluster, &*self.directory, attachment, &pod).await?;
        if wishes.is_empty() {
            return Ok(Vec::new());
        }
        let turn = given_up
            .run_until_cancelled(self.sandboxes.attach(&attachment.sandbox_id, given_up))
            .await
            .ok_or_else(detached)?;
        let deadline = Instant::now() + PATIENCE;
        let makings: Vec<_> =
            wishes.iter().map(|wish| self.making(attachment, &pod, wish)).collect();
        // All of them come to an end: one that was given up half-way could still be carried out when
        // the others have been undone.
        let made = join_all(makings.iter().map(|making| self.make(making, &turn, deadline))).await;
        let made = made
            .into_iter()
            .zip(&wishes)
            .map(|(state, wish)| Ok(described(&wish.resource, wish.interface.as_str(), &state?)));
        let made = made.collect::<Result<_, Status>>().and_then(|made| checked(attachment, made));
        let new = || makings.iter().filter(|making| !making.was_there).collect::<Vec<_>>();
        let made = match made {
            Ok(made) => made,
            Err(status) => {
                self.undo(attachment, new()).await;
                return Err(status);
            }
        };
        // Afterwards: until a resource is gone nobody else gets its network, but a port may have been
        // made later than that.
        match wish::are_still_there(&*self.directory, attachment, &wishes).await {
            Ok(true) => Ok(made),
            Ok(false) => {
                self.undo(attachment, makings.iter().collect()).await;
                Err(Status::aborted("a network of the pod was deleted meanwhile"))
            }
            Err(status) => {
                self.undo(attachment, new()).await;
                Err(status)
            }
        }
    }

    fn making(&self, attachment: &Attachment, pod: &Pod, wish: &Wish) -> Making {
        let port = wish.port(attachment, pod);
        let network = NetworkKey { slice: wish.slice.clone(), name: wish.network.clone() };
        let key = ObjectKey::Port(network, Name::standing_for(&attachment.pod.name));
        let was_there = self.progress.has(&key, uid_of(&port));
        let refusal_patience = if attachment.restores { Duration::ZERO } else { REFUSAL_PATIENCE };
        Making { port, key, was_there, refusal_patience }
    }

    /// Makes a port and waits until it is ready; makes it again when it goes meanwhile. The attempt before
    /// this one may just be being undone, by another replica too, or the news of that be late; whoever
    /// detaches the sandbox ends this one first.
    async fn make(
        &self,
        making: &Making,
        turn: &Turn,
        deadline: Instant,
    ) -> Result<ObjectState, Status> {
        let mut pauses = Pauses::new();
        loop {
            let state = self.apply(making, turn, deadline).await?;
            if state.ready {
                return Ok(state);
            }
            match self.arrival(making, state, turn, deadline).await? {
                Arrival::Ready(state) => return Ok(state),
                Arrival::Replaced => return Err(detached()),
                Arrival::Gone => {
                    pauses.pause(turn, deadline).await.map_err(|end| end.explain(detached()))?;
                }
            }
        }
    }

    /// Makes a port, again where that may help.
    async fn apply(
        &self,
        making: &Making,
        turn: &Turn,
        deadline: Instant,
    ) -> Result<ObjectState, Status> {
        let refusals = Instant::now() + making.refusal_patience;
        let mut pauses = Pauses::new();
        loop {
            let (until, status) = match self.ports.apply(making.port.clone(), &turn.unwanted).await
            {
                Ok(state) if state.reason != DELETING => return Ok(state),
                Ok(state) => (deadline, Status::unavailable(state.message)),
                Err(status) => match status.code() {
                    Code::Unavailable | Code::Aborted | Code::DeadlineExceeded => {
                        (deadline, status)
                    }
                    // The port that is in its way goes.
                    Code::FailedPrecondition if self.progress.is_going(&making.key) => {
                        (deadline, status)
                    }
                    Code::FailedPrecondition => (refusals, status),
                    Code::Cancelled if turn.unwanted.is_cancelled() => return Err(detached()),
                    _ => return Err(status),
                },
            };
            pauses.pause(turn, until).await.map_err(|end| end.explain(status))?;
        }
    }

    /// Waits until a port that has been made is ready or gone; `state` is how it fared then.
    async fn arrival(
        &self,
        making: &Making,
        state: ObjectState,
        turn: &Turn,
        deadline: Instant,
    ) -> Result<Arrival, Status> {
        let mut last = state.message;
        let arrival = self.progress.arrival(&making.key, uid_of(&making.port), |state| {
            last.clone_from(&state.message);
        });
        let ended = tokio::select! {
            arrival = arrival => Ok(arrival),
            () = sleep_until(deadline) => Err(End::Late),
            () = turn.unwanted.cancelled() => Err(End::Unwanted),
        };
        ended.map_err(|end| {
            end.explain(Status::deadline_exceeded(format!(
                "port {} of network {} is not ready: {last}",
                making.port.name, making.port.network
            )))
        })
    }

    /// Removes what was made for an attachment that failed, but not what another attempt has made since, by
    /// another replica. What cannot be removed now is removed with the sandbox, or when its pod is gone.
    async fn undo(&self, attachment: &Attachment, makings: Vec<&Making>) {
        let removals = makings.into_iter().map(|Making { port, .. }| {
            self.ports.delete_made(key_of(port), &attachment.sandbox_id, generation_of(port))
        });
        for status in join_all(removals).await.into_iter().filter_map(Result::err) {
            tracing::warn!(%status, sandbox = attachment.sandbox_id, "a failed attachment is left");
        }
    }

    /// Detaches a sandbox. Its ports are gone for others at once, and for good in a while.
    pub(super) async fn detach(&self, detachment: &Detachment) -> Result<(), Status> {
        let Detachment { node, sandbox_id, network, interface } = detachment;
        let _turn = self.sandboxes.detach(sandbox_id).await;
        let network = network.as_ref().map(|network| Name::standing_for(&network.name));
        let is_meant = |port: &SandboxPort| {
            network.as_ref().is_none_or(|name| name.as_str() == port.key.network)
                && interface.as_ref().is_none_or(|name| *name == port.interface)
        };
        let ports = self.ports.of(&Name::standing_for(node), sandbox_id).await?;
        self.delete(ports.into_iter().filter(is_meant)).await.map(drop)
    }

    /// Says what a sandbox is attached to.
    ///
    /// # Errors
    /// It is not attached to all that its pod asks for, or frames are not delivered.
    pub(super) async fn check(
        &self,
        attachment: &Attachment,
    ) -> Result<Vec<AttachedInterface>, Status> {
        let pod = wish::find_pod(&*self.directory, attachment).await?;
        let wishes = wish::wishes(&self.cluster, &*self.directory, attachment, &pod).await?;
        if wishes.is_empty() {
            return Ok(Vec::new());
        }
        let node = Name::standing_for(&attachment.node);
        let ports = self.ports.of(&node, &attachment.sandbox_id).await?;
        let there = wishes.iter().map(|wish| {
            let is_it = |port: &&SandboxPort| {
                port.key.slice == wish.slice.as_str() && port.key.network == wish.network.as_str()
            };
            let port = ports
                .iter()
                .find(is_it)
                .ok_or_else(|| not_found("attachment to network", &wish.resource))?;
            if !port.state.ready {
                let message = &port.state.message;
                return Err(failed_precondition("network", &wish.resource, message));
            }
            Ok(described(&wish.resource, &port.interface, &port.state))
        });
        there.collect()
    }

    /// Detaches the sandboxes of a node that are not valid, and returns how many ports that were.
    pub(super) async fn collect(&self, collection: &Collection) -> Result<u32, Status> {
        let ports = self.ports.on(&Name::standing_for(&collection.node)).await?;
        let Some(network) = &collection.network else {
            let is_stale = |port: &SandboxPort| {
                !collection.valid.iter().any(|(sandbox, _)| *sandbox == port.sandbox_id)
            };
            return self.delete(ports.into_iter().filter(is_stale)).await;
        };
        let found = self.directory.network(&network.namespace, &network.name).await?;
        // The ports of a network that is gone are removed with it.
        let Some(found) = found else { return Ok(0) };
        let (slice, name) = (slice_in_use(&self.cluster, &found), found.network_name());
        let is_stale = |port: &SandboxPort| {
            let attachment = (port.sandbox_id.clone(), port.interface.clone());
            port.key.slice == slice.as_str()
                && port.key.network == name.as_str()
                && !collection.valid.contains(&attachment)
        };
        self.delete(ports.into_iter().filter(is_stale)).await
    }

    /// # Errors
    /// The sdn-controller does not answer.
    pub(super) async fn check_controller(&self) -> Result<(), Status> {
        // Nothing is attached for it.
        self.ports.of(&Name::standing_for("-"), "-").await.map(drop)
    }

    async fn delete(&self, ports: impl Iterator<Item = SandboxPort>) -> Result<u32, Status> {
        let removals = ports.map(async |port| self.ports.delete(port.key, &port.sandbox_id).await);
        let mut removed = 0;
        for outcome in join_all(removals).await {
            outcome?;
            removed += 1;
        }
        Ok(removed)
    }
}

/// What was made, if it is all that the runtime needs: without a network of its own choice, it learns the
/// pod's address from the interface that it asks for.
fn checked(
    attachment: &Attachment,
    made: Vec<AttachedInterface>,
) -> Result<Vec<AttachedInterface>, Status> {
    let (Selection::Asked, Some(needed)) = (&attachment.selection, &attachment.needed_interface)
    else {
        return Ok(made);
    };
    let is_bare =
        |made: &&AttachedInterface| made.name == needed.as_str() && made.address.is_empty();
    let Some(bare) = made.iter().find(is_bare) else { return Ok(made) };
    let reason = format!("has no addresses, and the pod needs one for its interface {needed}");
    Err(failed_precondition("network", &bare.network, reason))
}

fn uid_of(port: &Port) -> &str {
    port.version.as_ref().map(|version| version.uid.as_str()).unwrap_or_default()
}

fn generation_of(port: &Port) -> i64 {
    port.version.as_ref().map(|version| version.generation).unwrap_or_default()
}

fn key_of(port: &Port) -> PortKey {
    PortKey { slice: port.slice.clone(), network: port.network.clone(), name: port.name.clone() }
}

fn described(network: &str, interface: &str, state: &ObjectState) -> AttachedInterface {
    AttachedInterface {
        network: network.to_owned(),
        name: interface.to_owned(),
        mac: state.mac.clone(),
        address: state.address.clone(),
        mtu: state.mtu,
    }
}

fn detached() -> Status {
    Status::aborted("the sandbox was detached meanwhile")
}

/// Pauses between looks, each longer than the one before.
struct Pauses {
    next: Duration,
}

/// Why there are no more looks.
enum End {
    /// It is too late.
    Late,
    /// The sandbox is to be detached.
    Unwanted,
}

impl End {
    /// What the caller is told; when it is too late, what was seen last.
    fn explain(self, last: Status) -> Status {
        match self {
            Self::Late => last,
            Self::Unwanted => detached(),
        }
    }
}

impl Pauses {
    fn new() -> Self {
        Self { next: FIRST_PAUSE }
    }

    async fn pause(&mut self, turn: &Turn, until: Instant) -> Result<(), End> {
        let pause = self.next.mul_f64(rand::random_range(0.8..1.2));
        self.next = (self.next * 3 / 2).min(LONGEST_PAUSE);
        if Instant::now() + pause >= until {
            return Err(End::Late);
        }
        tokio::select! {
            () = sleep(pause) => Ok(()),
            () = turn.unwanted.cancelled() => Err(End::Unwanted),
        }
    }
}
