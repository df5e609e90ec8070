//! Recordings of what passes an interface, made by tcpdump(8).

use std::{
    fs::File,
    io::{self, BufReader},
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, SystemTime},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use pcap_file::{PcapError, pcap::PcapReader};
use tokio::{
    io::{AsyncBufReadExt, BufReader as AsyncBufReader, Lines},
    process::{Child, ChildStderr},
};

use crate::{
    error::{CommandError, Context, LabError},
    namespace::Namespace,
};

/// How long tcpdump may take to begin and to end.
const PATIENCE: Duration = Duration::from_secs(20);
/// Room for frames that come while the machine is busy elsewhere, in KiB.
const ROOM: &str = "8192";

/// A recording, which goes on until it is stopped or dropped, of what passes an interface in either
/// direction: a file in tcpdump's format.
pub struct Recording {
    child: Child,
    said: Lines<AsyncBufReader<ChildStderr>>,
    path: PathBuf,
}

/// A frame of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedFrame {
    /// When it passed, to the microsecond, by the kernel's clock.
    pub time: SystemTime,
    /// Its bytes, without the check sequence.
    pub bytes: Vec<u8>,
}

impl Recording {
    /// Starts recording the frames of an interface that a filter (pcap-filter(7)) lets through; an
    /// empty one all. From when this returns, no frame is missed.
    ///
    /// # Errors
    /// There is no such interface, the filter is malformed, or the file, whose name must end in
    /// `.pcap`, cannot be written.
    pub async fn start(
        namespace: &Namespace,
        interface: &str,
        filter: &str,
        path: &Path,
    ) -> Result<Self, LabError> {
        let what = || format!("record {interface} in {}", namespace.name());
        let mut tcpdump = namespace.command("tcpdump")?;
        // Every frame is written at once, and as root, to whom the directory belongs.
        tcpdump.args(["-n", "-U", "--immediate-mode", "-Z", "root", "-B", ROOM, "-i", interface]);
        tcpdump.arg("-w").arg(path).arg(filter).stdout(Stdio::null());
        let mut child = tcpdump.spawn().context(what)?;
        let stderr = child.stderr.take().ok_or(io::Error::from(io::ErrorKind::BrokenPipe));
        let said = AsyncBufReader::new(stderr.context(what)?).lines();
        let mut recording = Self { child, said, path: path.to_owned() };
        let mut said = Vec::new();
        let listens = async {
            while let Some(line) = recording.said.next_line().await? {
                if line.contains("listening on") {
                    return io::Result::Ok(true);
                }
                said.push(line);
            }
            Ok(false)
        };
        if matches!(tokio::time::timeout(PATIENCE, listens).await, Ok(Ok(true))) {
            return Ok(recording);
        }
        Err(CommandError::Failed {
            command: what(),
            status: "tcpdump does not listen".to_owned(),
            stderr: said.join("; "),
        }
        .into())
    }

    /// The frames so far.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn frames(&self) -> Result<Vec<RecordedFrame>, LabError> {
        read(&self.path)
    }

    /// Ends the recording, and returns its frames.
    ///
    /// # Errors
    /// tcpdump failed, or overlooked a frame because the machine was too busy; the file cannot be
    /// read.
    pub async fn stop(mut self) -> Result<Vec<RecordedFrame>, LabError> {
        let what = || format!("end the recording {}", self.path.display());
        if let Some(pid) = self.child.id().and_then(|pid| i32::try_from(pid).ok()) {
            kill(Pid::from_raw(pid), Signal::SIGINT).context(what)?;
        }
        let mut said = Vec::new();
        while let Some(line) = self.said.next_line().await.context(what)? {
            said.push(line);
        }
        let status = self.child.wait().await.context(what)?;
        if !status.success() || overlooked(&said) != Some(0) {
            return Err(CommandError::Failed {
                command: "tcpdump".to_owned(),
                status: status.to_string(),
                stderr: said.join("; "),
            }
            .into());
        }
        read(&self.path)
    }
}

/// How many frames tcpdump says found no room.
fn overlooked(said: &[String]) -> Option<u64> {
    let line = said.iter().find(|line| line.ends_with("dropped by kernel"))?;
    line.split(' ').next()?.parse().ok()
}

/// Reads a file in tcpdump's format, whose last frame may be half written.
fn read(path: &Path) -> Result<Vec<RecordedFrame>, LabError> {
    let what = || format!("read the recording {}", path.display());
    let file = BufReader::new(File::open(path).context(what)?);
    let mut frames = Vec::new();
    let mut reader = match PcapReader::new(file) {
        Ok(reader) => reader,
        Err(error) => return if is_end(&error) { Ok(frames) } else { failed(error, what) },
    };
    while let Some(packet) = reader.next_packet() {
        match packet {
            Ok(packet) => frames.push(RecordedFrame {
                time: SystemTime::UNIX_EPOCH + packet.timestamp,
                bytes: packet.data.into_owned(),
            }),
            Err(error) if is_end(&error) => break,
            Err(error) => return failed(error, what),
        }
    }
    Ok(frames)
}

fn is_end(error: &PcapError) -> bool {
    match error {
        PcapError::IncompleteBuffer => true,
        PcapError::IoError(error) => error.kind() == io::ErrorKind::UnexpectedEof,
        _ => false,
    }
}

fn failed<T>(error: PcapError, what: impl FnOnce() -> String) -> Result<T, LabError> {
    Err(io::Error::other(error)).context(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Little-endian, microseconds, version 2.4, Ethernet.
    const HEADER: [u8; 24] =
        [0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0];

    #[test]
    fn a_recording_is_read_while_it_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.pcap");
        let packet = [7, 0, 0, 0, 9, 0, 0, 0, 3, 0, 0, 0, 3, 0, 0, 0, 1, 2, 3];
        let file = [&HEADER[..], &packet, &packet].concat();
        let frame = RecordedFrame {
            time: SystemTime::UNIX_EPOCH + Duration::new(7, 9_000),
            bytes: vec![1, 2, 3],
        };
        for length in 0..=file.len() {
            std::fs::write(&path, &file[..length]).unwrap();
            let whole = length.saturating_sub(HEADER.len()) / packet.len();
            assert_eq!(read(&path).unwrap(), vec![frame.clone(); whole], "of {length} bytes");
        }
        std::fs::write(&path, [0; 40]).unwrap();
        assert!(read(&path).is_err(), "another format");
    }

    #[test]
    fn tcpdump_tells_what_it_overlooked() {
        let said = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let text = "3 packets captured\n5 packets received by filter\n2 packets dropped by kernel";
        assert_eq!(overlooked(&said(text)), Some(2));
        assert_eq!(overlooked(&said("tcpdump: pcap_loop: The interface disappeared")), None);
    }
}
