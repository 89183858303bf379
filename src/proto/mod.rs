//! Sans-IO protocols: state machines that never touch a socket, a file, a thread or a clock.

pub mod fleet;
