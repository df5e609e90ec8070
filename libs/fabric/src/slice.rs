//! What is known of a slice.

use std::collections::{BTreeMap, BTreeSet};

use l2sces_model::DatapathId;

use crate::{SliceSpec, routes::Routes};

/// The first hops that a switch has installed, by destination: the next switch and the port.
pub(crate) type HeldHops = BTreeMap<DatapathId, (DatapathId, Option<u32>)>;

#[derive(Debug)]
pub(crate) struct Slice {
    pub(crate) spec: SliceSpec,
    pub(crate) members: BTreeSet<DatapathId>,
    pub(crate) routes: Routes,
    /// What switches that have gone away go on doing.
    pub(crate) held: BTreeMap<DatapathId, HeldHops>,
}

impl Slice {
    pub(crate) fn new(spec: SliceSpec) -> Self {
        let members = spec.switches.iter().copied().collect();
        Self { spec, members, routes: Routes::default(), held: BTreeMap::new() }
    }
}
