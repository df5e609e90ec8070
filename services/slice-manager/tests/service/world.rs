//! Everything that a test needs: a database, services downstream, and a slice-manager.

use std::time::Duration;

use l2sces_proto::{resource::v1::ConditionStatus, slice::v1 as api};
use sqlx::PgPool;
use tokio::time::{Instant, sleep};
use tonic::{Code, Status};

use crate::{fabric, fake::Server, manager::Manager, postgres, samples, sco};

/// Longest that something may take that is to happen. Generous: machines are slow at times.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct World {
    pub(crate) manager: Manager,
    pub(crate) sco: Server,
    pub(crate) a: Server,
    pub(crate) b: Server,
    pub(crate) database: PgPool,
    pub(crate) url: String,
}

impl World {
    /// Nothing but the processes.
    pub(crate) async fn empty() -> Self {
        let (url, database) = postgres::database().await;
        let sco = Server::start(sco::routes);
        let a = Server::start(fabric::routes);
        let b = Server::start(fabric::routes);
        let manager = Manager::start(&url, &sco.endpoint()).await;
        Self { manager, sco, a, b, database, url }
    }

    /// Clusters `a` and `b`, and a slice `s` of both, all ready.
    pub(crate) async fn with_slice() -> Self {
        let mut world = Self::empty().await;
        world.create_clusters().await;
        world.create_slice(samples::slice("s", &["a", "b"])).await.unwrap();
        world.until_settled().await;
        world
    }

    /// The same, with a network `n` in the slice and a port `p` on node `n1` of cluster `a`.
    pub(crate) async fn with_port() -> Self {
        let mut world = Self::with_slice().await;
        world.create_network(samples::network("s", "n")).await.unwrap();
        world.attach(samples::port("s", "n", "p", "a", "n1")).await.unwrap();
        world.until_settled().await;
        world
    }

    pub(crate) async fn create_clusters(&mut self) {
        let (a, b) = (self.a.endpoint(), self.b.endpoint());
        self.create_cluster(samples::cluster("a", &a)).await.unwrap();
        self.create_cluster(samples::cluster("b", &b)).await.unwrap();
    }

    pub(crate) async fn create_cluster(
        &mut self,
        cluster: api::Cluster,
    ) -> Result<api::Cluster, Status> {
        let request = api::CreateClusterRequest { cluster: Some(cluster), ..Default::default() };
        Ok(self.manager.clusters.create_cluster(request).await?.into_inner().cluster.unwrap())
    }

    pub(crate) async fn create_slice(&mut self, slice: api::Slice) -> Result<api::Slice, Status> {
        let request = api::CreateSliceRequest { slice: Some(slice), ..Default::default() };
        Ok(self.manager.slices.create_slice(request).await?.into_inner().slice.unwrap())
    }

    pub(crate) async fn create_network(
        &mut self,
        network: api::Network,
    ) -> Result<api::Network, Status> {
        let request = api::CreateNetworkRequest { network: Some(network), ..Default::default() };
        Ok(self.manager.networks.create_network(request).await?.into_inner().network.unwrap())
    }

    pub(crate) async fn attach(&mut self, port: api::Port) -> Result<api::Port, Status> {
        let request = api::AttachPortRequest { port: Some(port), ..Default::default() };
        Ok(self.manager.networks.attach_port(request).await?.into_inner().port.unwrap())
    }

    pub(crate) async fn cluster(&mut self, name: &str) -> Result<api::Cluster, Status> {
        let request = api::GetClusterRequest { name: name.to_owned() };
        Ok(self.manager.clusters.get_cluster(request).await?.into_inner().cluster.unwrap())
    }

    pub(crate) async fn slice(&mut self, name: &str) -> Result<api::Slice, Status> {
        let request = api::GetSliceRequest { name: name.to_owned() };
        Ok(self.manager.slices.get_slice(request).await?.into_inner().slice.unwrap())
    }

    pub(crate) async fn network(&mut self, name: &str) -> Result<api::Network, Status> {
        let request = api::GetNetworkRequest { slice: "s".to_owned(), name: name.to_owned() };
        Ok(self.manager.networks.get_network(request).await?.into_inner().network.unwrap())
    }

    pub(crate) async fn port(&mut self, name: &str) -> Result<api::Port, Status> {
        let request = api::GetPortRequest {
            slice: "s".to_owned(),
            network: "n".to_owned(),
            name: name.to_owned(),
        };
        Ok(self.manager.networks.get_port(request).await?.into_inner().port.unwrap())
    }

    pub(crate) async fn detach(&mut self, name: &str) -> Result<(), Status> {
        let request = api::DetachPortRequest {
            slice: "s".to_owned(),
            network: "n".to_owned(),
            name: name.to_owned(),
            ..Default::default()
        };
        self.manager.networks.detach_port(request).await.map(drop)
    }

    pub(crate) async fn delete_slice(&mut self, force: bool) -> Result<(), Status> {
        let name = "s".to_owned();
        let request = api::DeleteSliceRequest { name, force, ..Default::default() };
        self.manager.slices.delete_slice(request).await.map(drop)
    }

    pub(crate) async fn delete_cluster(&mut self, name: &str) -> Result<(), Status> {
        let request = api::DeleteClusterRequest { name: name.to_owned(), ..Default::default() };
        self.manager.clusters.delete_cluster(request).await.map(drop)
    }

    /// What of desired state a request could change.
    pub(crate) async fn desired(&self) -> Vec<String> {
        sqlx::query_scalar(
            "select concat_ws(' ', kind, slice, network, name, uid, generation, delete_time, spec) \
             from resource union all select concat_ws(' ', 'placement', owner, target, object) \
             from placement union all select 'request ' || id from request order by 1",
        )
        .fetch_all(&self.database)
        .await
        .unwrap()
    }

    /// Names of the resources that are there, such as "port s n p".
    pub(crate) async fn resources(&self) -> Vec<String> {
        sqlx::query_scalar(
            "select concat_ws(' ', kind, nullif(slice, ''), nullif(network, ''), name) \
             from resource order by 1",
        )
        .fetch_all(&self.database)
        .await
        .unwrap()
    }

    /// Waits until everything that is to be done is done.
    pub(crate) async fn until_settled(&self) {
        self.until("everything is ready", async || {
            let unsettled: i64 = sqlx::query_scalar(
                "select count(*) from resource where not settled or delete_time is not null",
            )
            .fetch_one(&self.database)
            .await
            .unwrap();
            unsettled == 0
        })
        .await;
    }

    /// Waits until no resource is left but these.
    pub(crate) async fn until_left(&self, left: &[&str]) {
        let what = format!("only {left:?} is left");
        self.until(&what, async || self.resources().await == left).await;
    }

    /// Waits until a status in the database matches a condition of SQL.
    pub(crate) async fn until_status(&self, kind: &str, name: &str, status: &str, message: &str) {
        let mut last = String::new();
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            last = sqlx::query_scalar(
                "select (status -> 'ready' ->> 'status') || ' ' || (status -> 'ready' ->> 'message') \
                 from resource where kind = $1 and name = $2",
            )
            .bind(kind)
            .bind(name)
            .fetch_one(&self.database)
            .await
            .unwrap();
            if last.starts_with(status) && last.contains(message) {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("{kind} {name} is not \"{status} {message}\" but \"{last}\"");
    }

    /// Waits until a condition holds.
    pub(crate) async fn until(&self, what: &str, holds: impl AsyncFn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds().await {
            assert!(Instant::now() < deadline, "not in time: {what}");
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Ends every connection to the database but our own, as an administrator might.
    pub(crate) async fn lose_connections(&self) {
        let lost: i64 = sqlx::query_scalar(
            "select count(*) filter (where pg_terminate_backend(pid, 10000)) \
             from pg_stat_activity \
             where datname = current_database() and pid <> pg_backend_pid()",
        )
        .fetch_one(&self.database)
        .await
        .unwrap();
        assert!(lost >= 3, "{lost}");
    }

    /// `kill -9`, and another process.
    pub(crate) async fn restart(&mut self) {
        self.manager.kill();
        self.manager = Manager::start(&self.url, &self.sco.endpoint()).await;
    }
}

/// What the "Ready" condition says.
pub(crate) fn readiness(
    conditions: &[l2sces_proto::resource::v1::Condition],
) -> (ConditionStatus, String) {
    let ready = conditions.iter().find(|condition| condition.r#type == "Ready").unwrap();
    (ready.status(), ready.message.clone())
}

pub(crate) fn code<T>(result: Result<T, Status>) -> Code {
    result.map_or_else(|status| status.code(), |_| Code::Ok)
}
