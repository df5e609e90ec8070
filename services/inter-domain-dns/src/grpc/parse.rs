use std::{collections::BTreeSet, net::IpAddr};

use l2sces_grpc::Violations;
use l2sces_model::Name;
use l2sces_proto::dns::v1;
use tonic::Status;

use crate::{
    store::Listing,
    zone::{Addresses, AddressesError, Authority, Contents, Record, RecordKey},
};

const DEFAULT_PAGE_SIZE: u16 = 100;
const MOST_PAGE_SIZE: u16 = 1000;

/// Separates the parts of a page token: a character that no name has.
const SEPARATOR: char = '/';

pub(super) fn apply(
    request: v1::ApplyRecordRequest,
    authority: &Authority,
) -> Result<Record, Status> {
    let mut violations = Violations::new();
    let record = record(request.record, authority, &mut violations);
    match record {
        Some(record) if violations.is_empty() => Ok(record),
        _ => Err(violations.into_status()),
    }
}

pub(super) fn delete(request: v1::DeleteRecordRequest) -> Result<RecordKey, Status> {
    let mut violations = Violations::new();
    key(request.key, "key", &mut violations).ok_or_else(|| violations.into_status())
}

pub(super) fn list(request: &v1::ListRecordsRequest) -> Result<Listing, Status> {
    let mut violations = Violations::new();
    for (field, name) in [("slice", &request.slice), ("network", &request.network)] {
        if !name.is_empty() {
            violations.check(field, name.parse::<Name>());
        }
    }
    if request.slice.is_empty() && !request.network.is_empty() {
        violations.add("slice", "must not be empty if network is not");
    }
    let page_size = match request.page_size {
        0 => DEFAULT_PAGE_SIZE,
        size => u16::try_from(size).unwrap_or_else(|_| {
            if size < 0 {
                violations.add("page_size", "must not be negative");
            }
            MOST_PAGE_SIZE
        }),
    };
    let after = match request.page_token.as_str() {
        "" => None,
        token => violations.check("page_token", parse_page_token(token)),
    };
    violations.into_result()?;
    Ok(Listing {
        slice: request.slice.clone(),
        network: request.network.clone(),
        after,
        limit: page_size.min(MOST_PAGE_SIZE),
    })
}

pub(super) fn page_token(key: &RecordKey) -> String {
    let RecordKey { slice, network, cluster, host } = key;
    [slice, network, cluster, host].map(Name::as_str).join(&SEPARATOR.to_string())
}

fn parse_page_token(token: &str) -> Result<RecordKey, &'static str> {
    let names = token.split(SEPARATOR).map(str::parse).collect::<Result<Vec<Name>, _>>();
    let [slice, network, cluster, host] = names
        .ok()
        .and_then(|names| names.try_into().ok())
        .ok_or("must be the next_page_token of a response")?;
    Ok(RecordKey { slice, network, cluster, host })
}

fn record(
    record: Option<v1::Record>,
    authority: &Authority,
    violations: &mut Violations,
) -> Option<Record> {
    let Some(record) = record else {
        violations.add("record", "must be set");
        return None;
    };
    let key = key(record.key, "record.key", violations);
    if key.as_ref().is_some_and(|key| !authority.can_name(&key.canonical_name())) {
        violations.add("record.key", "must make a name of at most 253 characters in every zone");
    }
    let addresses = addresses(&record.addresses, violations);
    let aliases = aliases(&record.aliases, violations);
    let contents = Contents { addresses: addresses?, aliases: aliases? };
    Some(Record { key: key?, contents })
}

fn aliases(texts: &[String], violations: &mut Violations) -> Option<BTreeSet<Name>> {
    if texts.len() > Contents::MOST_ALIASES {
        let most = Contents::MOST_ALIASES;
        violations.add("record.aliases", format!("must be at most {most}, not {}", texts.len()));
        return None;
    }
    let mut aliases = BTreeSet::new();
    for (index, text) in texts.iter().enumerate() {
        let field = format!("record.aliases[{index}]");
        let Some(alias) = violations.check::<Name, _>(&field, text.parse()) else { continue };
        if !aliases.insert(alias) {
            violations.add(field, format!("must be listed once only: {text}"));
        }
    }
    Some(aliases)
}

fn addresses(texts: &[String], violations: &mut Violations) -> Option<Addresses> {
    // Before any is parsed, so that a request of the largest size is not answered in kind.
    if texts.len() > Addresses::MAX {
        violations.add("record.addresses", AddressesError::TooMany(texts.len()).to_string());
        return None;
    }
    let field = |index: usize| format!("record.addresses[{index}]");
    let parsed: Vec<Option<IpAddr>> = texts
        .iter()
        .enumerate()
        .map(|(index, text)| {
            let parsed = text.parse().map_err(|_| "must be an IPv4 or IPv6 address");
            violations.check(&field(index), parsed)
        })
        .collect();
    let addresses = parsed.into_iter().collect::<Option<Vec<_>>>()?;
    match Addresses::try_from(addresses) {
        Ok(addresses) => Some(addresses),
        Err(error) => {
            let field = error.index().map_or("record.addresses".to_owned(), field);
            violations.add(field, error.to_string());
            None
        }
    }
}

fn key(key: Option<v1::RecordKey>, field: &str, violations: &mut Violations) -> Option<RecordKey> {
    let Some(key) = key else {
        violations.add(field, "must be set");
        return None;
    };
    let mut name =
        |part: &str, text: &str| violations.check(&format!("{field}.{part}"), text.parse::<Name>());
    let slice = name("slice", &key.slice);
    let network = name("network", &key.network);
    let cluster = name("cluster", &key.cluster);
    let host = name("host", &key.host);
    Some(RecordKey { slice: slice?, network: network?, cluster: cluster?, host: host? })
}

impl From<Record> for v1::Record {
    fn from(record: Record) -> Self {
        let RecordKey { slice, network, cluster, host } = record.key;
        let Contents { addresses, aliases } = record.contents;
        Self {
            key: Some(v1::RecordKey {
                slice: slice.to_string(),
                network: network.to_string(),
                cluster: cluster.to_string(),
                host: host.to_string(),
            }),
            addresses: addresses.as_slice().iter().map(ToString::to_string).collect(),
            aliases: aliases.iter().map(ToString::to_string).collect(),
        }
    }
}
