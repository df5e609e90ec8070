//! What follows from one command is one trace, as a collector that is none of ours receives it.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context, Result, ensure};
use integration_tests::{LIMIT, Labels, World};
use l2sces_lab::{Lab, Unit, layout::CONTROL_ADDRESS, wait};
use serde::Deserialize;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::Child,
};

const RECEIVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/otlp_receiver.py");

/// Where it listens.
const PORT: u16 = 4317;

/// A span, as the receiver tells of it.
#[derive(Clone, Debug, Deserialize)]
struct Span {
    resource: BTreeMap<String, serde_json::Value>,
    trace: String,
    id: String,
    parent: String,
    name: String,
    kind: String,
    status: String,
    attributes: BTreeMap<String, serde_json::Value>,
    links: Vec<String>,
    start_time_unix_nano: u64,
}

impl Span {
    fn text<'a>(of: &'a BTreeMap<String, serde_json::Value>, key: &str) -> &'a str {
        of.get(key).and_then(serde_json::Value::as_str).unwrap_or_default()
    }

    fn number(&self, key: &str) -> Option<i64> {
        self.attributes.get(key)?.as_i64()
    }

    fn attribute(&self, key: &str) -> &str {
        Self::text(&self.attributes, key)
    }

    fn service(&self) -> &str {
        Self::text(&self.resource, "service.name")
    }

    fn instance(&self) -> &str {
        Self::text(&self.resource, "service.instance.id")
    }

    /// Whether it may follow from another of its process: it is its child, or has begun since. What comes
    /// of several causes in one trace, that have come in together, is the child of the first.
    fn follows(&self, cause: &Self) -> bool {
        let has_begun_since = self.start_time_unix_nano >= cause.start_time_unix_nano;
        self.instance() == cause.instance() && (self.parent == cause.id || has_begun_since)
    }
}

/// A collector in the control services' namespace; it ends with the value.
struct Receiver {
    spans: Arc<Mutex<Vec<Span>>>,
    _process: Child,
}

impl Receiver {
    async fn start(lab: &Lab) -> Result<Self> {
        let mut python = lab.control().command("python3")?;
        python.args([RECEIVER, &format!("{CONTROL_ADDRESS}:{PORT}")]);
        python.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut process = python.spawn().context("start the receiver")?;
        let mut lines = BufReader::new(process.stdout.take().context("no output")?).lines();
        let first = lines.next_line().await?;
        ensure!(
            first.as_deref() == Some("listening"),
            "the receiver does not start: `cargo xtask test` installs what it needs"
        );
        let spans = Arc::new(Mutex::new(Vec::new()));
        let received = Arc::clone(&spans);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let span = serde_json::from_str::<Span>(&line);
                let mut received = received.lock().unwrap_or_else(PoisonError::into_inner);
                received.extend(span);
            }
        });
        Ok(Self { spans, _process: process })
    }

    fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until what was received is as told.
    async fn holds(&self, what: &str, check: impl Fn(&[Span]) -> Result<()>) -> Result<()> {
        let result = wait::holds(what, LIMIT, || async {
            check(&self.spans()).map_err(|error| format!("{error:#}"))
        });
        Ok(result.await?)
    }
}

/// Runs the command line in the lab, exporting its spans.
async fn l2sces(
    lab: &Lab,
    arguments: &[&str],
    input: &str,
    environment: &[(&str, &str)],
) -> Result<()> {
    let mut l2sces = lab.control().command(lab.layout().binaries.join("l2sces"))?;
    l2sces.args(arguments).envs(lab.environment()?).envs(exporting());
    l2sces.env_remove("TRACEPARENT").envs(environment.iter().copied());
    l2sces.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = l2sces.spawn()?;
    process.stdin.take().context("no input")?.write_all(input.as_bytes()).await?;
    let output = process.wait_with_output().await?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn exporting() -> Vec<(String, String)> {
    let endpoint = format!("http://{CONTROL_ADDRESS}:{PORT}");
    vec![
        ("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), endpoint),
        // Milliseconds: nobody waits for what is exported by the batch.
        ("OTEL_BSP_SCHEDULE_DELAY".to_owned(), "100".to_owned()),
    ]
}

/// A network and its first two ports, one in each cluster.
async fn manifest(lab: &Lab) -> Result<String> {
    let mut text = "kind: Network\nmetadata: {name: blue}\nslice: s1\n\
                    spec: {cidr: 10.1.0.0/24}\n"
        .to_owned();
    for (cluster, node, name) in [("a", "a2", "one"), ("b", "b2", "two")] {
        let path = lab.pod(node, name).await?.path();
        text += &format!(
            "---\nkind: Port\nmetadata: {{name: {name}}}\nslice: s1\nnetwork: blue\n\
             spec: {{cluster: {cluster}, node: {node}, namespace: {{path: {path}, \
             interface_name: net1}}}}\n"
        );
    }
    Ok(text)
}

/// Who calls whom for a network and its first two ports, and how often at least.
const CALLS: [(&str, &str, &str, usize); 9] = [
    ("l2sces", "slice-manager", "l2sces.slice.v1.NetworkService/CreateNetwork", 1),
    ("l2sces", "slice-manager", "l2sces.slice.v1.NetworkService/AttachPort", 2),
    ("slice-manager", "sco-provider", "l2sces.sco.v1.ScoService/ApplyNetwork", 1),
    ("slice-manager", "sdn-controller", "l2sces.fabric.v1.FabricService/ApplyNetwork", 2),
    ("slice-manager", "sdn-controller", "l2sces.fabric.v1.FabricService/ApplyPort", 2),
    ("sdn-controller", "sco-provider", "l2sces.sco.v1.ExchangeService/LeaseBlock", 2),
    ("sdn-controller", "sps-agent", "l2sces.switch.v1.SwitchService/ApplyPort", 2),
    ("sdn-controller", "sco-provider", "l2sces.sco.v1.ExchangeService/ApplyEndpoint", 2),
    ("sco-provider", "inter-domain-dns", "l2sces.dns.v1.RecordService/ApplyRecord", 2),
];

/// The trace of the command that applied the manifest.
fn trace_of<'a>(spans: &'a [Span], command: &str) -> Result<Vec<&'a Span>> {
    let is_root = |span: &&Span| {
        span.service() == "l2sces" && span.attribute("process.command_line").contains(command)
    };
    let root = spans.iter().find(is_root).context("the command's span is missing")?;
    Ok(spans.iter().filter(|span| span.trace == root.trace).collect())
}

/// Everything from the command to the last barrier is there, and is its descendant.
fn check_creation(spans: &[Span]) -> Result<()> {
    let trace = trace_of(spans, " apply ")?;
    let by_id: BTreeMap<&str, &Span> = trace.iter().map(|span| (&*span.id, *span)).collect();
    let roots: Vec<_> = trace.iter().filter(|span| span.parent.is_empty()).collect();
    ensure!(roots.len() == 1 && roots[0].service() == "l2sces", "begins with {roots:?}");
    for span in &trace {
        let has_parent = span.parent.is_empty() || by_id.contains_key(&*span.parent);
        ensure!(has_parent, "no parent in the trace: {span:?}");
        ensure!(span.status != "ERROR", "failed: {span:?}");
    }
    let parent = |span: &Span| by_id.get(&*span.parent).copied();

    for (from, to, method, least) in CALLS {
        let is_it = |span: &&&Span| {
            let caller = parent(span).filter(|caller| caller.name == method);
            span.name == method
                && (&*span.kind, span.service()) == ("server", to)
                && caller.is_some_and(|at| (&*at.kind, at.service()) == ("client", from))
        };
        let calls: Vec<_> = trace.iter().filter(is_it).collect();
        ensure!(calls.len() >= least, "{} calls of {method} from {from} to {to}", calls.len());
        let (service, name) = method.split_once('/').context("no method")?;
        for call in calls {
            let said = ["rpc.system", "rpc.service", "rpc.method"].map(|key| call.attribute(key));
            ensure!(said == ["grpc", service, name], "{call:?}");
            ensure!(call.number("rpc.grpc.status_code") == Some(0), "{call:?}");
        }
    }

    // Each switch, by the process that controls it. A network crosses at the gateways, and each
    // pod's node knows the other pod, of which the sco-provider has told its controller.
    let installs: Vec<_> = trace.iter().filter(|span| span.name == "install flows").collect();
    let confirmed = |service: &str, switch: &str| {
        let is_it = |span: &&&&Span| {
            span.service() == service
                && span.attribute("l2sces.switch.name") == switch
                && span.number("openflow.flow_mods") > Some(0)
                && parent(span).is_some_and(|parent| parent.name == "compile flows")
        };
        installs.iter().filter(is_it).map(|span| span.instance()).collect::<BTreeSet<_>>()
    };
    for switch in ["a1", "a2", "b1", "b2"] {
        let controllers = confirmed("sdn-controller", switch);
        ensure!(controllers.len() == 1, "switch {switch}: confirmed to {controllers:?}");
    }
    ensure!(confirmed("sdn-controller", "a2") != confirmed("sdn-controller", "b2"));
    // A port's own flows wait for its interface, and what is done when they are there for them.
    for (port, node) in [("one", "a2"), ("two", "b2")] {
        let key = format!("name: \"{port}\"");
        let own = trace.iter().filter(|span| span.attribute("key").contains(&key));
        let own: Vec<&Span> = own.copied().collect();
        let is_asked = |compilation: &Span| {
            compilation.name == "compile flows"
                && own.iter().any(|cause| compilation.follows(cause))
        };
        let mut flows = installs.iter().filter(|span| {
            span.attribute("l2sces.switch.name") == node && parent(span).is_some_and(is_asked)
        });
        ensure!(flows.next().is_some(), "flows of {port} are not confirmed");
        let is_next = |span: &Span| trace.iter().any(|it| is_asked(it) && span.follows(it));
        ensure!(own.iter().any(|span| is_next(span)), "nothing follows the flows of {port}");
    }
    for switch in ["br-ned of a/a1", "br-ned of b/b1"] {
        ensure!(!confirmed("sco-provider", switch).is_empty(), "{switch} has confirmed nothing");
    }
    for change in ["change handoff", "change endpoint"] {
        let followers = trace.iter().filter(|span| {
            span.name == change
                && (span.service(), &*span.kind) == ("sdn-controller", "consumer")
                && parent(span).is_some_and(|parent| parent.service() == "sco-provider")
                && trace.iter().any(|it| it.name == "compile flows" && it.follows(span))
        });
        let controllers: BTreeSet<_> = followers.map(|span| span.instance()).collect();
        ensure!(controllers.len() == 2, "{change}: in {controllers:?}");
    }
    // A port that is ready is told to who has asked for it.
    let told = |span: &&&Span| {
        (span.service(), &*span.name) == ("slice-manager", "reconcile")
            && parent(span).is_some_and(|parent| parent.service() == "sdn-controller")
    };
    ensure!(trace.iter().any(|span| told(&span)), "the slice-manager is told nothing");
    let agents = trace.iter().filter(|span| span.service() == "sps-agent");
    let agents: BTreeSet<_> = agents.map(|span| span.instance()).collect();
    ensure!(agents.len() == 2, "agents: {agents:?}");
    Ok(())
}

/// What was reconciled since by processes that are not among the known ones: in traces of their own,
/// with a link to that in which it was asked for.
fn check_restart(spans: &[Span], known: &BTreeSet<String>, service: &str, key: &str) -> Result<()> {
    let trace = &trace_of(spans, " apply ")?[0].trace;
    let is_new = |span: &&Span| span.service() == service && !known.contains(span.instance());
    let after: Vec<_> = spans.iter().filter(is_new).collect();
    let continued = after.iter().find(|span| span.trace == *trace);
    ensure!(continued.is_none(), "{service} goes on with a trace of before: {continued:?}");
    let runs = after.iter().filter(|span| span.name == "reconcile");
    let run = runs.filter(|span| span.parent.is_empty()).find(|span| {
        span.attribute("key").contains(key) && span.links.iter().any(|link| link == trace)
    });
    run.with_context(|| format!("{service} has not reconciled {key} in a linked trace"))?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_with_its_first_ports_is_one_trace_and_a_restart_is_linked_to_it() -> Result<()> {
    let mut world = World::of("a=a1*,a2 b=b1*,b2", &Labels::new(), exporting()).await?;
    world.create_slice("s1").await?;
    let receiver = Receiver::start(&world.lab).await?;
    let manifest = manifest(&world.lab).await?;
    l2sces(&world.lab, &["apply", "--file", "-"], &manifest, &[]).await?;
    let created = receiver.holds("the creation is one trace", check_creation).await;
    created.with_context(|| world.errors_logged())?;

    let known: BTreeSet<_> =
        receiver.spans().iter().map(|span| span.instance().to_owned()).collect();
    for (unit, key) in [
        (Unit::SdnController("a".to_owned()), "one"),
        (Unit::ScoProvider, "blue"),
        (Unit::SliceManager, "blue"),
    ] {
        world.lab.kill(&unit).await?;
        world.lab.start(&unit).await?;
        let check = |spans: &[Span]| check_restart(spans, &known, unit.program(), key);
        receiver.holds(&format!("the restart of {unit} is linked"), check).await?;
    }

    // Commands that are told so are part of a trace that others have begun.
    let (trace, parent) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
    let traceparent = format!("00-{trace}-{parent}-01");
    for _ in 0..2 {
        let arguments = ["network", "get", "blue", "--slice", "s1"];
        l2sces(&world.lab, &arguments, "", &[("TRACEPARENT", &traceparent)]).await?;
    }
    let check = |spans: &[Span]| {
        let of_trace = || spans.iter().filter(|span| span.trace == trace);
        let commands = of_trace().filter(|span| span.name == "l2sces" && span.parent == parent);
        let served = of_trace().filter(|span| span.service() == "slice-manager");
        let counts = (commands.count(), served.count());
        ensure!(counts == (2, 2), "commands and calls: {counts:?}");
        Ok(())
    };
    receiver.holds("both commands are in the trace", check).await?;
    world.down().await
}
