//! The engine of both controllers: fabric, OpenFlow sessions and link discovery.
