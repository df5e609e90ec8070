use std::{collections::BTreeMap, sync::Arc};

use l2sces_custom_resources::SliceOverlay;
use l2sces_kubernetes::{Problem, Reference};
use l2sces_model::Name;

use super::{Claim, PlannedSlice};

/// Whose networks slices may have: the resource that is a slice says so.
pub(super) struct Admission<'a>(BTreeMap<&'a Name, &'a SliceOverlay>);

impl<'a> Admission<'a> {
    pub(super) fn of(
        overlays: &[&'a Arc<SliceOverlay>],
        slices: &'a BTreeMap<Reference, Claim<Name, PlannedSlice>>,
    ) -> Self {
        let owner = |overlay: &&'a Arc<SliceOverlay>| {
            let claim = slices.get(&Reference::to(&***overlay))?;
            Some((claim.key.as_ref().ok()?, &***overlay))
        };
        Self(overlays.iter().filter_map(owner).collect())
    }

    /// Why a resource in a namespace may be no network of a slice, if it may not.
    pub(super) fn refusal(&self, slice: &Name, namespace: &str) -> Option<Problem> {
        let overlay = self.0.get(slice)?;
        let others = overlay.spec.network_namespaces.as_ref()?;
        let own = overlay.metadata.namespace.as_deref();
        if own == Some(namespace) || others.iter().any(|other| other == namespace) {
            return None;
        }
        let overlay = Reference::to(*overlay);
        let message = format!(
            "namespace {namespace} may have no networks of slice {slice}: it is none of \
             spec.networkNamespaces of SliceOverlay {overlay}"
        );
        Some(Problem::new("NamespaceNotAllowed", message))
    }
}
