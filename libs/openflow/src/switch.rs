use l2sces_model::{DatapathId, MacAddress};

use crate::{
    DecodeError,
    wire::{Put, Reader},
};

/// What a switch says of itself in the handshake (OpenFlow 1.3.5, section 7.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// Names the switch.
    pub datapath_id: DatapathId,
    /// How many packets it can buffer.
    pub buffers: u32,
    /// How many flow tables it has.
    pub tables: u8,
    /// 0 on the main connection of a switch.
    pub auxiliary_id: u8,
    /// Bit map of `ofp_capabilities`.
    pub capabilities: u32,
}

/// A port of a switch (OpenFlow 1.3.5, section 7.2.1), as far as we care.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortDescription {
    /// Its number, [`port::LOCAL`](crate::port::LOCAL) for the switch's own.
    pub number: u32,
    /// Its name; Open vSwitch gives the interface's name, cut to 15 bytes.
    pub name: String,
    /// Its MAC address.
    pub hw_addr: MacAddress,
    /// Whether somebody shut it (`OFPPC_PORT_DOWN`).
    pub shut: bool,
    /// Whether its link has no carrier (`OFPPS_LINK_DOWN`).
    pub link_down: bool,
    /// Whether fast-failover groups use it (`OFPPS_LIVE`). Open vSwitch counts BFD's verdict here,
    /// so on a tunnel this tells whether the far end answers.
    pub live: bool,
}

/// Something happened to a port (OpenFlow 1.3.5, section 7.4.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortStatus {
    /// What happened.
    pub reason: PortReason,
    /// The port after it, or as it was before it went.
    pub port: PortDescription,
}

/// What happened to a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortReason {
    /// It is new.
    Added,
    /// It is gone.
    Deleted,
    /// Something of it changed.
    Modified,
}

/// Counters of a port since `duration` (OpenFlow 1.3.5, section 7.3.5.6). What the switch does not
/// count is `u64::MAX`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortCounters {
    /// Number of the port.
    pub number: u32,
    /// Frames received.
    pub rx_packets: u64,
    /// Frames sent.
    pub tx_packets: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Received frames that were dropped.
    pub rx_dropped: u64,
    /// Frames dropped instead of sent.
    pub tx_dropped: u64,
    /// Frames received damaged.
    pub rx_errors: u64,
    /// Frames that could not be sent.
    pub tx_errors: u64,
    /// How long the port has been there, in seconds.
    pub duration: u32,
}

/// Make and version of a switch (OpenFlow 1.3.5, section 7.3.5.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// Who made it.
    pub manufacturer: String,
    /// Hardware revision.
    pub hardware: String,
    /// Software revision.
    pub software: String,
    /// Serial number.
    pub serial_number: String,
    /// A name for people.
    pub datapath: String,
}

/// How the switch is to treat this controller beside others (OpenFlow 1.3.5, section 6.3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Leaves the role as it is; a question.
    NoChange,
    /// May do everything, like the other equals.
    Equal,
    /// May do everything, and demotes the former master to slave.
    Master,
    /// May only read.
    Slave,
}

/// A role, wanted or had (OpenFlow 1.3.5, section 7.3.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoleState {
    /// The role.
    pub role: Role,
    /// Number of the election that made the controller master or slave: the switch refuses a
    /// smaller one than it has seen. `u64::MAX` in a reply if it has seen none.
    pub generation: u64,
}

/// `OFPPC_PORT_DOWN`.
const PORT_DOWN: u32 = 1;
/// `OFPPS_LINK_DOWN`.
const LINK_DOWN: u32 = 1;
/// `OFPPS_LIVE`.
const LIVE: u32 = 4;
/// Length of a port's name, zeros at the end included.
const PORT_NAME: usize = 16;

impl Features {
    /// ```text
    /// | datapath id (8) | buffers (4) | tables (1) | auxiliary id (1) | padding (2) |
    /// | capabilities (4) | reserved (4) |
    /// ```
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        out.put_u64(self.datapath_id.get());
        out.put_u32(self.buffers);
        out.put([self.tables, self.auxiliary_id, 0, 0]);
        out.put_u32(self.capabilities);
        out.put_u32(0);
    }

    pub(crate) fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let id = DatapathId::try_from(reader.u64()?).map_err(|_| DecodeError::DatapathId)?;
        let buffers = reader.u32()?;
        let [tables, auxiliary_id, _, _] = reader.array()?;
        let capabilities = reader.u32()?;
        reader.skip(4)?;
        Ok(Self { datapath_id: id, buffers, tables, auxiliary_id, capabilities })
    }
}

impl PortDescription {
    /// ```text
    /// | number (4) | padding (4) | address (6) | padding (2) | name (16) |
    /// | config (4) | state (4)   | features and speeds (6 * 4)           |
    /// ```
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        out.put_u32(self.number);
        out.put_u32(0);
        out.put(self.hw_addr.bytes());
        out.put_u16(0);
        put_text(out, &self.name, PORT_NAME);
        out.put_u32(if self.shut { PORT_DOWN } else { 0 });
        let link = if self.link_down { LINK_DOWN } else { 0 };
        out.put_u32(link | if self.live { LIVE } else { 0 });
        out.put([0; 24]);
    }

    pub(crate) fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let number = reader.u32()?;
        reader.skip(4)?;
        let hw_addr = MacAddress::new(reader.array()?);
        reader.skip(2)?;
        let name = take_text(reader, PORT_NAME)?;
        let (config, state) = (reader.u32()?, reader.u32()?);
        reader.skip(24)?;
        Ok(Self {
            number,
            name,
            hw_addr,
            shut: config & PORT_DOWN != 0,
            link_down: state & LINK_DOWN != 0,
            live: state & LIVE != 0,
        })
    }
}

impl PortStatus {
    /// ```text
    /// | reason (1) | padding (7) | port (64) |
    /// ```
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        let reason = match self.reason {
            PortReason::Added => 0,
            PortReason::Deleted => 1,
            PortReason::Modified => 2,
        };
        out.put([reason, 0, 0, 0, 0, 0, 0, 0]);
        self.port.put(out);
    }

    pub(crate) fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let reason = match reader.u8()? {
            0 => PortReason::Added,
            1 => PortReason::Deleted,
            2 => PortReason::Modified,
            other => return Err(DecodeError::PortReason(other)),
        };
        reader.skip(7)?;
        Ok(Self { reason, port: PortDescription::take(reader)? })
    }
}

impl PortCounters {
    /// ```text
    /// | number (4) | padding (4) | frames, bytes, drops, errors: received, sent (8 * 8) |
    /// | frame, overrun, CRC errors, collisions (4 * 8) | seconds (4) | nanoseconds (4)  |
    /// ```
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        out.put_u32(self.number);
        out.put_u32(0);
        for (rx, tx) in [
            (self.rx_packets, self.tx_packets),
            (self.rx_bytes, self.tx_bytes),
            (self.rx_dropped, self.tx_dropped),
            (self.rx_errors, self.tx_errors),
        ] {
            out.put_u64(rx);
            out.put_u64(tx);
        }
        out.put([0xff; 32]);
        out.put_u32(self.duration);
        out.put_u32(0);
    }

    pub(crate) fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let number = reader.u32()?;
        reader.skip(4)?;
        let counters = Self {
            number,
            rx_packets: reader.u64()?,
            tx_packets: reader.u64()?,
            rx_bytes: reader.u64()?,
            tx_bytes: reader.u64()?,
            rx_dropped: reader.u64()?,
            tx_dropped: reader.u64()?,
            rx_errors: reader.u64()?,
            tx_errors: reader.u64()?,
            duration: 0,
        };
        reader.skip(32)?;
        let duration = reader.u32()?;
        reader.skip(4)?;
        Ok(Self { duration, ..counters })
    }
}

impl Description {
    /// Five texts of 256 bytes, the fourth of 32.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        put_text(out, &self.manufacturer, 256);
        put_text(out, &self.hardware, 256);
        put_text(out, &self.software, 256);
        put_text(out, &self.serial_number, 32);
        put_text(out, &self.datapath, 256);
    }

    pub(crate) fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            manufacturer: take_text(reader, 256)?,
            hardware: take_text(reader, 256)?,
            software: take_text(reader, 256)?,
            serial_number: take_text(reader, 32)?,
            datapath: take_text(reader, 256)?,
        })
    }
}

impl RoleState {
    /// ```text
    /// | role (4) | padding (4) | generation (8) |
    /// ```
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        out.put_u32(match self.role {
            Role::NoChange => 0,
            Role::Equal => 1,
            Role::Master => 2,
            Role::Slave => 3,
        });
        out.put_u32(0);
        out.put_u64(self.generation);
    }

    pub(crate) fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let role = match reader.u32()? {
            0 => Role::NoChange,
            1 => Role::Equal,
            2 => Role::Master,
            3 => Role::Slave,
            other => return Err(DecodeError::Role(other)),
        };
        reader.skip(4)?;
        Ok(Self { role, generation: reader.u64()? })
    }
}

/// A text in a fixed space: cut if it is too long, filled up with zeros, of which there is at
/// least one.
fn put_text(out: &mut Vec<u8>, text: &str, space: usize) {
    let end = out.len() + space;
    out.extend(text.bytes().take(space - 1));
    out.resize(end, 0);
}

/// The text in a fixed space. Its last byte is a zero, whatever a switch writes there: so all that
/// is read can be written.
fn take_text(reader: &mut Reader<'_>, space: usize) -> Result<String, DecodeError> {
    let bytes = &reader.take(space)?[..space - 1];
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    Ok(String::from_utf8_lossy(text).into_owned())
}
