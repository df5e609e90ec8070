use l2sces_model::Vni;
use sqlx::PgConnection;

use super::{Store, StoreError, row::texts};
use crate::domain::plan::{Plan, Stage, Succession};

impl Store {
    /// Stores how a network crosses clusters, and for which version of its slice's topology that
    /// was planned. False: the network is on its way out, and needs no plan.
    ///
    /// # Errors
    /// The database failed.
    pub async fn store_plans(
        &self,
        vni: Vni,
        plans: &Succession,
        planned_for: Option<i64>,
    ) -> Result<bool, StoreError> {
        let (plan, former) = (plans.latest(), plans.former());
        let mut tx = self.pool.begin().await?;
        let id: Option<i64> = sqlx::query_scalar(
            "UPDATE network SET epoch = $2, planned_for = $3, former_epoch = $4,
                    former_is_current = $5
             WHERE vni = $1 AND NOT deleting RETURNING id",
        )
        .bind(vni.get().cast_signed())
        .bind(i16::from(plan.epoch().get()))
        .bind(planned_for)
        .bind(former.map(|former| i16::from(former.epoch().get())))
        .bind(plans.stage() == Stage::Preparing)
        .fetch_optional(&mut *tx)
        .await?;
        let Some(id) = id else { return Ok(false) };
        sqlx::query("DELETE FROM gate WHERE network_id = $1").bind(id).execute(&mut *tx).await?;
        let gateways: Vec<_> = plan.gateways().collect();
        sqlx::query(
            "INSERT INTO gate (network_id, cluster, node, segment, part)
             SELECT $1, * FROM unnest($2, $3, $4, $5)",
        )
        .bind(id)
        .bind(texts(gateways.iter().map(|(gateway, ..)| &gateway.cluster)))
        .bind(texts(gateways.iter().map(|(gateway, ..)| &gateway.node)))
        .bind(gateways.iter().map(|(_, segment, _)| segment.map(i32::from)).collect::<Vec<_>>())
        .bind(gateways.iter().map(|(.., part)| i32::from(*part)).collect::<Vec<_>>())
        .execute(&mut *tx)
        .await?;
        replace_former_gates(&mut tx, id, former).await?;
        tx.commit().await?;
        Ok(true)
    }
}

async fn replace_former_gates(
    tx: &mut PgConnection,
    network: i64,
    former: Option<&Plan>,
) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM former_gate WHERE network_id = $1")
        .bind(network)
        .execute(&mut *tx)
        .await?;
    let gateways = former.into_iter().flat_map(Plan::gateways);
    let gates: Vec<_> =
        gateways.filter_map(|(gateway, segment, _)| Some((gateway, segment?))).collect();
    sqlx::query(
        "INSERT INTO former_gate (network_id, cluster, node, segment)
         SELECT $1, * FROM unnest($2, $3, $4)",
    )
    .bind(network)
    .bind(texts(gates.iter().map(|(gateway, _)| &gateway.cluster)))
    .bind(texts(gates.iter().map(|(gateway, _)| &gateway.node)))
    .bind(gates.iter().map(|(_, segment)| i32::from(*segment)).collect::<Vec<_>>())
    .execute(tx)
    .await?;
    Ok(())
}
