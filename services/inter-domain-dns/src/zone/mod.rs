//! What is answered, without the wire: records, their index by name and address, and the zones
//! around them. Pure: no I/O, no clock, no DNS library.

mod authority;
mod domain_name;
mod index;
mod record;
mod reverse;

pub use authority::{Authority, Data, Lookup, QuestionType, StartOfAuthority};
pub use domain_name::{DomainName, DomainNameError};
pub use index::Index;
pub use record::{Addresses, AddressesError, Contents, Record, RecordKey};
pub use reverse::{ReverseZone, ReverseZoneError};
