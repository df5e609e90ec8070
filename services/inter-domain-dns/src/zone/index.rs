use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, hash_map::Entry},
    net::IpAddr,
};

use ipnet::IpNet;

use super::{
    domain_name::suffixes,
    record::{Contents, RecordKey},
};

/// Records, found by name and by address. A question and a change cost the same whether there are
/// ten records or a million.
#[derive(Debug, Default)]
pub struct Index {
    records: BTreeMap<RecordKey, Contents>,
    /// By name relative to a zone: every name that has addresses, or names below it.
    names: HashMap<String, Node>,
    owners: BTreeMap<IpAddr, BTreeSet<RecordKey>>,
    serial: u32,
}

/// A name that exists.
#[derive(Debug, Default)]
struct Node {
    /// The records whose addresses the name has.
    records: BTreeSet<RecordKey>,
    /// How many names of records lie below it: it exists without addresses of its own (an empty
    /// non-terminal, RFC 8020, section 2).
    below: usize,
}

impl Index {
    /// Most addresses of one answer. 1,024 IPv6 addresses take 29 kB of the 64 kB of a message.
    pub const MOST_ADDRESSES: usize = 1024;

    /// Most names of one answer: networks are isolated, so an address may have any number of them.
    /// 64 of the longest names take 17 kB.
    pub const MOST_OWNERS: usize = 64;

    /// Puts a record, in the place of what it was before; `None` removes it.
    pub fn set(&mut self, key: RecordKey, contents: Option<Contents>) {
        if let Some(before) = self.records.remove(&key) {
            self.unlink(&key, &before);
        }
        if let Some(contents) = contents {
            self.link(&key, &contents);
            self.records.insert(key, contents);
        }
    }

    /// Number of the state the records were read from; grows with every change.
    pub fn serial(&self) -> u32 {
        self.serial
    }

    /// Says which state the records were read from.
    pub fn set_serial(&mut self, serial: u32) {
        self.serial = serial;
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are no records.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Whether a name relative to a zone exists: has addresses, or names below it.
    pub(super) fn exists(&self, name: &str) -> bool {
        self.names.contains_key(name)
    }

    /// The addresses of a name relative to a zone that are `wanted`, each once, in the order of
    /// the records and of the addresses in each. The order never changes by itself: clients sort
    /// by RFC 6724 anyway, and resolvers rotate. At most [`Index::MOST_ADDRESSES`].
    pub(super) fn addresses(&self, name: &str, wanted: impl Fn(&IpAddr) -> bool) -> Vec<IpAddr> {
        let mut seen = HashSet::new();
        self.names
            .get(name)
            .into_iter()
            .flat_map(|node| &node.records)
            .filter_map(|key| self.records.get(key))
            .flat_map(|contents| contents.addresses.as_slice())
            .filter(|address| wanted(address) && seen.insert(**address))
            .take(Self::MOST_ADDRESSES)
            .copied()
            .collect()
    }

    /// The records that have an address, in their order. At most [`Index::MOST_OWNERS`].
    pub(super) fn owners(&self, address: IpAddr) -> impl Iterator<Item = &RecordKey> {
        self.owners.get(&address).into_iter().flatten().take(Self::MOST_OWNERS)
    }

    /// Whether a record has an address of the block.
    pub(super) fn has_address_in(&self, block: IpNet) -> bool {
        self.owners.range(block.network()..=block.broadcast()).next().is_some()
    }

    fn link(&mut self, key: &RecordKey, contents: &Contents) {
        for name in names(key, contents) {
            for above in suffixes(&name).skip(1) {
                self.names.entry(above.to_owned()).or_default().below += 1;
            }
            self.names.entry(name).or_default().records.insert(key.clone());
        }
        for &address in contents.addresses.as_slice() {
            self.owners.entry(address).or_default().insert(key.clone());
        }
    }

    fn unlink(&mut self, key: &RecordKey, contents: &Contents) {
        for name in names(key, contents) {
            for above in suffixes(&name).skip(1) {
                self.change(above.to_owned(), |node| node.below -= 1);
            }
            self.change(name, |node| {
                node.records.remove(key);
            });
        }
        for address in contents.addresses.as_slice() {
            if let Some(owners) = self.owners.get_mut(address) {
                owners.remove(key);
                if owners.is_empty() {
                    self.owners.remove(address);
                }
            }
        }
    }

    /// Changes a name, which no longer exists if nothing is left of it.
    fn change(&mut self, name: String, change: impl FnOnce(&mut Node)) {
        if let Entry::Occupied(mut entry) = self.names.entry(name) {
            let node = entry.get_mut();
            change(node);
            if node.records.is_empty() && node.below == 0 {
                entry.remove();
            }
        }
    }
}

/// Every name of a record, relative to a zone, each once: two for its host, and two for each alias.
fn names<'a>(key: &'a RecordKey, contents: &'a Contents) -> impl Iterator<Item = String> {
    let others = contents.aliases.iter().filter(|alias| **alias != key.host);
    let hosts = std::iter::once(&key.host).chain(others);
    hosts.flat_map(|host| [key.canonical_name_of(host), key.short_name_of(host)])
}

#[cfg(test)]
mod tests {
    use proptest::{
        collection::{btree_set, vec},
        prelude::*,
        sample::select,
    };

    use super::{super::record::Addresses, *};

    /// What the index must agree with: every question looks at every record.
    #[derive(Default)]
    struct Model(BTreeMap<RecordKey, Contents>);

    impl Model {
        fn names((key, contents): (&RecordKey, &Contents)) -> Vec<String> {
            let RecordKey { slice, network, cluster, host } = key;
            let both =
                |host| [format!("{host}.{cluster}.{network}.{slice}"), format!("{host}.{network}")];
            contents.aliases.iter().chain([host]).flat_map(both).collect()
        }

        fn exists(&self, name: &str) -> bool {
            let below = format!(".{name}");
            self.0.iter().flat_map(Self::names).any(|n| n == name || n.ends_with(&below))
        }

        fn addresses(&self, name: &str, v4: bool) -> Vec<IpAddr> {
            let mut all = Vec::new();
            for (key, contents) in &self.0 {
                let named = Self::names((key, contents)).contains(&name.to_owned());
                for &address in contents.addresses.as_slice() {
                    if named && address.is_ipv4() == v4 && !all.contains(&address) {
                        all.push(address);
                    }
                }
            }
            all
        }

        fn owners(&self, address: IpAddr) -> Vec<&RecordKey> {
            let has = |contents: &Contents| contents.addresses.as_slice().contains(&address);
            self.0.iter().filter(|(_, contents)| has(contents)).map(|(key, _)| key).collect()
        }
    }

    /// Few labels, the same for every kind of name, so that names meet: a network called as a
    /// slice, a short name that is an ancestor of a canonical one.
    fn label() -> impl Strategy<Value = l2sces_model::Name> {
        select(vec!["a", "b", "c"]).prop_map(|label| label.parse().unwrap())
    }

    fn key() -> impl Strategy<Value = RecordKey> {
        (label(), label(), label(), label()).prop_map(|(slice, network, cluster, host)| RecordKey {
            slice,
            network,
            cluster,
            host,
        })
    }

    const ADDRESSES: [&str; 6] =
        ["10.0.0.1", "10.0.0.2", "10.0.1.1", "fd00::1", "fd00::2", "fd00:1::1"];

    fn address() -> impl Strategy<Value = IpAddr> {
        select(ADDRESSES.to_vec()).prop_map(|address| address.parse().unwrap())
    }

    fn change() -> impl Strategy<Value = (RecordKey, Option<Contents>)> {
        (key(), vec(address(), 0..4), btree_set(label(), 0..3)).prop_map(
            |(key, mut addresses, aliases)| {
                let mut seen = HashSet::new();
                addresses.retain(|address| seen.insert(*address));
                let addresses = Addresses::try_from(addresses).ok();
                (key, addresses.map(|addresses| Contents { addresses, aliases }))
            },
        )
    }

    /// Every name of up to five labels.
    fn all_names() -> Vec<String> {
        let mut names = vec![String::new()];
        let mut all = Vec::new();
        for _ in 0..5 {
            names = names
                .iter()
                .flat_map(|above| ["a", "b", "c"].map(|label| format!("{label}.{above}")))
                .collect();
            all.extend(names.iter().map(|name| name.trim_end_matches('.').to_owned()));
        }
        all
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn agrees_with_a_naive_model(changes in vec(change(), 1..24)) {
            let (mut index, mut model) = (Index::default(), Model::default());
            for (key, contents) in changes {
                index.set(key.clone(), contents.clone());
                match contents {
                    Some(contents) => model.0.insert(key, contents),
                    None => model.0.remove(&key),
                };
                prop_assert_eq!(index.len(), model.0.len());
                for name in all_names() {
                    prop_assert_eq!(index.exists(&name), model.exists(&name), "{}", name);
                    for v4 in [true, false] {
                        let addresses = index.addresses(&name, |a| a.is_ipv4() == v4);
                        prop_assert_eq!(addresses, model.addresses(&name, v4), "{}", name);
                    }
                }
                for address in ADDRESSES.map(|address| address.parse().unwrap()) {
                    let owners: Vec<_> = index.owners(address).collect();
                    prop_assert_eq!(owners, model.owners(address));
                }
                for block in ["10.0.0.0/8", "10.0.0.0/24", "10.0.1.0/24", "fd00::/32", "fd00:1::/32"] {
                    let block: IpNet = block.parse().unwrap();
                    let within = ADDRESSES.iter().map(|a| a.parse().unwrap())
                        .any(|a: IpAddr| block.contains(&a) && !model.owners(a).is_empty());
                    prop_assert_eq!(index.has_address_in(block), within);
                }
            }
            // Nothing is left of records that are gone.
            for key in model.0.keys() {
                index.set(key.clone(), None);
            }
            prop_assert!(index.names.is_empty() && index.owners.is_empty() && index.is_empty());
        }
    }

    #[test]
    fn an_answer_is_bounded() {
        let mut index = Index::default();
        let contents = |addresses: Vec<IpAddr>| {
            let addresses = Addresses::try_from(addresses).unwrap();
            Some(Contents { addresses, aliases: BTreeSet::new() })
        };
        for n in 0..40_u8 {
            let name = |text: String| text.parse().unwrap();
            let key = RecordKey {
                slice: name(format!("s{n}")),
                network: name("n".into()),
                cluster: name("c".into()),
                host: name("h".into()),
            };
            let own = (0..63).map(|i| IpAddr::from([10, 0, n, i]));
            let shared = IpAddr::from([10, 1, 0, 1]);
            index.set(key.clone(), contents(own.chain([shared]).collect()));
            let twin = RecordKey { cluster: name("d".into()), ..key };
            index.set(twin, contents(vec![shared]));
        }
        assert_eq!(index.addresses("h.n", IpAddr::is_ipv4).len(), Index::MOST_ADDRESSES);
        assert_eq!(index.owners([10, 1, 0, 1].into()).count(), Index::MOST_OWNERS);
    }
}
