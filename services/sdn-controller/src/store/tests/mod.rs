//! Against a real Postgres.

mod addresses;
mod objects;
