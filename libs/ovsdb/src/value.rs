//! The values of RFC 7047, section 5.1.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::{Value as Json, json};
use thiserror::Error;
use uuid::Uuid;

/// `<atom>`: a single value.
///
/// A real number without a fraction is an [`Atom::Integer`]: JSON does not tell them apart.
#[derive(Clone, Debug)]
pub enum Atom {
    /// `<string>`.
    String(String),
    /// `<integer>`.
    Integer(i64),
    /// `<real>`.
    Real(f64),
    /// `<boolean>`.
    Boolean(bool),
    /// `["uuid", <string>]`: a row.
    Uuid(Uuid),
    /// `["named-uuid", <string>]`: a row that is inserted by the same transaction.
    NamedUuid(String),
}

/// `<value>`, in the one form to which the RFC's notations of equal values are reduced: an atom is
/// the set of it alone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// `<atom>` or `["set", [<atom>*]]`.
    Set(BTreeSet<Atom>),
    /// `["map", [[<atom>, <atom>]*]]`.
    Map(BTreeMap<Atom, Atom>),
}

/// `<row>`: values by column.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Row(BTreeMap<String, Value>);

/// JSON that is no `<value>`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{what} expected, not {json}")]
pub struct NotationError {
    what: &'static str,
    json: String,
}

impl NotationError {
    fn new(what: &'static str, json: &Json) -> Self {
        let mut json = json.to_string();
        // The text may be as long as a message; its beginning says enough.
        if let Some((end, _)) = json.char_indices().nth(100) {
            json.truncate(end);
        }
        Self { what, json }
    }
}

impl Atom {
    fn rank(&self) -> u8 {
        match self {
            Self::String(_) => 0,
            Self::Integer(_) => 1,
            Self::Real(_) => 2,
            Self::Boolean(_) => 3,
            Self::Uuid(_) => 4,
            Self::NamedUuid(_) => 5,
        }
    }

    /// The string, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The integer, if it is one.
    pub fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            _ => None,
        }
    }

    fn to_json(&self) -> Json {
        match self {
            Self::String(text) => json!(text),
            Self::Integer(number) => json!(number),
            Self::Real(number) => json!(number),
            Self::Boolean(truth) => json!(truth),
            Self::Uuid(uuid) => json!(["uuid", uuid.to_string()]),
            Self::NamedUuid(name) => json!(["named-uuid", name]),
        }
    }

    fn from_json(json: &Json) -> Result<Self, NotationError> {
        let error = || NotationError::new("an atom", json);
        match json {
            Json::String(text) => Ok(Self::String(text.clone())),
            Json::Bool(truth) => Ok(Self::Boolean(*truth)),
            Json::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(integer), _) => Ok(Self::Integer(integer)),
                (None, Some(real)) => Ok(Self::Real(real)),
                (None, None) => Err(error()),
            },
            Json::Array(pair) => match pair.as_slice() {
                [Json::String(tag), Json::String(uuid)] if tag == "uuid" => {
                    uuid.parse().map(Self::Uuid).map_err(|_| error())
                }
                [Json::String(tag), Json::String(name)] if tag == "named-uuid" => {
                    Ok(Self::NamedUuid(name.clone()))
                }
                _ => Err(error()),
            },
            Json::Null | Json::Object(_) => Err(error()),
        }
    }
}

impl Ord for Atom {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::String(a), Self::String(b)) | (Self::NamedUuid(a), Self::NamedUuid(b)) => {
                a.cmp(b)
            }
            (Self::Integer(a), Self::Integer(b)) => a.cmp(b),
            (Self::Real(a), Self::Real(b)) => a.total_cmp(b),
            (Self::Boolean(a), Self::Boolean(b)) => a.cmp(b),
            (Self::Uuid(a), Self::Uuid(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Atom {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Atom {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Atom {}

impl From<&str> for Atom {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<String> for Atom {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

impl From<i64> for Atom {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<bool> for Atom {
    fn from(truth: bool) -> Self {
        Self::Boolean(truth)
    }
}

impl From<Uuid> for Atom {
    fn from(uuid: Uuid) -> Self {
        Self::Uuid(uuid)
    }
}

impl Value {
    /// The set of these atoms.
    pub fn set<A: Into<Atom>>(atoms: impl IntoIterator<Item = A>) -> Self {
        Self::Set(atoms.into_iter().map(Into::into).collect())
    }

    /// The map of these pairs; of pairs with the same key, the last counts.
    pub fn map<K: Into<Atom>, V: Into<Atom>>(pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        Self::Map(pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }

    /// The empty set, which is how an optional column is unset.
    pub const fn none() -> Self {
        Self::Set(BTreeSet::new())
    }

    /// A row that is inserted by the same transaction, under this name.
    pub fn named(name: impl Into<String>) -> Self {
        Self::from(Atom::NamedUuid(name.into()))
    }

    /// The atom, of a set of one.
    pub fn as_atom(&self) -> Option<&Atom> {
        match self {
            Self::Set(set) if set.len() == 1 => set.first(),
            Self::Set(_) | Self::Map(_) => None,
        }
    }

    fn from_json(json: &Json) -> Result<Self, NotationError> {
        let Json::Array(pair) = json else { return Ok(Self::from(Atom::from_json(json)?)) };
        match pair.as_slice() {
            [Json::String(tag), Json::Array(atoms)] if tag == "set" => {
                Ok(Self::Set(atoms.iter().map(Atom::from_json).collect::<Result<_, _>>()?))
            }
            [Json::String(tag), Json::Array(pairs)] if tag == "map" => {
                Ok(Self::Map(pairs.iter().map(pair_from_json).collect::<Result<_, _>>()?))
            }
            _ => Ok(Self::from(Atom::from_json(json)?)),
        }
    }
}

fn pair_from_json(json: &Json) -> Result<(Atom, Atom), NotationError> {
    match json.as_array().map(Vec::as_slice) {
        Some([key, value]) => Ok((Atom::from_json(key)?, Atom::from_json(value)?)),
        _ => Err(NotationError::new("a pair", json)),
    }
}

impl<A: Into<Atom>> From<A> for Value {
    fn from(atom: A) -> Self {
        Self::Set(BTreeSet::from([atom.into()]))
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let json = match self {
            Self::Set(set) => match self.as_atom() {
                Some(atom) => atom.to_json(),
                None => json!(["set", set.iter().map(Atom::to_json).collect::<Vec<_>>()]),
            },
            Self::Map(map) => {
                let pairs = map.iter().map(|(key, value)| json!([key.to_json(), value.to_json()]));
                json!(["map", pairs.collect::<Vec<_>>()])
            }
        };
        json.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_json(&Json::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl Row {
    /// No columns.
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// The row with this column set.
    #[must_use]
    pub fn with(mut self, column: impl Into<String>, value: impl Into<Value>) -> Self {
        self.0.insert(column.into(), value.into());
        self
    }

    /// Whether there are no columns.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The columns and their values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(column, value)| (column.as_str(), value))
    }

    /// The value of a column; `None` if the row does not have it.
    pub fn get(&self, column: &str) -> Option<&Value> {
        self.0.get(column)
    }

    fn atom(&self, column: &str) -> Option<&Atom> {
        self.get(column)?.as_atom()
    }

    /// The string in a column; `None` if it is unset or something else.
    pub fn string(&self, column: &str) -> Option<&str> {
        self.atom(column)?.as_str()
    }

    /// The integer in a column; `None` if it is unset or something else.
    pub fn integer(&self, column: &str) -> Option<i64> {
        self.atom(column)?.as_integer()
    }

    /// The truth value in a column; `None` if it is unset or something else.
    pub fn boolean(&self, column: &str) -> Option<bool> {
        match self.atom(column)? {
            Atom::Boolean(truth) => Some(*truth),
            _ => None,
        }
    }

    /// The rows that a column refers to.
    pub fn uuids(&self, column: &str) -> impl Iterator<Item = Uuid> + '_ {
        let set = match self.get(column) {
            Some(Value::Set(set)) => Some(set),
            Some(Value::Map(_)) | None => None,
        };
        set.into_iter().flatten().filter_map(|atom| match atom {
            Atom::Uuid(uuid) => Some(*uuid),
            _ => None,
        })
    }

    /// The string that a column, a map of strings, has under a key.
    pub fn map_string(&self, column: &str, key: &str) -> Option<&str> {
        self.map_atom(column, key)?.as_str()
    }

    /// The integer that a column, a map from strings to integers, has under a key.
    pub fn map_integer(&self, column: &str, key: &str) -> Option<i64> {
        self.map_atom(column, key)?.as_integer()
    }

    fn map_atom(&self, column: &str, key: &str) -> Option<&Atom> {
        match self.get(column)? {
            Value::Map(map) => map.get(&Atom::from(key)),
            Value::Set(_) => None,
        }
    }

    /// The columns of `wanted` that this row lacks or has otherwise.
    pub fn differing(&self, wanted: &Row) -> Row {
        let differing =
            wanted.0.iter().filter(|(column, value)| self.0.get(*column) != Some(value));
        Row(differing.map(|(column, value)| (column.clone(), value.clone())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "550e8400-e29b-41d4-a716-446655440000";

    fn parse(json: &Json) -> Result<Value, NotationError> {
        Value::from_json(json)
    }

    #[test]
    fn every_notation_of_the_rfc_is_read_and_written() {
        let uuid: Uuid = UUID.parse().unwrap();
        let cases = [
            (json!("text"), Value::from("text")),
            (json!(-5), Value::from(-5)),
            (json!(2.5), Value::from(Atom::Real(2.5))),
            (json!(true), Value::from(true)),
            (json!(["uuid", UUID]), Value::from(uuid)),
            (json!(["named-uuid", "p"]), Value::named("p")),
            (json!(["set", []]), Value::none()),
            (json!(["set", [1, 2]]), Value::set([1, 2])),
            (json!(["map", []]), Value::Map(BTreeMap::new())),
            (json!(["map", [["a", 1], ["b", 2]]]), Value::map([("a", 1), ("b", 2)])),
        ];
        for (json, value) in cases {
            assert_eq!(parse(&json), Ok(value.clone()), "reading {json}");
            assert_eq!(serde_json::to_value(&value).unwrap(), json, "writing {value:?}");
        }
    }

    #[test]
    fn a_set_of_one_is_its_atom() {
        // RFC 7047, section 5.1, <set>: "If the set contains exactly one element, [...] just that
        // <atom>" is equal to it.
        assert_eq!(parse(&json!(["set", ["a"]])), parse(&json!("a")));
        assert_eq!(parse(&json!(["set", [["uuid", UUID]]])), parse(&json!(["uuid", UUID])));
    }

    #[test]
    fn refuses_what_is_no_value() {
        for json in [
            json!(null),
            json!({}),
            json!([]),
            json!(["uuid", "no-uuid"]),
            json!(["uuid"]),
            json!(["set", [["set", []]]]),
            json!(["set", "a"]),
            json!(["map", [["key"]]]),
            json!(["bag", []]),
        ] {
            assert!(parse(&json).is_err(), "{json}");
        }
        let long = parse(&json!(["bag", "x".repeat(10_000)])).unwrap_err();
        assert!(long.to_string().len() < 200, "{long}");
    }

    #[test]
    fn a_row_gives_typed_columns() {
        let row: Row = serde_json::from_value(json!({
            "name": "br0",
            "ofport": ["set", []],
            "cur_cfg": 7,
            "up": true,
            "ports": ["set", [["uuid", UUID]]],
            "external_ids": ["map", [["k", "v"]]],
        }))
        .unwrap();
        assert_eq!(row.string("name"), Some("br0"));
        assert_eq!(row.integer("ofport"), None);
        assert_eq!(row.integer("cur_cfg"), Some(7));
        assert_eq!(row.integer("name"), None);
        assert_eq!(row.boolean("up"), Some(true));
        assert_eq!(row.uuids("ports").collect::<Vec<_>>(), [UUID.parse::<Uuid>().unwrap()]);
        assert_eq!(row.map_string("external_ids", "k"), Some("v"));
        assert_eq!(row.map_string("external_ids", "other"), None);
    }

    #[test]
    fn differing_names_only_the_columns_that_are_otherwise() {
        let is = Row::new().with("a", 1).with("b", 2).with("ignored", 3);
        let wanted = Row::new().with("a", 1).with("b", 3).with("c", 4);
        assert_eq!(is.differing(&wanted), Row::new().with("b", 3).with("c", 4));
        assert!(is.differing(&is).is_empty());
    }
}
