//! `kubectl`, as an administrator of a cluster.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
};

use tokio::process::Command;

use super::layout::KubernetesCluster;
use crate::{command, error::LabError, layout::Layout, namespace::Namespace};

/// Runs `kubectl` on a cluster.
#[derive(Clone, Debug)]
pub struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
    /// Where it runs; none: where we are.
    namespace: Option<Namespace>,
}

impl Kubectl {
    pub(crate) fn new(layout: &Layout, cluster: &KubernetesCluster) -> Self {
        Self {
            program: layout.kubernetes.binaries.join("kubectl"),
            kubeconfig: cluster.kubeconfig.clone(),
            namespace: Some(Namespace::named(&cluster.namespace)),
        }
    }

    /// One of these programs, which finds the cluster by a kubeconfig.
    pub(crate) fn at(programs: &Path, kubeconfig: PathBuf) -> Self {
        Self { program: programs.join("kubectl"), kubeconfig, namespace: None }
    }

    fn command<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
    ) -> Result<Command, LabError> {
        let mut command = match &self.namespace {
            Some(namespace) => namespace.command(&self.program)?,
            None => command::command(&self.program),
        };
        // What it learns of the API is kept beside the cluster, not in anybody's home.
        let cache = self.kubeconfig.with_file_name("kubectl-cache");
        command.arg("--kubeconfig").arg(&self.kubeconfig).arg("--cache-dir").arg(cache);
        command.args(arguments);
        Ok(command)
    }

    /// Runs it; it must succeed. Returns what it wrote to standard output.
    ///
    /// # Errors
    /// It could not be started, or failed.
    pub async fn run<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
    ) -> Result<String, LabError> {
        Ok(command::run(&mut self.command(arguments)?).await?)
    }

    /// Runs it to its end, whatever that is.
    ///
    /// # Errors
    /// It could not be started.
    pub async fn output<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
    ) -> Result<command::Output, LabError> {
        Ok(command::output(&mut self.command(arguments)?).await?)
    }

    /// Applies manifests in YAML; returns what it printed.
    ///
    /// # Errors
    /// The API server refuses them.
    pub async fn apply(&self, manifests: &str) -> Result<String, LabError> {
        self.with_input(["apply", "-f", "-"], manifests).await
    }

    /// Deletes what manifests in YAML describe, and waits until it is gone.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn delete(&self, manifests: &str) -> Result<String, LabError> {
        self.with_input(["delete", "--ignore-not-found", "-f", "-"], manifests).await
    }

    /// Runs it with input; it must succeed. Returns what it wrote to standard output.
    ///
    /// # Errors
    /// It could not be started, or failed.
    pub async fn with_input<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
        input: &str,
    ) -> Result<String, LabError> {
        Ok(command::run_with_input(&mut self.command(arguments)?, input).await?)
    }
}
