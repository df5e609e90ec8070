-- Locked by the replica that carries out what is desired (see store/leader.rs). Has no rows: a lock of
-- the table itself needs no snapshot, so that whoever holds or awaits it keeps no dead rows alive.
create table leadership ();
