//! The operations of RFC 7047, section 5.2.

use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::{Row, Value};

/// `<operation>`: one step of a transaction.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub enum Operation {
    /// Section 5.2.1.
    Insert {
        /// Table of the new row.
        table: String,
        /// Its columns; others get their defaults.
        row: Row,
        /// Name under which other operations of the transaction refer to it.
        #[serde(rename = "uuid-name", skip_serializing_if = "Option::is_none")]
        uuid_name: Option<String>,
    },
    /// Section 5.2.2.
    Select {
        /// Table to read.
        table: String,
        /// Which rows: those that meet all conditions.
        r#where: Vec<Condition>,
        /// Which columns.
        columns: Vec<String>,
    },
    /// Section 5.2.3.
    Update {
        /// Table to change.
        table: String,
        /// Which rows.
        r#where: Vec<Condition>,
        /// The new values; other columns stay.
        row: Row,
    },
    /// Section 5.2.4.
    Mutate {
        /// Table to change.
        table: String,
        /// Which rows.
        r#where: Vec<Condition>,
        /// What to do with each, in order.
        mutations: Vec<Mutation>,
    },
    /// Section 5.2.5.
    Delete {
        /// Table to change.
        table: String,
        /// Which rows.
        r#where: Vec<Condition>,
    },
    /// Section 5.2.6.
    Wait {
        /// How long to wait, in milliseconds, before the transaction fails.
        timeout: u64,
        /// Table to look at.
        table: String,
        /// Which rows.
        r#where: Vec<Condition>,
        /// Which columns.
        columns: Vec<String>,
        /// Whether to wait for the rows to be these, or not to be.
        until: Until,
        /// The rows.
        rows: Vec<Row>,
    },
    /// Section 5.2.9: goes into the server's log.
    Comment {
        /// What to note.
        comment: String,
    },
}

/// What [`Operation::Wait`] waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Until {
    /// The rows are those given.
    #[serde(rename = "==")]
    Equal,
    /// The rows are others.
    #[serde(rename = "!=")]
    NotEqual,
}

/// `<condition>`: a test on a column.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition(String, Function, Value);

/// `<function>` of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Function {
    /// Less than.
    #[serde(rename = "<")]
    Less,
    /// Less than or equal.
    #[serde(rename = "<=")]
    LessOrEqual,
    /// Equal.
    #[serde(rename = "==")]
    Equal,
    /// Not equal.
    #[serde(rename = "!=")]
    NotEqual,
    /// Greater than or equal.
    #[serde(rename = ">=")]
    GreaterOrEqual,
    /// Greater than.
    #[serde(rename = ">")]
    Greater,
    /// Contains all of the value.
    #[serde(rename = "includes")]
    Includes,
    /// Contains nothing of the value.
    #[serde(rename = "excludes")]
    Excludes,
}

/// `<mutation>`: a change of a column.
#[derive(Clone, Debug, PartialEq)]
pub struct Mutation(String, Mutator, Value);

/// `<mutator>` of a mutation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Mutator {
    /// Add a number.
    #[serde(rename = "+=")]
    Add,
    /// Subtract a number.
    #[serde(rename = "-=")]
    Subtract,
    /// Put into a set or map what it does not have.
    #[serde(rename = "insert")]
    Insert,
    /// Take out of a set or map.
    #[serde(rename = "delete")]
    Delete,
}

impl Condition {
    /// A test on a column.
    pub fn new(column: impl Into<String>, function: Function, value: impl Into<Value>) -> Self {
        Self(column.into(), function, value.into())
    }

    /// The row with this identifier.
    pub fn uuid(uuid: impl Into<Value>) -> Self {
        Self::new("_uuid", Function::Equal, uuid)
    }

    /// Rows whose column has exactly this value.
    pub fn equal(column: impl Into<String>, value: impl Into<Value>) -> Self {
        Self::new(column, Function::Equal, value)
    }
}

impl Serialize for Condition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (&self.0, self.1, &self.2).serialize(serializer)
    }
}

impl Mutation {
    /// A change of a column.
    pub fn new(column: impl Into<String>, mutator: Mutator, value: impl Into<Value>) -> Self {
        Self(column.into(), mutator, value.into())
    }
}

impl Serialize for Mutation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (&self.0, self.1, &self.2).serialize(serializer)
    }
}

impl Operation {
    /// Inserts a row.
    pub fn insert(table: impl Into<String>, row: Row) -> Self {
        Self::Insert { table: table.into(), row, uuid_name: None }
    }

    /// Inserts a row to which the transaction's other operations refer by [`Value::named`].
    /// `name` is an RFC `<id>`: letters, digits and `_`, no digit first.
    pub fn insert_named(table: impl Into<String>, name: impl Into<String>, row: Row) -> Self {
        Self::Insert { table: table.into(), row, uuid_name: Some(name.into()) }
    }

    /// Reads rows.
    pub fn select<C: Into<String>>(
        table: impl Into<String>,
        conditions: impl IntoIterator<Item = Condition>,
        columns: impl IntoIterator<Item = C>,
    ) -> Self {
        Self::Select {
            table: table.into(),
            r#where: conditions.into_iter().collect(),
            columns: columns.into_iter().map(Into::into).collect(),
        }
    }

    /// Sets columns of rows.
    pub fn update(
        table: impl Into<String>,
        conditions: impl IntoIterator<Item = Condition>,
        row: Row,
    ) -> Self {
        Self::Update { table: table.into(), r#where: conditions.into_iter().collect(), row }
    }

    /// Changes columns of rows.
    pub fn mutate(
        table: impl Into<String>,
        conditions: impl IntoIterator<Item = Condition>,
        mutations: impl IntoIterator<Item = Mutation>,
    ) -> Self {
        Self::Mutate {
            table: table.into(),
            r#where: conditions.into_iter().collect(),
            mutations: mutations.into_iter().collect(),
        }
    }

    /// Deletes rows.
    pub fn delete(
        table: impl Into<String>,
        conditions: impl IntoIterator<Item = Condition>,
    ) -> Self {
        Self::Delete { table: table.into(), r#where: conditions.into_iter().collect() }
    }

    /// Waits until the rows are, or are not, these. A timeout of zero makes it a check.
    pub fn wait<C: Into<String>>(
        timeout: Duration,
        table: impl Into<String>,
        conditions: impl IntoIterator<Item = Condition>,
        columns: impl IntoIterator<Item = C>,
        until: Until,
        rows: impl IntoIterator<Item = Row>,
    ) -> Self {
        Self::Wait {
            timeout: u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX),
            table: table.into(),
            r#where: conditions.into_iter().collect(),
            columns: columns.into_iter().map(Into::into).collect(),
            until,
            rows: rows.into_iter().collect(),
        }
    }

    /// Notes something in the server's log.
    pub fn comment(comment: impl Into<String>) -> Self {
        Self::Comment { comment: comment.into() }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Uuid;

    #[test]
    fn every_operation_is_written_as_the_rfc_says() {
        let bridge = Uuid::from_u128(1);
        let uuid = json!(["uuid", "00000000-0000-0000-0000-000000000001"]);
        let cases = [
            (
                Operation::insert("Bridge", Row::new().with("name", "br0")),
                json!({"op": "insert", "table": "Bridge", "row": {"name": "br0"}}),
            ),
            (
                Operation::insert_named("Port", "p", Row::new().with("name", "eth0")),
                json!({"op": "insert", "table": "Port", "row": {"name": "eth0"}, "uuid-name": "p"}),
            ),
            (
                Operation::select("Bridge", [], ["name"]),
                json!({"op": "select", "table": "Bridge", "where": [], "columns": ["name"]}),
            ),
            (
                Operation::update(
                    "Bridge",
                    [Condition::uuid(bridge)],
                    Row::new().with("fail_mode", "secure"),
                ),
                json!({"op": "update", "table": "Bridge", "where": [["_uuid", "==", uuid]],
                       "row": {"fail_mode": "secure"}}),
            ),
            (
                Operation::mutate(
                    "Bridge",
                    [Condition::equal("name", "br0")],
                    [Mutation::new("ports", Mutator::Insert, Value::named("p"))],
                ),
                json!({"op": "mutate", "table": "Bridge", "where": [["name", "==", "br0"]],
                       "mutations": [["ports", "insert", ["named-uuid", "p"]]]}),
            ),
            (
                Operation::delete(
                    "Port",
                    [Condition::new(
                        "external_ids",
                        Function::Includes,
                        Value::map([("owner", "me")]),
                    )],
                ),
                json!({"op": "delete", "table": "Port",
                       "where": [["external_ids", "includes", ["map", [["owner", "me"]]]]]}),
            ),
            (
                Operation::wait(
                    Duration::from_secs(1),
                    "Bridge",
                    [],
                    ["name"],
                    Until::NotEqual,
                    [Row::new().with("name", "br0")],
                ),
                json!({"op": "wait", "timeout": 1000, "table": "Bridge", "where": [],
                       "columns": ["name"], "until": "!=", "rows": [{"name": "br0"}]}),
            ),
            (Operation::comment("why"), json!({"op": "comment", "comment": "why"})),
        ];
        for (operation, golden) in cases {
            assert_eq!(serde_json::to_value(&operation).unwrap(), golden);
        }
    }
}
