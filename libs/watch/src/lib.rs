//! What a service's watch tells of its objects, kept up to date on a [`Board`] for as long as somebody
//! [follows](follow) the watch: through every time that it breaks and begins anew.

mod board;
mod follow;

pub use board::Board;
pub use follow::{Change, ChangeStream, News, follow};
