use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures::future::join_all;
use l2sces_model::Name;
use tokio::time::timeout;

use crate::services::Trouble;

/// When names are looked up again: nobody tells that their addresses are others.
pub(super) const LOOK_UP_AGAIN: Duration = Duration::from_secs(60);
/// How long it may take to look a name up.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a name is waited for that has had no address yet: the cluster's DNS may just be starting, as
/// this operator is, and the link with who is left out is taken down.
const PATIENCE: Duration = Duration::from_secs(60);

/// The gateways of other clusters that slices are linked with: what their names have come to last. Bounded
/// by the resources that name them.
#[derive(Debug, Default)]
pub(super) struct Neighbors {
    slices: Mutex<HashMap<Name, Known>>,
}

/// What is known of the neighbors of a slice.
#[derive(Debug, Default)]
struct Known {
    /// The slice was made by this operator: before, it has had no links that could be lost.
    is_new: bool,
    names: BTreeMap<String, Found>,
}

/// What a name has come to.
#[derive(Debug, Default)]
struct Found {
    /// The addresses that it had when it had any.
    addresses: BTreeSet<IpAddr>,
    /// Since when it has had none.
    missed_since: Option<Instant>,
}

/// What the names of a slice come to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Resolved {
    /// The addresses, in order; nothing: what is there is to stay as it is for now.
    pub(super) addresses: Option<Vec<String>>,
    /// Which name has no address.
    pub(super) trouble: Option<Trouble>,
}

/// The addresses of a name, or why it has none.
type Answer = Result<BTreeSet<IpAddr>, String>;

impl Neighbors {
    /// Looks the neighbors of a slice up, of which some may be addresses. A name that has no address any
    /// more keeps those that it had. One that has had none yet is left out of a new slice after a while; of
    /// another slice it may have a link, and what there is stays.
    pub(super) async fn resolve(
        &self,
        slice: &Name,
        is_new: bool,
        neighbors: &BTreeSet<String>,
    ) -> Resolved {
        let answers = join_all(neighbors.iter().map(|neighbor| look_up(neighbor))).await;
        self.settle(slice, is_new, neighbors.iter().zip(answers), Instant::now())
    }

    /// Forgets a slice that is not wanted any more.
    pub(super) fn forget(&self, slice: &Name) {
        self.lock().remove(slice);
    }

    fn settle<'a>(
        &self,
        slice: &Name,
        is_new: bool,
        answers: impl Iterator<Item = (&'a String, Answer)>,
        now: Instant,
    ) -> Resolved {
        let mut slices = self.lock();
        let known = slices.remove(slice).unwrap_or(Known { is_new, names: BTreeMap::new() });
        let Known { is_new, names: mut before } = known;
        let mut after = BTreeMap::new();
        let mut trouble = None;
        for (neighbor, answer) in answers {
            let it = match answer {
                Ok(addresses) => Found { addresses, missed_since: None },
                Err(why) => {
                    let mut it: Found = before.remove(neighbor).unwrap_or_default();
                    it.missed_since.get_or_insert(now);
                    if it.addresses.is_empty() || it.is_missed_for_long(now) {
                        trouble.get_or_insert_with(|| unknown(neighbor, &why));
                    }
                    it
                }
            };
            after.insert(neighbor.clone(), it);
        }
        let addresses: BTreeSet<IpAddr> =
            after.values().flat_map(|it| it.addresses.iter().copied()).collect();
        // No address at all would be all clusters.
        let is_enough = after.is_empty() || !addresses.is_empty();
        let is_held =
            |it: &Found| it.addresses.is_empty() && !(is_new && it.is_missed_for_long(now));
        let is_complete = is_enough && !after.values().any(is_held);
        slices.insert(slice.clone(), Known { is_new, names: after });
        let addresses = addresses.iter().map(ToString::to_string);
        Resolved { addresses: is_complete.then(|| addresses.collect()), trouble }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Name, Known>> {
        // No code that holds the lock can leave it half changed.
        self.slices.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Found {
    /// Whether it has had no address for so long that it is not just being waited for.
    fn is_missed_for_long(&self, now: Instant) -> bool {
        self.missed_since.is_some_and(|since| now.duration_since(since) >= PATIENCE)
    }
}

/// Whether any of the neighbors is a name.
pub(super) fn have_names(neighbors: &BTreeSet<String>) -> bool {
    neighbors.iter().any(|neighbor| neighbor.parse::<IpAddr>().is_err())
}

async fn look_up(neighbor: &str) -> Answer {
    if let Ok(address) = neighbor.parse() {
        return Ok(BTreeSet::from([address]));
    }
    // Any port: only the address is of interest.
    match timeout(LOOKUP_TIMEOUT, tokio::net::lookup_host((neighbor, 0))).await {
        Ok(Ok(found)) => {
            let addresses: BTreeSet<IpAddr> =
                found.map(|address| address.ip().to_canonical()).collect();
            if addresses.is_empty() { Err("there is none".to_owned()) } else { Ok(addresses) }
        }
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer in {} s", LOOKUP_TIMEOUT.as_secs())),
    }
}

fn unknown(neighbor: &str, why: &str) -> Trouble {
    Trouble {
        reason: "UnknownNeighbor",
        message: format!("neighbor {neighbor:?} has no address: {why}"),
        is_waiting: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the names of a slice come to, by their addresses; none: they are not found.
    fn settle(
        neighbors: &Neighbors,
        answers: &[(&str, &[&str])],
        now: Instant,
    ) -> (Option<Vec<String>>, Option<String>) {
        let names: Vec<String> = answers.iter().map(|(name, _)| (*name).to_owned()).collect();
        let answers = answers.iter().map(|(_, addresses)| -> Answer {
            match addresses {
                [] => Err("unheard of".to_owned()),
                addresses => Ok(addresses.iter().map(|address| address.parse().unwrap()).collect()),
            }
        });
        let slice = "s".parse().unwrap();
        let resolved = neighbors.settle(&slice, true, names.iter().zip(answers), now);
        (resolved.addresses, resolved.trouble.map(|trouble| trouble.message))
    }

    fn addresses(addresses: &[&str]) -> Option<Vec<String>> {
        Some(addresses.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_name_that_is_not_found_is_left_out_after_a_while() {
        let neighbors = Neighbors::default();
        let now = Instant::now();
        let answers: &[(&str, &[&str])] =
            &[("b.example", &["192.0.2.9"]), ("b.exmaple", &[]), ("192.0.2.7", &["192.0.2.7"])];
        let (early, trouble) = settle(&neighbors, answers, now);
        assert_eq!(early, None);
        assert_eq!(trouble.unwrap(), "neighbor \"b.exmaple\" has no address: unheard of");
        let (late, trouble) = settle(&neighbors, answers, now + PATIENCE);
        assert_eq!(late, addresses(&["192.0.2.7", "192.0.2.9"]));
        assert!(trouble.is_some());
    }

    #[test]
    fn a_name_keeps_its_addresses_while_nobody_knows_others() {
        let neighbors = Neighbors::default();
        let now = Instant::now();
        let (first, _) = settle(&neighbors, &[("b.example", &["192.0.2.9"])], now);
        assert_eq!(first, addresses(&["192.0.2.9"]));
        let (away, trouble) = settle(&neighbors, &[("b.example", &[])], now);
        assert_eq!((away, trouble), (addresses(&["192.0.2.9"]), None), "it may be back soon");
        let now = now + PATIENCE * 10;
        let (away, trouble) = settle(&neighbors, &[("b.example", &[])], now);
        assert_eq!(away, addresses(&["192.0.2.9"]));
        assert!(trouble.is_some());
        let (moved, trouble) = settle(&neighbors, &[("b.example", &["2001:db8::1"])], now);
        assert_eq!((moved, trouble), (addresses(&["2001:db8::1"]), None));
    }

    #[test]
    fn a_slice_that_was_there_before_loses_no_link_for_want_of_an_address() {
        let neighbors = Neighbors::default();
        let (slice, now) = ("s".parse().unwrap(), Instant::now());
        let names = ["192.0.2.7".to_owned(), "b.example".to_owned()];
        let answers =
            || [Ok(BTreeSet::from([names[0].parse().unwrap()])), Err("unheard of".to_owned())];
        // It is not new either when the operator has known it for a while.
        for (is_new, now) in [(false, now), (true, now + PATIENCE * 2)] {
            let answers = names.iter().zip(answers());
            let resolved = neighbors.settle(&slice, is_new, answers, now);
            assert_eq!(resolved.addresses, None);
            assert!(resolved.trouble.is_some());
        }
    }

    #[test]
    fn nobody_is_linked_with_all_for_want_of_an_address() {
        let neighbors = Neighbors::default();
        let now = Instant::now();
        settle(&neighbors, &[("b.example", &[])], now);
        let (late, _) = settle(&neighbors, &[("b.example", &[])], now + PATIENCE * 2);
        assert_eq!(late, None);
        let (all, _) = settle(&neighbors, &[], now + PATIENCE * 2);
        assert_eq!(all, addresses(&[]), "nobody is named");
    }

    #[tokio::test]
    async fn what_is_no_name_is_an_address() {
        let neighbors = Neighbors::default();
        let named = BTreeSet::from(["192.0.2.7".to_owned(), "2001:db8::1".to_owned()]);
        assert!(!have_names(&named));
        let resolved = neighbors.resolve(&"s".parse().unwrap(), true, &named).await;
        let expected = addresses(&["192.0.2.7", "2001:db8::1"]);
        assert_eq!(resolved, Resolved { addresses: expected, trouble: None });
    }
}
