//! What we ship for Prometheus and Grafana is well-formed, and documented.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::{Command, Output},
};

use anyhow::{Context, Result, ensure};
use integration_tests::{
    dashboards::{Dashboard, Panel, dashboards},
    prometheus::{alert_names, shipped},
};

/// Columns of Grafana's grid.
const COLUMNS: u32 = 24;

/// Where metrics and alerts are explained.
fn operations() -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operations.md");
    fs::read_to_string(&path).with_context(|| path.display().to_string())
}

fn promtool(arguments: &[&str]) -> Result<Output> {
    let mut promtool = Command::new("promtool");
    promtool.args(arguments).current_dir(shipped("prometheus"));
    promtool.output().context("promtool, of the Debian package prometheus")
}

#[test]
fn every_alert_fires_when_it_should_and_not_before() -> Result<()> {
    for arguments in [["check", "config", "prometheus.yml"], ["test", "rules", "alerts_test.yaml"]]
    {
        let output = promtool(&arguments)?;
        ensure!(output.status.success(), "promtool {arguments:?}: {output:?}");
    }
    let tests = fs::read_to_string(shipped("prometheus/alerts_test.yaml"))?;
    let operations = operations()?;
    for alert in alert_names()? {
        // Once it is expected to fire, with its annotations, and at least once not to.
        let expected = format!("docs/operations.md, section 9, {alert}\n");
        ensure!(tests.contains(&expected), "no test expects {alert}");
        ensure!(tests.contains(&format!("{{alertname: {alert}, ")), "{alert} is always expected");
        ensure!(operations.contains(&format!("| `{alert}` |")), "{alert} is not explained");
    }
    Ok(())
}

#[test]
fn dashboards_are_whole() -> Result<()> {
    let dashboards = dashboards()?;
    ensure!(!dashboards.is_empty(), "there is none");
    let unique: BTreeSet<_> = dashboards.iter().map(|it| (&it.uid, &it.title)).collect();
    ensure!(unique.len() == dashboards.len(), "{unique:?}");
    dashboards.iter().try_for_each(|it| whole(it).with_context(|| it.file.clone()))
}

fn whole(dashboard: &Dashboard) -> Result<()> {
    let panels = &dashboard.panels;
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel.id).collect();
    ensure!(ids.len() == panels.len(), "an id is used twice");
    for (index, panel) in panels.iter().enumerate() {
        let position = panel.grid_pos;
        ensure!(position.w > 0 && position.h > 0, "{}: {position:?}", panel.title);
        ensure!(position.x + position.w <= COLUMNS, "{}: {position:?}", panel.title);
        let over = panels[..index].iter().find(|other| position.overlaps(other.grid_pos));
        ensure!(over.is_none(), "{} lies over {over:?}", panel.title);
        if panel.r#type != "row" {
            asks(panel, dashboard).with_context(|| panel.title.clone())?;
        }
    }
    let variables = &dashboard.templating.list;
    let source = variables.iter().find(|variable| variable.r#type == "datasource");
    ensure!(source.is_some_and(|it| it.name == "datasource" && it.query == "prometheus"));
    for variable in variables.iter().filter(|variable| variable.r#type == "query") {
        ensure!(variable.datasource["uid"] == "${datasource}", "${}", variable.name);
    }
    Ok(())
}

fn asks(panel: &Panel, dashboard: &Dashboard) -> Result<()> {
    let Panel { datasource, field_config, targets, description, .. } = panel;
    ensure!(description.ends_with('.'), "it is not described");
    ensure!(datasource["uid"] == "${datasource}", "{datasource}");
    let unit = field_config["defaults"]["unit"].as_str().unwrap_or_default();
    ensure!(!unit.is_empty(), "it has no unit");
    ensure!(!targets.is_empty(), "it asks nothing");
    let ids: BTreeSet<_> = targets.iter().map(|target| &target.ref_id).collect();
    ensure!(ids.len() == targets.len(), "a query's id is used twice");
    for target in targets {
        ensure!(target.datasource == *datasource, "{}", target.expr);
        ensure!(!target.legend_format.is_empty(), "{} has no legend", target.expr);
        let rest = target.of_everything(&dashboard.templating.list);
        ensure!(!rest.contains('$'), "{rest} has a variable that is none");
    }
    Ok(())
}

#[test]
fn what_dashboards_and_alerts_ask_for_is_documented() -> Result<()> {
    let operations = operations()?;
    let mut asked = fs::read_to_string(shipped("prometheus/alerts.yaml"))?;
    for dashboard in dashboards()? {
        let targets = dashboard.panels.iter().flat_map(|panel| &panel.targets);
        targets.for_each(|target| asked.extend([" ", &target.expr]));
    }
    let words = asked.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let metrics: BTreeSet<_> = words
        .filter(|word| word.starts_with("l2sces_"))
        .map(|word| word.trim_end_matches("_bucket").trim_end_matches("_count"))
        .collect();
    ensure!(metrics.len() > 10, "{metrics:?}");
    for metric in metrics {
        ensure!(operations.contains(&format!("`{metric}`")), "{metric} is not documented");
    }
    Ok(())
}
