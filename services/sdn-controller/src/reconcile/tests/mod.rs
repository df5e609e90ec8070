//! With fakes downstream and a real Postgres.

mod crashes;
mod exchange;
mod learned;
mod measurements;
mod nodes;
mod ports;
mod slices;
