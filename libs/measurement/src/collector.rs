use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
    iter,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use backon::{BackoffBuilder, ExponentialBuilder};
use futures::{StreamExt, future::BoxFuture, stream::BoxStream};
use l2sces_model::{InterfaceName, Name};
use l2sces_proto::{
    measurement::v1::LinkMeasurement,
    switch::v1::{
        MeasuredLink as LinkMessage, WatchMeasurementsRequest, WatchMeasurementsResponse,
    },
};
use l2sces_telemetry::Reading;
use tokio::{task::AbortHandle, time::sleep};
use tonic::Status;

use crate::{
    Policy,
    gauges::{self, LastRound},
};

/// What an agent reports of the links that it measures, until that ends.
pub type Measurements = BoxStream<'static, Result<WatchMeasurementsResponse, Status>>;

/// Has the agent at an endpoint measure links.
type Watch = dyn Fn(String, WatchMeasurementsRequest) -> BoxFuture<'static, Result<Measurements, Status>>
    + Send
    + Sync;

/// Longest pause before an agent is asked again that could not be reached.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A link that is to be measured, in the direction away from a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeasuredLink {
    /// Its tunnel's interface on the node.
    pub interface: InterfaceName,
    /// The node at the far end, `<cluster>/<node>`.
    pub target: String,
    /// The slices that ask for it.
    pub slices: BTreeSet<Name>,
    /// What all of them ask for together.
    pub policy: Policy,
}

impl MeasuredLink {
    /// Adds what a slice asks of a link of a node to what others do.
    pub fn add(
        links: &mut Vec<Self>,
        slice: &Name,
        policy: &Policy,
        interface: InterfaceName,
        target: String,
    ) {
        match links.iter_mut().find(|link| link.interface == interface) {
            Some(link) => {
                link.policy = link.policy.clone().merged(policy);
                link.slices.insert(slice.clone());
            }
            None => links.push(Self {
                interface,
                target,
                slices: BTreeSet::from([slice.clone()]),
                policy: policy.clone(),
            }),
        }
    }
}

/// Has agents measure the links of their nodes, and keeps what they measured last. Nodes are named
/// `<cluster>/<node>`. Nothing is stored: after a restart there is nothing until the next rounds end.
pub struct Collector {
    watch: Arc<Watch>,
    nodes: Arc<Nodes>,
}

/// By name.
#[derive(Default)]
struct Nodes(Mutex<BTreeMap<String, Node>>);

/// A node whose agent measures.
struct Node {
    endpoint: String,
    links: Arc<Vec<MeasuredLink>>,
    view: Arc<Mutex<View>>,
    task: AbortHandle,
}

/// What an agent has said last.
#[derive(Debug, Default)]
struct View {
    /// The last measurement of each link, by interface.
    latest: BTreeMap<String, LinkMeasurement>,
    /// Why the agent does not measure; none while it does, and before it has answered.
    fault: Option<String>,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Collector {
    /// A collector that reaches agents in this way.
    pub fn new<F, W>(watch: F) -> Self
    where
        F: Fn(String, WatchMeasurementsRequest) -> W + Send + Sync + 'static,
        W: Future<Output = Result<Measurements, Status>> + Send + 'static,
    {
        let nodes = Arc::new(Nodes::default());
        l2sces_telemetry::collect("link_measurements", Scrapes(Arc::clone(&nodes)));
        let watch = move |endpoint, request| -> BoxFuture<'static, _> {
            Box::pin(watch(endpoint, request))
        };
        Self { watch: Arc::new(watch), nodes }
    }

    /// Has the agent of a node measure just these links from now on; of none, it is left alone.
    pub fn set(&self, node: &str, endpoint: &str, links: Vec<MeasuredLink>) {
        let mut nodes = lock(&self.nodes.0);
        let former = nodes.get(node);
        if former.map(|former| (former.endpoint.as_str(), former.links.as_slice()))
            == Some((endpoint, links.as_slice()))
        {
            return;
        }
        let mut view = View::default();
        if let Some(former) = nodes.remove(node) {
            view = std::mem::take(&mut *lock(&former.view));
            view.latest.retain(|interface, _| {
                links.iter().any(|link| link.interface.as_str() == interface)
            });
        }
        if links.is_empty() {
            return;
        }
        let (links, view) = (Arc::new(links), Arc::new(Mutex::new(view)));
        let follower = Follower {
            watch: Arc::clone(&self.watch),
            node: node.to_owned(),
            endpoint: endpoint.to_owned(),
            links: Arc::clone(&links),
            view: Arc::clone(&view),
        };
        let task = tokio::spawn(follower.run()).abort_handle();
        let endpoint = endpoint.to_owned();
        nodes.insert(node.to_owned(), Node { endpoint, links, view, task });
    }

    /// Has nothing measured by the agent of a node any more.
    pub fn remove(&self, node: &str) {
        self.set(node, "", Vec::new());
    }

    /// What was measured last of a link away from a node; nothing if it is not to be measured, or was
    /// not yet.
    pub fn latest(&self, node: &str, interface: &InterfaceName) -> Option<LinkMeasurement> {
        let nodes = lock(&self.nodes.0);
        lock(&nodes.get(node)?.view).latest.get(interface.as_str()).cloned()
    }

    /// Why a link away from a node is not measured now, though it is to be, in one sentence.
    pub fn fault(&self, node: &str, interface: &InterfaceName) -> Option<String> {
        let nodes = lock(&self.nodes.0);
        let node = nodes.get(node)?;
        let is_wanted = node.links.iter().any(|link| link.interface == *interface);
        lock(&node.view).fault.clone().filter(|_| is_wanted)
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        lock(&self.nodes.0).clear();
    }
}

/// Tells what was measured whenever somebody scrapes.
struct Scrapes(Arc<Nodes>);

#[async_trait]
impl l2sces_telemetry::Collector for Scrapes {
    async fn collect(&self) -> Result<Reading, Box<dyn Error + Send + Sync>> {
        let mut rounds = Vec::new();
        for (name, node) in &*lock(&self.0.0) {
            let view = lock(&node.view);
            for link in node.links.iter() {
                let measurement = view.latest.get(link.interface.as_str());
                rounds.extend(measurement.map(|measurement| LastRound {
                    node: name.clone(),
                    link: link.clone(),
                    measurement: *measurement,
                }));
            }
        }
        Ok(Box::new(move || gauges::tell(&rounds)))
    }
}

/// Follows what one agent measures.
struct Follower {
    watch: Arc<Watch>,
    node: String,
    endpoint: String,
    links: Arc<Vec<MeasuredLink>>,
    view: Arc<Mutex<View>>,
}

impl Follower {
    async fn run(self) {
        let mut pauses = pauses();
        loop {
            let (status, was_reached) = self.follow().await;
            if was_reached {
                pauses = self::pauses();
            }
            self.note_fault(&status);
            sleep(pauses.next().unwrap_or(LONGEST_PAUSE)).await;
        }
    }

    /// Follows one call until it ends: why, and whether the agent reported anything.
    async fn follow(&self) -> (Status, bool) {
        let links = self.links.iter().map(|link| LinkMessage {
            interface_name: link.interface.to_string(),
            policy: Some((&link.policy).into()),
        });
        let request = WatchMeasurementsRequest { links: links.collect() };
        let mut reports = match (self.watch)(self.endpoint.clone(), request).await {
            Ok(reports) => reports,
            Err(status) => return (status, false),
        };
        if lock(&self.view).fault.take().is_some() {
            tracing::info!(node = self.node, "links are measured");
        }
        let mut was_reached = false;
        loop {
            match reports.next().await {
                Some(Ok(report)) => self.take_in(report),
                Some(Err(status)) => return (status, was_reached),
                None => return (Status::unavailable("the agent hung up"), was_reached),
            }
            was_reached = true;
        }
    }

    /// Takes note why the agent does not measure; it is asked again and again, and told of once.
    fn note_fault(&self, status: &Status) {
        let Self { node, endpoint, .. } = self;
        let fault = format!("the agent of {node}: {} ({:?})", status.message(), status.code());
        let former = lock(&self.view).fault.replace(fault.clone());
        if former.as_ref() != Some(&fault) {
            tracing::warn!(node, endpoint, fault, "links are not measured");
        }
    }

    fn take_in(&self, report: WatchMeasurementsResponse) {
        let WatchMeasurementsResponse { interface_name, measurement: Some(measurement) } = report
        else {
            return;
        };
        let mut wanted = self.links.iter();
        if !wanted.any(|link| link.interface.as_str() == interface_name) {
            return;
        }
        lock(&self.view).latest.insert(interface_name, measurement);
    }
}

fn pauses() -> impl Iterator<Item = Duration> + Send {
    let growing = ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(50))
        .with_max_delay(LONGEST_PAUSE)
        .with_jitter()
        .without_max_times();
    growing.build().chain(iter::repeat(LONGEST_PAUSE))
}

/// Every value behind these locks is whole whenever it is there.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use futures::stream;
    use l2sces_proto::measurement::v1::MeasurementPolicy;
    use metrics_exporter_prometheus::PrometheusBuilder;
    use tokio::{
        sync::{Notify, mpsc},
        time::{Instant, timeout},
    };
    use tokio_stream_of::receiver;

    use super::*;

    /// Streams over channels, so that a test says what an agent reports.
    mod tokio_stream_of {
        use super::*;

        pub(super) fn receiver(reports: mpsc::Receiver<WatchMeasurementsResponse>) -> Measurements {
            stream::unfold(reports, |mut reports| async {
                Some((Ok(reports.recv().await?), reports))
            })
            .boxed()
        }
    }

    fn policy(probes: u32) -> Policy {
        let message =
            MeasurementPolicy { metrics: vec![3], probes, ..MeasurementPolicy::default() };
        Policy::read(&message).unwrap()
    }

    fn links(peers: &[&str]) -> Vec<MeasuredLink> {
        let mut links = Vec::new();
        for peer in peers {
            let slice = "s1".parse().unwrap();
            MeasuredLink::add(&mut links, &slice, &policy(7), interface(peer), format!("a/{peer}"));
        }
        links
    }

    fn interface(peer: &str) -> InterfaceName {
        format!("l2v-{peer}").parse().unwrap()
    }

    fn report(peer: &str, probes_sent: u32) -> WatchMeasurementsResponse {
        let measurement = Some(LinkMeasurement { probes_sent, ..LinkMeasurement::default() });
        WatchMeasurementsResponse { interface_name: format!("l2v-{peer}"), measurement }
    }

    /// A call that arrives at an agent: where, what is asked for, and whom it is reported to.
    type Call = (String, WatchMeasurementsRequest, mpsc::Sender<WatchMeasurementsResponse>);

    /// Agents whose calls arrive at the test.
    fn agents() -> (Collector, mpsc::Receiver<Call>) {
        let (calls, arriving) = mpsc::channel(8);
        let collector = Collector::new(move |endpoint, request| {
            let calls = calls.clone();
            async move {
                let (reports, reported) = mpsc::channel(8);
                calls.send((endpoint, request, reports)).await.unwrap();
                Ok(receiver(reported))
            }
        });
        (collector, arriving)
    }

    /// The next call; the clock is the test's own, and goes on where all wait.
    async fn call(calls: &mut mpsc::Receiver<Call>) -> Call {
        timeout(Duration::from_secs(60), calls.recv()).await.unwrap().unwrap()
    }

    /// Lets everything go on until nothing is left to do but wait.
    async fn settle() {
        sleep(Duration::from_nanos(1)).await;
    }

    async fn until(mut holds: impl FnMut() -> bool) {
        let holds = async {
            while !holds() {
                settle().await;
            }
        };
        timeout(Duration::from_secs(60), holds).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn the_latest_measurement_is_kept_across_lost_calls_and_changed_links() {
        let (collector, mut calls) = agents();
        collector.set("a/1", "e", links(&["2", "3"]));
        let (endpoint, request, reports) = call(&mut calls).await;
        let asked = |peer: &str| LinkMessage {
            interface_name: format!("l2v-{peer}"),
            policy: Some((&policy(7)).into()),
        };
        assert_eq!((endpoint.as_str(), request.links), ("e", vec![asked("2"), asked("3")]));
        reports.send(report("2", 5)).await.unwrap();
        reports.send(report("unknown", 5)).await.unwrap();
        let sent = |peer: &str| collector.latest("a/1", &interface(peer)).map(|it| it.probes_sent);
        until(|| sent("2") == Some(5)).await;
        assert_eq!((sent("3"), sent("unknown")), (None, None));

        // The agent restarts.
        drop(reports);
        let (.., reports) = call(&mut calls).await;
        assert_eq!(sent("2"), Some(5), "it is told when it was");
        reports.send(report("2", 6)).await.unwrap();
        reports.send(report("3", 7)).await.unwrap();
        until(|| (sent("2"), sent("3")) == (Some(6), Some(7))).await;

        // The same again is no change.
        collector.set("a/1", "e", links(&["2", "3"]));
        settle().await;
        assert!(!reports.is_closed());
        collector.set("a/1", "e", links(&["2"]));
        let (_, request, fewer) = call(&mut calls).await;
        assert_eq!(request.links, [asked("2")]);
        assert!(reports.is_closed(), "the former call has ended");
        assert_eq!((sent("2"), sent("3")), (Some(6), None));

        // The agent is elsewhere now.
        collector.set("a/1", "f", links(&["2"]));
        let (endpoint, _, moved) = call(&mut calls).await;
        assert_eq!((endpoint.as_str(), sent("2")), ("f", Some(6)));
        until(|| fewer.is_closed()).await;

        collector.remove("a/1");
        assert_eq!(sent("2"), None);
        until(|| moved.is_closed()).await;
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_scrapes_is_told_as_long_as_the_collector_is_there() {
        let (collector, mut calls) = agents();
        let scrapes = Scrapes(Arc::clone(&collector.nodes));
        let told = async || {
            let tell = l2sces_telemetry::Collector::collect(&scrapes).await.unwrap();
            let recorder = PrometheusBuilder::new().build_recorder();
            metrics::with_local_recorder(&recorder, tell);
            let text = recorder.handle().render();
            text.lines().filter(|line| line.starts_with("l2sces")).map(str::to_owned).collect()
        };
        collector.set("a/1", "e", links(&["2", "3"]));
        let (.., reports) = call(&mut calls).await;
        let mut lost = report("3", 5);
        lost.measurement.as_mut().unwrap().loss = Some(1.0);
        reports.send(lost).await.unwrap();
        until(|| collector.latest("a/1", &interface("3")).is_some()).await;
        let line = r#"l2sces_link_loss_ratio{slice="s1",from="a/1",to="a/3"} 1"#;
        let lines: Vec<String> = told().await;
        assert_eq!(lines, [line]);

        drop(collector);
        until(|| reports.is_closed()).await;
        assert_eq!(told().await, [""; 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_agent_that_cannot_be_reached_is_asked_again_after_longer_and_longer_pauses() {
        let asked = Arc::new(Notify::new());
        let noted = Arc::clone(&asked);
        let collector = Collector::new(move |_, _| {
            noted.notify_one();
            async { Err(Status::unavailable("away")) }
        });
        let begin = Instant::now();
        collector.set("a/1", "e", links(&["2"]));
        for _ in 0..20 {
            timeout(3 * LONGEST_PAUSE, asked.notified()).await.unwrap();
        }
        assert!(begin.elapsed() > 10 * LONGEST_PAUSE, "{:?}", begin.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn an_agent_that_has_reported_is_asked_again_soon() {
        let (collector, mut calls) = agents();
        let begin = Instant::now();
        collector.set("a/1", "e", links(&["2"]));
        for _ in 0..20 {
            let (.., reports) = call(&mut calls).await;
            reports.send(report("2", 5)).await.unwrap();
        }
        assert!(begin.elapsed() < LONGEST_PAUSE, "{:?}", begin.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn an_agent_that_refuses_says_why_until_it_measures() {
        let refuses = Arc::new(AtomicBool::new(true));
        let refusing = Arc::clone(&refuses);
        let collector = Collector::new(move |_, _| {
            let refuses = refusing.load(Ordering::Relaxed);
            async move {
                if refuses {
                    return Err(Status::internal("no packet socket"));
                }
                Ok(stream::pending().boxed())
            }
        });
        let fault = |peer: &str| collector.fault("a/1", &interface(peer));
        assert_eq!(fault("2"), None);
        collector.set("a/1", "e", links(&["2"]));
        let why = Some("the agent of a/1: no packet socket (Internal)".to_owned());
        until(|| fault("2") == why).await;
        assert_eq!(fault("3"), None, "nobody wants to know");
        // It does not have to refuse again to be known for it.
        collector.set("a/1", "e", links(&["2", "3"]));
        assert_eq!(fault("3"), why);
        refuses.store(false, Ordering::Relaxed);
        until(|| fault("2").is_none()).await;
    }

    #[test]
    fn slices_share_a_link() {
        let mut both = links(&["2"]);
        let other = "s2".parse().unwrap();
        MeasuredLink::add(&mut both, &other, &policy(9), interface("2"), "a/2".to_owned());
        assert_eq!(both.len(), 1);
        assert_eq!((both[0].slices.len(), both[0].policy.probes()), (2, 9));
    }
}
