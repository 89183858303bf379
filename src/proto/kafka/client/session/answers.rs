//! What a session makes of the broker's answers.

use std::time::Duration;

use crate::ids::Moment;
use crate::proto::kafka::client::error::SessionError;
use crate::proto::kafka::client::event::Answer;
use crate::proto::kafka::client::event::ClusterView;
use crate::proto::kafka::client::event::Event;
use crate::proto::kafka::client::event::Outcome;
use crate::proto::kafka::client::event::Produced;
use crate::proto::kafka::client::session::Kind;
use crate::proto::kafka::client::session::Request;
use crate::proto::kafka::client::session::Session;
use crate::proto::kafka::client::session::THROTTLE_MAX;
use crate::proto::kafka::client::versions;
use crate::proto::kafka::client::versions::Versions;
use crate::proto::kafka::errors::ErrorCode;
use crate::proto::kafka::wire::ApiKey;
use crate::proto::kafka::wire::Reader;
use crate::proto::kafka::wire::WireError;
use crate::proto::kafka::wire::api_versions;
use crate::proto::kafka::wire::frame::FrameBuffer;
use crate::proto::kafka::wire::header;
use crate::proto::kafka::wire::init_producer_id;
use crate::proto::kafka::wire::metadata;
use crate::proto::kafka::wire::produce;
use crate::proto::kafka::wire::sasl_authenticate;
use crate::proto::kafka::wire::sasl_handshake;

impl Session {
    pub(super) fn handle_frames(
        &mut self,
        now: Moment,
        frames: &mut FrameBuffer,
    ) -> Result<(), SessionError> {
        while let Some(frame) = frames.next_frame()? {
            let mut reader = Reader::new(frame);
            let request = self.match_request(&mut reader)?;
            if let Err(error) = self.handle_answer(now, &request, &mut reader) {
                // Its answer is worth nothing: the request stays in flight, its fate in doubt.
                self.unanswered.push_front(request);
                return Err(error);
            }
        }
        Ok(())
    }

    /// The request that a response answers: the oldest one that was transmitted, or it is an error.
    fn match_request(&mut self, reader: &mut Reader<'_>) -> Result<Request, SessionError> {
        let received =
            header::decode_correlation_id(reader).map_err(|_| SessionError::NoCorrelationId)?;
        let outbox = &self.outbox;
        let due = self.unanswered.pop_front_if(|request| {
            request.correlation_id == received && outbox.iter().all(|(id, _)| *id != received)
        });
        due.ok_or_else(|| SessionError::UnexpectedResponse {
            received,
            expected: self.unanswered.front().map(|request| request.correlation_id),
        })
    }

    fn handle_answer(
        &mut self,
        now: Moment,
        request: &Request,
        reader: &mut Reader<'_>,
    ) -> Result<(), SessionError> {
        let (api, version) = (request.kind.api(), request.version);
        let malformed = malformed(api);
        header::skip_response_tags(reader, api, version).map_err(malformed)?;
        match &request.kind {
            Kind::ApiVersions => {
                let response =
                    api_versions::Response::decode(version, reader).map_err(malformed)?;
                self.mute(now, api, version, response.throttle_ms);
                self.negotiate(now, version, &response)
            }
            Kind::Heartbeat => {
                let response = metadata::Response::decode(version, reader).map_err(malformed)?;
                self.mute(now, api, version, response.throttle_ms);
                self.events.push_back(Event::HeartbeatAnswered);
                Ok(())
            }
            Kind::Metadata => {
                let response = metadata::Response::decode(version, reader).map_err(malformed)?;
                self.mute(now, api, version, response.throttle_ms);
                self.events.push_back(Event::Metadata(ClusterView::from_wire(&response)?));
                Ok(())
            }
            Kind::Produce { token, topic, partition } => {
                let response = produce::Response::decode(version, reader).map_err(malformed)?;
                let throttle = self.mute(now, api, version, response.throttle_ms);
                let answer = sole_answer(&response, topic, *partition)?;
                let outcome = Outcome::Answered(answer);
                self.events.push_back(Event::Produced(Produced {
                    token: *token,
                    outcome,
                    throttle,
                }));
                Ok(())
            }
            Kind::ProducerId => {
                let response =
                    init_producer_id::Response::decode(version, reader).map_err(malformed)?;
                self.mute(now, api, version, response.throttle_ms);
                self.events.push_back(producer_id_event(&response)?);
                Ok(())
            }
            Kind::SaslHandshake => {
                let response = sasl_handshake::Response::decode(reader).map_err(malformed)?;
                self.take_mechanisms(now, &response)
            }
            Kind::SaslAuthenticate => {
                let response =
                    sasl_authenticate::Response::decode(version, reader).map_err(malformed)?;
                self.take_step(now, &response)
            }
        }
    }

    fn negotiate(
        &mut self,
        now: Moment,
        version: i16,
        response: &api_versions::Response,
    ) -> Result<(), SessionError> {
        match response.error {
            ErrorCode::None => {
                let versions = Versions::negotiate(&response.apis)?;
                self.authenticate(now, versions, &response.apis)?;
            }
            ErrorCode::UnsupportedVersion if version > 0 => {
                self.request_versions(now, 0)
                    .expect("the same request was expressible in a longer version");
            }
            refused => return Err(SessionError::Refused(refused)),
        }
        Ok(())
    }

    /// Keeps silent for as long as the broker asks, and gives all requests that much more time.
    /// Returns the time that the broker named.
    fn mute(&mut self, now: Moment, api: ApiKey, version: i16, throttle_ms: i32) -> Duration {
        let throttle = Duration::from_millis(u64::try_from(throttle_ms).unwrap_or(0));
        if throttle.is_zero() || !versions::client_throttles(api, version) {
            return throttle;
        }
        let until = now.after(throttle.min(THROTTLE_MAX));
        let until = self.muted_until.map_or(until, |earlier| earlier.max(until));
        self.muted_until = Some(until);
        let deadline = until.after(self.options.request_timeout);
        for request in self.unanswered.iter_mut().chain(&mut self.unwritten) {
            request.deadline = request.deadline.max(deadline);
        }
        throttle
    }

    pub(super) fn unmute(&mut self, now: Moment) {
        self.muted_until = self.muted_until.filter(|until| *until > now);
    }
}

/// The one outcome of a request with one batch; a response about anything else is a lie.
fn sole_answer(
    response: &produce::Response<'_>,
    topic: &str,
    partition: i32,
) -> Result<Answer, SessionError> {
    if let [outcomes] = response.topics.as_slice()
        && let [outcome] = outcomes.partitions.as_slice()
        && outcomes.name == topic
        && outcome.index == partition
    {
        return Answer::from_wire(outcome, &response.node_endpoints);
    }
    let reason = "it is not about exactly the partition that was written to";
    Err(SessionError::ImpossibleAnswer { api: ApiKey::Produce, reason })
}

fn producer_id_event(response: &init_producer_id::Response) -> Result<Event, SessionError> {
    let &init_producer_id::Response { error, producer_id, producer_epoch, .. } = response;
    if error != ErrorCode::None {
        return Ok(Event::ProducerIdFailed(error));
    }
    if producer_id < 0 || producer_epoch < 0 {
        let reason = "a negative producer id or epoch";
        return Err(SessionError::ImpossibleAnswer { api: ApiKey::InitProducerId, reason });
    }
    Ok(Event::ProducerId { producer_id, producer_epoch })
}

fn malformed(api: ApiKey) -> impl Fn(WireError) -> SessionError + Copy {
    move |source| SessionError::Malformed { api, source }
}
