use std::collections::BTreeSet;

use l2sces_measurement::Policy;
use l2sces_model::Name;
use sqlx::{FromRow, PgConnection, Row, postgres::PgRow};

use super::{
    Admission, Store, StoreError, Stored, admit, former_link,
    row::{number, origin, parsed, parsed_array, traceparent, unreadable},
};
use crate::domain::{Link, Links, PortKey, Slice, SliceSpec, Version};

/// Slices with their nodes and links; a node that is being deleted has left its slices.
macro_rules! select_slices {
    ($filter:literal) => {
        concat!(
            "SELECT slice.*,
                array(SELECT member.node FROM slice_node AS member
                      JOIN node ON node.name = member.node
                      WHERE member.slice = slice.name AND NOT node.deleting
                      ORDER BY member.node COLLATE \"C\") AS nodes,
                array(SELECT member.node FROM slice_node AS member
                      JOIN node ON node.name = member.node
                      WHERE member.slice = slice.name AND member.avoid_transit
                        AND NOT node.deleting) AS avoid_transit,
                array(SELECT link.node_a FROM slice_link AS link
                      JOIN node AS a ON a.name = link.node_a JOIN node AS b ON b.name = link.node_b
                      WHERE link.slice = slice.name AND NOT a.deleting AND NOT b.deleting
                      ORDER BY link.node_a, link.node_b) AS nodes_a,
                array(SELECT link.node_b FROM slice_link AS link
                      JOIN node AS a ON a.name = link.node_a JOIN node AS b ON b.name = link.node_b
                      WHERE link.slice = slice.name AND NOT a.deleting AND NOT b.deleting
                      ORDER BY link.node_a, link.node_b) AS nodes_b,
                array(SELECT link.cost FROM slice_link AS link
                      JOIN node AS a ON a.name = link.node_a JOIN node AS b ON b.name = link.node_b
                      WHERE link.slice = slice.name AND NOT a.deleting AND NOT b.deleting
                      ORDER BY link.node_a, link.node_b) AS costs
             FROM slice ",
            $filter
        )
    };
}

impl FromRow<'_, PgRow> for Slice {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        let links =
            if row.try_get("full_mesh")? { Links::FullMesh } else { Links::Listed(links(row)?) };
        Ok(Self {
            spec: SliceSpec {
                name: parsed(row, "name")?,
                version: Version::from_row(row)?,
                nodes: parsed_array(row, "nodes")?,
                links,
                avoid_transit: parsed_array(row, "avoid_transit")?.into_iter().collect(),
                measurement: measurement(row)?,
            },
            ordinal: number(row, "ordinal")?,
            topology: row.try_get("topology")?,
            deleting: row.try_get("deleting")?,
            origin: origin(row)?,
        })
    }
}

fn measurement(row: &PgRow) -> sqlx::Result<Option<Policy>> {
    let encoded: Option<&[u8]> = row.try_get("measurement")?;
    let policy = encoded.map(Policy::decode).transpose();
    policy.map_err(|error| unreadable("measurement", error))
}

fn links(row: &PgRow) -> sqlx::Result<Vec<Link>> {
    let ends = parsed_array(row, "nodes_a")?.into_iter().zip(parsed_array(row, "nodes_b")?);
    let costs: Vec<i32> = row.try_get("costs")?;
    ends.zip(costs)
        .map(|((a, b), cost)| {
            let cost = u16::try_from(cost).map_err(|error| unreadable("costs", error))?;
            Ok(Link { a, b, cost })
        })
        .collect()
}

/// A slice as it is now stored, and the nodes it has lost by that.
#[derive(Debug)]
pub(crate) struct SliceStored {
    pub(crate) slice: Slice,
    pub(crate) former_nodes: Vec<Name>,
}

impl Store {
    /// Stores a slice; answers with what is stored.
    ///
    /// # Errors
    /// One of its nodes is unknown, a node that it leaves has ports of its networks, it is being
    /// deleted, or the database fails.
    pub(crate) async fn apply_slice(&self, spec: &SliceSpec) -> Result<SliceStored, StoreError> {
        let mut transaction = self.pool.begin().await?;
        // One writer at a time, as for nodes.
        sqlx::query("LOCK TABLE slice IN SHARE ROW EXCLUSIVE MODE")
            .execute(&mut *transaction)
            .await?;
        let stored: Option<Stored> = sqlx::query_as("SELECT * FROM slice WHERE name = $1")
            .bind(spec.name.as_str())
            .fetch_optional(&mut *transaction)
            .await?;
        let mut former_nodes = Vec::new();
        if admit(stored.as_ref(), &spec.version, "slice", &spec.name)? == Admission::Write {
            lock_nodes(&mut transaction, &spec.nodes).await?;
            former_link::keep_those_of_slice(&mut transaction, spec).await?;
            write(&mut transaction, spec).await?;
            former_nodes = write_topology(&mut transaction, spec).await?;
            check_ports(&mut transaction, spec).await?;
        }
        let slice = sqlx::query_as(select_slices!("WHERE name = $1"))
            .bind(spec.name.as_str())
            .fetch_one(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(SliceStored { slice, former_nodes })
    }

    /// A slice, if there is one.
    pub(crate) async fn slice(&self, name: &Name) -> Result<Option<Slice>, StoreError> {
        Ok(sqlx::query_as(select_slices!("WHERE name = $1"))
            .bind(name.as_str())
            .fetch_optional(&self.pool)
            .await?)
    }

    /// All slices, by name.
    pub(crate) async fn slices(&self) -> Result<Vec<Slice>, StoreError> {
        Ok(sqlx::query_as(select_slices!("ORDER BY name")).fetch_all(&self.pool).await?)
    }

    /// The slices that a node is in, are to stay, and have their links measured.
    pub(crate) async fn measured_slices_of(&self, node: &Name) -> Result<Vec<Slice>, StoreError> {
        Ok(sqlx::query_as(select_slices!(
            "WHERE measurement IS NOT NULL AND NOT deleting AND name IN
                (SELECT slice FROM slice_node WHERE node = $1)
             ORDER BY name"
        ))
        .bind(node.as_str())
        .fetch_all(&self.pool)
        .await?)
    }

    /// Names of the slices that a node is in.
    pub(crate) async fn slices_of(&self, node: &Name) -> Result<Vec<Name>, StoreError> {
        let rows = sqlx::query("SELECT slice FROM slice_node WHERE node = $1")
            .bind(node.as_str())
            .fetch_all(&self.pool)
            .await?;
        Ok(rows.iter().map(|row| parsed(row, "slice")).collect::<sqlx::Result<_>>()?)
    }

    /// Marks a slice for deletion; answers with it, or none if there is none.
    ///
    /// # Errors
    /// It has networks, or the database fails.
    pub(crate) async fn mark_slice(&self, name: &Name) -> Result<Option<Slice>, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let locked = sqlx::query("SELECT FROM slice WHERE name = $1 FOR UPDATE")
            .bind(name.as_str())
            .fetch_optional(&mut *transaction)
            .await?;
        if locked.is_none() {
            return Ok(None);
        }
        let networks: bool =
            sqlx::query_scalar("SELECT EXISTS (SELECT FROM network WHERE slice = $1)")
                .bind(name.as_str())
                .fetch_one(&mut *transaction)
                .await?;
        if networks {
            let name = name.to_string();
            return Err(StoreError::InUse { kind: "slice", name, what: "networks" });
        }
        sqlx::query(
            "UPDATE slice SET deleting = true,
                traceparent = CASE WHEN deleting THEN traceparent ELSE $2 END
             WHERE name = $1",
        )
        .bind(name.as_str())
        .bind(traceparent())
        .execute(&mut *transaction)
        .await?;
        let slice = sqlx::query_as(select_slices!("WHERE name = $1"))
            .bind(name.as_str())
            .fetch_one(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(Some(slice))
    }

    /// Forgets a slice whose deletion is complete.
    pub(crate) async fn remove_slice(&self, name: &Name) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM slice WHERE name = $1 AND deleting")
            .bind(name.as_str())
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

/// Makes sure that the nodes exist, and go on existing until the transaction ends.
async fn lock_nodes(connection: &mut PgConnection, nodes: &[Name]) -> Result<(), StoreError> {
    let names: Vec<&str> = nodes.iter().map(Name::as_str).collect();
    let rows = sqlx::query(
        "SELECT name FROM node WHERE name = ANY ($1) AND NOT deleting ORDER BY name FOR KEY SHARE",
    )
    .bind(names)
    .fetch_all(connection)
    .await?;
    let known =
        rows.iter().map(|row| parsed(row, "name")).collect::<sqlx::Result<BTreeSet<Name>>>()?;
    match nodes.iter().find(|node| !known.contains(*node)) {
        Some(unknown) => Err(StoreError::UnknownNode(unknown.clone())),
        None => Ok(()),
    }
}

async fn write(connection: &mut PgConnection, spec: &SliceSpec) -> Result<(), StoreError> {
    let ordinal: Option<i32> = sqlx::query_scalar(
        "SELECT coalesce(
            (SELECT ordinal FROM slice WHERE name = $1),
            (SELECT min(candidate) FROM (SELECT 1 UNION SELECT ordinal + 1 FROM slice)
                AS possible (candidate)
             WHERE candidate <= 32767
               AND NOT EXISTS (SELECT FROM slice WHERE ordinal = candidate)))",
    )
    .bind(spec.name.as_str())
    .fetch_one(&mut *connection)
    .await?;
    sqlx::query(
        "INSERT INTO slice (name, uid, generation, ordinal, full_mesh, measurement, traceparent)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (name) DO UPDATE SET
            uid = excluded.uid, generation = excluded.generation, full_mesh = excluded.full_mesh,
            measurement = excluded.measurement, topology = slice.topology + 1,
            traceparent = excluded.traceparent",
    )
    .bind(spec.name.as_str())
    .bind(&spec.version.uid)
    .bind(spec.version.generation)
    .bind(ordinal.ok_or(StoreError::Exhausted("slices"))?)
    .bind(spec.links == Links::FullMesh)
    .bind(spec.measurement.as_ref().map(Policy::encode))
    .bind(traceparent())
    .execute(connection)
    .await?;
    Ok(())
}

/// The ends of the listed links: the lesser names, and the others.
pub(super) fn listed_ends(spec: &SliceSpec) -> (Vec<&str>, Vec<&str>) {
    match &spec.links {
        Links::FullMesh => Default::default(),
        Links::Listed(links) => links.iter().map(|link| (link.a.as_str(), link.b.as_str())).unzip(),
    }
}

/// Refuses to leave a node that has ports of the slice's networks. To be called when the nodes are
/// written: nobody can store a port on one that has been left since.
async fn check_ports(connection: &mut PgConnection, spec: &SliceSpec) -> Result<(), StoreError> {
    let nodes: Vec<&str> = spec.nodes.iter().map(Name::as_str).collect();
    let left = sqlx::query(
        "SELECT node, network, name FROM port
         WHERE slice = $1 AND node <> ALL ($2) AND NOT deleting LIMIT 1",
    )
    .bind(spec.name.as_str())
    .bind(&nodes)
    .fetch_optional(connection)
    .await?;
    let Some(row) = left else { return Ok(()) };
    Err(StoreError::NodeNeeded {
        node: parsed(&row, "node")?,
        port: PortKey {
            slice: spec.name.clone(),
            network: parsed(&row, "network")?,
            name: parsed(&row, "name")?,
        },
    })
}

/// Replaces the nodes and links; answers with the nodes that are none of its own any more.
async fn write_topology(
    connection: &mut PgConnection,
    spec: &SliceSpec,
) -> Result<Vec<Name>, StoreError> {
    let nodes: Vec<&str> = spec.nodes.iter().map(Name::as_str).collect();
    let avoid_transit: Vec<&str> = spec.avoid_transit.iter().map(Name::as_str).collect();
    let (nodes_a, nodes_b) = listed_ends(spec);
    let costs: Vec<i32> = match &spec.links {
        Links::FullMesh => Vec::new(),
        Links::Listed(links) => links.iter().map(|link| link.cost.into()).collect(),
    };
    sqlx::query("DELETE FROM slice_link WHERE slice = $1")
        .bind(spec.name.as_str())
        .execute(&mut *connection)
        .await?;
    let former =
        sqlx::query("DELETE FROM slice_node WHERE slice = $1 AND node <> ALL ($2) RETURNING node")
            .bind(spec.name.as_str())
            .bind(&nodes)
            .fetch_all(&mut *connection)
            .await?;
    sqlx::query(
        "INSERT INTO slice_node (slice, node, avoid_transit)
         SELECT $1, member, member = ANY ($3) FROM unnest($2::text[]) AS member
         ON CONFLICT (slice, node) DO UPDATE SET avoid_transit = excluded.avoid_transit",
    )
    .bind(spec.name.as_str())
    .bind(&nodes)
    .bind(&avoid_transit)
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "INSERT INTO slice_link (slice, node_a, node_b, cost)
         SELECT $1, a, b, cost
         FROM unnest($2::text[], $3::text[], $4::integer[]) AS link (a, b, cost)",
    )
    .bind(spec.name.as_str())
    .bind(&nodes_a)
    .bind(&nodes_b)
    .bind(&costs)
    .execute(&mut *connection)
    .await?;
    Ok(former.iter().map(|row| parsed(row, "node")).collect::<sqlx::Result<_>>()?)
}
