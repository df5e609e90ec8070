//! Rows to domain values. What was validated before it was stored parses again; if somebody wrote
//! to the tables by hand and it does not, the error names the column.

use std::{error::Error, str::FromStr};

use l2sces_trace::TraceContext;
use sqlx::{FromRow, Row, postgres::PgRow};

use super::Stored;
use crate::domain::Version;

/// A column that holds the text of a value.
pub(super) fn parsed<T>(row: &PgRow, column: &'static str) -> sqlx::Result<T>
where
    T: FromStr,
    T::Err: Error + Send + Sync + 'static,
{
    row.try_get::<String, _>(column)?.parse().map_err(|error| unreadable(column, error))
}

/// A column that holds the text of a value, or null.
pub(super) fn parsed_if_any<T>(row: &PgRow, column: &'static str) -> sqlx::Result<Option<T>>
where
    T: FromStr,
    T::Err: Error + Send + Sync + 'static,
{
    let text: Option<String> = row.try_get(column)?;
    text.map(|text| text.parse().map_err(|error| unreadable(column, error))).transpose()
}

/// An array column that holds the texts of values.
pub(super) fn parsed_array<T>(row: &PgRow, column: &'static str) -> sqlx::Result<Vec<T>>
where
    T: FromStr,
    T::Err: Error + Send + Sync + 'static,
{
    row.try_get::<Vec<String>, _>(column)?
        .iter()
        .map(|text| text.parse().map_err(|error| unreadable(column, error)))
        .collect()
}

/// An integer column whose values have a narrower type.
pub(super) fn number<T>(row: &PgRow, column: &'static str) -> sqlx::Result<T>
where
    T: TryFrom<i32>,
    T::Error: Error + Send + Sync + 'static,
{
    T::try_from(row.try_get::<i32, _>(column)?).map_err(|error| unreadable(column, error))
}

/// The span in which an object was changed last.
pub(super) fn origin(row: &PgRow) -> sqlx::Result<Option<TraceContext>> {
    Ok(TraceContext::received(row.try_get("traceparent")?))
}

/// The span in which an object is changed now.
pub(super) fn traceparent() -> String {
    TraceContext::traceparent(TraceContext::current())
}

/// The error of a column whose value is none of its type's.
pub(super) fn unreadable(
    column: &'static str,
    error: impl Error + Send + Sync + 'static,
) -> sqlx::Error {
    sqlx::Error::ColumnDecode { index: column.to_owned(), source: Box::new(error) }
}

impl FromRow<'_, PgRow> for Version {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self { uid: row.try_get("uid")?, generation: row.try_get("generation")? })
    }
}

impl FromRow<'_, PgRow> for Stored {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self { version: Version::from_row(row)?, deleting: row.try_get("deleting")? })
    }
}
