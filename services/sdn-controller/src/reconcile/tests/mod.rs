//! With fakes downstream and a real Postgres.

mod crashes;
mod exchange;
mod nodes;
mod ports;
mod slices;
