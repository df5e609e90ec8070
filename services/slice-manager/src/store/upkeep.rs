use uuid::Uuid;

use super::{Store, StoreError};
use crate::{
    domain::{Meta, Resource, Stored},
    vault::Sealed,
};

impl Store {
    /// Writes what is known of a resource, unless it is gone; the revision. Only whoever leads does
    /// so (see [`super::Leadership`]).
    ///
    /// # Errors
    /// The database fails.
    pub async fn write_status<R: Resource>(
        &self,
        stored: &Stored<R>,
    ) -> Result<Option<i64>, StoreError> {
        // The row is locked before the revision is taken; see `next_revision()`.
        let revision = sqlx::query_scalar(
            "with locked as (select uid from resource where uid = $1 for no key update) \
             update resource set status = $2::jsonb, settled = $3 and generation = $4, \
             revision = next_revision() from locked where resource.uid = locked.uid \
             returning revision",
        )
        .bind(stored.meta.uid)
        .bind(serde_json::to_string(&stored.status)?)
        .bind(stored.is_settled())
        .bind(stored.meta.generation)
        .fetch_optional(self.pool())
        .await?;
        Ok(revision)
    }

    /// Puts credentials that have been sealed anew in the place of a cluster's, unless those are others
    /// by now. What is wanted stays the same, and so does the generation.
    ///
    /// # Errors
    /// The database fails.
    pub async fn reseal(
        &self,
        cluster: Uuid,
        former: &Sealed,
        latest: &Sealed,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "update resource set spec = jsonb_set(spec, '{kubernetes,credentials}', $3::jsonb) \
             where uid = $1 and spec #> '{kubernetes,credentials}' = $2::jsonb",
        )
        .bind(cluster)
        .bind(serde_json::to_string(former)?)
        .bind(serde_json::to_string(latest)?)
        .execute(self.pool())
        .await?;
        Ok(())
    }

    /// Removes a resource of which nothing is left anywhere. Watches learn of it from its tombstone.
    ///
    /// # Errors
    /// The database fails, or something refers to the resource.
    pub async fn remove(&self, meta: &Meta) -> Result<(), StoreError> {
        sqlx::query(
            "with locked as \
                (select uid from resource where uid = $1 and delete_time is not null for update), \
             gone as (delete from resource using locked where resource.uid = locked.uid \
                returning resource.*) \
             insert into tombstone (revision, kind, slice, network, name, uid, generation, \
                create_time, delete_time) \
             select next_revision(), kind, slice, network, name, uid, generation, create_time, \
                delete_time from gone",
        )
        .bind(meta.uid)
        .execute(self.pool())
        .await?;
        Ok(())
    }

    /// Forgets tombstones and answered requests that are older than a day.
    ///
    /// # Errors
    /// The database fails.
    pub async fn prune(&self) -> Result<(), StoreError> {
        // One statement: whoever reads the tombstones first and the horizon then misses none.
        sqlx::query(
            "with pruned as (delete from tombstone where gone_time < now() - interval '1 day' \
                returning revision) \
             update horizon set revision = greatest(horizon.revision, newest.revision) \
             from (select max(revision) as revision from pruned) as newest \
             where newest.revision is not null",
        )
        .execute(self.pool())
        .await?;
        sqlx::query("delete from request where create_time < now() - interval '1 day'")
            .execute(self.pool())
            .await?;
        Ok(())
    }
}
