//! With fakes downstream and a real Postgres.

mod crashes;
mod exchange;
mod learned;
mod nodes;
mod ports;
mod slices;
