//! What is measured of sessions with switches, of all switches together: each tells of itself at its
//! agent.

use std::time::Duration;

use l2sces_openflow::{Change, OpenFlowError, PacketInReason};
use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

const SESSIONS: &str = "l2sces_openflow_sessions";
const HANDSHAKES: &str = "l2sces_openflow_handshakes_total";
const FLOW_MODS: &str = "l2sces_openflow_flow_mods_total";
const GROUP_MODS: &str = "l2sces_openflow_group_mods_total";
const METER_MODS: &str = "l2sces_openflow_meter_mods_total";
const BARRIERS: &str = "l2sces_openflow_barrier_duration_seconds";
const PACKET_INS: &str = "l2sces_openflow_packet_ins_total";
const LOST_PACKET_INS: &str = "l2sces_openflow_packet_ins_lost_total";
const ERRORS: &str = "l2sces_openflow_errors_total";

/// Describes what is measured, and begins at nothing: of a counter that appears with its first count,
/// nobody sees that it grew.
pub(crate) fn describe() {
    gauge!(SESSIONS).increment(0.0);
    for outcome in ["done", "failed"] {
        counter!(HANDSHAKES, "outcome" => outcome).increment(0);
    }
    for command in ["add", "delete"] {
        counter!(FLOW_MODS, "command" => command).increment(0);
    }
    for command in ["add", "modify", "delete"] {
        counter!(GROUP_MODS, "command" => command).increment(0);
        counter!(METER_MODS, "command" => command).increment(0);
    }
    counter!(LOST_PACKET_INS).increment(0);
    describe_gauge!(SESSIONS, "OpenFlow sessions with switches.");
    describe_counter!(HANDSHAKES, "Connections of would-be switches, by how the handshake ended.");
    describe_counter!(FLOW_MODS, "Flow modifications sent, by their command.");
    describe_counter!(GROUP_MODS, "Group modifications sent, by their command.");
    describe_counter!(METER_MODS, "Meter modifications sent, by their command.");
    describe_histogram!(
        BARRIERS,
        Unit::Seconds,
        "Time from handing on modifications to the switch's answer to the barrier behind them, in \
         seconds."
    );
    describe_counter!(PACKET_INS, "Frames that switches sent to the controller, by why.");
    describe_counter!(LOST_PACKET_INS, "Frames of these that were dropped: the controller lagged.");
    describe_counter!(
        ERRORS,
        "Errors that switches answered with, by the standard's name of their type."
    );
}

/// A session that goes on until this is dropped.
#[derive(Debug)]
pub(crate) struct OpenSession(());

impl OpenSession {
    pub(crate) fn begin() -> Self {
        gauge!(SESSIONS).increment(1.0);
        Self(())
    }
}

impl Drop for OpenSession {
    fn drop(&mut self) {
        gauge!(SESSIONS).decrement(1.0);
    }
}

/// A handshake has ended, with a session or without.
pub(crate) fn handshake(succeeded: bool) {
    let outcome = if succeeded { "done" } else { "failed" };
    counter!(HANDSHAKES, "outcome" => outcome).increment(1);
}

/// These changes are on their way.
pub(crate) fn changes(changes: &[Change]) {
    for change in changes {
        let (metric, command) = match change {
            Change::AddFlow(_) => (FLOW_MODS, "add"),
            Change::DeleteFlow(_) => (FLOW_MODS, "delete"),
            Change::PutGroup(_) => (GROUP_MODS, "add"),
            Change::ModifyGroup(_) => (GROUP_MODS, "modify"),
            Change::DeleteGroup(_) => (GROUP_MODS, "delete"),
            Change::PutMeter(_) => (METER_MODS, "add"),
            Change::ModifyMeter(_) => (METER_MODS, "modify"),
            Change::DeleteMeter(_) => (METER_MODS, "delete"),
        };
        counter!(metric, "command" => command).increment(1);
    }
}

/// The switch has answered to the barrier behind changes, so long after they were handed on.
pub(crate) fn barrier(duration: Duration) {
    histogram!(BARRIERS).record(duration.as_secs_f64());
}

/// The switch has sent a frame.
pub(crate) fn packet_in(reason: PacketInReason) {
    let reason = match reason {
        PacketInReason::NoMatch => "no_match",
        PacketInReason::Action => "action",
        PacketInReason::InvalidTtl => "invalid_ttl",
    };
    counter!(PACKET_INS, "reason" => reason).increment(1);
}

/// A frame that the switch has sent is dropped.
pub(crate) fn lost_packet_in() {
    counter!(LOST_PACKET_INS).increment(1);
}

/// The switch has refused something.
pub(crate) fn error(error: &OpenFlowError) {
    counter!(ERRORS, "type" => error.kind_name()).increment(1);
}
