//! One connection to a broker, as a producer uses it; without I/O.
//!
//! `session` is the state machine, `event` what it reports, `versions` which version of each
//! request both sides speak, `error` why a connection is of no use any more.

mod error;
mod event;
mod session;
mod versions;

pub use error::CommandError;
pub use error::SessionError;
pub use event::Answer;
pub use event::BrokerView;
pub use event::ClusterView;
pub use event::Event;
pub use event::Leader;
pub use event::Outcome;
pub use event::PartitionView;
pub use event::Produced;
pub use event::RecordFault;
pub use event::TopicView;
pub use session::Acks;
pub use session::Authentication;
pub use session::InFlight;
pub use session::ProduceRequest;
pub use session::Session;
pub use session::SessionOptions;
pub use session::Transmit;
pub use session::TransmitBatch;
pub use versions::Versions;
