//! H2: what the components use while nobody asks anything of them, and while networks come and go.

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use l2sces_lab::{Lab, Unit};

use super::{
    data,
    published::{self, CLUSTERS, setup_time::PACE_MS},
    report::{Outcome, Section},
    setup_time::Pair,
    testbed::Testbed,
};
use crate::{
    narrator::Narrator,
    networks::ReadyPorts,
    usage::{self, Usage},
};

/// How often a network is deleted and the next set up: the paper's pace.
const PACE: Duration = Duration::from_millis(PACE_MS);
const LOADS: [Load; 2] = [Load::Quiet, Load::Busy];

/// What is asked of the system.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Load {
    /// Nothing.
    Quiet,
    /// Networks are deleted and set up.
    Busy,
}

impl Load {
    fn name(self) -> &'static str {
        match self {
            Self::Quiet => "quiet",
            Self::Busy => "busy",
        }
    }
}

/// What was used in one window.
struct Window {
    load: Load,
    usages: Vec<Usage>,
}

/// Windows of each load, and how long each is.
#[derive(Clone, Copy)]
pub(super) struct Windows {
    pub(super) count: u16,
    pub(super) length: Duration,
}

pub(super) async fn run(
    binaries: &Path,
    directory: &Path,
    windows: Windows,
    judges_speed: bool,
    narrator: &Narrator,
) -> Result<Section> {
    let testbed = Testbed::up(binaries, narrator).await?;
    let pair = Pair::up(&testbed).await?;
    let mut churn = Churn::start(&testbed, &pair).await?;
    let mut measured = Vec::new();
    for load in LOADS {
        for _ in 0..windows.count {
            let ((), usages) = match load {
                Load::Quiet => {
                    let quiet = async {
                        tokio::time::sleep(windows.length).await;
                        Ok(())
                    };
                    usage::during(&testbed.lab, quiet).await?
                }
                Load::Busy => usage::during(&testbed.lab, churn.go_on(windows.length)).await?,
            };
            measured.push(Window { load, usages });
        }
    }
    let places = Places::of(&testbed.lab);
    let networks = churn.number;
    drop(churn);
    testbed.lab.down().await?;
    write(directory, &measured, &places)?;
    section(&measured, &places, windows, networks, judges_speed)
}

/// Networks of two pods, of which there is one at any time.
struct Churn<'a> {
    testbed: &'a Testbed,
    pair: &'a Pair,
    ready: ReadyPorts,
    /// How many networks there have been before the one that is there.
    number: u32,
}

impl<'a> Churn<'a> {
    async fn start(testbed: &'a Testbed, pair: &'a Pair) -> Result<Self> {
        let ready = testbed.networks.watch().await?;
        let mut churn = Self { testbed, pair, ready, number: 0 };
        churn.set_up().await?;
        Ok(churn)
    }

    async fn set_up(&mut self) -> Result<()> {
        let name = format!("network-{}", self.number);
        self.pair.set_up(&self.testbed.networks, &name, &mut self.ready).await
    }

    /// Deletes a network and sets the next up, at the paper's pace, for a time.
    async fn go_on(&mut self, time: Duration) -> Result<()> {
        let start = Instant::now();
        let mut due = Duration::ZERO;
        while due < time {
            tokio::time::sleep(due.saturating_sub(start.elapsed())).await;
            self.testbed.networks.delete(&format!("network-{}", self.number)).await?;
            self.number += 1;
            self.set_up().await?;
            due += PACE;
        }
        tokio::time::sleep(time.saturating_sub(start.elapsed())).await;
        Ok(())
    }
}

/// Which of the paper's clusters a process would run in: its place in [`CLUSTERS`].
struct Places(BTreeMap<String, usize>);

impl Places {
    fn of(lab: &Lab) -> Self {
        let mut places = BTreeMap::new();
        for (cluster, place) in lab.layout().clusters.iter().zip(1..) {
            places.insert(cluster.name.clone(), place);
            places.extend(cluster.nodes.iter().map(|node| (node.name.clone(), place)));
        }
        Self(places)
    }

    fn place(&self, unit: &Unit) -> usize {
        match unit {
            Unit::Postgres
            | Unit::SliceManager
            | Unit::SliceOperator
            | Unit::ScoProvider
            | Unit::InterDomainDns => 0,
            Unit::SdnController(of)
            | Unit::SpsAgent(of)
            | Unit::NedAgent(of)
            | Unit::OvsdbServer(of)
            | Unit::OvsVswitchd(of)
            | Unit::Etcd(of)
            | Unit::KubeApiserver(of)
            | Unit::KubeControllerManager(of)
            | Unit::KubeScheduler(of)
            | Unit::ClusterDns(of)
            | Unit::Operator(of)
            | Unit::KubernetesNode(of) => self.0.get(of).copied().unwrap_or_default(),
        }
    }
}

fn write(directory: &Path, windows: &[Window], places: &Places) -> Result<()> {
    let mut table = data::table(directory, "processor.csv")?;
    table.write_record([
        "load",
        "window",
        "cluster",
        "program",
        "process",
        "cores",
        "memory_mib",
    ])?;
    for (number, window) in (1..).zip(windows) {
        for usage in &window.usages {
            table.write_record([
                window.load.name(),
                &number.to_string(),
                CLUSTERS[places.place(&usage.unit)].name,
                usage.unit.program(),
                &usage.unit.to_string(),
                &format!("{:.6}", usage.cores),
                &format!("{:.2}", usage.memory),
            ])?;
        }
    }
    table.flush()?;
    let mut table = data::table(directory, "processor_published.csv")?;
    table.write_record(["cluster", "cores", "deviation", "memory_mib"])?;
    for cluster in CLUSTERS {
        let figures = [cluster.cores, cluster.deviation, cluster.memory];
        let figures = figures.map(|figure| figure.to_string());
        table.write_record(std::iter::once(cluster.name.to_owned()).chain(figures))?;
    }
    Ok(table.flush()?)
}

/// The mean of a sum over the processes of a cluster, over the windows of a load.
fn mean(
    windows: &[Window],
    load: Load,
    is_counted: impl Fn(&Unit) -> bool,
    figure: fn(&Usage) -> f64,
) -> Result<f64> {
    let windows: Vec<_> = windows.iter().filter(|window| window.load == load).collect();
    let counted = windows.iter().flat_map(|window| &window.usages);
    let sum: f64 = counted.filter(|usage| is_counted(&usage.unit)).map(figure).sum();
    let count = u32::try_from(windows.len())?;
    (count > 0).then(|| sum / f64::from(count)).context("no window was measured")
}

fn section(
    windows: &[Window],
    places: &Places,
    of: Windows,
    networks: u32,
    judges_speed: bool,
) -> Result<Section> {
    let mut table = vec![["mean".to_owned(), "paper".to_owned(), "here".to_owned()]];
    let mut all_below = true;
    let mut evidence = Vec::new();
    for (place, published::Cluster { name, cores, memory, .. }) in CLUSTERS.into_iter().enumerate()
    {
        let is_there = |unit: &Unit| places.place(unit) == place;
        for load in LOADS {
            let ours = mean(windows, load, is_there, |usage| usage.cores)?;
            all_below &= ours < cores;
            let row = [
                format!("{name}, {}: cores", load.name()),
                format!("{cores:.4}"),
                format!("{ours:.4}"),
            ];
            table.push(row);
            if load == Load::Busy {
                evidence.push(format!("{name} {ours:.4} of {cores:.4}"));
            }
        }
        let ours = mean(windows, Load::Busy, is_there, |usage| usage.memory)?;
        let row = [format!("{name}: MiB of memory"), format!("{memory:.0}"), format!("{ours:.0}")];
        table.push(row);
    }
    let evidence = format!("cores while busy: {}", evidence.join(", "));
    Ok(Section {
        title: "H2: processors",
        claim: "every cluster uses less of a processor than the paper's, quiet and busy",
        outcome: Outcome::of(all_below, evidence).judged(judges_speed),
        method: "Processor time of every process, by its own clock, in windows of one minute: quiet, \
                 with a network of two pods that nobody uses, and busy, when one network is deleted \
                 and the next set up every 9.7 s, the pace at which the paper's networks were. The \
                 control cluster has the services that serve all clusters, and all of Postgres, that \
                 of the clusters' controllers included; a managed cluster has its controller, and \
                 of each of its three nodes the agents and all of Open vSwitch, which forwards in \
                 user space here. The paper counts all containers of its namespace in each cluster, \
                 over twelve hours.",
        table: {
            let windows = format!("{} of each, of {} s", of.count, of.length.as_secs());
            table.push(["windows".to_owned(), "51 to 101, of 60 s".to_owned(), windows]);
            let networks = networks.to_string();
            table.push(["networks set up while busy".to_owned(), "–".to_owned(), networks]);
            table
        },
        plot: "h2_processor",
    })
}
