use std::{collections::HashSet, net::IpAddr};

use super::{
    domain_name::{DomainName, suffixes},
    index::Index,
    reverse::{self, ReverseZone},
};

/// Which zones are served, and what each has besides records.
#[derive(Debug)]
pub struct Authority {
    zones: Vec<DomainName>,
    reverse_zones: HashSet<String>,
    name_server: Option<DomainName>,
    name_server_addresses: Vec<IpAddr>,
}

/// The type of data asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuestionType {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Names of an address.
    Ptr,
    /// Name servers.
    Ns,
    /// The start of authority.
    Soa,
    /// Whatever there is: answered with one type of data (RFC 8482, section 4.1).
    Any,
    /// Another type, of which there is never any data.
    Other,
}

/// One piece of data at a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// An address: A or AAAA.
    Address(IpAddr),
    /// A canonical name: PTR.
    Pointer(DomainName),
    /// A name server: NS.
    NameServer(DomainName),
    /// The start of authority: SOA.
    Authority(StartOfAuthority),
}

/// What a zone says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartOfAuthority {
    /// The first name server.
    pub name_server: DomainName,
    /// Number of the zone's state; grows with every change.
    pub serial: u32,
}

/// What there is to say to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// The name is in none of the zones.
    Refused,
    /// There is data.
    Found(Vec<Data>),
    /// There is none.
    Nothing {
        /// Whether the name exists: NODATA if so, else NXDOMAIN.
        exists: bool,
        /// The zone's name.
        zone: String,
        /// The zone's start of authority, which says how long this holds.
        authority: StartOfAuthority,
    },
}

/// A zone in which a name lies.
struct Zone<'a> {
    name: &'a str,
    kind: ZoneKind,
}

enum ZoneKind {
    Forward,
    Reverse,
}

impl Authority {
    /// An authority for these zones, the first of which has the names that addresses are pointed
    /// to. Without a `name_server`, each zone's is `ns` in the zone. Its addresses are answered
    /// if its name is in a zone.
    ///
    /// `None` if there are no zones.
    pub fn new(
        zones: Vec<DomainName>,
        reverse_zones: &[ReverseZone],
        name_server: Option<DomainName>,
        name_server_addresses: Vec<IpAddr>,
    ) -> Option<Self> {
        let reverse_zones = reverse_zones.iter().flat_map(ReverseZone::names).collect();
        (!zones.is_empty()).then_some(Self {
            zones,
            reverse_zones,
            name_server,
            name_server_addresses,
        })
    }

    /// Whether a name relative to the zones has at most the length that DNS allows, in each.
    pub fn can_name(&self, relative: &str) -> bool {
        self.zones.iter().all(|zone| zone.below(relative).is_some())
    }

    /// Answers a question. The name is in lower case, without the final dot.
    pub fn lookup(&self, index: &Index, name: &str, question: QuestionType) -> Lookup {
        let Some(zone) = self.zone_of(index, name) else { return Lookup::Refused };
        let types: &[QuestionType] = match question {
            QuestionType::Any => &[
                QuestionType::A,
                QuestionType::Aaaa,
                QuestionType::Ptr,
                QuestionType::Soa,
                QuestionType::Ns,
            ],
            ref one => std::slice::from_ref(one),
        };
        let found = types.iter().map(|question| self.data(index, &zone, name, *question));
        if let Some(data) = found.into_iter().find(|data| !data.is_empty()) {
            return Lookup::Found(data);
        }
        Lookup::Nothing {
            exists: self.exists(index, &zone, name),
            zone: zone.name.to_owned(),
            authority: self.start_of_authority(index, &zone),
        }
    }

    /// The closest zone around a name. An address outside of the reverse zones that a record has
    /// is a zone of its own, for nothing is known of its neighbours.
    fn zone_of<'a>(&self, index: &Index, name: &'a str) -> Option<Zone<'a>> {
        for above in suffixes(name) {
            if self.zones.iter().any(|zone| zone.as_str() == above) {
                return Some(Zone { name: above, kind: ZoneKind::Forward });
            }
            if self.reverse_zones.contains(above) {
                return Some(Zone { name: above, kind: ZoneKind::Reverse });
            }
        }
        let address = reverse::block(name).and_then(reverse::single)?;
        let known = index.owners(address).next().is_some();
        known.then_some(Zone { name, kind: ZoneKind::Reverse })
    }

    fn data(
        &self,
        index: &Index,
        zone: &Zone<'_>,
        name: &str,
        question: QuestionType,
    ) -> Vec<Data> {
        match question {
            QuestionType::A => self.addresses(index, zone, name, IpAddr::is_ipv4),
            QuestionType::Aaaa => self.addresses(index, zone, name, IpAddr::is_ipv6),
            QuestionType::Ptr => self.pointers(index, zone, name),
            QuestionType::Ns if name == zone.name => vec![Data::NameServer(self.name_server(zone))],
            QuestionType::Soa if name == zone.name => {
                vec![Data::Authority(self.start_of_authority(index, zone))]
            }
            QuestionType::Ns | QuestionType::Soa | QuestionType::Any | QuestionType::Other => {
                Vec::new()
            }
        }
    }

    fn addresses(
        &self,
        index: &Index,
        zone: &Zone<'_>,
        name: &str,
        wanted: impl Fn(&IpAddr) -> bool,
    ) -> Vec<Data> {
        let ZoneKind::Forward = zone.kind else { return Vec::new() };
        let mut addresses = relative(zone, name)
            .map(|relative| index.addresses(relative, &wanted))
            .unwrap_or_default();
        if self.name_server(zone).as_str() == name {
            let missing: Vec<_> = self
                .name_server_addresses
                .iter()
                .filter(|address| wanted(address) && !addresses.contains(address))
                .copied()
                .collect();
            addresses.extend(missing);
        }
        addresses.into_iter().map(Data::Address).collect()
    }

    fn pointers(&self, index: &Index, zone: &Zone<'_>, name: &str) -> Vec<Data> {
        let ZoneKind::Reverse = zone.kind else { return Vec::new() };
        let Some(address) = reverse::block(name).and_then(reverse::single) else {
            return Vec::new();
        };
        index
            .owners(address)
            .filter_map(|key| self.zones[0].below(&key.canonical_name()))
            .map(Data::Pointer)
            .collect()
    }

    fn exists(&self, index: &Index, zone: &Zone<'_>, name: &str) -> bool {
        if name == zone.name {
            return true;
        }
        match zone.kind {
            ZoneKind::Forward => {
                let name_server = self.name_server(zone);
                suffixes(name_server.as_str()).any(|above| above == name)
                    || relative(zone, name).is_some_and(|relative| index.exists(relative))
            }
            ZoneKind::Reverse => {
                reverse::block(name).is_some_and(|block| index.has_address_in(block))
            }
        }
    }

    fn start_of_authority(&self, index: &Index, zone: &Zone<'_>) -> StartOfAuthority {
        StartOfAuthority { name_server: self.name_server(zone), serial: index.serial() }
    }

    fn name_server(&self, zone: &Zone<'_>) -> DomainName {
        let own = match zone.kind {
            ZoneKind::Forward => self.zones.iter().find(|own| own.as_str() == zone.name),
            ZoneKind::Reverse => None,
        };
        let own = own.unwrap_or(&self.zones[0]);
        // A zone whose name leaves no room for one more label is its own name server.
        self.name_server.clone().or_else(|| own.below("ns")).unwrap_or_else(|| own.clone())
    }
}

/// A name in a zone, relative to it; `None` at the top of it.
fn relative<'a>(zone: &Zone<'_>, name: &'a str) -> Option<&'a str> {
    name.strip_suffix(zone.name)?.strip_suffix('.')
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::zone::{Addresses, Contents, RecordKey};

    fn authority(name_server: Option<&str>) -> Authority {
        Authority::new(
            ["inter.l2sces", "inter.l2sm"].map(|zone| zone.parse().unwrap()).to_vec(),
            &["10.0.0.0/8", "fc00::/7"].map(|block| block.parse().unwrap()),
            name_server.map(|name| name.parse().unwrap()),
            vec!["10.9.9.9".parse().unwrap()],
        )
        .unwrap()
    }

    fn index(records: &[(&str, &[&str])]) -> Index {
        let mut index = Index::default();
        for (key, addresses) in records {
            let names: Vec<l2sces_model::Name> =
                key.split('.').map(|name| name.parse().unwrap()).collect();
            let [host, cluster, network, slice] = names.try_into().unwrap();
            let addresses: Vec<_> = addresses.iter().map(|a| a.parse().unwrap()).collect();
            let addresses = Addresses::try_from(addresses).unwrap();
            let contents = Contents { addresses, aliases: BTreeSet::new() };
            index.set(RecordKey { slice, network, cluster, host }, Some(contents));
        }
        index.set_serial(7);
        index
    }

    /// In a form that is easy to compare: the data, or `nodata`, `nxdomain` with the zone, or
    /// `refused`.
    fn ask(authority: &Authority, index: &Index, name: &str, question: QuestionType) -> String {
        match authority.lookup(index, name, question) {
            Lookup::Refused => "refused".to_owned(),
            Lookup::Nothing { exists, zone, authority } => {
                assert_eq!(authority.serial, 7);
                format!("{} {zone}", if exists { "nodata" } else { "nxdomain" })
            }
            Lookup::Found(data) => {
                let text = |data: Data| match data {
                    Data::Address(address) => address.to_string(),
                    Data::Pointer(name) | Data::NameServer(name) => name.to_string(),
                    Data::Authority(authority) => format!("soa {}", authority.serial),
                };
                data.into_iter().map(text).collect::<Vec<_>>().join(" ")
            }
        }
    }

    use QuestionType::{A, Aaaa, Any, Ns, Other, Ptr, Soa};

    #[test]
    fn names_of_records_and_what_is_above_and_below_them() {
        let index = index(&[
            ("web.a.blue.s1", &["10.0.0.2", "fd00::2", "10.0.0.1"]),
            ("web.b.blue.s1", &["10.0.0.1", "10.0.0.3"]),
            ("db.a.blue.s1", &["fd00::4"]),
        ]);
        let authority = authority(None);
        let cases = [
            ("web.a.blue.s1.inter.l2sces", A, "10.0.0.2 10.0.0.1"),
            ("web.a.blue.s1.inter.l2sm", Aaaa, "fd00::2"),
            ("web.blue.inter.l2sces", A, "10.0.0.2 10.0.0.1 10.0.0.3"),
            ("web.blue.inter.l2sces", Any, "10.0.0.2 10.0.0.1 10.0.0.3"),
            ("db.blue.inter.l2sces", Any, "fd00::4"),
            ("db.blue.inter.l2sces", A, "nodata inter.l2sces"),
            ("web.blue.inter.l2sces", Other, "nodata inter.l2sces"),
            ("web.blue.inter.l2sces", Ns, "nodata inter.l2sces"),
            ("web.blue.inter.l2sces", Ptr, "nodata inter.l2sces"),
            ("blue.inter.l2sces", A, "nodata inter.l2sces"),
            ("s1.inter.l2sces", A, "nodata inter.l2sces"),
            ("blue.s1.inter.l2sm", A, "nodata inter.l2sm"),
            ("a.blue.s1.inter.l2sces", Any, "nodata inter.l2sces"),
            ("c.blue.s1.inter.l2sces", A, "nxdomain inter.l2sces"),
            ("web.red.inter.l2sces", A, "nxdomain inter.l2sces"),
            ("x.web.blue.inter.l2sces", A, "nxdomain inter.l2sces"),
            ("?.blue.inter.l2sces", A, "nxdomain inter.l2sces"),
            ("blue.inter.l2scesx", A, "refused"),
            ("xinter.l2sces", A, "refused"),
            ("l2sces", Soa, "refused"),
            ("", Ns, "refused"),
        ];
        for (name, question, answer) in cases {
            assert_eq!(ask(&authority, &index, name, question), answer, "{name} {question:?}");
        }
    }

    #[test]
    fn the_top_of_a_zone_and_its_name_server() {
        let index = index(&[("web.a.ns.s1", &["10.0.0.2"])]);
        let default = authority(None);
        let cases = [
            ("inter.l2sm", Soa, "soa 7"),
            ("inter.l2sm", Ns, "ns.inter.l2sm"),
            ("inter.l2sm", Any, "soa 7"),
            ("inter.l2sm", A, "nodata inter.l2sm"),
            ("ns.inter.l2sm", A, "10.9.9.9"),
            ("ns.inter.l2sm", Aaaa, "nodata inter.l2sm"),
            ("ns.inter.l2sm", Soa, "nodata inter.l2sm"),
            ("web.ns.inter.l2sm", A, "10.0.0.2"),
            ("10.in-addr.arpa", Ns, "ns.inter.l2sces"),
        ];
        for (name, question, answer) in cases {
            assert_eq!(ask(&default, &index, name, question), answer, "{name} {question:?}");
        }
        let named = authority(Some("one.dns.inter.l2sces"));
        let cases = [
            ("inter.l2sm", Ns, "one.dns.inter.l2sces"),
            ("one.dns.inter.l2sces", A, "10.9.9.9"),
            ("dns.inter.l2sces", A, "nodata inter.l2sces"),
            ("one.dns.inter.l2sm", A, "nxdomain inter.l2sm"),
        ];
        for (name, question, answer) in cases {
            assert_eq!(ask(&named, &index, name, question), answer, "{name} {question:?}");
        }
    }

    #[test]
    fn reverse_names() {
        let index = index(&[
            ("web.a.blue.s1", &["10.0.0.2", "fd00::2"]),
            ("web.a.blue.s2", &["10.0.0.2", "192.0.2.1", "2001:db8::1"]),
        ]);
        let authority = authority(None);
        let both = "web.a.blue.s1.inter.l2sces web.a.blue.s2.inter.l2sces";
        let fd00 = reverse::name_of_address("fd00::2".parse().unwrap());
        let public = reverse::name_of_address("2001:db8::1".parse().unwrap());
        let cases = [
            ("2.0.0.10.in-addr.arpa", Ptr, both),
            ("2.0.0.10.in-addr.arpa", Any, both),
            ("2.0.0.10.in-addr.arpa", A, "nodata 10.in-addr.arpa"),
            ("0.0.10.in-addr.arpa", Ptr, "nodata 10.in-addr.arpa"),
            ("1.0.10.in-addr.arpa", Ptr, "nxdomain 10.in-addr.arpa"),
            ("3.0.0.10.in-addr.arpa", Ptr, "nxdomain 10.in-addr.arpa"),
            ("02.0.0.10.in-addr.arpa", Ptr, "nxdomain 10.in-addr.arpa"),
            ("1.2.0.0.10.in-addr.arpa", Ptr, "nxdomain 10.in-addr.arpa"),
            ("10.in-addr.arpa", Soa, "soa 7"),
            ("in-addr.arpa", Soa, "refused"),
            (&fd00, Ptr, "web.a.blue.s1.inter.l2sces"),
            (&fd00[2..], Ptr, "nodata d.f.ip6.arpa"),
            ("1.d.f.ip6.arpa", Ptr, "nxdomain d.f.ip6.arpa"),
            // Outside of the reverse zones: only what is known.
            ("1.2.0.192.in-addr.arpa", Ptr, "web.a.blue.s2.inter.l2sces"),
            ("1.2.0.192.in-addr.arpa", A, "nodata 1.2.0.192.in-addr.arpa"),
            ("1.2.0.192.in-addr.arpa", Soa, "soa 7"),
            ("2.2.0.192.in-addr.arpa", Ptr, "refused"),
            ("2.0.192.in-addr.arpa", Ptr, "refused"),
            (&public, Ptr, "web.a.blue.s2.inter.l2sces"),
        ];
        for (name, question, answer) in cases {
            assert_eq!(ask(&authority, &index, name, question), answer, "{name} {question:?}");
        }
    }
}
