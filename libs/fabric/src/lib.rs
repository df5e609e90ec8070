//! Pure fabric core: topology, networks and ports to tables and groups per switch.
