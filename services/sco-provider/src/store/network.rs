use ipnet::IpNet;
use sqlx::PgConnection;

use super::{
    Applied, Deletion, Description, Store, StoreError, is_newer,
    network_member::{check_cidr, has_members, leave_to_members},
    row::{NetworkRow, texts, traceparent, vni},
};
use crate::domain::{
    Identity, Kind, Network, NetworkKey, Precedence, StoredNetwork, Version, addressing,
};

/// How often to ask for a VNI when other transactions are faster: each time, another network got
/// one, so this many must be made in the same instant for the last to be refused.
const VNI_ATTEMPTS: usize = 64;

macro_rules! select_networks {
    ($rest:literal) => {
        concat!(
            "SELECT slice.name AS slice, network.name, network.uid, network.generation,
                    network.vni, network.mtu, network.clusters, network.cidr, network.deleting,
                    slice.topology_version, network.epoch, network.planned_for,
                    network.traceparent,
                    ARRAY(SELECT gate.cluster FROM gate WHERE network_id = network.id
                          ORDER BY gate.cluster, gate.node) AS gate_clusters,
                    ARRAY(SELECT gate.node FROM gate WHERE network_id = network.id
                          ORDER BY gate.cluster, gate.node) AS gate_nodes,
                    ARRAY(SELECT gate.segment FROM gate WHERE network_id = network.id
                          ORDER BY gate.cluster, gate.node) AS gate_segments,
                    ARRAY(SELECT gate.part FROM gate WHERE network_id = network.id
                          ORDER BY gate.cluster, gate.node) AS gate_parts,
                    network.former_epoch, network.former_is_current,
                    ARRAY(SELECT gate.cluster FROM former_gate gate WHERE network_id = network.id
                          ORDER BY gate.cluster, gate.node) AS former_clusters,
                    ARRAY(SELECT gate.node FROM former_gate gate WHERE network_id = network.id
                          ORDER BY gate.cluster, gate.node) AS former_nodes,
                    ARRAY(SELECT gate.segment FROM former_gate gate WHERE network_id = network.id
                          ORDER BY gate.cluster, gate.node) AS former_segments
             FROM network JOIN slice ON slice.id = slice_id ",
            $rest
        )
    };
}

/// What became of a network whose removal is complete but for its endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkRemoval {
    /// It is forgotten.
    Gone,
    /// Endpoints of it are still being removed.
    HasEndpoints,
}

impl Store {
    /// Stores a network, unless a newer version is known, and answers with its identity. Members that
    /// describe it do so in vain from then on.
    ///
    /// # Errors
    /// Its slice is unknown or lacks a cluster of the network; its CIDR is not the one that it was
    /// made with; it loses a cluster that has endpoints; a network of its name and a former life
    /// is in the way, whose removal is now asked for; no VNI is left; the database failed.
    pub async fn apply_network(
        &self,
        network: &Network,
    ) -> Result<(Applied, Identity), StoreError> {
        let mut tx = self.pool.begin().await?;
        let slice = lock_slice(&mut tx, &network.key).await?;
        check_clusters(&slice.clusters, network)?;
        let (stored, is_new) =
            self.lock_or_insert(&mut tx, &slice, network, Description::Whole).await?;
        let applied =
            if is_new { Ok(Applied::Stored) } else { update(&mut tx, &stored, network).await? };
        tx.commit().await?;
        applied.map(|applied| (applied, stored.identity))
    }

    /// Locks the network or, if there is none, inserts it with a new VNI. True: it is new.
    ///
    /// # Errors
    /// No VNI is left; the database failed.
    pub(super) async fn lock_or_insert(
        &self,
        tx: &mut PgConnection,
        slice: &LockedSlice,
        network: &Network,
        description: Description,
    ) -> Result<(Locked, bool), StoreError> {
        let mut may_exist = slice.has_network;
        for _ in 0..VNI_ATTEMPTS {
            if may_exist && let Some(stored) = lock(&mut *tx, &network.key).await? {
                return Ok((stored, false));
            }
            let mtu = addressing::network_mtu(self.underlay_mtu, slice.over_ipv6);
            if let Some(made) = self.insert(&mut *tx, slice.id, network, description, mtu).await? {
                return Ok((made, true));
            }
            may_exist = true;
        }
        Err(StoreError::Exhausted("virtual network identifier"))
    }

    /// Inserts the network with a new VNI; `None` if another transaction was faster.
    async fn insert(
        &self,
        tx: &mut PgConnection,
        slice: i64,
        network: &Network,
        description: Description,
        mtu: u32,
    ) -> Result<Option<Locked>, StoreError> {
        let bound = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
        let last_block = network.cidr.and_then(|cidr| addressing::block_of(cidr, cidr.broadcast()));
        let (id, number, is_exhausted): (Option<i64>, Option<i32>, bool) = sqlx::query_as(
            "WITH allocated AS MATERIALIZED (SELECT allocate_vni($10, $11) AS vni), inserted AS (
                INSERT INTO network (slice_id, name, uid, generation, vni, mtu, clusters, cidr,
                                     block_prefix, next_block, traceparent, by_members)
                SELECT $1, $2, $3, $4, vni, $5, $6, $7, $8, $9, $12, $13 FROM allocated
                WHERE vni IS NOT NULL
                ON CONFLICT DO NOTHING RETURNING id, vni)
             SELECT (SELECT id FROM inserted), (SELECT vni FROM inserted), vni IS NULL
             FROM allocated",
        )
        .bind(slice)
        .bind(network.key.name.as_str())
        .bind(&network.version.uid)
        .bind(network.version.generation)
        .bind(bound(mtu))
        .bind(texts(&network.clusters))
        .bind(network.cidr)
        .bind(network.cidr.map(|cidr| i16::from(addressing::block_prefix(cidr))))
        .bind(last_block)
        .bind(bound(*self.vnis.start()))
        .bind(bound(*self.vnis.end()))
        .bind(traceparent())
        .bind(description.is_by_members())
        .fetch_one(tx)
        .await?;
        if is_exhausted {
            return Err(StoreError::Exhausted("virtual network identifier"));
        }
        let made = |(id, number)| {
            Ok(Locked {
                id,
                version: network.version.clone(),
                identity: Identity { vni: vni(number)?, mtu },
                cidr: network.cidr,
                deleting: false,
                description,
            })
        };
        id.zip(number).map(made).transpose()
    }

    /// Asks for the removal of a network that is described whole. One that has members is what they
    /// describe then.
    ///
    /// # Errors
    /// It has endpoints that it would leave behind; the database failed.
    pub async fn delete_network(&self, key: &NetworkKey) -> Result<Deletion, StoreError> {
        let mut tx = self.pool.begin().await?;
        let Some(stored) = lock(&mut tx, key).await? else { return Ok(Deletion::Gone) };
        if stored.description == Description::ByMembers {
            return Ok(Deletion::Gone);
        }
        let deletion = if !stored.deleting && has_members(&mut tx, stored.id).await? {
            leave_to_members(&mut tx, &stored, key).await?;
            Deletion::Gone
        } else {
            mark_deleted(&mut tx, &stored, key).await?;
            Deletion::Underway
        };
        tx.commit().await?;
        Ok(deletion)
    }

    /// Forgets a network whose removal was asked for and is complete, unless endpoints of it are
    /// still to go. (A network on its way out is never wanted again: another must wait for it.)
    ///
    /// # Errors
    /// The database failed.
    pub async fn forget_network(&self, key: &NetworkKey) -> Result<NetworkRemoval, StoreError> {
        let mut tx = self.pool.begin().await?;
        let Some(stored) = lock(&mut tx, key).await? else { return Ok(NetworkRemoval::Gone) };
        let done = sqlx::query(
            "DELETE FROM network WHERE id = $1 AND deleting
             AND NOT EXISTS (SELECT FROM endpoint WHERE network_id = $1)",
        )
        .bind(stored.id)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        let is_gone = done.rows_affected() > 0;
        Ok(if is_gone { NetworkRemoval::Gone } else { NetworkRemoval::HasEndpoints })
    }

    /// Reads a network.
    ///
    /// # Errors
    /// The database failed.
    pub async fn network(&self, key: &NetworkKey) -> Result<Option<StoredNetwork>, StoreError> {
        let row: Option<NetworkRow> =
            sqlx::query_as(select_networks!("WHERE slice.name = $1 AND network.name = $2"))
                .bind(key.slice.as_str())
                .bind(key.name.as_str())
                .fetch_optional(&self.pool)
                .await?;
        row.map(StoredNetwork::try_from).transpose()
    }

    /// Reads every network.
    ///
    /// # Errors
    /// The database failed.
    pub async fn networks(&self) -> Result<Vec<StoredNetwork>, StoreError> {
        let rows: Vec<NetworkRow> =
            sqlx::query_as(select_networks!("ORDER BY network.id")).fetch_all(&self.pool).await?;
        rows.into_iter().map(StoredNetwork::try_from).collect()
    }
}

/// The slice of a network.
pub(super) struct LockedSlice {
    id: i64,
    /// Its clusters.
    pub(super) clusters: Vec<String>,
    over_ipv6: bool,
    /// Whether the network was there.
    has_network: bool,
}

/// Keeps a network's slice from being changed or deleted until the transaction ends.
pub(super) async fn lock_slice(
    tx: &mut PgConnection,
    network: &NetworkKey,
) -> Result<LockedSlice, StoreError> {
    let slice = &network.slice;
    let row: Option<(i64, Vec<String>, bool, bool, bool)> = sqlx::query_as(
        "SELECT id, clusters, deleting,
                EXISTS (SELECT FROM slice_gateway JOIN gateway ON gateway.id = gateway_id
                        WHERE slice_id = slice.id AND family(underlay_address) = 6),
                EXISTS (SELECT FROM network WHERE slice_id = slice.id AND network.name = $2)
         FROM slice WHERE name = $1 FOR SHARE",
    )
    .bind(slice.as_str())
    .bind(network.name.as_str())
    .fetch_optional(tx)
    .await?;
    match row {
        None => Err(StoreError::precondition(Kind::Slice, slice, "is unknown")),
        Some((_, _, true, ..)) => {
            Err(StoreError::precondition(Kind::Slice, slice, "is being deleted"))
        }
        Some((id, clusters, false, over_ipv6, has_network)) => {
            Ok(LockedSlice { id, clusters, over_ipv6, has_network })
        }
    }
}

fn check_clusters(slice: &[String], network: &Network) -> Result<(), StoreError> {
    let stranger = network
        .clusters
        .iter()
        .position(|cluster| !slice.iter().any(|known| known == cluster.as_str()));
    match stranger {
        Some(index) => Err(StoreError::invalid(
            format!("clusters[{index}]"),
            format!("must be a cluster of slice {}", network.key.slice),
        )),
        None => Ok(()),
    }
}

/// A network that nobody else can change until the transaction ends.
pub(super) struct Locked {
    pub(super) id: i64,
    pub(super) version: Version,
    pub(super) identity: Identity,
    pub(super) cidr: Option<IpNet>,
    pub(super) deleting: bool,
    pub(super) description: Description,
}

/// Keeps a network as it is until the transaction ends: nobody can give it an endpoint, or delete it.
pub(super) async fn lock(
    tx: &mut PgConnection,
    key: &NetworkKey,
) -> Result<Option<Locked>, StoreError> {
    type Row = (i64, String, i64, i32, i32, Option<IpNet>, bool, bool);
    let row: Option<Row> = sqlx::query_as(
        "SELECT network.id, network.uid, network.generation, vni, mtu, cidr, network.deleting,
                network.by_members
         FROM network JOIN slice ON slice.id = slice_id
         WHERE slice.name = $1 AND network.name = $2 FOR UPDATE OF network",
    )
    .bind(key.slice.as_str())
    .bind(key.name.as_str())
    .fetch_optional(tx)
    .await?;
    let Some((id, uid, generation, number, mtu, cidr, deleting, by_members)) = row else {
        return Ok(None);
    };
    Ok(Some(Locked {
        id,
        version: Version { uid, generation },
        identity: Identity { vni: vni(number)?, mtu: mtu.unsigned_abs() },
        cidr,
        deleting,
        description: Description::stored(by_members),
    }))
}

/// The outer result is of the transaction, which is to be committed; the inner one is the caller's.
async fn update(
    tx: &mut PgConnection,
    stored: &Locked,
    network: &Network,
) -> Result<Result<Applied, StoreError>, StoreError> {
    match (stored.description, network.version.precedence(&stored.version)) {
        // A whole description prevails over those of members, whatever their versions.
        (Description::ByMembers, _) if stored.deleting => {
            return Err(StoreError::precondition(Kind::Network, &network.key, "is being deleted"));
        }
        (Description::ByMembers, _) => {}
        (Description::Whole, Precedence::Replaces) => {
            // Its identity is not the new one's, and what its endpoints' clusters have installed is.
            retire(tx, stored.id).await?;
            let reason = "has a former life, which is being removed";
            return Ok(Err(StoreError::precondition(Kind::Network, &network.key, reason)));
        }
        (Description::Whole, precedence) => {
            if !is_newer(precedence, stored.deleting) {
                return Ok(Ok(Applied::Unchanged));
            }
        }
    }
    check_cidr(tx, stored, &network.key, None, network.cidr).await?;
    let clusters = texts(&network.clusters);
    let stranded: Option<String> = sqlx::query_scalar(
        "SELECT cluster FROM endpoint
         WHERE network_id = $1 AND NOT deleting AND cluster <> ALL ($2) LIMIT 1",
    )
    .bind(stored.id)
    .bind(&clusters)
    .fetch_optional(&mut *tx)
    .await?;
    if let Some(cluster) = stranded {
        let reason = format!("has endpoints in cluster {cluster}, which it is to lose");
        return Err(StoreError::precondition(Kind::Network, &network.key, reason));
    }
    sqlx::query(
        "UPDATE network SET uid = $2, generation = $3, clusters = $4, traceparent = $5,
                by_members = false
         WHERE id = $1",
    )
    .bind(stored.id)
    .bind(&network.version.uid)
    .bind(network.version.generation)
    .bind(&clusters)
    .bind(traceparent())
    .execute(tx)
    .await?;
    Ok(Ok(Applied::Stored))
}

/// Has a network removed.
///
/// # Errors
/// It has endpoints that are to stay; the database failed.
pub(super) async fn mark_deleted(
    tx: &mut PgConnection,
    stored: &Locked,
    key: &NetworkKey,
) -> Result<(), StoreError> {
    let endpoint: Option<(String, String)> = sqlx::query_as(
        "SELECT cluster, port FROM endpoint WHERE network_id = $1 AND NOT deleting LIMIT 1",
    )
    .bind(stored.id)
    .fetch_optional(&mut *tx)
    .await?;
    if !stored.deleting
        && let Some((cluster, port)) = endpoint
    {
        let reason = format!("has endpoints, such as {port} in cluster {cluster}");
        return Err(StoreError::precondition(Kind::Network, key, reason));
    }
    sqlx::query(
        "UPDATE network SET deleting = true, traceparent = $2 WHERE id = $1 AND NOT deleting",
    )
    .bind(stored.id)
    .bind(traceparent())
    .execute(tx)
    .await?;
    Ok(())
}

async fn retire(tx: &mut PgConnection, network: i64) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE endpoint SET deleting = true, traceparent = $2
         WHERE network_id = $1 AND NOT deleting",
    )
    .bind(network)
    .bind(traceparent())
    .execute(&mut *tx)
    .await?;
    sqlx::query(
        "UPDATE network SET deleting = true, traceparent = $2 WHERE id = $1 AND NOT deleting",
    )
    .bind(network)
    .bind(traceparent())
    .execute(tx)
    .await?;
    Ok(())
}
