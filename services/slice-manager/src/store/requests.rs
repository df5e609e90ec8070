use sha2::{Digest as _, Sha256};
use sqlx::Row as _;
use uuid::Uuid;

use super::{StoreError, Transaction};
use crate::domain::{Resource, Stored};

/// Fingerprint of a request, to tell a repeated one from another with the same id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Digest([u8; 32]);

/// What is known of a request's id.
#[derive(Debug)]
pub enum Claim<R: Resource> {
    /// It is new, and taken until the transaction ends.
    New,
    /// The request has been answered with this resource, given here as it is now, or as it was
    /// answered if it is gone.
    Answered(Box<Stored<R>>),
    /// Another request had it.
    Other,
}

impl Digest {
    /// The fingerprint of a method's encoded request.
    pub fn of(method: &str, request: &[u8]) -> Self {
        let mut hash = Sha256::new();
        hash.update(method.as_bytes());
        hash.update([0]);
        hash.update(request);
        Self(hash.finalize().into())
    }
}

impl Transaction {
    /// Takes a request's id, once whoever holds it has let go.
    ///
    /// # Errors
    /// The database fails.
    pub async fn claim_request<R: Resource>(
        &mut self,
        id: &str,
        digest: Digest,
    ) -> Result<Claim<R>, StoreError> {
        let inserted =
            sqlx::query("insert into request (id, digest) values ($1, $2) on conflict do nothing")
                .bind(id)
                .bind(digest.0.as_slice())
                .execute(self.connection())
                .await?;
        if inserted.rows_affected() == 1 {
            return Ok(Claim::New);
        }
        let row =
            sqlx::query("select digest, response::text as response from request where id = $1")
                .bind(id)
                .fetch_one(self.connection())
                .await?;
        if row.try_get::<&[u8], _>("digest")? != digest.0 {
            return Ok(Claim::Other);
        }
        let answered: Stored<R> = serde_json::from_str(row.try_get("response")?)?;
        let now = self.by_uid(answered.meta.uid).await?;
        Ok(Claim::Answered(Box::new(now.unwrap_or(answered))))
    }

    /// Stores the answer of a request whose id was taken.
    ///
    /// # Errors
    /// The database fails.
    pub async fn answer_request<R: Resource>(
        &mut self,
        id: &str,
        answer: &Stored<R>,
    ) -> Result<(), StoreError> {
        sqlx::query("update request set response = $2::jsonb where id = $1")
            .bind(id)
            .bind(serde_json::to_string(answer)?)
            .execute(self.connection())
            .await?;
        Ok(())
    }

    async fn by_uid<R: Resource>(&mut self, uid: Uuid) -> Result<Option<Stored<R>>, StoreError> {
        let row: Option<super::row::Row> = sqlx::query_as(super::row::select!("where uid = $1"))
            .bind(uid)
            .fetch_optional(self.connection())
            .await?;
        row.map(|row| row.parse()).transpose()
    }
}
