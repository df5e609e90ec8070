use l2sces_model::Name;
use l2sces_trace::TraceContext;
use sqlx::{PgExecutor, Row as _};

use super::{
    AnyStored, Store, StoreError,
    row::{Row, select},
};
use crate::domain::{Key, Kind, Network, Resource, Slice, Stored};

/// Which resources of a kind: all, those of a slice, or those of a network.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Scope<'a> {
    /// Name of the slice; empty: all.
    pub slice: &'a str,
    /// Name of the network; empty: all.
    pub network: &'a str,
}

/// Sorts after every name.
const AFTER_NAMES: &str = "~";

impl<'a> Scope<'a> {
    /// The first and the last (slice, network) of the scope, which is thus one range of an index.
    pub(super) const fn bounds(self) -> ((&'a str, &'a str), (&'a str, &'a str)) {
        let low = (self.slice, self.network);
        let high = match (self.slice.is_empty(), self.network.is_empty()) {
            (true, _) => (AFTER_NAMES, AFTER_NAMES),
            (false, true) => (self.slice, AFTER_NAMES),
            (false, false) => low,
        };
        (low, high)
    }
}

/// One page of a list.
#[derive(Debug)]
pub struct Page<R: Resource> {
    /// In the order of slice, network and name.
    pub resources: Vec<Stored<R>>,
    /// Whether more follow.
    pub more: bool,
}

impl Store {
    /// Reads one resource.
    ///
    /// # Errors
    /// The database fails.
    pub async fn get<R: Resource>(&self, key: &Key) -> Result<Option<Stored<R>>, StoreError> {
        self.get_any(std::slice::from_ref(key)).await?.get(key)
    }

    /// Reads the resources with these keys, at one moment.
    ///
    /// # Errors
    /// The database fails.
    pub async fn get_any(&self, keys: &[Key]) -> Result<AnyStored, StoreError> {
        AnyStored::new(fetch_keys(GET_ANY, &self.pool, keys).await?)
    }

    /// Whether there is a resource with this key.
    ///
    /// # Errors
    /// The database fails.
    pub async fn exists(&self, key: &Key) -> Result<bool, StoreError> {
        let exists = sqlx::query_scalar(
            "select exists (select from resource where kind = $1 and slice = $2 \
             and network = $3 and name = $4)",
        );
        let exists = exists.bind(key.kind().as_str()).bind(key.slice()).bind(key.network());
        Ok(exists.bind(key.name().as_str()).fetch_one(&self.pool).await?)
    }

    /// Reads up to `size` resources of a scope that come after the given one.
    ///
    /// # Errors
    /// The database fails.
    pub async fn list<R: Resource>(
        &self,
        scope: Scope<'_>,
        after: Option<&Key>,
        size: usize,
    ) -> Result<Page<R>, StoreError> {
        let (low, high) = scope.bounds();
        let after = after
            .map_or((low.0, low.1, ""), |key| (key.slice(), key.network(), key.name().as_str()));
        let limit = i64::try_from(size).unwrap_or(i64::MAX).saturating_add(1);
        let mut rows: Vec<Row> = sqlx::query_as(LIST)
            .bind(R::KIND.as_str())
            .bind(after.0)
            .bind(after.1)
            .bind(after.2)
            .bind(high.0)
            .bind(high.1)
            .bind(limit)
            .fetch_all(&self.pool)
            .await?;
        let more = rows.len() > size;
        rows.truncate(size);
        let resources = rows.iter().map(Row::parse).collect::<Result<_, _>>()?;
        Ok(Page { resources, more })
    }

    /// How many resources of a kind a scope has.
    ///
    /// # Errors
    /// The database fails.
    pub async fn count(&self, kind: Kind, scope: Scope<'_>) -> Result<i64, StoreError> {
        let (low, high) = scope.bounds();
        let count = sqlx::query_scalar(
            "select count(*) from resource where kind = $1 and (slice, network) >= ($2, $3) \
             and (slice, network) <= ($4, $5)",
        );
        let count = count.bind(kind.as_str()).bind(low.0).bind(low.1).bind(high.0).bind(high.1);
        Ok(count.fetch_one(&self.pool).await?)
    }

    /// The span in which what is wanted of a resource was changed last.
    ///
    /// # Errors
    /// The database fails.
    pub async fn origin(&self, key: &Key) -> Result<Option<TraceContext>, StoreError> {
        let traceparent: Option<String> = sqlx::query_scalar(
            "select traceparent from resource \
             where kind = $1 and slice = $2 and network = $3 and name = $4",
        )
        .bind(key.kind().as_str())
        .bind(key.slice())
        .bind(key.network())
        .bind(key.name().as_str())
        .fetch_optional(self.pool())
        .await?;
        Ok(traceparent.as_deref().and_then(TraceContext::received))
    }

    /// Keys of every resource that may have something left to do.
    ///
    /// # Errors
    /// The database fails.
    pub async fn unsettled(&self) -> Result<Vec<Key>, StoreError> {
        keys(
            sqlx::query(
                "select kind, slice, network, name from resource \
             where not settled or delete_time is not null",
            )
            .fetch_all(&self.pool)
            .await?,
        )
    }

    /// Keys of every resource of these kinds.
    ///
    /// # Errors
    /// The database fails.
    pub async fn keys(&self, kinds: &[Kind]) -> Result<Vec<Key>, StoreError> {
        let kinds: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
        keys(
            sqlx::query("select kind, slice, network, name from resource where kind = any($1)")
                .bind(kinds)
                .fetch_all(&self.pool)
                .await?,
        )
    }

    /// Keys of every resource of which something is, or is to be, in a cluster.
    ///
    /// # Errors
    /// The database fails.
    pub async fn keys_in_cluster(
        &self,
        cluster: &Name,
        target: &str,
    ) -> Result<Vec<Key>, StoreError> {
        keys(sqlx::query(
            "select kind, slice, network, name from resource where kind = 'cluster' and name = $1 \
             union select kind, slice, network, name from resource \
                join placement on owner = uid where target = $2 \
             union select kind, slice, network, name from resource \
                where kind = 'port' and spec ->> 'cluster' = $1",
        )
        .bind(cluster.as_str())
        .bind(target)
        .fetch_all(&self.pool)
        .await?)
    }

    /// Keys of the slices that have a cluster.
    ///
    /// # Errors
    /// The database fails.
    pub async fn slices_of_cluster(&self, cluster: &Name) -> Result<Vec<Key>, StoreError> {
        let slices = slices_naming(&self.pool, cluster).await?;
        Ok(slices.into_iter().map(|slice| slice.meta.key).collect())
    }

    /// Keys of the networks of a slice.
    ///
    /// # Errors
    /// The database fails.
    pub async fn networks_of_slice(&self, slice: &Name) -> Result<Vec<Key>, StoreError> {
        keys(sqlx::query(
            "select kind, slice, network, name from resource where kind = 'network' and slice = $1",
        )
        .bind(slice.as_str())
        .fetch_all(&self.pool)
        .await?)
    }

    /// Keys of the ports of a network that may have something left to do.
    ///
    /// # Errors
    /// The database fails.
    pub async fn unsettled_ports(
        &self,
        slice: &Name,
        network: &Name,
    ) -> Result<Vec<Key>, StoreError> {
        keys(sqlx::query(
            "select kind, slice, network, name from resource where kind = 'port' and slice = $1 \
             and network = $2 and (not settled or delete_time is not null)",
        )
        .bind(slice.as_str())
        .bind(network.as_str())
        .fetch_all(&self.pool)
        .await?)
    }
}

pub(super) const GET_ANY: &str = select!(
    "join unnest($1::text[], $2::text[], $3::text[], $4::text[]) \
     as wanted (kind, slice, network, name) using (kind, slice, network, name)"
);

const LIST: &str = select!(
    "where kind = $1 and (slice, network, name) > ($2, $3, $4) \
     and (slice, network) <= ($5, $6) order by slice, network, name limit $7"
);

pub(super) async fn fetch_keys(
    sql: &'static str,
    executor: impl PgExecutor<'_>,
    keys: &[Key],
) -> Result<Vec<Row>, sqlx::Error> {
    let column = |part: fn(&Key) -> &str| keys.iter().map(part).collect::<Vec<&str>>();
    sqlx::query_as(sql)
        .bind(column(|key| key.kind().as_str()))
        .bind(column(Key::slice))
        .bind(column(Key::network))
        .bind(column(|key| key.name().as_str()))
        .fetch_all(executor)
        .await
}

/// The keys that rows hold.
pub(super) fn keys(rows: Vec<sqlx::postgres::PgRow>) -> Result<Vec<Key>, StoreError> {
    let key = |row: sqlx::postgres::PgRow| -> Result<Key, StoreError> {
        let column = |name| row.try_get::<&str, _>(name);
        Ok(Key::from_parts(column("kind")?, column("slice")?, column("network")?, column("name")?)?)
    };
    rows.into_iter().map(key).collect()
}

/// The slices that name a cluster.
pub(super) async fn slices_naming(
    executor: impl PgExecutor<'_>,
    cluster: &Name,
) -> Result<Vec<Stored<Slice>>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(select!(
        "where kind = 'slice' and spec @> jsonb_build_object('clusters', \
         jsonb_build_array(jsonb_build_object('cluster', $1::text))) order by name"
    ))
    .bind(cluster.as_str())
    .fetch_all(executor)
    .await?;
    rows.iter().map(Row::parse).collect()
}

/// The networks of a slice.
pub(super) async fn networks_of(
    executor: impl PgExecutor<'_>,
    slice: &Name,
) -> Result<Vec<Stored<Network>>, StoreError> {
    let rows: Vec<Row> =
        sqlx::query_as(select!("where kind = 'network' and slice = $1 order by name"))
            .bind(slice.as_str())
            .fetch_all(executor)
            .await?;
    rows.iter().map(Row::parse).collect()
}

/// Where the ports are that these filters match; empty: any.
pub(super) async fn port_places(
    executor: impl PgExecutor<'_>,
    scope: Scope<'_>,
    cluster: &str,
) -> Result<Vec<PortPlace>, StoreError> {
    let rows = sqlx::query(
        "select spec ->> 'cluster' as cluster, spec ->> 'node' as node, \
         min(slice || '/' || network || '/' || name) as example, \
         bool_or(delete_time is null) as lasts from resource where kind = 'port' \
         and ($1 = '' or slice = $1) and ($2 = '' or network = $2) \
         and ($3 = '' or spec ->> 'cluster' = $3) group by 1, 2 order by 1, 2",
    )
    .bind(scope.slice)
    .bind(scope.network)
    .bind(cluster)
    .fetch_all(executor)
    .await?;
    let place = |row: sqlx::postgres::PgRow| -> Result<PortPlace, StoreError> {
        Ok(PortPlace {
            cluster: row.try_get("cluster")?,
            node: row.try_get("node")?,
            example: row.try_get("example")?,
            lasts: row.try_get("lasts")?,
        })
    };
    rows.into_iter().map(place).collect()
}

/// A node that has ports.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PortPlace {
    /// Name of the cluster.
    pub cluster: String,
    /// Name of the node.
    pub node: String,
    /// Path of one of the ports.
    pub example: String,
    /// Whether any of them is to stay.
    pub lasts: bool,
}
