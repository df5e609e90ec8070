//! A real Prometheus in a lab, with the configuration, alerts and dashboards that we ship.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, Result, ensure};
use l2sces_lab::{Lab, Namespace, Unit, layout::Service, wait};
use serde_norway::Value as Yaml;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::Child,
};

use crate::LIMIT;

/// How often it scrapes and evaluates here, so that a test need not wait for long.
const INTERVAL: &str = "2s";

/// How long an alert's condition must hold here, in place of the minutes of its `for`. Nothing else of
/// the rules is changed.
const FOR: &str = "4s";

/// The port of its API.
const PORT: u16 = 9090;

/// A Prometheus; it ends with this value.
pub struct Prometheus {
    namespace: Namespace,
    address: SocketAddr,
    _process: Child,
}

/// One value of a query's result.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The labels, without the metric's name.
    pub labels: BTreeMap<String, String>,
    /// The value.
    pub value: f64,
}

/// Where what we ship for Prometheus and Grafana is.
pub fn shipped(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/observability").join(path)
}

impl Prometheus {
    /// Starts one beside the services, which scrapes all of them as prometheus.yml says.
    pub async fn start(lab: &Lab) -> Result<Self> {
        let directory = lab.layout().directory.join("prometheus");
        fs::create_dir(&directory)?;
        fs::write(directory.join("prometheus.yml"), configuration(lab)?)?;
        fs::write(directory.join("alerts.yaml"), alerts()?)?;
        let namespace = lab.control();
        let address = SocketAddr::from((lab.layout().control.address, PORT));
        let log = fs::File::create(directory.join("log"))?;
        let mut command = namespace.command("prometheus")?;
        command
            .arg(format!("--config.file={}", directory.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", directory.join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(log);
        let process = command.spawn().context("start prometheus")?;
        let prometheus = Self { namespace, address, _process: process };
        wait::holds("Prometheus answers", LIMIT, || async {
            prometheus.query("vector(1)").await.map(drop).map_err(|error| format!("{error:#}"))
        })
        .await?;
        Ok(prometheus)
    }

    /// What an expression gives now.
    pub async fn query(&self, expression: &str) -> Result<Vec<Sample>> {
        let query: String = form_urlencoded::byte_serialize(expression.as_bytes()).collect();
        let request = format!("GET /api/v1/query?query={query} HTTP/1.0\r\n\r\n");
        let mut stream = self.namespace.connect(self.address).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut response = String::new();
        stream.read_to_string(&mut response).await?;
        let (_, body) = response.split_once("\r\n\r\n").context("no HTTP")?;
        let body: serde_json::Value = serde_json::from_str(body)?;
        ensure!(body["status"] == "success", "{expression}: {body}");
        let result = body["data"]["result"].as_array().context("no result")?;
        if body["data"]["resultType"] != "vector" {
            return Ok(Vec::new());
        }
        result.iter().map(sample).collect()
    }

    /// The alerts that fire now, by their names, with their labels.
    pub async fn firing(&self) -> Result<Vec<(String, BTreeMap<String, String>)>> {
        let alerts = self.query("ALERTS{alertstate=\"firing\"}").await?;
        let named = alerts.into_iter().map(|Sample { mut labels, .. }| {
            (labels.remove("alertname").unwrap_or_default(), labels)
        });
        Ok(named.collect())
    }

    /// Waits until an alert fires, or does not any more, for each of these nodes.
    pub async fn alert(&self, name: &str, nodes: &[&str], fires: bool) -> Result<()> {
        let wanted: BTreeSet<_> = nodes.iter().map(|&node| node.to_owned()).collect();
        let what = format!("{name} of {nodes:?} {}", if fires { "fires" } else { "is over" });
        wait::holds(&what, 4 * LIMIT, || async {
            let firing = self.firing().await.map_err(|error| format!("{error:#}"))?;
            let of_nodes: BTreeSet<_> = firing
                .iter()
                .filter(|(alert, _)| alert == name)
                .filter_map(|(_, labels)| labels.get("node").cloned())
                .collect();
            let holds =
                if fires { wanted.is_subset(&of_nodes) } else { wanted.is_disjoint(&of_nodes) };
            if holds { Ok(()) } else { Err(format!("{firing:?}")) }
        })
        .await?;
        Ok(())
    }
}

fn sample(json: &serde_json::Value) -> Result<Sample> {
    let labels = json["metric"].as_object().context("no labels")?;
    let labels = labels.iter().filter(|(name, _)| *name != "__name__");
    let labels =
        labels.map(|(name, value)| (name.clone(), value.as_str().unwrap_or("").to_owned()));
    let value = json["value"][1].as_str().context("no value")?;
    Ok(Sample { labels: labels.collect(), value: value.parse()? })
}

/// prometheus.yml with the lab's addresses in the place of the containers'.
fn configuration(lab: &Lab) -> Result<String> {
    let mut configuration = read_yaml(&shipped("prometheus/prometheus.yml"))?;
    configuration["global"]["scrape_interval"] = INTERVAL.into();
    configuration["global"]["evaluation_interval"] = INTERVAL.into();
    let jobs = configuration["scrape_configs"].as_sequence_mut().context("no jobs")?;
    let mut scraped = BTreeSet::new();
    for job in jobs {
        let name = job["job_name"].as_str().context("no name")?.to_owned();
        let targets = job["static_configs"].as_sequence_mut().context("no targets")?;
        for target in targets {
            let of = ["node", "cluster"].into_iter().find_map(|key| target["labels"][key].as_str());
            let unit = of.map_or(name.clone(), |of| format!("{name}-{of}"));
            let unit: Unit = unit.parse().map_err(anyhow::Error::msg)?;
            let Service { metrics, .. } = lab.layout().service(&unit)?;
            let shipped = target["targets"][0].as_str().unwrap_or_default().to_owned();
            ensure!(shipped.ends_with(&format!(":{}", metrics.port())), "{unit} is at {shipped}");
            target["targets"] = Yaml::Sequence(vec![metrics.to_string().into()]);
            scraped.insert(unit);
        }
    }
    let services: BTreeSet<_> = lab.layout().services().map(|it| it.unit.clone()).collect();
    ensure!(scraped == services, "{scraped:?} are scraped of {services:?}");
    Ok(serde_norway::to_string(&configuration)?)
}

fn alerts() -> Result<String> {
    let mut alerts = read_yaml(&shipped("prometheus/alerts.yaml"))?;
    for group in alerts["groups"].as_sequence_mut().context("no groups")? {
        for rule in group["rules"].as_sequence_mut().context("no rules")? {
            rule["for"] = FOR.into();
        }
    }
    Ok(serde_norway::to_string(&alerts)?)
}

/// The names of our alerts.
pub fn alert_names() -> Result<Vec<String>> {
    let alerts = read_yaml(&shipped("prometheus/alerts.yaml"))?;
    let groups = alerts["groups"].as_sequence().context("no groups")?;
    let rules = groups.iter().filter_map(|group| group["rules"].as_sequence()).flatten();
    let names = rules.map(|rule| rule["alert"].as_str().map(str::to_owned).context("no name"));
    names.collect()
}

fn read_yaml(path: &Path) -> Result<Yaml> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    serde_norway::from_str(&text).with_context(|| path.display().to_string())
}
