use l2sces_custom_resources::{LOCAL_SLICE_PREFIX, Provider};

use crate::Problem;

/// Whether a provider's name can be that of a slice across clusters.
///
/// # Errors
/// Why not.
pub fn check_provider(provider: &Provider) -> Result<(), Problem> {
    if provider.slice_name().as_str().starts_with(LOCAL_SLICE_PREFIX) {
        let message = format!(
            "spec.provider.name: {:?} must not begin with {LOCAL_SLICE_PREFIX:?}, as the slices of \
             single namespaces do",
            provider.name
        );
        return Err(Problem::new("ReservedProvider", message));
    }
    Ok(())
}
