//! Endpoints and their addresses: what is known, what is gone, what is forgotten.
//!
//! Invariants: `Name::addresses` counts the endpoint's candidates that are not removed; a candidate is
//! forgotten only when no lane is on it; a failed resolution takes nothing away.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use crate::ids::EndpointId;
use crate::ids::Moment;
use crate::proto::fleet::CANDIDATES_MAX;
use crate::proto::fleet::Endpoint;
use crate::proto::fleet::EndpointsError;
use crate::proto::fleet::candidate::Candidate;
use crate::proto::fleet::candidate::Target;
use crate::proto::fleet::endpoint;
use crate::proto::fleet::endpoint::Name;
use crate::proto::fleet::fleet::Fleet;

impl Fleet {
    /// Replaces the endpoints. What stays, stays connected; lanes on what is gone drain and leave.
    pub fn set_endpoints(
        &mut self,
        now: Moment,
        endpoints: &[Endpoint],
    ) -> Result<(), EndpointsError> {
        endpoint::check(endpoints)?;
        self.observe(now);
        let kept: BTreeSet<EndpointId> = endpoints.iter().map(|endpoint| endpoint.id).collect();
        let gone: Vec<EndpointId> =
            self.names.keys().copied().filter(|id| !kept.contains(id)).collect();
        for id in gone {
            self.names.remove(&id);
            self.keep_addresses(id, &BTreeSet::new());
        }
        for endpoint in endpoints {
            let name =
                self.names.entry(endpoint.id).or_insert_with(|| Name::new(self.now, endpoint));
            if name.update(self.now, endpoint) {
                self.keep_addresses(endpoint.id, &BTreeSet::new());
            }
        }
        self.adjust_lane_count();
        self.advance();
        Ok(())
    }

    /// The endpoint as it is now, whose host is to be asked for; `None` where it is gone.
    pub fn endpoint(&self, id: EndpointId) -> Option<&Endpoint> {
        self.names.get(&id).map(|name| &name.endpoint)
    }

    /// The host of `asked` has these addresses now. None at all counts as a failure: what is known is kept. Ignored
    /// where the endpoint has another host or port by now.
    pub fn handle_resolved(&mut self, now: Moment, asked: &Endpoint, addresses: &[SocketAddr]) {
        if addresses.is_empty() {
            return self.handle_resolve_failed(now, asked);
        }
        self.observe(now);
        if let Some(name) = self.names.get_mut(&asked.id)
            && name.answered(asked)
        {
            let endpoint = asked.id;
            name.succeeded(self.now);
            let addresses: BTreeSet<SocketAddr> =
                addresses.iter().copied().take(CANDIDATES_MAX).collect();
            self.keep_addresses(endpoint, &addresses);
            self.add_addresses(endpoint, &addresses);
            self.adjust_lane_count();
        }
        self.advance();
    }

    /// The host of `asked` could not be resolved; what is known of it is kept, and it is asked again later.
    pub fn handle_resolve_failed(&mut self, now: Moment, asked: &Endpoint) {
        self.observe(now);
        let limits = self.backoff_limits();
        if let Some(name) = self.names.get_mut(&asked.id)
            && name.answered(asked)
        {
            name.failed(self.now, limits, &mut self.random);
        }
        self.advance();
    }

    /// How many addresses there are at present.
    pub(super) fn addresses(&self) -> usize {
        self.names.values().map(|name| name.addresses).sum()
    }

    /// Removes the endpoint's addresses that are not among `kept`.
    fn keep_addresses(&mut self, endpoint: EndpointId, kept: &BTreeSet<SocketAddr>) {
        for (target, candidate) in &mut self.candidates {
            if target.endpoint == endpoint && !kept.contains(&target.address) {
                candidate.removed_at.get_or_insert(self.now);
            }
        }
        self.count_addresses(endpoint);
        self.forget_removed();
    }

    fn add_addresses(&mut self, endpoint: EndpointId, addresses: &BTreeSet<SocketAddr>) {
        for address in addresses {
            let target = Target { endpoint, address: *address };
            if self.candidates.len() < CANDIDATES_MAX || self.candidates.contains_key(&target) {
                let candidate =
                    self.candidates.entry(target).or_insert_with(|| Candidate::new(self.now));
                candidate.removed_at = None;
            }
        }
        self.count_addresses(endpoint);
    }

    fn count_addresses(&mut self, endpoint: EndpointId) {
        if let Some(name) = self.names.get_mut(&endpoint) {
            name.addresses = self
                .candidates
                .iter()
                .filter(|(target, candidate)| {
                    target.endpoint == endpoint && candidate.removed_at.is_none()
                })
                .count();
        }
    }

    /// Forgets removed candidates that no lane is on, the longest removed first.
    fn forget_removed(&mut self) {
        let is_used = |target| self.lanes.iter().any(|lane| lane.target == Some(target));
        let mut removed: Vec<(Moment, Target)> = self
            .candidates
            .iter()
            .filter(|(target, _)| !is_used(**target))
            .filter_map(|(target, candidate)| Some((candidate.removed_at?, *target)))
            .collect();
        removed.sort_unstable();
        for (_, target) in removed.iter().rev().skip(REMOVED_KEPT_MAX) {
            self.candidates.remove(target);
        }
    }
}

/// How many removed candidates are remembered.
const REMOVED_KEPT_MAX: usize = 64;
