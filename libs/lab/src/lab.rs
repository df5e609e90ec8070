use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::future::{try_join, try_join_all};
use nix::sys::signal::Signal;
use tokio::process::Command;
use tonic::transport::Channel;

use crate::{
    cable::Plugs,
    certificates, channel,
    error::{Context, LabError},
    interrupt,
    kubernetes::{self, Kubectl},
    layout::{ApiServers, Layout, Node},
    namespace::Namespace,
    openvswitch,
    pod::{Pod, PodRecord},
    postgres::{self, Statement, TableRows},
    process::{ProcessIdentity, ProcessRecord, Supervisor},
    record::{self, Record},
    services::{self, Common},
    teardown,
    topology::Topology,
    underlay,
    unit::Unit,
    wait,
};

/// How long hosts may take to reach each other; the machine may be busy.
const GREETING: Duration = Duration::from_secs(30);

/// How a lab is made.
#[derive(Clone, Debug)]
pub struct LabOptions {
    /// Directory of our binaries; none: where the running executable is, or the directory above.
    pub binaries: Option<PathBuf>,
    /// Directory of the programs of Kubernetes; none: see [`kubernetes::binaries`].
    pub kubernetes_binaries: Option<PathBuf>,
    /// Whether to start our services, and those in Kubernetes clusters; without them a lab is nodes,
    /// Open vSwitch and Postgres.
    pub services: bool,
    /// Whether each cluster that is none of Kubernetes has an API server of Kubernetes all the same,
    /// and an operator for it. There is no kubelet: whoever plays the container runtime calls the
    /// network plugin, which finds the sps-agents at [`Node::attachment_socket`].
    pub operators: bool,
    /// Whether there is a control cluster ([`kubernetes::layout::CONTROL_CLUSTER`]): an API server of
    /// Kubernetes, and a slice-operator that carries out its resources.
    pub control_cluster: bool,
    /// Whether the lab outlives the process that makes it.
    pub detached: bool,
    /// Where to put a symbolic link to `lab.json`; taken means that the lab is up.
    pub link: Option<PathBuf>,
    /// Filter of the services' logs, as in `RUST_LOG`.
    pub log_filter: String,
    /// Environment variables of the services, such as `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub environment: BTreeMap<String, String>,
    /// Whether Postgres counts the statements that the services run; see [`Lab::statements`].
    pub counts_statements: bool,
    /// Whether switches run before all else on the machine, as if they had processors of their own: for
    /// tests that look for lost frames. Not for comparisons with what has no such advantage.
    pub switches_first: bool,
}

impl Default for LabOptions {
    fn default() -> Self {
        Self {
            binaries: None,
            kubernetes_binaries: None,
            services: true,
            operators: false,
            control_cluster: false,
            detached: false,
            link: None,
            log_filter: "info".to_owned(),
            environment: BTreeMap::new(),
            counts_statements: false,
            switches_first: false,
        }
    }
}

/// A lab that is up. Unless it is detached, it goes down when the value is dropped, on Ctrl-C and
/// on SIGTERM; if its owner is killed, its processes end at once and the next lab to come up
/// removes the rest.
pub struct Lab {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    layout: Layout,
    supervisor: Supervisor,
    pods: Mutex<Vec<PodRecord>>,
    plugs: Arc<Mutex<Plugs>>,
    /// Held by whoever makes a namespace or writes the record: one at a time, and none once the
    /// lab goes down.
    making: Mutex<()>,
    detached: bool,
    owner: Option<ProcessIdentity>,
    link: Option<PathBuf>,
    is_down: AtomicBool,
}

impl Lab {
    /// Brings up a lab and waits until all of it works. On an error nothing is left of it.
    ///
    /// # Errors
    /// Something could not be made or did not become healthy.
    pub async fn up(topology: &Topology, options: LabOptions) -> Result<Self, LabError> {
        require_root()?;
        teardown::reap_abandoned();
        let inner = Arc::new(Inner::claim(topology, &options)?);
        interrupt::register(&inner);
        let lab = Self { inner };
        let result = lab.bring_up(&options).await;
        match result {
            Ok(()) => Ok(lab),
            Err(error) => {
                lab.inner.take_down()?;
                Err(error)
            }
        }
    }

    async fn bring_up(&self, options: &LabOptions) -> Result<(), LabError> {
        let Inner { layout, supervisor, .. } = &*self.inner;
        certificates::issue_all(layout)?;
        for name in underlay::namespaces(layout).chain(kubernetes::namespaces(layout)) {
            self.inner.create_namespace(name)?;
        }
        let nodes = async {
            underlay::up(layout).await?;
            try_join_all(
                layout
                    .nodes()
                    .map(|node| openvswitch::up(layout, node, supervisor, options.switches_first)),
            )
            .await?;
            self.inner.write()?;
            self.greet().await?;
            kubernetes::up(layout, supervisor).await
        };
        try_join(nodes, postgres::up(layout, supervisor, options.counts_statements)).await?;
        self.inner.write()?;
        if options.services {
            let common = Common {
                log_filter: options.log_filter.clone(),
                environment: options.environment.clone(),
            };
            kubernetes::workloads::define(layout).await?;
            services::up(layout, supervisor, &common).await?;
            kubernetes::workloads::up(layout).await?;
            self.inner.write()?;
        }
        Ok(())
    }

    /// Sends a ping along every path of the underlays: it proves them, and fills the ARP tables,
    /// without which a tunnel holds its first frames back for up to a second.
    async fn greet(&self) -> Result<(), LabError> {
        let layout = &self.inner.layout;
        let mut paths = Vec::new();
        for cluster in &layout.clusters {
            let nodes = cluster.nodes.iter().map(|node| (node, node.underlay_address));
            paths.extend(pairs(&nodes.collect::<Vec<_>>()));
        }
        let gateways =
            layout.nodes().filter_map(|node| Some((node, node.gateway.as_ref()?.wan_address)));
        paths.extend(pairs(&gateways.collect::<Vec<_>>()));
        try_join_all(paths.into_iter().map(|(node, address)| async move {
            let what = format!("{address} answers {}", node.name);
            let address = address.to_string();
            // A switch that has just been made may lose a frame, and ping does not repeat one.
            wait::holds(&what, GREETING, || async {
                let ping = ["ping", "-n", "-q", "-c", "1", "-W", "1", &address];
                let answered = Namespace::named(&node.namespace).run(ping).await;
                answered.map(drop).map_err(|error| error.to_string())
            })
            .await
        }))
        .await?;
        Ok(())
    }

    /// The lab that a record describes. It stays up when the value is dropped.
    ///
    /// # Errors
    /// There is no record, or it cannot be read.
    pub fn open(path: &Path) -> Result<Self, LabError> {
        let record = Record::read(path)?;
        Ok(Self {
            inner: Arc::new(Inner {
                supervisor: Supervisor::new(true, record.processes),
                pods: Mutex::new(record.pods),
                plugs: Arc::default(),
                making: Mutex::new(()),
                layout: record.layout,
                detached: true,
                owner: record.owner,
                link: record.link,
                is_down: AtomicBool::new(false),
            }),
        })
    }

    /// Takes the lab down, detached or not.
    ///
    /// # Errors
    /// Something could not be removed, or is left.
    pub async fn down(self) -> Result<(), LabError> {
        let inner = Arc::clone(&self.inner);
        let id = inner.layout.id.clone();
        let join = tokio::task::spawn_blocking(move || inner.take_down());
        join.await.map_err(io::Error::other).context(|| "take the lab down".to_owned())??;
        let residue = teardown::residue(&id);
        if residue.is_empty() { Ok(()) } else { Err(LabError::Residue(residue)) }
    }

    /// Where everything is.
    pub fn layout(&self) -> &Layout {
        &self.inner.layout
    }

    /// A node by name.
    ///
    /// # Errors
    /// There is none.
    pub fn node(&self, name: &str) -> Result<&Node, LabError> {
        self.inner.layout.node(name)
    }

    /// Which of its nodes have cables between them.
    pub(crate) fn plugs(&self) -> &Arc<Mutex<Plugs>> {
        &self.inner.plugs
    }

    /// The namespace of the control services.
    pub fn control(&self) -> Namespace {
        Namespace::named(&self.inner.layout.control.namespace)
    }

    /// A channel to a service, with the administrator's credentials. It connects when used, and
    /// again after a failure.
    ///
    /// # Errors
    /// There is no such service, or the credentials cannot be read.
    pub fn channel(&self, unit: &Unit) -> Result<Channel, LabError> {
        let layout = &self.inner.layout;
        let service = layout.service(unit)?;
        channel::connect(&self.control(), &service.endpoint, &certificates::admin(layout)?)
    }

    /// `kubectl` on a Kubernetes cluster.
    ///
    /// # Errors
    /// There is no such cluster.
    pub fn kubectl(&self, cluster: &str) -> Result<Kubectl, LabError> {
        let layout = &self.inner.layout;
        Ok(Kubectl::new(layout, layout.kubernetes.cluster(cluster)?))
    }

    /// What `l2sces cluster join` must be told of a Kubernetes cluster: its name, the lab's services, and
    /// how our workloads run here.
    ///
    /// # Errors
    /// There is no such cluster, or a file cannot be written.
    pub fn join_flags(&self, cluster: &str) -> Result<Vec<String>, LabError> {
        let layout = &self.inner.layout;
        kubernetes::workloads::join_flags(layout, layout.kubernetes.cluster(cluster)?)
    }

    /// A command in all namespaces of a Kubernetes node, killed when its future is dropped.
    ///
    /// # Errors
    /// There is no such node, or it does not run.
    pub fn node_command(
        &self,
        node: &str,
        program: impl AsRef<OsStr>,
    ) -> Result<Command, LabError> {
        let unit = Unit::KubernetesNode(self.inner.layout.kubernetes.node(node)?.name.clone());
        let process = self
            .pid(&unit)
            .ok_or_else(|| LabError::Unknown { kind: "running process", name: unit.to_string() })?;
        kubernetes::node_command(process, program)
    }

    /// Environment variables that make the command line speak to this lab.
    pub fn environment(&self) -> Result<Vec<(String, String)>, LabError> {
        let layout = &self.inner.layout;
        let endpoint = layout.service(&Unit::SliceManager)?.endpoint.clone();
        let path = std::env::var("PATH").unwrap_or_default();
        let admin = &layout.admin;
        Ok(vec![
            ("L2SCES_ENDPOINT".to_owned(), endpoint),
            ("L2SCES_TLS_CA".to_owned(), admin.ca.display().to_string()),
            ("L2SCES_TLS_CERT".to_owned(), admin.cert.display().to_string()),
            ("L2SCES_TLS_KEY".to_owned(), admin.key.display().to_string()),
            ("PATH".to_owned(), format!("{}:{path}", layout.binaries.display())),
        ])
    }

    /// Makes a pod on a node. Names of pods are unique in the lab.
    ///
    /// # Errors
    /// There is no such node, or there is such a pod.
    pub async fn pod(&self, node: &str, name: &str) -> Result<Pod, LabError> {
        let node = self.node(node)?;
        let namespace = format!("{}p-{name}", self.inner.layout.prefix());
        let namespace = self.inner.create_namespace(&namespace)?;
        namespace.set_parameter("ipv4/icmp_echo_ignore_broadcasts", "0")?;
        let pod = Pod::new(name, &node.name, namespace);
        self.inner.pods().push(pod.record().clone());
        self.inner.write()?;
        Ok(pod)
    }

    /// The pods.
    pub fn pods(&self) -> Vec<Pod> {
        self.inner.pods().iter().cloned().map(Pod::of).collect()
    }

    /// Removes a pod as a container engine does: the namespace is gone with all interfaces in it.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn delete_pod(&self, pod: &Pod) -> Result<(), LabError> {
        pod.namespace().delete()?;
        self.inner.pods().retain(|record| record != pod.record());
        self.inner.write()
    }

    /// Kills a process (SIGKILL) and waits until it is gone.
    ///
    /// # Errors
    /// There is no such process.
    pub async fn kill(&self, unit: &Unit) -> Result<(), LabError> {
        self.inner.supervisor.end(unit, Signal::SIGKILL).await?;
        self.inner.write()
    }

    /// Asks a process to end (SIGTERM) and waits until it is gone.
    ///
    /// # Errors
    /// There is no such process, or it does not end within 20 seconds.
    pub async fn stop(&self, unit: &Unit) -> Result<(), LabError> {
        self.inner.supervisor.end(unit, Signal::SIGTERM).await?;
        self.inner.write()
    }

    /// Starts a process that was killed or stopped, and waits until it is healthy. An
    /// ovs-vswitchd's node gets its underlay addresses back.
    ///
    /// # Errors
    /// There is no such process, or it does not become healthy.
    pub async fn start(&self, unit: &Unit) -> Result<(), LabError> {
        let Inner { layout, supervisor, .. } = &*self.inner;
        supervisor.start(unit).await?;
        self.inner.write()?;
        match unit {
            Unit::OvsVswitchd(node) => {
                openvswitch::restore_addresses(layout, layout.node(node)?).await
            }
            Unit::OvsdbServer(_)
            | Unit::Etcd(_)
            | Unit::KubeApiserver(_)
            | Unit::KubeControllerManager(_)
            | Unit::KubeScheduler(_)
            | Unit::ClusterDns(_)
            | Unit::KubernetesNode(_) => Ok(()),
            Unit::Postgres => postgres::restarted(&layout.postgres, supervisor).await,
            _ => services::healthy(layout, supervisor, layout.service(unit)?).await,
        }
    }

    /// Process id, if the process runs.
    pub fn pid(&self, unit: &Unit) -> Option<i32> {
        self.inner.supervisor.pid(unit)
    }

    /// What is known of every process.
    pub fn processes(&self) -> Vec<ProcessRecord> {
        self.inner.supervisor.records()
    }

    /// Whether a service answers within `limit` that it serves; if not, why.
    ///
    /// # Errors
    /// The reason, in one sentence.
    pub async fn health(&self, unit: &Unit, limit: Duration) -> Result<(), String> {
        let layout = &self.inner.layout;
        let service = layout.service(unit).map_err(|error| error.to_string())?;
        services::health(layout, service, limit).await
    }

    /// What a process has logged since the lab came up.
    ///
    /// # Errors
    /// It has no log.
    pub fn log(&self, unit: &Unit) -> Result<String, LabError> {
        let path = self.inner.layout.log(unit);
        fs::read_to_string(&path).context(|| format!("read {}", path.display()))
    }

    /// Saves what tells how things stand, for whoever looks into a failure: the logs, the flows and
    /// groups of every bridge, and what every datapath does. Returns where: next to the binaries, in `lab-logs/<id>`.
    ///
    /// # Errors
    /// A switch does not answer, or the files cannot be written.
    pub async fn keep_evidence(&self) -> Result<PathBuf, LabError> {
        let kept = self.inner.copy_logs().context(|| "keep logs".to_owned())?;
        for node in self.inner.layout.nodes() {
            for bridge in node.bridges().await? {
                let rules = [node.flows(&bridge).await?, node.groups(&bridge).await?].concat();
                let path = kept.join(format!("{}-{bridge}.rules", node.name));
                fs::write(&path, rules.join("\n"))
                    .context(|| format!("write {}", path.display()))?;
            }
            let mut datapath = String::new();
            for question in [
                &["dpif/show"][..],
                &["dpctl/dump-flows", "-m"],
                &["tnl/ports/show", "-v"],
                &["tnl/neigh/show"],
                &["bfd/show"],
                // Why frames were dropped.
                &["coverage/show"],
            ] {
                datapath += &format!("{question:?}\n{}\n", node.appctl(question).await?);
            }
            let path = kept.join(format!("{}.datapath", node.name));
            fs::write(&path, datapath).context(|| format!("write {}", path.display()))?;
        }
        Ok(kept)
    }

    /// How often each service has run each of its statements, in a lab that counts them.
    ///
    /// # Errors
    /// Postgres does not answer, or does not count.
    pub async fn statements(&self) -> Result<Vec<Statement>, LabError> {
        postgres::statements(&self.inner.layout.postgres).await
    }

    /// Counts the rows of every table of every service, without the migrations' own table.
    ///
    /// # Errors
    /// Postgres does not answer.
    pub async fn table_rows(&self) -> Result<Vec<TableRows>, LabError> {
        postgres::table_rows(&self.inner.layout.postgres.admin_url).await
    }
}

/// Labs need root, and whoever prepares one should say so before the long work, not after it.
///
/// # Errors
/// The process does not run as root.
pub fn require_root() -> Result<(), LabError> {
    if nix::unistd::geteuid().is_root() { Ok(()) } else { Err(LabError::NotRoot) }
}

/// The first part of every item with the second part of every other item.
fn pairs<A: Copy, B: Copy>(items: &[(A, B)]) -> Vec<(A, B)> {
    let mut pairs = Vec::new();
    for (i, (first, _)) in items.iter().enumerate() {
        let others = items.iter().enumerate().filter(|(j, _)| *j != i);
        pairs.extend(others.map(|(_, (_, second))| (*first, *second)));
    }
    pairs
}

impl Inner {
    /// Chooses an id that nobody has, and makes the lab's state directory, record and link: from
    /// now on the lab can be taken down, by its owner or by whoever finds it.
    fn claim(topology: &Topology, options: &LabOptions) -> Result<Self, LabError> {
        let binaries = match &options.binaries {
            Some(directory) => directory.clone(),
            None => own_directory()?,
        };
        let kubernetes_binaries = options
            .kubernetes_binaries
            .clone()
            .unwrap_or_else(|| kubernetes::binaries::directory(&binaries));
        let layout = loop {
            let id = format!("{:04x}", rand::random::<u16>());
            let directory = teardown::state_directory(&id);
            let layout = Layout::new(
                topology,
                &id,
                &directory,
                &binaries,
                kubernetes_binaries.clone(),
                &ApiServers {
                    operators: options.operators,
                    control_cluster: options.control_cluster,
                },
            )?;
            match fs::DirBuilder::new().mode(0o755).create(&directory) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                created => {
                    created.context(|| format!("make {}", directory.display()))?;
                    break layout;
                }
            }
        };
        let inner = Self {
            supervisor: Supervisor::new(options.detached, Vec::new()),
            pods: Mutex::default(),
            plugs: Arc::default(),
            making: Mutex::default(),
            detached: options.detached,
            owner: ProcessIdentity::own(),
            link: options.link.clone(),
            is_down: AtomicBool::new(false),
            layout,
        };
        let log = inner.layout.directory.join("log");
        fs::create_dir(&log).context(|| format!("make {}", log.display()))?;
        inner.write()?;
        if let Some(link) = &inner.link {
            make_link(&inner.layout.directory.join(record::FILE), link).inspect_err(|_| {
                // The link is another lab's: it must not go with this one.
                drop(fs::remove_dir_all(&inner.layout.directory));
                inner.is_down.store(true, Ordering::SeqCst);
            })?;
        }
        Ok(inner)
    }

    fn pods(&self) -> MutexGuard<'_, Vec<PodRecord>> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the lab from going down for as long as the guard lives; it must not have done so.
    fn make(&self) -> Result<MutexGuard<'_, ()>, LabError> {
        let making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_down.load(Ordering::SeqCst) { Err(LabError::Interrupted) } else { Ok(making) }
    }

    fn create_namespace(&self, name: &str) -> Result<Namespace, LabError> {
        let _making = self.make()?;
        Namespace::create(name)
    }

    fn write(&self) -> Result<(), LabError> {
        let _making = self.make()?;
        let pods = self.pods().clone();
        let record = Record {
            detached: self.detached,
            owner: self.owner,
            link: self.link.clone(),
            layout: self.layout.clone(),
            pods,
            processes: self.supervisor.records(),
        };
        record.write()
    }

    /// Takes the lab down, once.
    pub(crate) fn take_down(&self) -> Result<(), LabError> {
        let _tearing_down = interrupt::tear_down();
        self.remove()
    }

    /// Takes the lab down, once. The caller holds [`interrupt::tear_down`].
    pub(crate) fn remove(&self) -> Result<(), LabError> {
        if self.is_down.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        drop(self.making.lock().unwrap_or_else(PoisonError::into_inner));
        teardown::remove(&self.layout, self.link.as_deref(), &self.supervisor)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.detached || self.is_down.load(Ordering::SeqCst) {
            return;
        }
        // Whoever is content with it takes it down.
        self.keep_logs();
        if let Err(error) = self.take_down() {
            tracing::warn!(lab = self.layout.id, %error, "the lab could not be taken down");
        }
    }
}

impl Inner {
    /// Saves the logs of a lab whose test fails next to the binaries, in `lab-logs/<id>`.
    fn copy_logs(&self) -> io::Result<PathBuf> {
        let kept = self.layout.binaries.join("lab-logs").join(&self.layout.id);
        fs::create_dir_all(&kept)?;
        for entry in fs::read_dir(self.layout.directory.join("log"))? {
            let entry = entry?;
            fs::copy(entry.path(), kept.join(entry.file_name()))?;
        }
        Ok(kept)
    }

    fn keep_logs(&self) {
        match self.copy_logs() {
            Ok(kept) => tracing::error!("logs of the lab are kept in {}", kept.display()),
            Err(error) => tracing::warn!(%error, "the lab's logs could not be kept"),
        }
    }
}

/// Makes a symbolic link in the place of a dangling one.
fn make_link(target: &Path, link: &Path) -> Result<(), LabError> {
    if link.exists() {
        return Err(LabError::Exists(link.display().to_string()));
    }
    let make = || -> io::Result<()> {
        if let Some(directory) = link.parent() {
            fs::create_dir_all(directory)?;
        }
        if link.is_symlink() {
            fs::remove_file(link)?;
        }
        std::os::unix::fs::symlink(target, link)
    };
    make().context(|| format!("make {}", link.display()))
}

/// Where cargo put the running executable; tests and examples are in a directory below.
pub(crate) fn own_directory() -> Result<PathBuf, LabError> {
    let executable = std::env::current_exe().context(|| "find the own executable".to_owned())?;
    let directory = executable.parent().unwrap_or(Path::new("/"));
    let is_below = directory.ends_with("deps") || directory.ends_with("examples");
    let directory = if is_below { directory.parent().unwrap_or(directory) } else { directory };
    Ok(directory.to_owned())
}
