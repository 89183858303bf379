//! How a session's requests become frames in its outbox.

use crate::ids::Moment;
use crate::proto::kafka::client::error::CommandError;
use crate::proto::kafka::client::session::Acks;
use crate::proto::kafka::client::session::Kind;
use crate::proto::kafka::client::session::Phase;
use crate::proto::kafka::client::session::REQUESTS_MAX;
use crate::proto::kafka::client::session::Request;
use crate::proto::kafka::client::session::Session;
use crate::proto::kafka::client::session::Transmit;
use crate::proto::kafka::client::versions::Versions;
use crate::proto::kafka::wire::ApiKey;
use crate::proto::kafka::wire::EncodeError;
use crate::proto::kafka::wire::RequestHeader;
use crate::proto::kafka::wire::Writer;
use crate::proto::kafka::wire::api_versions;
use crate::proto::kafka::wire::metadata;

impl Session {
    pub(super) fn request_versions(
        &mut self,
        now: Moment,
        version: i16,
    ) -> Result<(), EncodeError> {
        let request = api_versions::Request {
            software_name: env!("CARGO_PKG_NAME"),
            software_version: env!("CARGO_PKG_VERSION"),
        };
        self.ask(now, version, Kind::ApiVersions, |writer| request.encode(version, writer))
    }

    pub(super) fn ask_metadata(
        &mut self,
        now: Moment,
        topics: &[&str],
        allow_auto_topic_creation: bool,
        kind: Kind,
    ) -> Result<(), CommandError> {
        let version = self.accept_command(now)?.metadata;
        let request =
            metadata::Request { topics: Some(topics.to_vec()), allow_auto_topic_creation };
        self.ask(now, version, kind, |writer| request.encode(version, writer))?;
        Ok(())
    }

    /// The versions to speak, or why no command can be taken.
    pub(super) fn accept_command(&mut self, now: Moment) -> Result<Versions, CommandError> {
        self.unmute(now);
        match &self.phase {
            Phase::Negotiating | Phase::Authenticating(_) => Err(CommandError::NotReady),
            Phase::Ended(_) => Err(CommandError::Ended),
            Phase::Ready(_) if self.unanswered.len() + self.unwritten.len() >= REQUESTS_MAX => {
                Err(CommandError::TooManyRequests(REQUESTS_MAX))
            }
            Phase::Ready(versions) => Ok(*versions),
        }
    }

    /// Encodes a request that carries no batch.
    pub(super) fn ask(
        &mut self,
        now: Moment,
        version: i16,
        kind: Kind,
        body: impl FnOnce(&mut Writer<'_>),
    ) -> Result<(), EncodeError> {
        let mut head = self.spare_heads.pop().unwrap_or_default();
        let mut writer = Writer::frame(&mut head);
        RequestHeader {
            api_key: kind.api().number(),
            api_version: version,
            correlation_id: self.next_correlation_id,
            client_id: Some(&self.options.client_id),
        }
        .encode(&mut writer);
        body(&mut writer);
        writer.finish(0)?;
        self.enqueue(now, version, kind, Transmit { head, batch: None, tail: &[] });
        Ok(())
    }

    /// Queues an encoded request. While the broker wants silence its time starts afterwards.
    pub(super) fn enqueue(&mut self, now: Moment, version: i16, kind: Kind, transmit: Transmit) {
        let correlation_id = self.next_correlation_id;
        self.next_correlation_id = correlation_id.wrapping_add(1);
        let start = self.muted_until.map_or(now, |until| until.max(now));
        let deadline = start.after(self.options.request_timeout);
        let unconfirmed = kind.token().is_some() && self.options.acks == Acks::None;
        let request = Request { correlation_id, version, deadline, kind };
        if unconfirmed {
            self.unwritten.push_back(request);
        } else {
            self.unanswered.push_back(request);
        }
        self.outbox.push_back((correlation_id, transmit));
    }
}

impl Kind {
    pub(super) fn api(&self) -> ApiKey {
        match self {
            Kind::ApiVersions => ApiKey::ApiVersions,
            Kind::Heartbeat | Kind::Metadata => ApiKey::Metadata,
            Kind::Produce { .. } => ApiKey::Produce,
            Kind::ProducerId => ApiKey::InitProducerId,
            Kind::SaslAuthenticate => ApiKey::SaslAuthenticate,
            Kind::SaslHandshake => ApiKey::SaslHandshake,
        }
    }

    pub(super) fn token(&self) -> Option<u64> {
        match self {
            Kind::Produce { token, .. } => Some(*token),
            Kind::ApiVersions
            | Kind::Heartbeat
            | Kind::Metadata
            | Kind::ProducerId
            | Kind::SaslAuthenticate
            | Kind::SaslHandshake => None,
        }
    }
}

impl Acks {
    pub(super) fn number(self) -> i16 {
        match self {
            Acks::All => -1,
            Acks::Leader => 1,
            Acks::None => 0,
        }
    }
}
