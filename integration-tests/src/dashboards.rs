//! Our Grafana dashboards, as far as they can be judged without Grafana.

use std::fs;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value as Json;

use crate::prometheus::shipped;

/// A dashboard.
#[derive(Debug, Deserialize)]
pub struct Dashboard {
    /// Its file.
    #[serde(skip)]
    pub file: String,
    /// By which links find it.
    pub uid: String,
    /// Its title.
    pub title: String,
    /// What it shows, rows among it.
    pub panels: Vec<Panel>,
    /// What its viewer chooses.
    pub templating: Templating,
}

/// What a viewer of a dashboard chooses.
#[derive(Debug, Deserialize)]
pub struct Templating {
    /// The variables.
    pub list: Vec<Variable>,
}

/// A variable of a dashboard.
#[derive(Debug, Deserialize)]
pub struct Variable {
    /// Its name, without the `$`.
    pub name: String,
    /// Its type.
    pub r#type: String,
    /// From which data source its values are, if they are from one.
    #[serde(default)]
    pub datasource: Json,
    /// What gives its values.
    pub query: Json,
}

/// A panel of a dashboard.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Panel {
    /// Unique in its dashboard.
    pub id: u32,
    /// Its type.
    pub r#type: String,
    /// Its title.
    pub title: String,
    /// What it shows.
    #[serde(default)]
    pub description: String,
    /// Where it is, in a grid of 24 columns.
    pub grid_pos: GridPosition,
    /// From which data source it is.
    #[serde(default)]
    pub datasource: Json,
    /// How values are shown.
    #[serde(default)]
    pub field_config: Json,
    /// What it asks.
    #[serde(default)]
    pub targets: Vec<Target>,
}

/// Where a panel is.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct GridPosition {
    /// The first column.
    pub x: u32,
    /// The first line.
    pub y: u32,
    /// Columns.
    pub w: u32,
    /// Lines.
    pub h: u32,
}

impl GridPosition {
    /// Whether two panels lie over each other.
    pub fn overlaps(self, other: Self) -> bool {
        self.x < other.x + other.w
            && other.x < self.x + self.w
            && self.y < other.y + other.h
            && other.y < self.y + self.h
    }
}

/// A query of a panel.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// Unique in its panel.
    pub ref_id: String,
    /// In PromQL, with variables.
    pub expr: String,
    /// How the results are named.
    pub legend_format: String,
    /// Which data source is asked.
    pub datasource: Json,
}

impl Target {
    /// The expression as Grafana asks it of somebody who has chosen everything and looks at an hour,
    /// but for the windows of rates, which are a minute.
    pub fn of_everything(&self, variables: &[Variable]) -> String {
        let expression = self.expr.replace("$__rate_interval", "1m");
        variables.iter().fold(expression, |expression, variable| {
            expression.replace(&format!("${}", variable.name), ".*")
        })
    }
}

/// All of our dashboards.
pub fn dashboards() -> Result<Vec<Dashboard>> {
    let mut files: Vec<_> = fs::read_dir(shipped("grafana/dashboards"))?
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<_>>()?;
    files.sort();
    let read = |path: &std::path::PathBuf| -> Result<Dashboard> {
        let file = path.display().to_string();
        let text = fs::read_to_string(path)?;
        let dashboard: Dashboard = serde_json::from_str(&text).with_context(|| file.clone())?;
        Ok(Dashboard { file, ..dashboard })
    };
    files.iter().map(read).collect()
}
