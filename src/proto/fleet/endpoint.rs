//! Names and the pace at which they are resolved.
//!
//! A name is resolved before each attempt to bind, but not twice within [`RESOLVE_INTERVAL_MIN`]
//! (librdkafka's `broker.address.ttl`), and after a failure only when the backoff has passed. At most
//! one question per endpoint is open; an answer about another host than the endpoint has now is none.

use std::time::Duration;

use crate::ids::EndpointId;
use crate::ids::Moment;
use crate::proto::fleet::Endpoint;
use crate::proto::fleet::backoff::Backoff;
use crate::proto::fleet::backoff::Limits;
use crate::proto::fleet::random::Random;

/// At most this many endpoints per fleet.
pub const ENDPOINTS_MAX: usize = 1024;

/// Why a list of endpoints was refused; the fleet is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointsError {
    /// Two endpoints have one identifier.
    #[error("two endpoints are numbered {}: give each its own number", .0.0)]
    Duplicate(EndpointId),
    /// More than [`ENDPOINTS_MAX`].
    #[error("{given} endpoints given, at most {ENDPOINTS_MAX} are allowed: name fewer")]
    TooMany {
        /// How many were given.
        given: usize,
    },
}

/// Checks a list of endpoints.
pub(super) fn check(endpoints: &[Endpoint]) -> Result<(), EndpointsError> {
    if endpoints.len() > ENDPOINTS_MAX {
        return Err(EndpointsError::TooMany { given: endpoints.len() });
    }
    let mut ids: Vec<EndpointId> = endpoints.iter().map(|endpoint| endpoint.id).collect();
    ids.sort_unstable();
    match ids.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(EndpointsError::Duplicate(pair[0])),
        None => Ok(()),
    }
}

/// One endpoint and the state of its resolution.
#[derive(Clone, Debug)]
pub(super) struct Name {
    /// As it was given last.
    pub(super) endpoint: Endpoint,
    backoff: Backoff,
    not_before: Moment,
    /// Since when the question has been open.
    asked_at: Option<Moment>,
    /// How many addresses it has at present.
    pub(super) addresses: usize,
}

impl Name {
    pub(super) fn new(now: Moment, endpoint: &Endpoint) -> Self {
        Self {
            endpoint: endpoint.clone(),
            backoff: Backoff::default(),
            not_before: now,
            asked_at: None,
            addresses: 0,
        }
    }

    /// Takes over a new host or port; true if it is another one, about which nothing was asked yet.
    pub(super) fn update(&mut self, now: Moment, endpoint: &Endpoint) -> bool {
        let is_news = self.endpoint != *endpoint;
        if is_news {
            *self = Self::new(now, endpoint);
        }
        is_news
    }

    /// Whether to ask now; if so, the question counts as open.
    pub(super) fn ask(&mut self, now: Moment) -> bool {
        let ask = self.asked_at.is_none() && now >= self.not_before;
        if ask {
            self.asked_at = Some(now);
        }
        ask
    }

    /// Until when a lane that wants fresh addresses waits for the open question.
    pub(super) fn wait_until(&self) -> Option<Moment> {
        self.asked_at.map(|asked_at| asked_at.after(RESOLVE_WAIT_MAX))
    }

    /// When to ask on its own account: only where no address is known, as otherwise lanes ask.
    pub(super) fn timer(&self) -> Option<Moment> {
        (self.addresses == 0 && self.asked_at.is_none()).then_some(self.not_before)
    }

    /// Closes the question; false, and it stays open, if the answer is about another host.
    pub(super) fn answered(&mut self, asked: &Endpoint) -> bool {
        let is_ours = self.endpoint == *asked;
        if is_ours {
            self.asked_at = None;
        }
        is_ours
    }

    pub(super) fn succeeded(&mut self, now: Moment) {
        self.backoff.reset();
        self.not_before = now.after(RESOLVE_INTERVAL_MIN);
    }

    pub(super) fn failed(&mut self, now: Moment, limits: Limits, random: &mut Random) {
        self.not_before = now.after(self.backoff.next_delay(limits, random));
    }
}

const RESOLVE_INTERVAL_MIN: Duration = Duration::from_secs(1);

/// After this a lane goes on with the addresses it knows: a resolver may hang for half a minute.
const RESOLVE_WAIT_MAX: Duration = Duration::from_secs(1);
