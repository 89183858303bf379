//! Which version of each request both sides speak: the highest common one.
//!
//! What a broker calls its lowest version is ignored where it is below ours: Kafka 4 lists Produce
//! from 0 and closes the connection when 0 is used (KAFKA-18659).

use crate::proto::kafka::client::error::SessionError;
use crate::proto::kafka::wire::ApiKey;
use crate::proto::kafka::wire::api_versions::ApiRange;

/// The versions of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    /// Of Metadata.
    pub metadata: i16,
    /// Of Produce; zstd needs 7.
    pub produce: i16,
    /// Of InitProducerId; none where the broker has no idempotence.
    pub init_producer_id: Option<i16>,
}

/// Lowest and highest version of Produce that we speak; 13 names topics by id.
const PRODUCE: (i16, i16) = (3, 12);
/// Of Metadata; version 0 cannot ask for no topics, as a heartbeat does.
const METADATA: (i16, i16) = (1, 12);
/// Of InitProducerId; 5 differs only for transactions.
const INIT_PRODUCER_ID: (i16, i16) = (0, 4);

/// The version of ApiVersions that a session opens with; a broker that does not know it says so.
pub(super) const API_VERSIONS: i16 = 3;

impl Versions {
    /// Chooses from what the broker offers.
    pub(super) fn negotiate(offered: &[ApiRange]) -> Result<Self, SessionError> {
        let required = |api: ApiKey, ours: (i16, i16)| {
            highest_common(offered, api, ours).ok_or(SessionError::NotSupported { api })
        };
        Ok(Self {
            metadata: required(ApiKey::Metadata, METADATA)?,
            produce: required(ApiKey::Produce, PRODUCE)?,
            init_producer_id: highest_common(offered, ApiKey::InitProducerId, INIT_PRODUCER_ID),
        })
    }
}

/// The highest version that both sides speak.
pub(super) fn highest_common(
    offered: &[ApiRange],
    api: ApiKey,
    (min, max): (i16, i16),
) -> Option<i16> {
    let range = offered.iter().find(|range| range.api_key == api.number())?;
    let version = max.min(range.version_max);
    (version >= min && version >= range.version_min).then_some(version)
}

/// Whether the broker answers a request of this version at once and expects the client to keep
/// silent for the time that it names (KIP-219); before, it held the answer back itself.
pub(super) fn client_throttles(api: ApiKey, version: i16) -> bool {
    match api {
        ApiKey::Produce | ApiKey::Metadata => version >= 6,
        ApiKey::InitProducerId => version >= 1,
        ApiKey::ApiVersions => version >= 2,
        ApiKey::Fetch
        | ApiKey::FindCoordinator
        | ApiKey::SaslHandshake
        | ApiKey::SaslAuthenticate => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::kafka::server;

    fn offer(api: ApiKey, version_min: i16, version_max: i16) -> ApiRange {
        ApiRange { api_key: api.number(), version_min, version_max }
    }

    #[test]
    fn our_receiver_is_spoken_to_without_flexible_versions() {
        let versions = Versions { metadata: 8, produce: 8, init_producer_id: Some(1) };
        assert_eq!(Versions::negotiate(&server::SUPPORTED), Ok(versions));
    }

    #[test]
    fn a_current_broker_is_spoken_to_in_our_highest_versions() {
        let kafka_4 = [
            offer(ApiKey::Produce, 0, 13),
            offer(ApiKey::Metadata, 0, 13),
            offer(ApiKey::InitProducerId, 0, 5),
        ];
        let versions = Versions { metadata: 12, produce: 12, init_producer_id: Some(4) };
        assert_eq!(Versions::negotiate(&kafka_4), Ok(versions));
    }

    #[test]
    fn a_broker_without_idempotence_is_no_error_but_one_without_produce_is() {
        let offered = [offer(ApiKey::Produce, 0, 3), offer(ApiKey::Metadata, 0, 4)];
        let versions = Versions { metadata: 4, produce: 3, init_producer_id: None };
        assert_eq!(Versions::negotiate(&offered), Ok(versions));
        let api = ApiKey::Produce;
        assert_eq!(
            Versions::negotiate(&[offer(api, 0, 2), offered[1]]),
            Err(SessionError::NotSupported { api }),
            "too old"
        );
        assert_eq!(
            Versions::negotiate(&[offer(api, 14, 15), offered[1]]),
            Err(SessionError::NotSupported { api }),
            "too new"
        );
    }
}
