use crate::{Match, MatchField, MeterId};

/// Reserved port numbers (OpenFlow 1.3.5, section 7.2.1).
pub mod port {
    /// The port that the frame came in by: an output to its plain number is dropped.
    pub const IN_PORT: u32 = 0xffff_fff8;
    /// The controller.
    pub const CONTROLLER: u32 = 0xffff_fffd;
    /// The flow tables, from the first one on; only in a frame that the controller hands over.
    pub const TABLE: u32 = 0xffff_fff9;
    /// The switch itself.
    pub const LOCAL: u32 = 0xffff_fffe;
    /// No port; any port in a request.
    pub const ANY: u32 = 0xffff_ffff;
    /// The largest number of an ordinary port.
    pub const MAX: u32 = 0xffff_ff00;
}

/// Number of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u32);

impl GroupId {
    /// All groups, in a deletion.
    pub const ALL: Self = Self(0xffff_fffc);
    /// No group; any group in a request.
    pub const ANY: Self = Self(0xffff_ffff);
    /// The largest number of a group.
    pub const MAX: Self = Self(0xffff_ff00);
}

/// An entry of a flow table, without counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Table, priority and match: what identifies it in a switch.
    pub key: FlowKey,
    /// Opaque to the switch.
    pub cookie: u64,
    /// After how many seconds without a frame the switch removes it, and says so; 0 for never.
    pub idle_timeout: u16,
    /// What happens to a frame, in the order of execution.
    pub instructions: Vec<Instruction>,
}

impl Flow {
    /// Stands for all tables in a request or a deletion.
    pub const ALL_TABLES: u8 = 0xff;
}

/// What identifies a flow in a switch.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowKey {
    /// Number of the table.
    pub table: u8,
    /// Higher is tried first.
    pub priority: u16,
    /// Which frames it takes.
    pub matching: Match,
}

/// What a flow does with a frame (OpenFlow 1.3.5, section 7.2.4).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Instruction {
    /// Applies the actions now.
    ApplyActions(Vec<Action>),
    /// Sets bits of the metadata.
    WriteMetadata {
        /// Bits written where the mask is 1.
        value: u64,
        /// Bits that are written.
        mask: u64,
    },
    /// Goes on in another table, with a higher number.
    GotoTable(u8),
    /// Passes a meter first.
    Meter(MeterId),
    /// An instruction that we never send, kept as it came.
    Raw {
        /// Its type.
        kind: u16,
        /// What follows the length.
        body: Vec<u8>,
    },
}

impl Instruction {
    /// Ascends in the order in which a switch executes instructions, whatever their order in a
    /// message, and in which it lists them.
    pub(crate) const fn rank(&self) -> u8 {
        match self {
            Self::Meter(_) => 0,
            Self::ApplyActions(_) => 1,
            // Clear-actions, write-actions, then what experimenters have.
            Self::Raw { kind: 5, .. } => 2,
            Self::Raw { kind: 3, .. } => 3,
            Self::WriteMetadata { .. } => 4,
            Self::Raw { .. } => 5,
            Self::GotoTable(_) => 6,
        }
    }
}

/// What goes along with a frame and can be copied bit by bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Register {
    /// Metadata passed between tables.
    Metadata,
    /// Identifier of a tunnel.
    TunnelId,
    /// The mapped option of a tunnel, 8 bytes.
    TunnelMetadata,
}

/// A place in a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bits {
    /// The register.
    pub register: Register,
    /// Number of the first bit; 0 is the lowest.
    pub offset: u16,
}

/// An action (OpenFlow 1.3.5, section 7.2.5).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Sends the frame out of a port.
    Output(u32),
    /// Sends the whole frame to the controller.
    Controller,
    /// Hands the frame to a group.
    Group(GroupId),
    /// Writes a field; the value must have no mask.
    SetField(MatchField),
    /// Copies bits from one register to another (`NXAST_REG_MOVE`, `ovs-actions(7)`).
    Move {
        /// The first bit that is read.
        from: Bits,
        /// The first bit that is written.
        to: Bits,
        /// How many bits.
        width: u16,
    },
    /// An action that we never send, kept as it came.
    Raw {
        /// Its type.
        kind: u16,
        /// What follows the length.
        body: Vec<u8>,
    },
}

/// An entry of the group table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its number.
    pub id: GroupId,
    /// How its buckets are used.
    pub kind: GroupKind,
    /// What it can do.
    pub buckets: Vec<Bucket>,
}

/// How the buckets of a group are used (OpenFlow 1.3.5, section 5.6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GroupKind {
    /// All, each with a copy of the frame.
    All,
    /// One, chosen by the switch.
    Select,
    /// The only one.
    Indirect,
    /// The first that is alive.
    FastFailover,
}

/// One alternative of a group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bucket {
    /// Relative weight, in a select group.
    pub weight: u16,
    /// Port whose state decides whether it is alive.
    pub watch_port: Option<u32>,
    /// Group whose state decides whether it is alive.
    pub watch_group: Option<GroupId>,
    /// What happens to the frame.
    pub actions: Vec<Action>,
}

impl Bucket {
    /// A bucket that only acts.
    pub const fn new(actions: Vec<Action>) -> Self {
        Self { weight: 0, watch_port: None, watch_group: None, actions }
    }
}

/// A flow as the switch reports it (OpenFlow 1.3.5, section 7.3.5.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowStats {
    /// The flow.
    pub flow: Flow,
    /// How long it has been there, in seconds.
    pub duration: u32,
    /// After how many seconds it goes; 0 for never. 0 in every flow that we send.
    pub hard_timeout: u16,
    /// Frames that it took.
    pub packets: u64,
    /// Bytes of these frames.
    pub bytes: u64,
}
