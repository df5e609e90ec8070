//! Stories of the whole system, told with real parts.
