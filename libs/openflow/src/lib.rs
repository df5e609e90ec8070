//! OpenFlow 1.3 codec and sans-IO control session.
//!
//! [`Message`] and [`Change`] are what goes over the wire, [`Frames`] cuts a stream into messages,
//! and [`Session`] is the controller's side of a connection: bytes in, bytes out. No I/O and no
//! clock. Section numbers are those of the OpenFlow Switch Specification 1.3.5.

mod action;
mod bundle;
mod display;
mod error;
mod exchange;
mod flow;
mod frame;
mod hello;
mod matching;
mod message;
mod meter;
mod modify;
mod monitor;
mod multipart;
mod oxm;
mod packet;
mod program;
mod removal;
mod session;
mod switch;
mod tunnel;
mod wire;

pub use bundle::{BundleAdd, BundleControl, BundleControlKind, BundleFlags};
pub use error::{DecodeError, EncodeError, OpenFlowError};
pub use exchange::{Event, Reply, Request};
pub use flow::{
    Action, Bits, Bucket, Flow, FlowKey, FlowStats, Group, GroupId, GroupKind, Instruction,
    Register, port,
};
pub use frame::{Frame, Frames, Header, VERSION};
pub use hello::Hello;
pub use matching::{Match, MatchField, RawField};
pub use message::Message;
pub use meter::{Meter, MeterId, MeterLimit, MeterMod, MeterModCommand};
pub use modify::{FlowMod, FlowModCommand, GroupMod, GroupModCommand};
pub use monitor::{FlowEvent, FlowMonitor, FlowUpdate, ForeignUpdate};
pub use multipart::{FlowFilter, MultipartBody, MultipartReply, MultipartRequest};
pub use packet::{PacketIn, PacketInReason, PacketOut};
pub use program::{Change, FlowBody, GroupBody, Program};
pub use removal::{FlowRemoved, RemovalReason};
pub use session::{Session, SessionConfig, SessionError};
pub use switch::{
    Description, Features, PortCounters, PortDescription, PortReason, PortStatus, Role, RoleState,
};
pub use tunnel::{TunnelOption, TunnelOptions};
