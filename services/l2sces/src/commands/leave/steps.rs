//! The removal, step by step.

use kube::{Client, ResourceExt, api::DynamicObject};
use l2sces_custom_resources::SLICE_GROUP;
use tokio::time::Instant;

use crate::{
    args::LeaveArgs,
    error::CliError,
    kubernetes::{
        self, Inventory, NAMESPACE, SLICE_MANAGER_ACCOUNT, is_settings, is_shared, kind, removal,
        until_nothing,
    },
    output::Output,
    progress::Progress,
};

/// Kinds that end with their pods.
const WORKLOADS: [&str; 2] = ["Deployment", "DaemonSet"];

pub(super) struct Removal<'a> {
    client: &'a Client,
    inventory: &'a Inventory,
    args: &'a LeaveArgs,
    output: &'a mut Output,
    progress: &'a mut Progress,
}

impl<'a> Removal<'a> {
    pub(super) fn new(
        client: &'a Client,
        inventory: &'a Inventory,
        args: &'a LeaveArgs,
        output: &'a mut Output,
        progress: &'a mut Progress,
    ) -> Self {
        Self { client, inventory, args, output, progress }
    }

    /// All of it. With `is_used`, a slice-manager would make custom resources again, and must not be
    /// able to.
    pub(super) async fn run(&mut self, is_used: bool) -> Result<(), CliError> {
        if is_used {
            self.remove(|object| {
                kind(object) == "RoleBinding" && object.name_any() == SLICE_MANAGER_ACCOUNT
            })
            .await?;
        }
        self.custom_resources().await?;
        self.nodes().await?;
        let keeps_slices = removal::keeps_slices(self.client).await?;
        // A definition's name ends in its group.
        let is_of_slices = |object: &DynamicObject| object.name_any().ends_with(SLICE_GROUP);
        let stays = |object: &DynamicObject| {
            is_settings(object) || is_shared(object) || keeps_slices && is_of_slices(object)
        };
        self.remove(|object| !stays(object)).await?;
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
            cleaned => cleaned.map_err(|error| can_be_forced(error, "in the services"))?,
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
            unlabelled => unlabelled.map_err(|error| can_be_forced(error, "in the services"))?,
        }
        self.until_pods_end(async || removal::pods_on_nodes(client).await).await
    }

    /// What is ours and wanted gone, one kind after the other: when the webhook is gone no pod waits for the
    /// operator, and when the operator is gone nobody writes the Corefile again.
    async fn remove(&mut self, is_wanted: impl Fn(&DynamicObject) -> bool) -> Result<(), CliError> {
        let (client, inventory) = (self.client, self.inventory);
        for resource in kubernetes::kinds_to_remove() {
            if self.args.keep_crds && resource.kind == "CustomResourceDefinition" {
                continue;
            }
            let mut ours = removal::ours(client, inventory, &resource).await?;
            ours.retain(&is_wanted);
            for object in &ours {
                removal::delete(client, object).await?;
            }
            let left = async || {
                let mut left = removal::ours(client, inventory, &resource).await?;
                left.retain(&is_wanted);
                Ok(left
                    .iter()
                    .map(|left| format!("{} is there", kubernetes::shown(left)))
                    .collect())
            };
            match WORKLOADS.contains(&resource.kind.as_str()) {
                true => self.until_pods_end(left).await?,
                false => until_nothing(self.progress, self.deadline(), left).await?,
            }
            for object in &ours {
                self.output.line(&format!("{} deleted", kubernetes::shown(object)))?;
            }
        }
        Ok(())
    }

    /// Waits for what lasts as long as pods do. With force, those that do not end in time are given up: of a
    /// node that is away nothing is heard again.
    async fn until_pods_end(
        &mut self,
        mut look: impl AsyncFnMut() -> Result<Vec<String>, CliError>,
    ) -> Result<(), CliError> {
        match until_nothing(self.progress, self.deadline(), &mut look).await {
            Err(CliError::TimedOut(left)) if self.args.force => {
                self.progress.note(&format!("given up: {left}"));
                removal::give_up_pods(self.client).await?;
                until_nothing(self.progress, self.deadline(), look).await
            }
            ended => ended.map_err(|error| can_be_forced(error, "on its node")),
        }
    }

    /// The settings; and the namespace, unless it is not only ours: the services that control all clusters may
    /// be in it.
    async fn namespace(&mut self) -> Result<(), CliError> {
        let others = self.inventory.others(self.client).await?;
        if others.is_empty() {
            return self.remove(|object| is_settings(object) || is_shared(object)).await;
        }
        let others = others.join(", ");
        self.progress.note(&format!("Namespace {NAMESPACE} stays, because of {others}"));
        self.remove(is_settings).await
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.args.timeout
    }
}

/// What is not in time may be given up, and stays at a place.
fn can_be_forced(error: CliError, place: &str) -> CliError {
    match error {
        CliError::TimedOut(left) => {
            CliError::TimedOut(format!("{left} (--force gives it up: it stays {place})"))
        }
        other => other,
    }
}
