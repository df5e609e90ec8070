//! One replica leads: the one that holds a Lease (coordination.k8s.io/v1), in the manner of client-go.

use std::time::Duration;

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
    jiff::Timestamp,
};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// How long others wait for a leader that is silent.
const DURATION: Duration = Duration::from_secs(15);
/// How long a leader that cannot renew its Lease goes on: shorter, so that it has stopped when
/// another begins, though clocks run at slightly different speeds.
const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// Longest that one attempt may take: of an API server whose host is gone nothing is heard, and the next
/// attempt goes to another.
const ATTEMPT: Duration = Duration::from_secs(4);
/// How often a leader renews its Lease, and how often others look at it.
const PERIOD: Duration = Duration::from_secs(2);

/// A replica that would lead.
pub struct Candidate {
    leases: Api<Lease>,
    /// Name of the Lease.
    lease: &'static str,
    labels: &'static [(&'static str, &'static str)],
    replica: String,
}

/// What a candidate saw of another's Lease, and when by its own clock: clocks of others are not
/// trusted.
struct Seen {
    renewals: (Option<String>, Option<MicroTime>),
    since: Instant,
}

impl Candidate {
    /// A replica by its name, and the Lease by which one of them leads: its namespace, its name, and the
    /// labels that it gets.
    pub fn new(
        client: Client,
        namespace: &str,
        lease: &'static str,
        labels: &'static [(&'static str, &'static str)],
        replica: &str,
    ) -> Self {
        let leases = Api::namespaced(client, namespace);
        Self { leases, lease, labels, replica: replica.to_owned() }
    }

    /// Does the work whenever this replica leads, dropping it when it does not any more. Ends only
    /// when the work does, and gives the lead away then.
    pub async fn lead<T>(&self, mut work: impl AsyncFnMut() -> T) -> T {
        loop {
            self.acquire().await;
            tracing::info!(replica = self.replica, "leading");
            tokio::select! {
                ended = work() => {
                    self.release().await;
                    return ended;
                }
                () = self.hold() => tracing::warn!(replica = self.replica, "no longer leading"),
            }
        }
    }

    /// Gives the lead away, if this replica has it, so that another need not wait.
    pub async fn release(&self) {
        let released = async {
            let Some(mut lease) = self.leases.get_opt(self.lease).await? else { return Ok(()) };
            if holder(&lease) != Some(&self.replica) {
                return Ok(());
            }
            lease.spec.get_or_insert_default().holder_identity = None;
            self.leases.replace(self.lease, &PostParams::default(), &lease).await.map(drop)
        };
        let released: kube::Result<()> = released.await;
        if let Err(error) = released {
            tracing::debug!(%error, "cannot give the lead away");
        }
    }

    /// Waits until this replica leads.
    async fn acquire(&self) {
        let mut seen = None;
        loop {
            match timeout(ATTEMPT, self.try_acquire(&mut seen)).await {
                Ok(Ok(true)) => return,
                Ok(Ok(false)) => {}
                // Somebody else was faster.
                Ok(Err(kube::Error::Api(status))) if status.is_conflict() => {}
                Ok(Err(kube::Error::Api(status))) if status.is_already_exists() => {}
                Ok(Err(error)) => tracing::warn!(%error, "cannot read or write the Lease"),
                Err(error) => tracing::warn!(%error, "cannot read or write the Lease"),
            }
            sleep(PERIOD.mul_f64(rand::random_range(0.8..1.2))).await;
        }
    }

    async fn try_acquire(&self, seen: &mut Option<Seen>) -> kube::Result<bool> {
        let Some(lease) = self.leases.get_opt(self.lease).await? else {
            let labels = self.labels.iter();
            let labels = labels.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
            let lease = Lease {
                metadata: ObjectMeta {
                    name: Some(self.lease.to_owned()),
                    labels: Some(labels.collect()),
                    ..ObjectMeta::default()
                },
                spec: Some(self.spec(None)),
            };
            self.leases.create(&PostParams::default(), &lease).await?;
            return Ok(true);
        };
        if !may_take(&lease, &self.replica, seen) {
            return Ok(false);
        }
        self.write(lease).await?;
        Ok(true)
    }

    /// Renews the Lease for as long as this replica holds it.
    async fn hold(&self) {
        let mut renewed = Instant::now();
        loop {
            sleep(PERIOD).await;
            let begun = Instant::now();
            let limit = (begun + ATTEMPT).min(renewed + RENEW_DEADLINE);
            match timeout_at(limit, self.renew()).await {
                Ok(Ok(true)) => renewed = begun,
                Ok(Ok(false)) => return,
                Ok(Err(error)) => tracing::warn!(%error, "cannot renew the Lease"),
                Err(error) => tracing::warn!(%error, "cannot renew the Lease"),
            }
            if renewed.elapsed() >= RENEW_DEADLINE {
                return;
            }
        }
    }

    /// Renews the Lease; answers false if another has it.
    async fn renew(&self) -> kube::Result<bool> {
        match self.leases.get_opt(self.lease).await? {
            Some(lease) if holder(&lease) == Some(&self.replica) => {
                self.write(lease).await.map(|()| true)
            }
            _ => Ok(false),
        }
    }

    /// Writes this replica's name and the time into a Lease as it was read: who read it too and
    /// writes later is refused.
    async fn write(&self, mut lease: Lease) -> kube::Result<()> {
        lease.spec = Some(self.spec(lease.spec.as_ref()));
        self.leases.replace(self.lease, &PostParams::default(), &lease).await.map(drop)
    }

    fn spec(&self, before: Option<&LeaseSpec>) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        let held = before.filter(|spec| spec.holder_identity.as_ref() == Some(&self.replica));
        let transitions = before.and_then(|spec| spec.lease_transitions).unwrap_or(0);
        LeaseSpec {
            holder_identity: Some(self.replica.clone()),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            acquire_time: held.map_or(Some(now.clone()), |spec| spec.acquire_time.clone()),
            renew_time: Some(now),
            lease_transitions: Some(transitions + i32::from(before.is_some() && held.is_none())),
            ..LeaseSpec::default()
        }
    }
}

fn holder(lease: &Lease) -> Option<&String> {
    lease.spec.as_ref()?.holder_identity.as_ref().filter(|holder| !holder.is_empty())
}

/// Whether a replica may take a Lease: it is nobody's, its own from a former life, or its holder has
/// not renewed it for as long as this replica has looked.
fn may_take(lease: &Lease, replica: &str, seen: &mut Option<Seen>) -> bool {
    let Some(holder) = holder(lease).filter(|holder| *holder != replica) else { return true };
    let spec = lease.spec.as_ref();
    let renewals = (Some(holder.clone()), spec.and_then(|spec| spec.renew_time.clone()));
    let duration = spec
        .and_then(|spec| spec.lease_duration_seconds)
        .and_then(|seconds| u64::try_from(seconds).ok())
        .map_or(DURATION, Duration::from_secs);
    match seen {
        Some(seen) if seen.renewals == renewals => seen.since.elapsed() >= duration,
        _ => {
            *seen = Some(Seen { renewals, since: Instant::now() });
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held_by(holder: &str, renewed: i64) -> Lease {
        Lease {
            metadata: ObjectMeta::default(),
            spec: Some(LeaseSpec {
                holder_identity: Some(holder.to_owned()),
                lease_duration_seconds: Some(15),
                renew_time: Timestamp::from_second(renewed).ok().map(MicroTime),
                ..LeaseSpec::default()
            }),
        }
    }

    #[test]
    fn a_lease_of_nobody_or_of_oneself_may_be_taken() {
        let mut seen = None;
        assert!(may_take(&Lease::default(), "a", &mut seen));
        assert!(may_take(&held_by("", 0), "a", &mut seen));
        assert!(may_take(&held_by("a", 0), "a", &mut seen));
        assert!(!may_take(&held_by("b", 0), "a", &mut seen));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_may_be_taken_when_it_was_not_renewed_for_its_duration() {
        let mut seen = None;
        assert!(!may_take(&held_by("b", 0), "a", &mut seen));
        tokio::time::advance(Duration::from_secs(14)).await;
        assert!(!may_take(&held_by("b", 0), "a", &mut seen));
        assert!(!may_take(&held_by("b", 2), "a", &mut seen), "it was renewed");
        tokio::time::advance(Duration::from_secs(14)).await;
        assert!(!may_take(&held_by("b", 2), "a", &mut seen));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(may_take(&held_by("b", 2), "a", &mut seen));
    }

    #[test]
    fn the_deadlines_leave_no_time_for_two_leaders() {
        assert!(PERIOD < RENEW_DEADLINE && RENEW_DEADLINE + PERIOD < DURATION);
    }
}
