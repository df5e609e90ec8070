//! How many connections a listener has at a time that anybody may call.

use std::{
    collections::{HashMap, hash_map::Entry},
    future::pending,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep,
};

/// How long to wait when the process or the system is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How many places each address has. Bounded by the number of places.
type Taken = Mutex<HashMap<IpAddr, usize>>;

/// Places for connections: so many in all, and fewer of one address, which cannot take all from the
/// others.
#[derive(Debug)]
pub struct Connections {
    free: Arc<Semaphore>,
    taken: Arc<Taken>,
    most_of_one: usize,
}

/// The place of a connection, which another may have when this is dropped.
#[derive(Debug)]
pub struct Place {
    address: IpAddr,
    taken: Arc<Taken>,
    _permit: OwnedSemaphorePermit,
}

impl Connections {
    /// Places for so many connections in all, and so many of one address.
    pub fn new(most: usize, most_of_one: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(most)), taken: Arc::default(), most_of_one }
    }

    /// Accepts the next connection for which there is a place. While all are taken, clients wait in the
    /// listener's backlog; of an address that has all it may have, the connection is closed.
    pub async fn accept(&self, listener: &TcpListener) -> (TcpStream, SocketAddr, Place) {
        loop {
            // The semaphore is never closed.
            let Ok(permit) = Arc::clone(&self.free).acquire_owned().await else {
                return pending().await;
            };
            match listener.accept().await {
                Ok((stream, client)) => match self.place(client.ip().to_canonical(), permit) {
                    Some(place) => return (stream, client, place),
                    None => tracing::debug!(%client, "connection refused: there are too many"),
                },
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn place(&self, address: IpAddr, permit: OwnedSemaphorePermit) -> Option<Place> {
        let mut taken = lock(&self.taken);
        let of_address = taken.entry(address).or_default();
        if *of_address >= self.most_of_one {
            return None;
        }
        *of_address += 1;
        Some(Place { address, taken: Arc::clone(&self.taken), _permit: permit })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Entry::Occupied(mut of_address) = lock(&self.taken).entry(self.address) {
            *of_address.get_mut() -= 1;
            if *of_address.get() == 0 {
                of_address.remove();
            }
        }
    }
}

fn lock(taken: &Taken) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
    // No code that holds the lock can leave it half changed.
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(connections: &Connections, last: u8) -> Option<Place> {
        let permit = Arc::clone(&connections.free).try_acquire_owned().ok()?;
        connections.place(IpAddr::from([10, 0, 0, last]), permit)
    }

    #[test]
    fn an_address_leaves_places_to_others() {
        let connections = Connections::new(3, 2);
        let first = [place(&connections, 1).unwrap(), place(&connections, 1).unwrap()];
        assert!(place(&connections, 1).is_none(), "it has all it may have");
        let other = place(&connections, 2).unwrap();
        assert!(place(&connections, 2).is_none(), "there are no more");
        drop(first);
        let second = [place(&connections, 2).unwrap(), place(&connections, 1).unwrap()];
        drop((other, second));
        assert!(lock(&connections.taken).is_empty(), "nobody is remembered who has gone");
        assert_eq!(connections.free.available_permits(), 3);
    }
}
