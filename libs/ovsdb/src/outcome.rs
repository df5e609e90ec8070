use serde::Deserialize;
use serde_json::Value as Json;

use crate::{
    Row, Uuid,
    error::{Error, OperationError},
};

/// What an operation brought about (RFC 7047, section 5.2).
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Insert: the new row's identifier.
    Inserted(Uuid),
    /// Select: the rows.
    Rows(Vec<Row>),
    /// Update, mutate, delete: how many rows met the conditions.
    Count(u64),
    /// Wait, comment.
    Done,
}

impl Outcome {
    /// Reads the result of a transaction of `operations` operations (section 4.1.3): an array with
    /// an element for each; after a failed one `null`s; when committing fails, one element more.
    pub(crate) fn parse_all(result: &Json, operations: usize) -> Result<Vec<Self>, Error> {
        let unreadable = || Error::Protocol(format!("unreadable transaction result {result}"));
        let elements = result.as_array().ok_or_else(unreadable)?;
        if let Some((index, error)) =
            elements.iter().enumerate().find(|(_, element)| element.get("error").is_some())
        {
            let index = (index < operations).then_some(index);
            return Err(Error::Operation { index, error: OperationError::from_json(error) });
        }
        if elements.len() != operations {
            return Err(unreadable());
        }
        elements.iter().map(|element| Self::parse(element).ok_or_else(unreadable)).collect()
    }

    fn parse(element: &Json) -> Option<Self> {
        let object = element.as_object()?;
        if let Some(uuid) = object.get("uuid") {
            Some(Self::Inserted(uuid.get(1)?.as_str()?.parse().ok()?))
        } else if let Some(rows) = object.get("rows") {
            Some(Self::Rows(Vec::deserialize(rows).ok()?))
        } else if let Some(count) = object.get("count") {
            Some(Self::Count(count.as_u64()?))
        } else {
            Some(Self::Done)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::OperationErrorKind;

    #[test]
    fn every_outcome_is_read() {
        let uuid = Uuid::from_u128(1);
        let result = json!([
            {"uuid": ["uuid", uuid.to_string()]},
            {"rows": [{"name": "br0"}]},
            {"count": 2},
            {},
        ]);
        assert_eq!(
            Outcome::parse_all(&result, 4).unwrap(),
            [
                Outcome::Inserted(uuid),
                Outcome::Rows(vec![Row::new().with("name", "br0")]),
                Outcome::Count(2),
                Outcome::Done
            ]
        );
    }

    #[test]
    fn a_failure_names_the_operation() {
        let failed = json!([{}, {"error": "timed out", "details": "d"}, null]);
        let Err(Error::Operation { index, error }) = Outcome::parse_all(&failed, 3) else {
            panic!("no error");
        };
        assert_eq!((index, error.kind), (Some(1), OperationErrorKind::TimedOut));
    }

    #[test]
    fn a_failed_commit_names_no_operation() {
        let failed = json!([{"count": 1}, {"error": "constraint violation", "details": ""}]);
        let Err(Error::Operation { index, error }) = Outcome::parse_all(&failed, 1) else {
            panic!("no error");
        };
        assert_eq!((index, error.kind), (None, OperationErrorKind::ConstraintViolation));
    }

    #[test]
    fn a_result_of_another_length_is_unreadable() {
        for result in [json!([{}]), json!(null), json!([{}, null])] {
            assert!(matches!(Outcome::parse_all(&result, 2), Err(Error::Protocol(_))), "{result}");
        }
    }
}
