//! What the sco-provider has said last.

use std::collections::BTreeMap;

use super::{Store, StoreError};

/// What is said of items, by their keys; none: they are gone.
pub(crate) type ExchangeItems = BTreeMap<String, Option<Vec<u8>>>;

impl Store {
    /// Begins a watch; answers with its number.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn begin_exchange_watch(&self) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar("SELECT nextval('exchange_watch')").fetch_one(&self.pool).await?)
    }

    /// Keeps what a watch has said. Once it has told everything, what only earlier ones told is
    /// gone.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn keep_exchange_items(
        &self,
        watch: i64,
        items: ExchangeItems,
        has_told_all: bool,
    ) -> Result<(), StoreError> {
        let (mut keys, mut messages, mut gone) = (Vec::new(), Vec::new(), Vec::new());
        for (key, message) in items {
            match message {
                Some(message) => {
                    keys.push(key);
                    messages.push(message);
                }
                None => gone.push(key),
            }
        }
        // One statement, unless everything has been told: most of the time there is nothing more.
        let keep = sqlx::query(
            "WITH gone AS (DELETE FROM exchange_item WHERE key = ANY ($4))
             INSERT INTO exchange_item (key, message, watch)
             SELECT key, message, $3 FROM unnest($1, $2) AS told (key, message)
             ON CONFLICT (key) DO UPDATE SET message = excluded.message, watch = excluded.watch",
        )
        .bind(keys)
        .bind(messages)
        .bind(watch)
        .bind(gone);
        if !has_told_all {
            keep.execute(&self.pool).await?;
            return Ok(());
        }
        let mut transaction = self.pool.begin().await?;
        keep.execute(&mut *transaction).await?;
        sqlx::query("DELETE FROM exchange_item WHERE watch < $1")
            .bind(watch)
            .execute(&mut *transaction)
            .await?;
        sqlx::query("UPDATE exchange SET complete = true WHERE NOT complete")
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// What was kept; none if no watch has ever told everything.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn exchange_items(&self) -> Result<Option<Vec<Vec<u8>>>, StoreError> {
        let is_complete: bool =
            sqlx::query_scalar("SELECT complete FROM exchange").fetch_one(&self.pool).await?;
        if !is_complete {
            return Ok(None);
        }
        let items = sqlx::query_scalar("SELECT message FROM exchange_item ORDER BY key");
        Ok(Some(items.fetch_all(&self.pool).await?))
    }
}
