//! The removal, step by step.

use kube::{Client, ResourceExt};
use tokio::time::Instant;

use crate::{
    args::LeaveArgs,
    error::CliError,
    kubernetes::{
        self, NAMESPACE, SLICE_MANAGER_ACCOUNT,
        removal::{self, SHARED},
        until_nothing,
    },
    output::Output,
    progress::Progress,
};

pub(super) struct Removal<'a> {
    client: &'a Client,
    args: &'a LeaveArgs,
    output: &'a mut Output,
    progress: &'a mut Progress,
}

impl<'a> Removal<'a> {
    pub(super) fn new(
        client: &'a Client,
        args: &'a LeaveArgs,
        output: &'a mut Output,
        progress: &'a mut Progress,
    ) -> Self {
        Self { client, args, output, progress }
    }

    /// All of it. With `is_used`, a slice-manager would make custom resources again, and must not be
    /// able to.
    pub(super) async fn run(&mut self, is_used: bool) -> Result<(), CliError> {
        if is_used {
            self.remove(
                |resource| resource.kind == "RoleBinding",
                |name| name == SLICE_MANAGER_ACCOUNT,
            )
            .await?;
        }
        self.custom_resources().await?;
        self.nodes().await?;
        self.remove(|_| true, |name| !SHARED.contains(&name)).await?;
        removal::restore_corefile(self.client).await?;
        self.namespace().await
    }

    /// The operator cleans up what was made for them.
    async fn custom_resources(&mut self) -> Result<(), CliError> {
        let client = self.client;
        let before = removal::delete_custom_resources(client).await?;
        if before.is_empty() {
            return Ok(());
        }
        let cleaned = until_nothing(self.progress, self.deadline(), async || {
            removal::delete_custom_resources(client).await
        });
        match cleaned.await {
            Err(CliError::TimedOut(left)) if self.args.force => {
                self.progress.note(&format!("given up: {left}"));
                removal::give_up_custom_resources(client).await?;
            }
            cleaned => cleaned.map_err(can_be_forced)?,
        }
        self.output.line("custom resources deleted")
    }

    /// Agents, switches and plugins take away what they have made, and go when their node has no label
    /// any more.
    async fn nodes(&mut self) -> Result<(), CliError> {
        let client = self.client;
        let unlabelled = until_nothing(self.progress, self.deadline(), async || {
            if !removal::operator_exists(client).await? {
                removal::unlabel_nodes(client).await?;
            }
            let nodes = removal::labelled_nodes(client).await?;
            let left = nodes.iter().map(ResourceExt::name_any);
            Ok(left.map(|node| format!("the operator has not cleaned up node {node}")).collect())
        });
        match unlabelled.await {
            Err(CliError::TimedOut(left)) if self.args.force => {
                self.progress.note(&format!("given up: {left}"));
                removal::unlabel_nodes(client).await?;
            }
            unlabelled => unlabelled.map_err(can_be_forced)?,
        }
        let pods = until_nothing(self.progress, self.deadline(), async || {
            removal::pods_on_nodes(client).await
        });
        pods.await
    }

    /// What is ours of some kinds, one kind after the other: when the webhook is gone no pod waits for the
    /// operator, and when the operator is gone nobody writes the Corefile again.
    async fn remove(
        &mut self,
        is_kind: impl Fn(&kube::api::ApiResource) -> bool,
        is_name: impl Fn(&str) -> bool,
    ) -> Result<(), CliError> {
        let client = self.client;
        for resource in kubernetes::kinds_to_remove().filter(|resource| is_kind(resource)) {
            if self.args.keep_crds && resource.kind == "CustomResourceDefinition" {
                continue;
            }
            let ours = removal::ours(client, &resource).await?;
            let ours: Vec<_> =
                ours.into_iter().filter(|object| is_name(&object.name_any())).collect();
            for object in &ours {
                removal::delete(client, object).await?;
            }
            let gone = until_nothing(self.progress, self.deadline(), async || {
                let left = removal::ours(client, &resource).await?;
                let left = left.iter().filter(|object| is_name(&object.name_any()));
                Ok(left.map(|object| format!("{} is there", kubernetes::shown(object))).collect())
            });
            gone.await?;
            for object in &ours {
                self.output.line(&format!("{} deleted", kubernetes::shown(object)))?;
            }
        }
        Ok(())
    }

    /// Unless it is not only ours: the services that control all clusters may be in it.
    async fn namespace(&mut self) -> Result<(), CliError> {
        let client = self.client;
        let others = removal::others_in_namespace(client).await?;
        if !others.is_empty() {
            let others = others.join(", ");
            self.progress.note(&format!("Namespace {NAMESPACE} stays, because of {others}"));
            return Ok(());
        }
        self.remove(|_| true, |name| SHARED.contains(&name)).await
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.args.timeout
    }
}

/// What is not in time may be given up.
fn can_be_forced(error: CliError) -> CliError {
    match error {
        CliError::TimedOut(left) => {
            CliError::TimedOut(format!("{left} (--force gives it up: it stays in the services)"))
        }
        other => other,
    }
}
