use l2sces_model::{DatapathId, Name};
use sqlx::{FromRow, PgConnection, Row, postgres::PgRow};

use super::{
    Admission, Store, StoreError, Stored, admit, former_link,
    row::{number, origin, parsed, traceparent, unreadable},
};
use crate::domain::{Node, NodeSpec, Version};

impl FromRow<'_, PgRow> for Node {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            spec: NodeSpec {
                name: parsed(row, "name")?,
                version: Version::from_row(row)?,
                underlay_address: row.try_get("underlay_address")?,
                agent_endpoint: row.try_get("agent_endpoint")?,
                gateway: row.try_get("gateway")?,
            },
            ordinal: number(row, "ordinal")?,
            datapath_id: datapath_id(row)?,
            forced: row.try_get("forced")?,
            former_gateway: row.try_get("former_gateway")?,
            deleting: row.try_get("deleting")?,
            origin: origin(row)?,
        })
    }
}

/// The datapath id of a row.
pub(super) fn datapath_id(row: &PgRow) -> sqlx::Result<DatapathId> {
    DatapathId::try_from(row.try_get::<i64, _>("datapath_id")?.cast_unsigned())
        .map_err(|error| unreadable("datapath_id", error))
}

impl Store {
    /// Stores a node; answers with what is stored.
    ///
    /// # Errors
    /// It is being deleted, its datapath id is another's, or the database fails.
    pub(crate) async fn apply_node(
        &self,
        spec: &NodeSpec,
        datapath_id: DatapathId,
    ) -> Result<Node, StoreError> {
        let mut transaction = self.pool.begin().await?;
        // Nodes are few and seldom change: one writer at a time keeps the choice of the ordinal
        // simple. Ports only lock rows and are not held up.
        sqlx::query("LOCK TABLE node IN SHARE ROW EXCLUSIVE MODE")
            .execute(&mut *transaction)
            .await?;
        let stored: Option<Stored> = sqlx::query_as("SELECT * FROM node WHERE name = $1")
            .bind(spec.name.as_str())
            .fetch_optional(&mut *transaction)
            .await?;
        if admit(stored.as_ref(), &spec.version, "node", &spec.name)? == Admission::Write {
            write(&mut transaction, spec, datapath_id).await?;
        }
        let node = sqlx::query_as("SELECT * FROM node WHERE name = $1")
            .bind(spec.name.as_str())
            .fetch_one(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(node)
    }

    /// A node, if there is one.
    pub(crate) async fn node(&self, name: &Name) -> Result<Option<Node>, StoreError> {
        Ok(sqlx::query_as("SELECT * FROM node WHERE name = $1")
            .bind(name.as_str())
            .fetch_optional(&self.pool)
            .await?)
    }

    /// All nodes, by name.
    pub(crate) async fn nodes(&self) -> Result<Vec<Node>, StoreError> {
        Ok(sqlx::query_as("SELECT * FROM node ORDER BY name").fetch_all(&self.pool).await?)
    }

    /// The nodes that a node has a link to in some slice, or had one that frames may still use: its
    /// tunnels' far ends. A slice that is being deleted has its links until it is gone.
    pub(crate) async fn peers(&self, node: &Name) -> Result<Vec<Node>, StoreError> {
        Ok(sqlx::query_as(
            "SELECT peer.* FROM node AS peer
             WHERE peer.name <> $1
               AND (NOT peer.deleting
                AND EXISTS (SELECT FROM node WHERE name = $1 AND NOT deleting)
                AND (EXISTS (
                        SELECT FROM slice
                        JOIN slice_node AS one ON one.slice = slice.name AND one.node = $1
                        JOIN slice_node AS other
                             ON other.slice = slice.name AND other.node = peer.name
                        WHERE slice.full_mesh)
                  OR EXISTS (
                        SELECT FROM slice_link JOIN slice ON slice.name = slice_link.slice
                        WHERE NOT slice.full_mesh
                          AND ((node_a = $1 AND node_b = peer.name)
                            OR (node_b = $1 AND node_a = peer.name))))
                 OR EXISTS (
                        SELECT FROM former_link
                        WHERE (node_a = $1 AND node_b = peer.name)
                           OR (node_b = $1 AND node_a = peer.name)))
             ORDER BY peer.name",
        )
        .bind(node.as_str())
        .fetch_all(&self.pool)
        .await?)
    }

    /// Marks a node for deletion, which with `force` waits for nothing and takes its ports along;
    /// answers with it, or none if there is none.
    ///
    /// # Errors
    /// It has ports, without `force`, or the database fails.
    pub(crate) async fn mark_node(
        &self,
        name: &Name,
        force: bool,
    ) -> Result<Option<Node>, StoreError> {
        let mut transaction = self.pool.begin().await?;
        // It leaves its slices: in the order in which slices are stored, they before nodes.
        sqlx::query("LOCK TABLE slice IN SHARE ROW EXCLUSIVE MODE")
            .execute(&mut *transaction)
            .await?;
        let deleting: Option<bool> =
            sqlx::query_scalar("SELECT deleting FROM node WHERE name = $1 FOR UPDATE")
                .bind(name.as_str())
                .fetch_optional(&mut *transaction)
                .await?;
        let Some(deleting) = deleting else { return Ok(None) };
        if !force && has_ports(&mut transaction, name).await? {
            let name = name.to_string();
            return Err(StoreError::InUse { kind: "node", name, what: "ports" });
        }
        if !deleting {
            former_link::keep_those_of_node(&mut transaction, name).await?;
        }
        let node = sqlx::query_as(
            "UPDATE node SET deleting = true, forced = forced OR $2,
                traceparent = CASE WHEN deleting THEN traceparent ELSE $3 END
             WHERE name = $1 RETURNING *",
        )
        .bind(name.as_str())
        .bind(force)
        .bind(traceparent())
        .fetch_one(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(Some(node))
    }

    /// Forgets that a node was a gateway: no network uses its trunk.
    pub(crate) async fn forget_former_gateway(&self, name: &Name) -> Result<(), StoreError> {
        sqlx::query("UPDATE node SET former_gateway = false WHERE name = $1 AND NOT gateway")
            .bind(name.as_str())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Forgets a node whose deletion is complete.
    pub(crate) async fn remove_node(&self, name: &Name) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM node WHERE name = $1 AND deleting")
            .bind(name.as_str())
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

/// Whether a node has ports. A statement of its own, so that it sees one that was stored while the lock
/// of the node was waited for.
async fn has_ports(connection: &mut PgConnection, name: &Name) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT EXISTS (SELECT FROM port WHERE node = $1)")
        .bind(name.as_str())
        .fetch_one(connection)
        .await
}

async fn write(
    connection: &mut PgConnection,
    spec: &NodeSpec,
    datapath_id: DatapathId,
) -> Result<(), StoreError> {
    let ordinal: Option<i32> = sqlx::query_scalar(
        "SELECT coalesce(
            (SELECT ordinal FROM node WHERE name = $1),
            (SELECT min(candidate) FROM (SELECT 1 UNION SELECT ordinal + 1 FROM node)
                AS possible (candidate)
             WHERE candidate <= 65535
               AND NOT EXISTS (SELECT FROM node WHERE ordinal = candidate)))",
    )
    .bind(spec.name.as_str())
    .fetch_one(&mut *connection)
    .await?;
    sqlx::query(
        "INSERT INTO node (name, uid, generation, ordinal, underlay_address, agent_endpoint,
                           gateway, datapath_id, traceparent)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         ON CONFLICT (name) DO UPDATE SET
            uid = excluded.uid, generation = excluded.generation,
            underlay_address = excluded.underlay_address,
            agent_endpoint = excluded.agent_endpoint, gateway = excluded.gateway,
            traceparent = excluded.traceparent,
            former_gateway = NOT excluded.gateway AND (node.gateway OR node.former_gateway)",
    )
    .bind(spec.name.as_str())
    .bind(&spec.version.uid)
    .bind(spec.version.generation)
    .bind(ordinal.ok_or(StoreError::Exhausted("nodes"))?)
    .bind(spec.underlay_address)
    .bind(&spec.agent_endpoint)
    .bind(spec.gateway)
    .bind(datapath_id.get().cast_signed())
    .bind(traceparent())
    .execute(connection)
    .await
    .map_err(|error| match StoreError::broken_constraint(&error) {
        Some("node_datapath_id") => StoreError::DatapathIdTaken(spec.name.clone()),
        _ => error.into(),
    })?;
    Ok(())
}
