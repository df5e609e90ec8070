use l2sces_custom_resources::ProviderProfileStatus;
use l2sces_kubernetes::{Failure, Reference, check_provider, conditions};

use super::Reconciler;

impl Reconciler {
    /// Tells whether a profile can be that of a slice.
    pub(super) async fn profile(&self, reference: &Reference) -> Result<(), Failure> {
        let Some(profile) = self.caches.profile(reference) else { return Ok(()) };
        let problem = check_provider(&profile.spec.provider).err();
        let before = profile.status.clone().unwrap_or_default();
        let condition = conditions::ready(problem.as_ref(), profile.metadata.generation);
        let after = ProviderProfileStatus {
            conditions: conditions::with_times(vec![condition], &before.conditions),
        };
        self.publisher.publish(&*profile, profile.status.as_ref(), &after).await?;
        self.publisher.announce(&*profile, &before.conditions, &after.conditions).await;
        Ok(())
    }
}
