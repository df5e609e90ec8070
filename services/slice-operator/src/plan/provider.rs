use std::{collections::BTreeMap, sync::Arc};

use l2sces_custom_resources::{Provider, ProviderProfile, ProviderReference};
use l2sces_kubernetes::{Problem, Reference, check_provider};
use l2sces_model::Name;

/// The profile of all resources of its namespace that name no provider.
const DEFAULT_PROFILE: &str = "default";

/// The providers of all profiles.
pub(super) struct Profiles<'a>(BTreeMap<Reference, &'a Provider>);

impl<'a> Profiles<'a> {
    pub(super) fn of(profiles: &'a [Arc<ProviderProfile>]) -> Self {
        let entry =
            |profile: &'a Arc<ProviderProfile>| (Reference::to(&**profile), &profile.spec.provider);
        Self(profiles.iter().map(entry).collect())
    }

    /// The slice of a resource in a namespace: that of its own provider, else of the profile that it
    /// refers to, else of the default one of its namespace.
    pub(super) fn slice(
        &self,
        namespace: &str,
        own: Option<&Provider>,
        reference: Option<&ProviderReference>,
    ) -> Result<Name, Problem> {
        let provider = match (own, reference) {
            (Some(provider), _) => provider,
            (None, Some(reference)) => {
                let namespace = reference.namespace.as_deref().unwrap_or(namespace);
                self.profile(namespace, &reference.name).ok_or_else(|| {
                    let name = &reference.name;
                    let message = format!("there is no ProviderProfile {namespace}/{name}");
                    Problem::new("NoProvider", message)
                })?
            }
            (None, None) => self.profile(namespace, DEFAULT_PROFILE).ok_or_else(|| {
                let message = format!(
                    "it names no provider, and there is no ProviderProfile \
                     {namespace}/{DEFAULT_PROFILE}"
                );
                Problem::new("NoProvider", message)
            })?,
        };
        check_provider(provider)?;
        Ok(provider.slice_name())
    }

    fn profile(&self, namespace: &str, name: &str) -> Option<&'a Provider> {
        let reference = Reference { namespace: namespace.to_owned(), name: name.to_owned() };
        self.0.get(&reference).copied()
    }
}
