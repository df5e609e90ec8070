//! Follows a frame through switches of which each believes in a plan of its own.

use std::collections::BTreeMap;

use l2sces_model::{Epoch, Name};

use super::{super::Plan, world::Dice};
use crate::domain::GatewayKey;

/// Where a copy of a frame is, and the epoch that it carries.
#[derive(Clone, Debug)]
enum Place {
    /// On the gateway's br-sps, to be handed to the trunk.
    Leaving(GatewayKey),
    /// On the gateway's br-ned, come in by the trunk.
    Between(GatewayKey),
    /// On the gateway's br-ned, come in by a tunnel.
    Arriving(GatewayKey),
    /// On the gateway's br-sps, come in by the trunk.
    Inside(GatewayKey),
}

/// How often each cluster gets a broadcast of a port in `source`, when every switch follows one of
/// the plans, another each time that it is asked, but always one by which the frame goes on.
///
/// # Errors
/// The frame does not come to an end.
pub(super) fn broadcast(
    plans: &[Plan],
    source: &Name,
    dice: &mut Dice,
) -> Result<BTreeMap<Name, usize>, &'static str> {
    let mut arrivals = BTreeMap::from([(source.clone(), 1)]);
    let leaves = |plan: &&Plan| gates(plan).any(|(gateway, _)| gateway.cluster == *source);
    let first: Vec<&Plan> = plans.iter().filter(leaves).collect();
    let Some(first) = dice.pick(&first) else { return Ok(arrivals) };
    let mut copies = to_gates_of(first, source, None, first.epoch());
    let mut steps = 0;
    while let Some((place, epoch)) = copies.pop() {
        steps += 1;
        if steps > 10_000 {
            return Err("it loops");
        }
        let gateway = match &place {
            Place::Leaving(gateway)
            | Place::Between(gateway)
            | Place::Arriving(gateway)
            | Place::Inside(gateway) => gateway.clone(),
        };
        let takes = |plan: &&Plan| plan.segment(&gateway).is_some() && plan.epoch() == epoch;
        let believed: Vec<&Plan> = plans.iter().filter(takes).collect();
        let Some(believed) = dice.pick(&believed) else { continue };
        match place {
            Place::Leaving(_) => copies.push((Place::Between(gateway), epoch)),
            Place::Between(_) => copies.extend(to_segment_of(believed, &gateway, epoch)),
            Place::Arriving(_) => copies.push((Place::Inside(gateway), epoch)),
            Place::Inside(_) => {
                *arrivals.entry(gateway.cluster.clone()).or_default() += 1;
                copies.extend(to_gates_of(believed, &gateway.cluster, Some(&gateway), epoch));
            }
        }
    }
    Ok(arrivals)
}

fn gates(plan: &Plan) -> impl Iterator<Item = (&GatewayKey, u16)> {
    plan.gateways().filter_map(|(gateway, segment, _)| Some((gateway, segment?)))
}

/// Copies to every gate of a cluster but the one that the frame has come in by.
fn to_gates_of(
    plan: &Plan,
    cluster: &Name,
    from: Option<&GatewayKey>,
    epoch: Epoch,
) -> Vec<(Place, Epoch)> {
    let own = gates(plan).filter(|(gateway, _)| gateway.cluster == *cluster);
    let others = own.filter(|(gateway, _)| Some(*gateway) != from);
    others.map(|(gateway, _)| (Place::Leaving(gateway.clone()), epoch)).collect()
}

/// Copies to every other gate of a gateway's segment.
fn to_segment_of(plan: &Plan, from: &GatewayKey, epoch: Epoch) -> Vec<(Place, Epoch)> {
    let segment = plan.segment(from);
    let there =
        gates(plan).filter(|(gateway, number)| Some(*number) == segment && *gateway != from);
    there.map(|(gateway, _)| (Place::Arriving(gateway.clone()), epoch)).collect()
}
