//! The limit for flow-mods: how fast the switch takes them when nobody has to encode any.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

/// OpenFlow 1.3.
const VERSION: u8 = 4;
/// Message types (OpenFlow 1.3.5, 7.1).
const HELLO: u8 = 0;
const ERROR: u8 = 1;
const ECHO_REQUEST: u8 = 2;
const ECHO_REPLY: u8 = 3;
const FLOW_MOD: u8 = 14;
const BARRIER_REQUEST: u8 = 20;
const BARRIER_REPLY: u8 = 21;
/// Commands of flow-mods (7.3.4.2).
const ADD: u8 = 0;
const DELETE_STRICT: u8 = 4;

/// Flow-mods per second.
#[derive(Clone, Copy)]
pub(super) struct Rates {
    pub(super) add: f64,
    pub(super) delete: f64,
}

/// Writes encoded flow-mods to a bridge's management socket in one stream, fenced by a barrier:
/// first to add flows (metadata and eth_dst, one output), then to delete them one by one.
pub(super) fn measure(socket: &Path, flows: u32) -> Result<Rates> {
    let mut switch = UnixStream::connect(socket)?;
    switch.set_read_timeout(Some(Duration::from_secs(60)))?;
    switch.write_all(&message(HELLO, &[]))?;
    switch.write_all(&message(BARRIER_REQUEST, &[]))?;
    wait_for_barrier(&mut switch)?;
    let mut rate = |command| -> Result<f64> {
        let mut stream: Vec<u8> = (0..flows).flat_map(|flow| flow_mod(command, flow)).collect();
        stream.extend(message(BARRIER_REQUEST, &[]));
        let start = Instant::now();
        switch.write_all(&stream)?;
        wait_for_barrier(&mut switch)?;
        Ok(f64::from(flows) / start.elapsed().as_secs_f64())
    };
    Ok(Rates { add: rate(ADD)?, delete: rate(DELETE_STRICT)? })
}

fn wait_for_barrier(switch: &mut UnixStream) -> Result<()> {
    loop {
        let mut header = [0; 8];
        switch.read_exact(&mut header)?;
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let mut body = vec![0; length.saturating_sub(header.len())];
        switch.read_exact(&mut body)?;
        match header[1] {
            BARRIER_REPLY => return Ok(()),
            ECHO_REQUEST => switch.write_all(&message(ECHO_REPLY, &body))?,
            ERROR => bail!("the switch refused a message: {body:02x?}"),
            _ => {}
        }
    }
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + body.len()).unwrap_or(u16::MAX);
    let mut message = vec![VERSION, kind];
    message.extend(length.to_be_bytes());
    message.extend([0; 4]);
    message.extend(body);
    message
}

fn flow_mod(command: u8, flow: u32) -> Vec<u8> {
    // Class "basic", field and length of two OXM fields (7.2.3.2): metadata and eth_dst.
    let mut fields = vec![0x80, 0, 2 << 1, 8];
    fields.extend(7_u64.to_be_bytes());
    fields.extend([0x80, 0, 3 << 1, 6, 2, 0]);
    fields.extend(flow.to_be_bytes());
    // Type OXM, and the length without the padding to eight bytes.
    let mut matching = vec![0, 1, 0, 4 + 22];
    matching.extend(fields);
    matching.resize(32, 0);

    // Cookie and mask, table, command, time-outs, priority, buffer, out port and group, flags.
    let mut body = vec![0; 16];
    body.extend([5, command, 0, 0, 0, 0, 0, 100]);
    body.extend([0xff; 12]);
    body.extend([0; 4]);
    body.extend(matching);
    if command == ADD {
        // Apply-actions with one output to port 1.
        body.extend([0, 4, 0, 24, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 1, 0xff, 0xff]);
        body.extend([0; 6]);
    }
    message(FLOW_MOD, &body)
}
