use std::collections::BTreeSet;

use sqlx::PgExecutor;
use uuid::Uuid;

use super::{Store, StoreError, Transaction, queries};
use crate::domain::Key;

/// A place where something of a resource may exist.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Placement {
    /// The service, such as `sco` or `cluster/a`.
    pub target: String,
    /// The object in it, such as `node/n1`.
    pub object: String,
}

impl Store {
    /// Every place where something of a resource may exist.
    ///
    /// # Errors
    /// The database fails.
    pub async fn placements(&self, owner: Uuid) -> Result<BTreeSet<Placement>, StoreError> {
        let rows: Vec<(String, String)> =
            sqlx::query_as("select target, object from placement where owner = $1")
                .bind(owner)
                .fetch_all(self.pool())
                .await?;
        Ok(rows.into_iter().map(|(target, object)| Placement { target, object }).collect())
    }

    /// The places of a resource that are to be cleared without waiting for what is in them.
    ///
    /// # Errors
    /// The database fails.
    pub async fn forced_placements(&self, owner: Uuid) -> Result<BTreeSet<Placement>, StoreError> {
        let rows: Vec<(String, String)> =
            sqlx::query_as("select target, object from placement where owner = $1 and forced")
                .bind(owner)
                .fetch_all(self.pool())
                .await?;
        Ok(rows.into_iter().map(|(target, object)| Placement { target, object }).collect())
    }

    /// How many other resources may have something in a service.
    ///
    /// # Errors
    /// The database fails.
    pub async fn others_placed(&self, target: &str, owner: Uuid) -> Result<i64, StoreError> {
        let count = sqlx::query_scalar(
            "select count(distinct owner) from placement where target = $1 and owner <> $2",
        );
        Ok(count.bind(target).bind(owner).fetch_one(self.pool()).await?)
    }

    /// Remembers places before anything is made there.
    ///
    /// # Errors
    /// The database fails.
    pub async fn place(&self, owner: Uuid, places: &[Placement]) -> Result<(), StoreError> {
        place(self.pool(), owner, places).await
    }

    /// Forgets places where nothing is left.
    ///
    /// # Errors
    /// The database fails.
    pub async fn forget(&self, owner: Uuid, places: &[Placement]) -> Result<(), StoreError> {
        let (targets, objects) = columns(places);
        sqlx::query(
            "delete from placement using unnest($2::text[], $3::text[]) as gone (target, object) \
             where owner = $1 and placement.target = gone.target and placement.object = gone.object",
        )
        .bind(owner)
        .bind(targets)
        .bind(objects)
        .execute(self.pool())
        .await?;
        Ok(())
    }
}

impl Transaction {
    /// Remembers places along with the change that calls for them: whoever carries it out finds
    /// them there and need not write before the first call.
    ///
    /// # Errors
    /// The database fails.
    pub async fn place(&mut self, owner: Uuid, places: &[Placement]) -> Result<(), StoreError> {
        place(self.connection(), owner, places).await
    }

    /// Forgets all places in a service, whatever is in them; the resources that had some.
    ///
    /// # Errors
    /// The database fails.
    pub async fn give_up(&mut self, target: &str) -> Result<Vec<Key>, StoreError> {
        queries::keys(
            sqlx::query(
                "with given_up as (delete from placement where target = $1 returning owner) \
                 select distinct kind, slice, network, name from resource \
                 join given_up on given_up.owner = resource.uid",
            )
            .bind(target)
            .fetch_all(self.connection())
            .await?,
        )
    }

    /// Has every place of a resource but these cleared without waiting for what is in it.
    ///
    /// # Errors
    /// The database fails.
    pub async fn force_all_but(
        &mut self,
        owner: Uuid,
        wanted: &[Placement],
    ) -> Result<(), StoreError> {
        let (targets, objects) = columns(wanted);
        sqlx::query(
            "update placement set forced = true where owner = $1 and (target, object) not in \
             (select * from unnest($2::text[], $3::text[]))",
        )
        .bind(owner)
        .bind(targets)
        .bind(objects)
        .execute(self.connection())
        .await?;
        Ok(())
    }
}

async fn place(
    executor: impl PgExecutor<'_>,
    owner: Uuid,
    places: &[Placement],
) -> Result<(), StoreError> {
    let (targets, objects) = columns(places);
    sqlx::query(
        "insert into placement (owner, target, object) \
         select $1, target, object from unnest($2::text[], $3::text[]) as new (target, object) \
         order by target, object on conflict (owner, target, object) \
         do update set forced = false where placement.forced",
    )
    .bind(owner)
    .bind(targets)
    .bind(objects)
    .execute(executor)
    .await?;
    Ok(())
}

fn columns(places: &[Placement]) -> (Vec<&str>, Vec<&str>) {
    places.iter().map(|place| (place.target.as_str(), place.object.as_str())).unzip()
}
