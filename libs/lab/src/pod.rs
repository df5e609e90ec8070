use std::{ffi::OsStr, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::{command::Output, error::LabError, namespace::Namespace};

/// A pod: a network namespace on a node, empty until a port is attached to it. It answers pings to
/// broadcast addresses, which hosts do not by default. Dropping the value leaves the pod alone.
#[derive(Clone, Debug)]
pub struct Pod {
    record: PodRecord,
    namespace: Namespace,
}

/// What is known of a pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodRecord {
    /// Name, unique in the lab.
    pub name: String,
    /// Name of its node.
    pub node: String,
    /// Network namespace.
    pub namespace: String,
    /// Path of the namespace, to attach a port to.
    pub path: PathBuf,
}

impl Pod {
    pub(crate) fn of(record: PodRecord) -> Self {
        Self { namespace: Namespace::named(&record.namespace), record }
    }

    /// A pod that is no lab's, such as a container: called `name`, on a node, with a network
    /// namespace.
    pub fn new(name: &str, node: &str, namespace: Namespace) -> Self {
        let record = PodRecord {
            name: name.to_owned(),
            node: node.to_owned(),
            namespace: namespace.name().to_owned(),
            path: namespace.path().to_owned(),
        };
        Self { record, namespace }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.record.name
    }

    /// Name of its node.
    pub fn node(&self) -> &str {
        &self.record.node
    }

    /// Its network namespace.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Path of its network namespace, to attach a port to.
    pub fn path(&self) -> String {
        self.record.path.display().to_string()
    }

    /// What is known of it.
    pub fn record(&self) -> &PodRecord {
        &self.record
    }

    /// Runs a program in the pod to its end, whatever that is.
    ///
    /// # Errors
    /// It could not be started.
    pub async fn exec<S: AsRef<OsStr>>(
        &self,
        command_line: impl IntoIterator<Item = S>,
    ) -> Result<Output, LabError> {
        self.namespace.exec(command_line).await
    }

    /// Runs a program in the pod that must succeed, and returns what it wrote to standard output.
    ///
    /// # Errors
    /// It could not be started, or failed.
    pub async fn run<S: AsRef<OsStr>>(
        &self,
        command_line: impl IntoIterator<Item = S>,
    ) -> Result<String, LabError> {
        self.namespace.run(command_line).await
    }
}
