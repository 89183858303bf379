//! Authentication between the negotiation of versions and the first command.
//!
//! Each connection authenticates once. Where the broker limits how long that holds (KIP-368), the session says so
//! in time ([`Event::Expiring`]), and the driver drains it and opens another one: no request is
//! ever mixed with an authentication.

use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::ids::Moment;
use crate::proto::kafka::client::error::SessionError;
use crate::proto::kafka::client::event::Event;
use crate::proto::kafka::client::session::Kind;
use crate::proto::kafka::client::session::Phase;
use crate::proto::kafka::client::session::Session;
use crate::proto::kafka::client::versions;
use crate::proto::kafka::client::versions::Versions;
use crate::proto::kafka::errors::ErrorCode;
use crate::proto::kafka::sasl::Credentials;
use crate::proto::kafka::sasl::Exchange;
use crate::proto::kafka::sasl::NONCE_BYTES;
use crate::proto::kafka::sasl::Step;
use crate::proto::kafka::wire::ApiKey;
use crate::proto::kafka::wire::api_versions::ApiRange;
use crate::proto::kafka::wire::sasl_authenticate;
use crate::proto::kafka::wire::sasl_handshake;

/// Of SaslHandshake; 0 is followed by messages without a header.
const HANDSHAKE: (i16, i16) = (1, 1);
/// Of SaslAuthenticate; 0 does not say how long it holds.
const AUTHENTICATE: (i16, i16) = (0, 2);
/// Characters of a broker's own words that are passed on.
const WORDS_MAX: usize = 300;

/// How a session proves who we are.
#[derive(Clone, Debug)]
pub struct Authentication {
    /// Who we are.
    pub credentials: Arc<Credentials>,
    /// Random bytes, fresh for each session.
    pub nonce: [u8; NONCE_BYTES],
    /// After how much of the time that the broker grants [`Event::Expiring`] comes, in percent; drawn
    /// at random, so that not all connections of a fleet are renewed at once.
    pub renew_percent: u32,
}

/// An authentication under way, and the versions that count after it.
#[derive(Debug)]
pub(super) struct Pending {
    versions: Versions,
    authenticate: i16,
    exchange: Exchange,
    /// What is sent when the broker has accepted the mechanism.
    first: Option<Secretly>,
}

/// A message that holds a secret, in a shape that cannot be printed.
pub(super) struct Secretly(Zeroizing<Vec<u8>>);

impl std::fmt::Debug for Secretly {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secretly(..)")
    }
}

impl Session {
    /// Ready at once, or after an authentication.
    pub(super) fn authenticate(
        &mut self,
        now: Moment,
        versions: Versions,
        offered: &[ApiRange],
    ) -> Result<(), SessionError> {
        let Some(authentication) = &self.options.authentication else {
            self.phase = Phase::Ready(versions);
            self.events.push_back(Event::Ready);
            return Ok(());
        };
        let common = |api, ours| {
            versions::highest_common(offered, api, ours).ok_or(SessionError::NotSupported { api })
        };
        let handshake = common(ApiKey::SaslHandshake, HANDSHAKE)?;
        let authenticate = common(ApiKey::SaslAuthenticate, AUTHENTICATE)?;
        let Authentication { credentials, nonce, .. } = authentication;
        let mechanism = credentials.mechanism();
        let (exchange, first) = Exchange::start(credentials, nonce);
        let first = Some(Secretly(first));
        let pending = Pending { versions, authenticate, exchange, first };
        self.phase = Phase::Authenticating(Box::new(pending));
        let request = sasl_handshake::Request { mechanism };
        self.ask(now, handshake, Kind::SaslHandshake, |writer| request.encode(writer))?;
        Ok(())
    }

    /// The broker has the mechanism, or says which ones it has.
    pub(super) fn take_mechanisms(
        &mut self,
        now: Moment,
        response: &sasl_handshake::Response<'_>,
    ) -> Result<(), SessionError> {
        let Phase::Authenticating(pending) = &mut self.phase else { return Ok(()) };
        if response.error != ErrorCode::None {
            return Err(SessionError::MechanismRefused {
                offered: printable(&response.mechanisms.join(", ")),
            });
        }
        match pending.first.take() {
            Some(Secretly(first)) => self.say(now, &first),
            None => Ok(()),
        }
    }

    /// One step of the exchange.
    pub(super) fn take_step(
        &mut self,
        now: Moment,
        response: &sasl_authenticate::Response<'_>,
    ) -> Result<(), SessionError> {
        if response.error != ErrorCode::None {
            let words = response.error_message.unwrap_or("without a reason");
            return Err(SessionError::AuthenticationFailed { words: printable(words) });
        }
        let Phase::Authenticating(pending) = &mut self.phase else { return Ok(()) };
        match pending.exchange.answer(response.message)? {
            Step::Send(message) => self.say(now, &message),
            Step::Done => {
                self.phase = Phase::Ready(pending.versions);
                self.events.push_back(Event::Ready);
                let lifetime = u64::try_from(response.session_lifetime_ms).unwrap_or(0);
                if let Some(authentication) = &self.options.authentication
                    && lifetime > 0
                {
                    let percent = u64::from(authentication.renew_percent.min(100));
                    let renew = Duration::from_millis(lifetime / 100 * percent);
                    self.expires_at = Some(now.after(renew));
                }
                Ok(())
            }
        }
    }

    fn say(&mut self, now: Moment, message: &[u8]) -> Result<(), SessionError> {
        let Phase::Authenticating(pending) = &self.phase else { return Ok(()) };
        let version = pending.authenticate;
        let request = sasl_authenticate::Request { message };
        self.ask(now, version, Kind::SaslAuthenticate, |writer| request.encode(version, writer))?;
        Ok(())
    }
}

/// What a broker says, as far as it may stand in a line of ours.
fn printable(words: &str) -> String {
    words.chars().take(WORDS_MAX).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests;
