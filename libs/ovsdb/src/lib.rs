//! OVSDB client (RFC 7047): transactions, monitors, waiting for Open vSwitch.
//!
//! Written here because the existing crates (`ovsdb`, `ovsdb-client`) are young and have no
//! replica, no reconnecting and no waiting for `ovs-vswitchd`.
//!
//! - [`Value`], [`Row`], [`Operation`]: the notation of sections 3 and 5, as types.
//! - [`Framer`]: cuts the byte stream into JSON texts; no I/O.
//! - [`Client`]: keeps one connection alive, answers and sends `echo`, runs transactions, and keeps
//!   a [`Replica`] of chosen tables and columns up to date by a monitor.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use l2sces_ovsdb::{Client, Config, MonitoredTable, Operation, Row};
//!
//! let config = Config::new("unix:/run/openvswitch/db.sock".parse()?, "Open_vSwitch")
//!     .monitor(MonitoredTable::new("Bridge", ["name", "datapath_type"]).indexed_by("name"));
//! let client = Client::start(config);
//! client.connected().await;
//! client.transact(&[Operation::select("Bridge", [], ["name"])]).await?;
//! # Ok(())
//! # }
//! ```

mod address;
mod client;
mod connection;
mod error;
mod framing;
mod message;
mod monitor;
mod open_vswitch;
mod operation;
mod outcome;
mod replica;
mod value;

pub use address::{Address, AddressError};
pub use client::{Client, Config};
pub use error::{Error, OperationError, OperationErrorKind};
pub use framing::{Framer, FramingError};
pub use monitor::MonitoredTable;
pub use operation::{Condition, Function, Mutation, Mutator, Operation, Until};
pub use outcome::Outcome;
pub use replica::{Change, Replica, Tables};
pub use uuid::Uuid;
pub use value::{Atom, NotationError, Row, Value};
