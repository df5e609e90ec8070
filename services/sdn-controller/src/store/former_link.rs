//! Links that slices no longer want, and that frames may still use.

use l2sces_model::Name;
use sqlx::{PgConnection, postgres::PgRow};

use super::{Store, StoreError, row::parsed, slice::listed_ends};
use crate::domain::{DEFAULT_COST, Link, Links, SliceSpec};

/// Every link of every slice, each with the lesser name first. A node that is being deleted still
/// has its own.
macro_rules! with_links {
    ($query:literal) => {
        concat!(
            "WITH link AS (
                SELECT slice.name AS slice, slice.topology, one.node AS a, other.node AS b
                FROM slice
                JOIN slice_node AS one ON one.slice = slice.name
                JOIN slice_node AS other ON other.slice = slice.name
                     AND one.node COLLATE \"C\" < other.node COLLATE \"C\"
                WHERE slice.full_mesh
                UNION ALL
                SELECT slice.name, slice.topology, slice_link.node_a, slice_link.node_b
                FROM slice JOIN slice_link ON slice_link.slice = slice.name
                WHERE NOT slice.full_mesh)
             INSERT INTO former_link (slice, node_a, node_b, topology) ",
            $query,
            " ON CONFLICT (slice, node_a, node_b) DO UPDATE SET topology = excluded.topology"
        )
    };
}

/// Remembers the links that a slice is about to lose by being stored like this.
pub(super) async fn keep_those_of_slice(
    connection: &mut PgConnection,
    spec: &SliceSpec,
) -> Result<(), sqlx::Error> {
    let nodes: Vec<&str> = spec.nodes.iter().map(Name::as_str).collect();
    let (nodes_a, nodes_b) = listed_ends(spec);
    sqlx::query(with_links!(
        "SELECT slice, a, b, topology + 1 FROM link
         WHERE slice = $1 AND NOT CASE
            WHEN $2 THEN a = ANY ($3) AND b = ANY ($3)
            ELSE (a, b) IN (SELECT * FROM unnest($4::text[], $5::text[])) END"
    ))
    .bind(spec.name.as_str())
    .bind(spec.links == Links::FullMesh)
    .bind(&nodes)
    .bind(&nodes_a)
    .bind(&nodes_b)
    .execute(connection)
    .await?;
    Ok(())
}

/// Remembers the links that slices lose with a node, which is to be marked for deletion. The
/// caller keeps everybody else from changing slices.
pub(super) async fn keep_those_of_node(
    connection: &mut PgConnection,
    node: &Name,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE slice SET topology = topology + 1
         WHERE name IN (SELECT slice FROM slice_node WHERE node = $1)",
    )
    .bind(node.as_str())
    .execute(&mut *connection)
    .await?;
    sqlx::query(with_links!("SELECT slice, a, b, topology FROM link WHERE $1 IN (a, b)"))
        .bind(node.as_str())
        .execute(connection)
        .await?;
    Ok(())
}

impl Store {
    /// The nodes at the ends of a slice's former links, up to this topology of it; those that are
    /// being deleted left out.
    pub(crate) async fn former_ends(
        &self,
        slice: &Name,
        topology: i64,
    ) -> Result<Vec<Name>, StoreError> {
        let rows = sqlx::query(
            "SELECT name FROM node WHERE NOT deleting AND name IN (
                SELECT unnest(ARRAY[node_a, node_b]) FROM former_link
                WHERE slice = $1 AND topology <= $2)",
        )
        .bind(slice.as_str())
        .bind(topology)
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.iter().map(|row| parsed(row, "name")).collect::<sqlx::Result<_>>()?)
    }

    /// A slice's former links, each with the lesser name first.
    pub(crate) async fn former_links(&self, slice: &Name) -> Result<Vec<Link>, StoreError> {
        let rows = sqlx::query("SELECT node_a, node_b FROM former_link WHERE slice = $1")
            .bind(slice.as_str())
            .fetch_all(&self.pool)
            .await?;
        let link = |row: &PgRow| {
            Ok(Link { a: parsed(row, "node_a")?, b: parsed(row, "node_b")?, cost: DEFAULT_COST })
        };
        Ok(rows.iter().map(link).collect::<sqlx::Result<_>>()?)
    }

    /// Forgets the former links of a slice, up to this topology of it: no frame uses them. Answers
    /// with the nodes at their ends, which can lose the tunnels.
    pub(crate) async fn forget_former_links(
        &self,
        slice: &Name,
        topology: i64,
    ) -> Result<Vec<Name>, StoreError> {
        let rows = sqlx::query(
            "WITH gone AS (
                DELETE FROM former_link WHERE slice = $1 AND topology <= $2
                RETURNING node_a, node_b)
             SELECT DISTINCT unnest(ARRAY[node_a, node_b]) AS name FROM gone",
        )
        .bind(slice.as_str())
        .bind(topology)
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.iter().map(|row| parsed(row, "name")).collect::<sqlx::Result<_>>()?)
    }

    /// The slices that have former links of a node.
    pub(crate) async fn slices_leaving(&self, node: &Name) -> Result<Vec<Name>, StoreError> {
        let rows =
            sqlx::query("SELECT DISTINCT slice FROM former_link WHERE $1 IN (node_a, node_b)")
                .bind(node.as_str())
                .fetch_all(&self.pool)
                .await?;
        Ok(rows.iter().map(|row| parsed(row, "slice")).collect::<sqlx::Result<_>>()?)
    }
}
