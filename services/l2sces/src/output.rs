use std::io::{self, Write};

use comfy_table::{ContentArrangement, Table, presets};
use l2sces_proto::slice::v1::LinkStatus;
use serde::Serialize;

use crate::{
    args::Format,
    error::CliError,
    kubernetes::Residue,
    link::{self, Link},
    resource::{Change, Now, Resource},
};

/// What a command prints to stdout, in the form that was asked for.
pub(crate) struct Output {
    stdout: Box<dyn Write>,
    format: Format,
    printed: bool,
}

impl Output {
    pub(crate) fn stdout(format: Format) -> Self {
        Self::to(Box::new(io::stdout().lock()), format)
    }

    fn to(stdout: Box<dyn Write>, format: Format) -> Self {
        Self { stdout, format, printed: false }
    }

    /// Prints a text as it is.
    pub(crate) fn text(&mut self, text: &str) -> Result<(), CliError> {
        self.stdout.write_all(text.as_bytes())?;
        Ok(self.stdout.flush()?)
    }

    /// Prints one resource.
    pub(crate) fn one<R: Resource>(&mut self, resource: &R) -> Result<(), CliError> {
        match self.format {
            Format::Table => self.table(std::slice::from_ref(resource)),
            Format::Json => self.json(&resource.manifest()),
            Format::Yaml => self.yaml(&resource.manifest()),
        }
    }

    /// Prints several resources of a kind.
    pub(crate) fn many<R: Resource>(&mut self, resources: &[R]) -> Result<(), CliError> {
        match self.format {
            Format::Table if resources.is_empty() => Ok(()),
            Format::Table => self.table(resources),
            Format::Json => {
                let manifests: Vec<_> = resources.iter().map(Resource::manifest).collect();
                self.json(&manifests)
            }
            Format::Yaml => {
                resources.iter().try_for_each(|resource| self.yaml(&resource.manifest()))
            }
        }
    }

    /// Prints links.
    pub(crate) fn links(&mut self, links: Vec<LinkStatus>) -> Result<(), CliError> {
        let for_programs =
            |links: Vec<LinkStatus>| -> Vec<Link> { links.into_iter().map(Link::from).collect() };
        match self.format {
            Format::Table if links.is_empty() => Ok(()),
            Format::Table => {
                let now = Now::from_clock();
                let rows = links.iter().map(|of| link::cells(of, now));
                self.text(&aligned(&link::COLUMNS, rows))
            }
            Format::Json => self.json(&for_programs(links)),
            Format::Yaml => self.yaml(&for_programs(links)),
        }
    }

    /// Prints manifests of Kubernetes: YAML documents, or a List in JSON.
    pub(crate) fn manifests(&mut self, manifests: &[impl Serialize]) -> Result<(), CliError> {
        match self.format {
            Format::Json => self.json(&serde_json::json!({
                "apiVersion": "v1", "kind": "List", "items": manifests,
            })),
            Format::Table | Format::Yaml => {
                manifests.iter().try_for_each(|manifest| self.yaml(manifest))
            }
        }
    }

    /// Prints what is there of a cluster.
    pub(crate) fn residue(&mut self, residue: &[Residue]) -> Result<(), CliError> {
        match self.format {
            Format::Table if residue.is_empty() => Ok(()),
            Format::Table => {
                let rows = residue.iter().map(|found| {
                    vec![found.place.to_owned(), found.what.clone(), found.note.clone()]
                });
                self.text(&aligned(&["WHERE", "WHAT", "NOTE"], rows))
            }
            Format::Json => self.json(&residue),
            Format::Yaml => self.yaml(&residue),
        }
    }

    /// Tells people something, on a line of its own.
    pub(crate) fn line(&mut self, line: &str) -> Result<(), CliError> {
        match self.format {
            Format::Table => self.text(&format!("{line}\n")),
            Format::Json | Format::Yaml => Ok(()),
        }
    }

    /// Tells people what was done to a resource. Programs get the [`result`](Self::result).
    pub(crate) fn done<R: Resource>(&mut self, resource: &R, done: &str) -> Result<(), CliError> {
        self.line(&format!("{} {} {done}", R::KIND, resource.key()))
    }

    /// Prints, for programs, one of several resources as it has become. People know it from
    /// [`done`](Self::done).
    pub(crate) fn result<R: Resource>(&mut self, resource: &R) -> Result<(), CliError> {
        match self.format {
            Format::Table => Ok(()),
            Format::Json => self.json_line(&resource.manifest()),
            Format::Yaml => self.yaml(&resource.manifest()),
        }
    }

    /// Prints what happened to a watched resource, on a line of its own if that is possible.
    pub(crate) fn change<R: Resource>(&mut self, change: &Change<R>) -> Result<(), CliError> {
        let (verb, resource) = match change {
            Change::Put(resource) => ("put", resource),
            Change::Deleted(resource) => ("deleted", resource),
            Change::Synced => return Ok(()),
        };
        let manifest = resource.manifest();
        match self.format {
            Format::Table => {
                let readiness = match change {
                    Change::Deleted(_) => "deleted".to_owned(),
                    _ => resource.readiness().to_owned(),
                };
                let reason = resource.why_not_ready(0).unwrap_or_default();
                let line = format!("{} {} {readiness} {reason}", R::KIND, resource.key());
                self.text(&format!("{}\n", line.trim_end()))
            }
            Format::Json => {
                self.json_line(&serde_json::json!({ "change": verb, "resource": manifest }))
            }
            Format::Yaml => self.yaml(&WatchDocument { change: verb, resource: manifest }),
        }
    }

    fn table<R: Resource>(&mut self, resources: &[R]) -> Result<(), CliError> {
        let text = table(resources, Now::from_clock());
        self.text(&text)
    }

    fn json(&mut self, value: &impl Serialize) -> Result<(), CliError> {
        let text = serde_json::to_string_pretty(value).map_err(unprintable)?;
        self.text(&format!("{text}\n"))
    }

    fn json_line(&mut self, value: &impl Serialize) -> Result<(), CliError> {
        let text = serde_json::to_string(value).map_err(unprintable)?;
        self.text(&format!("{text}\n"))
    }

    fn yaml(&mut self, value: &impl Serialize) -> Result<(), CliError> {
        let text = serde_norway::to_string(value).map_err(unprintable)?;
        let separator = if self.printed { "---\n" } else { "" };
        self.printed = true;
        self.text(&format!("{separator}{text}"))
    }
}

#[derive(Serialize)]
struct WatchDocument<M> {
    change: &'static str,
    resource: M,
}

fn table<R: Resource>(resources: &[R], now: Now) -> String {
    let names =
        R::NAME_COLUMNS.iter().chain(&["READY"]).chain(R::COLUMNS).chain(&["AGE", "REASON"]);
    let rows = resources.iter().map(|resource| {
        let mut row = resource.key().parts();
        row.push(resource.readiness().to_owned());
        row.extend(resource.cells());
        row.push(now.age(resource.metadata().create_time.as_ref()));
        row.push(resource.why_not_ready(0).unwrap_or_default());
        row
    });
    aligned(&names.copied().collect::<Vec<_>>(), rows)
}

/// Rows without borders, each on one line, whatever the width of the terminal.
fn aligned(names: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(names.iter().copied());
    rows.for_each(|row| {
        table.add_row(row);
    });
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    format!("{}\n", table.trim_fmt())
}

fn unprintable(error: impl std::fmt::Display) -> CliError {
    CliError::Failed(format!("cannot print the answer: {error}"))
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, rc::Rc};

    use l2sces_proto::{
        resource::v1::{Condition, ConditionStatus, Metadata},
        slice::v1::{ClusterPods, Network, NetworkSpec, NetworkStatus},
    };

    use super::*;

    fn network(name: &str, ready: ConditionStatus, reason: &str) -> Network {
        let metadata = Metadata {
            name: name.into(),
            generation: 1,
            create_time: Some(prost_types::Timestamp { seconds: 1_000, nanos: 0 }),
            ..Metadata::default()
        };
        let condition = Condition {
            r#type: "Ready".into(),
            status: ready.into(),
            reason: reason.into(),
            message: "cluster b does not answer".into(),
            observed_generation: 1,
            last_transition_time: None,
        };
        Network {
            metadata: Some(metadata),
            slice: "s1".into(),
            spec: Some(NetworkSpec { cidr: "10.1.0.0/24".into(), ..NetworkSpec::default() }),
            status: Some(NetworkStatus {
                conditions: vec![condition],
                vni: 17,
                mtu: 1_438,
                pods: Vec::new(),
            }),
        }
    }

    #[test]
    fn a_table_has_a_line_for_each_and_says_why_not() {
        let mut networks = [
            network("blue", ConditionStatus::True, "Ready"),
            network("a-longer-name", ConditionStatus::False, "Unreachable"),
        ];
        let pods = |cluster: &str, attached| ClusterPods { cluster: cluster.into(), attached };
        networks[0].status.get_or_insert_default().pods = vec![pods("a", 3), pods("b", 12)];
        assert_eq!(
            table(&networks, Now::at(1_090)),
            "SLICE  NAME           READY  VNI  CIDR         MTU   PODS      AGE  REASON\n\
             s1     blue           True   17   10.1.0.0/24  1438  a:3,b:12  90s\n\
             s1     a-longer-name  False  17   10.1.0.0/24  1438            90s  Unreachable: cluster b does not answer\n"
        );
    }

    #[derive(Clone, Default)]
    struct Sink(Rc<RefCell<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn printed(format: Format, print: impl Fn(&mut Output)) -> String {
        let sink = Sink::default();
        print(&mut Output::to(Box::new(sink.clone()), format));
        String::from_utf8(sink.0.take()).unwrap()
    }

    #[test]
    fn yaml_of_several_is_what_apply_takes() {
        let mut networks = [
            network("blue", ConditionStatus::True, "Ready"),
            network("red", ConditionStatus::True, "Ready"),
        ];
        let pods = ClusterPods { cluster: "a".into(), attached: 3 };
        networks[0].status.get_or_insert_default().pods = vec![pods];
        let yaml = printed(Format::Yaml, |output| output.many(&networks).unwrap());
        assert_eq!(crate::manifest::parse(&yaml).unwrap().len(), 2, "{yaml}");
    }

    #[test]
    fn nothing_is_an_empty_json_array_and_an_empty_table() {
        let none: [Network; 0] = [];
        assert_eq!(printed(Format::Json, |output| output.many(&none).unwrap()), "[]\n");
        assert_eq!(printed(Format::Table, |output| output.many(&none).unwrap()), "");
    }

    #[test]
    fn a_watch_prints_a_line_for_each_change() {
        let change = Change::Put(network("blue", ConditionStatus::False, "Unreachable"));
        let line = printed(Format::Table, |output| output.change(&change).unwrap());
        assert_eq!(line, "network s1/blue False Unreachable: cluster b does not answer\n");
        let line = printed(Format::Json, |output| output.change(&change).unwrap());
        let value: serde_json::Value = serde_json::from_str(line.trim_end()).unwrap();
        assert_eq!(value["change"], "put");
        assert_eq!(value["resource"]["status"]["vni"], 17);
    }
}
