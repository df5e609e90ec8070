//! Measurements of links: what is to be measured ([`Policy`]), the probes ([`stamp`]), what they tell
//! ([`estimate`]), how many there may be ([`Budget`]), and how controllers gather what the agents have
//! measured ([`Collector`]). No sockets: agents have those.

mod budget;
mod collector;
pub mod estimate;
mod gauges;
mod policy;
pub mod stamp;

pub use budget::{Budget, REFLECTED_FRAME, TEST_FRAME, TRAIN_FRAME, TRAIN_LENGTH, TRAINS};
pub use collector::{Collector, MeasuredLink, Measurements};
pub use policy::{Metric, Policy, PolicyDecodeError, PolicyFault};
