//! OpenFlow 1.3 codec and sans-IO control session.

mod flow;
mod matching;
mod program;

pub use flow::{Action, Bucket, Flow, FlowKey, Group, GroupId, GroupKind, Instruction, port};
pub use matching::{Match, MatchField, RawField};
pub use program::{Change, FlowBody, GroupBody, Program};
