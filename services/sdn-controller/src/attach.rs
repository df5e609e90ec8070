//! Gives ports their addresses: out of blocks that the cluster has, or leases.

use ipnet::IpNet;
use l2sces_proto::sco::v1::NetworkKey as ProtoNetworkKey;
use thiserror::Error;
use tonic::Status;

use crate::{
    domain::PortSpec,
    exchange::Exchange,
    store::{BlockNeed, PortApplied, PortStored, Store, StoreError},
};

/// How many blocks a port may need, because others were faster to use up the ones before, or one was
/// given back meanwhile.
const LEASES: usize = 64;

/// Why a port cannot be stored.
#[derive(Debug, Error)]
pub(crate) enum AttachError {
    /// The store refuses.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The sco-provider leases no block.
    #[error("the sco-provider leases no block: {}", .0.message())]
    Lease(Status),
    /// The sco-provider leases what it must not.
    #[error("the sco-provider leased {block:?}, which is no usable block of {cidr}")]
    BadBlock { block: String, cidr: IpNet },
}

/// Stores a port, with a block leased for it if need be.
///
/// # Errors
/// The store refuses, or there is no address to be had.
pub(crate) async fn apply_port(
    store: &Store,
    exchange: &dyn Exchange,
    spec: &PortSpec,
) -> Result<PortStored, AttachError> {
    let _wish = store.wish(spec);
    for _ in 0..LEASES {
        let BlockNeed { known, releases, cidr } = match store.apply_port(spec).await? {
            PortApplied::Stored(stored) => return Ok(*stored),
            PortApplied::NeedsBlock(need) => need,
        };
        let network = ProtoNetworkKey {
            slice: spec.key.slice.to_string(),
            name: spec.key.network.to_string(),
        };
        let block = exchange
            .lease_block(network, &known, spec.address)
            .await
            .map_err(AttachError::Lease)?;
        let usable = block.parse::<IpNet>().ok().filter(|block| {
            cidr.contains(block) && spec.address.is_none_or(|address| block.contains(&address))
        });
        let Some(usable) = usable else { return Err(AttachError::BadBlock { block, cidr }) };
        store.add_block(&spec.key.network_key(), usable.trunc(), releases).await?;
    }
    Err(StoreError::Contended(spec.key.network_key()).into())
}
