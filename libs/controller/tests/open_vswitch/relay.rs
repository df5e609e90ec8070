//! A relay between a switch and the engine, which keeps what it sees and can hold it back.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use l2sces_openflow::{Frames, GroupMod, GroupModCommand, Message, MultipartRequest};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixListener, UnixStream},
    sync::{Mutex as AsyncMutex, MutexGuard, Notify},
};

/// What the relays have seen, in their order.
pub(crate) type Log = Arc<Mutex<Vec<Seen>>>;

/// A message that a relay has seen.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seen {
    /// The bridge's name.
    pub(crate) bridge: String,
    pub(crate) message: Message,
}

impl Seen {
    /// Whether it changes flows or groups.
    pub(crate) fn is_change(&self) -> bool {
        matches!(self.message, Message::FlowMod(_) | Message::GroupMod(_))
    }

    /// Whether it replaces a group.
    pub(crate) fn is_turn(&self) -> bool {
        matches!(
            &self.message,
            Message::GroupMod(GroupMod { command: GroupModCommand::Modify, .. })
        )
    }

    /// Whether it asks for all flows.
    pub(crate) fn is_reading(&self) -> bool {
        matches!(&self.message, Message::MultipartRequest(MultipartRequest::Flows(_)))
    }
}

/// Stands between a bridge and the engine.
pub(crate) struct Relay {
    faults: Arc<Faults>,
}

/// What goes wrong on the way.
#[derive(Default)]
struct Faults {
    holds_barriers: AtomicBool,
    loses_orders: AtomicBool,
    is_cut_off: AtomicBool,
    cut: Notify,
    /// Held by whoever holds back what the switch says.
    says: AsyncMutex<()>,
}

impl Relay {
    /// Takes the connections of a bridge, whose controller is a socket in its run directory.
    pub(crate) fn start(directory: &Path, bridge: &str, engine: SocketAddr, log: &Log) -> Self {
        let path = directory.join(format!("{bridge}.controller"));
        // One of an earlier relay.
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(path).unwrap();
        let this = Self { faults: Arc::default() };
        let (faults, log) = (this.faults.clone(), log.clone());
        let bridge = bridge.to_owned();
        tokio::spawn(async move {
            loop {
                let (switch, _) = listener.accept().await.unwrap();
                if faults.is_cut_off.load(Ordering::SeqCst) {
                    continue;
                }
                let Ok(engine) = TcpStream::connect(engine).await else { continue };
                tokio::select! {
                    () = forward(&bridge, switch, engine, &faults, &log) => {}
                    () = faults.cut.notified() => {}
                }
            }
        });
        this
    }

    /// Loses the barrier replies from now on, so that the switch seems to hang; or does not.
    pub(crate) fn hold_barriers(&self, holds: bool) {
        self.faults.holds_barriers.store(holds, Ordering::SeqCst);
    }

    /// Loses what the engine sends from now on, as a connection does that is about to break.
    pub(crate) fn lose_orders(&self) {
        self.faults.loses_orders.store(true, Ordering::SeqCst);
    }

    /// Holds back what the switch says until the guard is dropped.
    pub(crate) async fn hold_reports(&self) -> MutexGuard<'_, ()> {
        self.faults.says.lock().await
    }

    /// Breaks the connection.
    pub(crate) fn cut(&self) {
        self.faults.cut.notify_one();
    }

    /// Breaks the connection and lets no other come about.
    pub(crate) fn cut_off(&self) {
        self.faults.is_cut_off.store(true, Ordering::SeqCst);
        self.cut();
    }

    /// Lets connections come about again, on which nothing is lost.
    pub(crate) fn heal(&self) {
        self.faults.loses_orders.store(false, Ordering::SeqCst);
        self.faults.is_cut_off.store(false, Ordering::SeqCst);
    }
}

async fn forward(
    bridge: &str,
    mut switch: UnixStream,
    mut engine: TcpStream,
    faults: &Faults,
    log: &Log,
) {
    let note = |message| {
        let bridge = bridge.to_owned();
        log.lock().unwrap().push(Seen { bridge, message });
    };
    let (mut from_switch, mut to_switch) = switch.split();
    let (mut from_engine, mut to_engine) = engine.split();
    let down = async {
        let mut frames = Frames::default();
        let mut buffer = vec![0; 1 << 16];
        while let Ok(count @ 1..) = from_engine.read(&mut buffer).await {
            frames.push(&buffer[..count]);
            while let Some(frame) = frames.next_frame().unwrap() {
                note(Message::decode(frame.bytes).unwrap().1);
            }
            if faults.loses_orders.load(Ordering::SeqCst) {
                continue;
            }
            if to_switch.write_all(&buffer[..count]).await.is_err() {
                return;
            }
        }
    };
    let up = async {
        let mut frames = Frames::default();
        let mut buffer = vec![0; 1 << 16];
        while let Ok(count @ 1..) = from_switch.read(&mut buffer).await {
            let _says = faults.says.lock().await;
            frames.push(&buffer[..count]);
            while let Some(frame) = frames.next_frame().unwrap() {
                let (_, message) = Message::decode(frame.bytes).unwrap();
                let is_barrier = message == Message::BarrierReply;
                if is_barrier && faults.holds_barriers.load(Ordering::SeqCst) {
                    continue;
                }
                if is_barrier {
                    note(message);
                }
                if to_engine.write_all(frame.bytes).await.is_err() {
                    return;
                }
            }
        }
    };
    tokio::select! {
        () = down => {}
        () = up => {}
    }
}
