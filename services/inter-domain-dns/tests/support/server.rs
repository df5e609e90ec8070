use std::{
    net::{IpAddr, SocketAddr},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU8, Ordering},
};

use l2sces_proto::dns::v1::{
    ApplyRecordRequest, DeleteRecordRequest, ListRecordsRequest, Record,
    record_service_client::RecordServiceClient,
};
use tonic::{Status, transport::Channel};

use super::{dig::Dig, eventually, key, postgres::Postgres, record};

const DNS_PORT: u16 = 5353;
const GRPC_PORT: u16 = 5370;

/// The real program. Killed when dropped.
pub(crate) struct Server {
    process: Option<Child>,
    arguments: Vec<String>,
    pub(crate) dns: SocketAddr,
    pub(crate) grpc: SocketAddr,
}

impl Server {
    /// Starts it without TLS, and waits until it answers.
    pub(crate) async fn start(postgres: &Postgres) -> Self {
        Self::start_with(postgres, &["--insecure-plaintext"]).await
    }

    /// Starts it with these flags besides those for ports and database.
    pub(crate) async fn start_with(postgres: &Postgres, flags: &[&str]) -> Self {
        Self::start_at(own_address(), postgres, flags).await
    }

    /// Starts it at an [`own_address`].
    pub(crate) async fn start_at(address: IpAddr, postgres: &Postgres, flags: &[&str]) -> Self {
        let [dns, grpc] = [DNS_PORT, GRPC_PORT].map(|port| SocketAddr::new(address, port));
        let own =
            [format!("--dns-listen={dns}"), format!("--listen={grpc}"), "--database-url".into()];
        let flags = flags.iter().map(ToString::to_string);
        let arguments = own.into_iter().chain([postgres.url()]).chain(flags).collect();
        let mut server = Self { process: None, arguments, dns, grpc };
        server.resume().await;
        server
    }

    /// Starts it, and waits until it answers DNS and takes gRPC connections.
    pub(crate) async fn resume(&mut self) {
        self.spawn();
        let dns = self.dns;
        let grpc = self.grpc;
        let process = self.process.as_mut().unwrap();
        eventually("the server answers", async || {
            let ended = process.try_wait().unwrap();
            assert!(ended.is_none(), "the server ended: {ended:?}");
            Dig::ask(dns, &["inter.l2sces", "SOA", "+tries=1", "+timeout=1"])
                .is_some_and(|answer| answer.status == "NOERROR")
                && tokio::net::TcpStream::connect(grpc).await.is_ok()
        })
        .await;
    }

    /// Starts it.
    pub(crate) fn spawn(&mut self) {
        // Few files, so that one who takes all that he can get is noticed.
        let process = Command::new("prlimit")
            .args(["--nofile=320", env!("CARGO_BIN_EXE_inter-domain-dns")])
            .args(&self.arguments)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        self.process = Some(process);
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn terminate(&mut self) -> std::process::ExitStatus {
        let mut process = self.process.take().unwrap();
        let id = process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        process.wait().unwrap()
    }

    /// What dig makes of the answer to a question.
    pub(crate) fn dig(&self, arguments: &[&str]) -> Dig {
        Dig::ask(self.dns, arguments).unwrap_or_else(|| panic!("no answer to {arguments:?}"))
    }

    /// The addresses of a name, as `dig +short` prints them.
    pub(crate) fn resolve(&self, name: &str) -> String {
        super::dig::short(self.dns, name)
    }

    pub(crate) async fn client(&self) -> RecordServiceClient<Channel> {
        RecordServiceClient::connect(format!("http://{}", self.grpc)).await.unwrap()
    }

    pub(crate) async fn apply(&self, name: &str, addresses: &[&str]) -> Result<(), Status> {
        self.apply_record(record(name, addresses)).await
    }

    pub(crate) async fn apply_record(&self, record: Record) -> Result<(), Status> {
        let request = ApplyRecordRequest { record: Some(record) };
        self.client().await.apply_record(request).await.map(drop)
    }

    pub(crate) async fn delete(&self, name: &str) -> Result<(), Status> {
        let request = DeleteRecordRequest { key: Some(key(name)) };
        self.client().await.delete_record(request).await.map(drop)
    }

    /// All records, as many a page.
    pub(crate) async fn list(&self, slice: &str, network: &str, page_size: i32) -> Vec<Record> {
        let mut client = self.client().await;
        let mut records = Vec::new();
        let mut request = ListRecordsRequest {
            slice: slice.to_owned(),
            network: network.to_owned(),
            page_size,
            page_token: String::new(),
        };
        loop {
            let page = client.list_records(request.clone()).await.unwrap().into_inner();
            assert!(i32::try_from(page.records.len()).unwrap() <= page_size);
            records.extend(page.records);
            if page.next_page_token.is_empty() {
                return records;
            }
            request.page_token = page.next_page_token;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// An address of this host that no other test has: its ports are free, also of clients' sockets.
pub(crate) fn own_address() -> IpAddr {
    static COUNT: AtomicU8 = AtomicU8::new(1);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    // Not 127.0.0.x, which everybody uses.
    [127, high | 0x80, low, COUNT.fetch_add(1, Ordering::Relaxed)].into()
}
