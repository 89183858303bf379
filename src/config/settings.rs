//! The checked, typed settings that the stages are built from.
//!
//! Owns their grouping, and the values that depend on the mode. The fields themselves come from
//! the option table.

use std::time::Duration;

use crate::config::table::BatchSettings;
use crate::config::table::ClientSettings;
use crate::config::table::FleetSettings;
use crate::config::table::RingSettings;
use crate::config::table::SaslSettings;
use crate::config::table::SessionSettings;
use crate::config::table::SpoolSettings;
use crate::config::table::StreamSettings;
use crate::config::table::TlsSettings;
use crate::config::table::TransportSettings;
use crate::event::EventCallback;

/// Where batches go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// What kind of place the hosts are.
    pub mode: TargetMode,
    /// Whether connections are encrypted: the scheme ends in `+tls`.
    pub tls: bool,
    /// Names or addresses (IPv6 without its brackets) with their ports; at least one, no two alike.
    pub hosts: Vec<(String, u16)>,
}

/// The scheme of the URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetMode {
    /// `kafka://`: one cluster; the hosts are bootstrap servers, each partition has a leader.
    Kafka,
    /// `receivers://`: independent receivers, any of which takes any batch.
    Receivers,
}

impl TargetMode {
    /// Every mode.
    pub const ALL: &'static [TargetMode] = &[TargetMode::Kafka, TargetMode::Receivers];

    /// The URL scheme, which may be followed by `+tls`.
    pub const fn scheme(self) -> &'static str {
        match self {
            TargetMode::Kafka => "kafka",
            TargetMode::Receivers => "receivers",
        }
    }
}

/// A configuration that has passed every check.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Where to send to.
    pub target: Target,
    /// The Kafka topic.
    pub topic: String,
    /// What the application calls itself and how long it waits.
    pub client: ClientSettings,
    /// The per-thread rings.
    pub ring: RingSettings,
    /// Drain, encoding and compression.
    pub batch: BatchSettings,
    /// The stored batches.
    pub spool: SpoolSettings,
    /// The Kafka protocol.
    pub session: SessionSettings,
    /// Lanes, balance and rebinding.
    pub fleet: FleetSettings,
    /// Connections and names.
    pub transport: TransportSettings,
    /// Encryption.
    pub tls: TlsSettings,
    /// Who we are.
    pub sasl: SaslSettings,
    /// Is told of events.
    pub on_event: Option<EventCallback>,
}

impl Settings {
    /// How long a batch may stay unacknowledged: as set, or the default of the mode. A Kafka
    /// cluster may honestly need 30 s for a lagging replica; a receiver that needs 10 s is ill.
    pub fn acknowledgement_deadline(&self) -> Duration {
        self.session.acknowledgement_deadline.unwrap_or(match self.target.mode {
            TargetMode::Kafka => Duration::from_secs(30),
            TargetMode::Receivers => Duration::from_secs(10),
        })
    }
}

/// The settings before a target is known.
#[derive(Clone, Debug, Default)]
pub(super) struct Groups {
    pub(super) stream: StreamSettings,
    pub(super) client: ClientSettings,
    pub(super) ring: RingSettings,
    pub(super) batch: BatchSettings,
    pub(super) spool: SpoolSettings,
    pub(super) session: SessionSettings,
    pub(super) fleet: FleetSettings,
    pub(super) transport: TransportSettings,
    pub(super) tls: TlsSettings,
    pub(super) sasl: SaslSettings,
    pub(super) on_event: Option<EventCallback>,
}

impl Groups {
    /// The settings, if there is a topic; every URL brings one.
    pub(super) fn with_target(self, target: Target) -> Option<Settings> {
        let Self { stream, client, ring, batch, spool, session, fleet, .. } = self;
        let Self { transport, tls, sasl, on_event, .. } = self;
        let topic = stream.topic?;
        Some(Settings {
            target,
            topic,
            client,
            ring,
            batch,
            spool,
            session,
            fleet,
            transport,
            tls,
            sasl,
            on_event,
        })
    }
}
