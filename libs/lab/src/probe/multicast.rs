use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use socket2::{Domain, Socket, Type};

use crate::{
    error::{Context, LabError},
    namespace::Namespace,
    wait,
};

/// A member of an IPv4 multicast group that counts the datagrams with a mark.
pub struct MulticastReceiver {
    received: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl MulticastReceiver {
    /// Joins a group on the interface that has `address`.
    ///
    /// # Errors
    /// No interface has the address.
    pub fn join(
        namespace: &Namespace,
        address: Ipv4Addr,
        group: Ipv4Addr,
        port: u16,
        marker: [u8; 16],
    ) -> Result<Self, LabError> {
        let what = || format!("join {group} in {}", namespace.name());
        let socket = namespace
            .enter(move || {
                let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
                // A host may have many members of one group: each receives everything.
                socket.set_reuse_address(true)?;
                socket.bind(&SocketAddr::from((group, port)).into())?;
                socket.join_multicast_v4(&group, &address)?;
                socket.set_read_timeout(Some(Duration::from_millis(20)))?;
                Ok(UdpSocket::from(socket))
            })
            .context(what)?;
        let (received, stop) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let thread = thread::Builder::new()
            .name("lab-multicast".to_owned())
            .spawn({
                let (received, stop) = (Arc::clone(&received), Arc::clone(&stop));
                move || {
                    let mut buffer = [0; 2048];
                    while !stop.load(Ordering::Relaxed) {
                        // A time-out comes here too.
                        let Ok(length) = socket.recv(&mut buffer) else { continue };
                        if buffer[..length].starts_with(&marker) {
                            received.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            })
            .context(what)?;
        Ok(Self { received, stop, thread: Some(thread) })
    }

    /// Datagrams received so far.
    pub fn count(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Waits until at least `count` datagrams have come.
    ///
    /// # Errors
    /// They do not within `limit`.
    pub async fn wait_for(&self, count: u64, limit: Duration) -> Result<(), LabError> {
        wait::holds(&format!("{count} datagrams come"), limit, || async {
            let received = self.count();
            if received >= count { Ok(()) } else { Err(format!("{received} came")) }
        })
        .await
    }
}

impl Drop for MulticastReceiver {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Sends marked datagrams to a group from the interface that has `address`. They are not looped
/// back to the sender's own host.
///
/// # Errors
/// No interface has the address, or it is down.
pub async fn send_multicast(
    namespace: &Namespace,
    address: Ipv4Addr,
    (group, port): (Ipv4Addr, u16),
    marker: [u8; 16],
    count: u32,
    interval: Duration,
) -> Result<(), LabError> {
    let what = || format!("send to {group} in {}", namespace.name());
    let socket = namespace
        .enter(move || {
            let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
            socket.set_multicast_if_v4(&address)?;
            socket.set_multicast_loop_v4(false)?;
            socket.set_multicast_ttl_v4(1)?;
            socket.bind(&SocketAddr::from((address, 0)).into())?;
            Ok(socket)
        })
        .context(what)?;
    let destination = SocketAddr::from((group, port)).into();
    let mut datagram = marker.to_vec();
    datagram.resize(512, 0);
    let mut pace = tokio::time::interval(interval);
    for _ in 0..count {
        pace.tick().await;
        socket.send_to(&datagram, &destination).context(what)?;
    }
    Ok(())
}
