//! The slice-manager's process, and clients of it.

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

use l2sces_proto::slice::v1::{
    cluster_service_client::ClusterServiceClient, network_service_client::NetworkServiceClient,
    slice_service_client::SliceServiceClient,
};
use tokio::time::{Instant, sleep};
use tonic::transport::Channel;

use crate::fake::bound;

pub(crate) struct Manager {
    child: Child,
    pub(crate) clusters: ClusterServiceClient<Channel>,
    pub(crate) slices: SliceServiceClient<Channel>,
    pub(crate) networks: NetworkServiceClient<Channel>,
}

impl Manager {
    /// Starts the process and waits until it answers.
    pub(crate) async fn start(database: &str, sco_provider: &str) -> Self {
        Self::start_with(database, sco_provider, &[]).await
    }

    /// The same with more arguments.
    pub(crate) async fn start_with(
        database: &str,
        sco_provider: &str,
        arguments: &[String],
    ) -> Self {
        // Keeps the port from others until the process listens.
        let reserved = bound(([127, 0, 0, 1], 0).into());
        let listen = reserved.local_addr().unwrap().to_string();
        let filter = std::env::var("TEST_LOG").unwrap_or_else(|_| "error".to_owned());
        let child = Command::new(env!("CARGO_BIN_EXE_slice-manager"))
            .args(["--listen", &listen, "--insecure-plaintext"])
            .args(["--database-url", database, "--sco-provider", sco_provider])
            .args(["--log-filter", &filter])
            // Of a crowd of callers on a busy machine none is to wait for a connection.
            .args(["--database-connections", "48"])
            .args(arguments)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let channel = Channel::from_shared(format!("http://{listen}")).unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        let channel = loop {
            match channel.connect().await {
                Ok(channel) => break channel,
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
            sleep(Duration::from_millis(20)).await;
        };
        drop(reserved);
        Self {
            child,
            clusters: ClusterServiceClient::new(channel.clone()),
            slices: SliceServiceClient::new(channel.clone()),
            networks: NetworkServiceClient::new(channel),
        }
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM; the exit status.
    pub(crate) async fn terminate(mut self) -> std::process::ExitStatus {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the process does not end");
            sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        self.kill();
    }
}
