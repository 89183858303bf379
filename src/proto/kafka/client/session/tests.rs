//! Scripts between a session and a broker that is played by the wire's own encoders.

use super::*;
use crate::proto::kafka::errors::ErrorCode;
use crate::proto::kafka::server;
use crate::proto::kafka::wire::Reader;
use crate::proto::kafka::wire::RequestHeader;
use crate::proto::kafka::wire::Writer;
use crate::proto::kafka::wire::api_versions;
use crate::proto::kafka::wire::api_versions::ApiRange;
use crate::proto::kafka::wire::frame::FrameError;
use crate::proto::kafka::wire::header;
use crate::proto::kafka::wire::metadata;

const TIMEOUT: Duration = Duration::from_secs(30);
const START: Moment = Moment(1_000_000_000);

fn options(acks: Acks) -> SessionOptions {
    SessionOptions {
        client_id: "sdk".to_owned(),
        acks,
        request_timeout: TIMEOUT,
        frame_bytes_max: 4096,
        authentication: None,
    }
}

fn negotiating(acks: Acks) -> Session {
    Session::new(options(acks), START).unwrap()
}

/// A session that is ready and has nothing left to poll.
fn ready_with(acks: Acks, apis: &[ApiRange]) -> Session {
    let mut session = negotiating(acks);
    session.poll_transmit().unwrap();
    let response =
        api_versions::Response { error: ErrorCode::None, apis: apis.to_vec(), throttle_ms: 0 };
    let bytes = answer(ApiKey::ApiVersions, 3, 0, |writer| response.encode(3, writer));
    session.handle_bytes(START, &bytes).unwrap();
    assert_eq!(session.poll_event(), Some(Event::Ready));
    session
}

fn ready(acks: Acks) -> Session {
    ready_with(acks, &server::SUPPORTED)
}

fn answer(
    api: ApiKey,
    version: i16,
    correlation_id: i32,
    body: impl FnOnce(&mut Writer<'_>),
) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = Writer::frame(&mut out);
    header::encode_response_header(&mut writer, api, version, correlation_id);
    body(&mut writer);
    writer.finish(0).unwrap();
    out
}

fn produced(correlation_id: i32, error: ErrorCode, throttle_ms: i32) -> Vec<u8> {
    produced_in("logs", correlation_id, error, throttle_ms)
}

fn produced_in(topic: &str, correlation_id: i32, error: ErrorCode, throttle_ms: i32) -> Vec<u8> {
    let partition = produce::PartitionOutcome {
        base_offset: 42,
        ..produce::PartitionOutcome::failed(3, error)
    };
    let response = produce::Response {
        topics: vec![produce::TopicOutcome { name: topic, partitions: vec![partition] }],
        throttle_ms,
        node_endpoints: Vec::new(),
    };
    answer(ApiKey::Produce, 8, correlation_id, |writer| response.encode(8, writer))
}

fn produce(session: &mut Session, now: Moment, token: u64) {
    let header = [token as u8; HEADER_BYTES];
    let batch = ProduceRequest { topic: "logs", partition: 3, token, header, body_bytes: 31 };
    session.produce(now, batch).unwrap();
}

fn token_of(event: Option<Event>) -> u64 {
    match event {
        Some(Event::Produced(produced)) => produced.token,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_first_request_is_api_versions_and_commands_wait_for_its_answer() {
    let mut session = negotiating(Acks::All);
    assert_eq!(session.request_heartbeat(START), Err(CommandError::NotReady));
    let transmit = session.poll_transmit().unwrap();
    assert_eq!(transmit.head[4..8], [0, 18, 0, 3]);
    assert_eq!((transmit.batch, transmit.tail), (None, &[][..]));
    assert_eq!(session.poll_timeout(), Some(START.after(TIMEOUT)));
}

#[test]
fn error_35_in_the_layout_of_version_0_makes_it_ask_again_in_version_0() {
    let mut session = negotiating(Acks::All);
    session.poll_transmit().unwrap();
    let refusal = server::api_versions_unsupported();
    let bytes = answer(ApiKey::ApiVersions, 0, 0, |writer| refusal.encode(0, writer));
    session.handle_bytes(START, &bytes).unwrap();
    let again = session.poll_transmit().unwrap();
    assert_eq!(server::Request::decode(&again.head[4..]).unwrap().1, server::Request::ApiVersions);
    assert_eq!(again.head[6..8], [0, 0]);
    let offer = server::api_versions_response(false);
    let bytes = answer(ApiKey::ApiVersions, 0, 1, |writer| offer.encode(0, writer));
    session.handle_bytes(START, &bytes).unwrap();
    assert_eq!(session.poll_event(), Some(Event::Ready));
    assert_eq!(session.versions().unwrap().produce, 8);
}

#[test]
fn a_broker_that_refuses_version_0_as_well_ends_the_session() {
    let mut session = negotiating(Acks::All);
    for correlation_id in 0..2 {
        session.poll_transmit().unwrap();
        let refusal = server::api_versions_unsupported();
        let bytes = answer(ApiKey::ApiVersions, 0, correlation_id, |w| refusal.encode(0, w));
        let outcome = session.handle_bytes(START, &bytes);
        match correlation_id {
            0 => outcome.unwrap(),
            _ => assert_eq!(outcome, Err(SessionError::Refused(ErrorCode::UnsupportedVersion))),
        }
    }
    assert_eq!(session.request_heartbeat(START), Err(CommandError::Ended));
}

#[test]
fn pipelined_batches_are_answered_in_order_however_the_bytes_are_cut() {
    let mut session = ready(Acks::All);
    for token in 10..15 {
        produce(&mut session, START, token);
    }
    assert_eq!(session.in_flight(), 5);
    for token in 10..15 {
        let transmit = session.poll_transmit().unwrap();
        let batch = transmit.batch.unwrap();
        assert_eq!((batch.token, batch.header[0], batch.body_bytes), (token, token as u8, 31));
        assert_eq!(transmit.head[transmit.head.len() - 4..], [0, 0, 0, 92]);
    }
    let stream: Vec<u8> = (1..6).flat_map(|id| produced(id, ErrorCode::None, 0)).collect();
    for byte in stream {
        session.handle_bytes(START, &[byte]).unwrap();
    }
    for token in 10..15 {
        let Some(Event::Produced(produced)) = session.poll_event() else { panic!() };
        let Outcome::Answered(answer) = produced.outcome else { panic!() };
        assert_eq!(
            (produced.token, answer.error, answer.base_offset),
            (token, ErrorCode::None, 42)
        );
    }
    assert_eq!((session.in_flight(), session.poll_timeout()), (0, None));
}

#[test]
fn an_answer_out_of_order_or_to_nothing_ends_the_session_and_leaves_batches_in_doubt() {
    let mut session = ready(Acks::All);
    produce(&mut session, START, 10);
    produce(&mut session, START, 11);
    session.poll_transmit().unwrap();
    let unexpected = SessionError::UnexpectedResponse { received: 2, expected: Some(1) };
    let bytes = produced(2, ErrorCode::None, 0);
    assert_eq!(session.handle_bytes(START, &bytes), Err(unexpected.clone()));
    assert_eq!(session.handle_bytes(START, &[]), Err(unexpected), "it stays ended");
    assert_eq!((session.poll_transmit(), session.poll_timeout()), (None, None));
    let in_flight: Vec<InFlight> = session.batches_in_flight().collect();
    assert_eq!(
        in_flight,
        [InFlight { token: 10, transmitted: true }, InFlight { token: 11, transmitted: false }]
    );

    let nothing = SessionError::UnexpectedResponse { received: 7, expected: None };
    let bytes = produced(7, ErrorCode::None, 0);
    assert_eq!(ready(Acks::All).handle_bytes(START, &bytes), Err(nothing));
}

#[test]
fn an_answer_to_a_request_that_was_not_sent_yet_is_a_lie() {
    let mut session = ready(Acks::All);
    produce(&mut session, START, 10);
    let bytes = produced(1, ErrorCode::None, 0);
    let lie = SessionError::UnexpectedResponse { received: 1, expected: Some(1) };
    assert_eq!(session.handle_bytes(START, &bytes), Err(lie));
    assert_eq!(session.poll_event(), None, "no space is released by it");
}

#[test]
fn an_answer_about_another_partition_is_a_lie() {
    let mut session = ready(Acks::All);
    produce(&mut session, START, 10);
    session.poll_transmit().unwrap();
    let bytes = produced_in("other", 1, ErrorCode::None, 0);
    let outcome = session.handle_bytes(START, &bytes);
    let api = ApiKey::Produce;
    assert!(matches!(outcome, Err(SessionError::ImpossibleAnswer { api: of, .. }) if of == api));
    assert_eq!((session.poll_event(), session.in_flight()), (None, 1), "it is in doubt");
}

#[test]
fn nothing_is_sent_while_the_broker_wants_silence_and_deadlines_move_with_it() {
    let mut session = ready(Acks::All);
    produce(&mut session, START, 10);
    produce(&mut session, START, 11);
    session.poll_transmit().unwrap();
    session.poll_transmit().unwrap();
    session.handle_bytes(START, &produced(1, ErrorCode::None, 5_000)).unwrap();
    let Some(Event::Produced(event)) = session.poll_event() else { panic!() };
    assert_eq!(event.throttle, Duration::from_secs(5));
    let silence_ends = START.after(Duration::from_secs(5));
    assert_eq!(session.poll_timeout(), Some(silence_ends), "the end is news for the driver");
    produce(&mut session, START, 12);
    assert_eq!(session.poll_transmit(), None);
    assert_eq!(session.poll_timeout(), Some(silence_ends));
    session.handle_timeout(Moment(silence_ends.0 - 1)).unwrap();
    assert_eq!(session.poll_transmit(), None);
    session.handle_timeout(silence_ends).unwrap();
    assert!(session.poll_transmit().is_some());
    assert_eq!(session.poll_timeout(), Some(silence_ends.after(TIMEOUT)));
}

#[test]
fn a_throttle_is_bounded_and_a_negative_one_is_none() {
    for (throttle_ms, silence) in [(i32::MAX, THROTTLE_MAX), (-5, Duration::ZERO)] {
        let mut session = ready(Acks::All);
        produce(&mut session, START, 10);
        session.poll_transmit().unwrap();
        session.handle_bytes(START, &produced(1, ErrorCode::None, throttle_ms)).unwrap();
        produce(&mut session, START.after(silence), 11);
        assert!(session.poll_transmit().is_some(), "{throttle_ms}");
    }
}

#[test]
fn a_response_that_is_overdue_ends_the_session() {
    let mut session = ready(Acks::All);
    produce(&mut session, START, 10);
    session.poll_transmit().unwrap();
    let due = session.poll_timeout().unwrap();
    session.handle_timeout(Moment(due.0 - 1)).unwrap();
    let timed_out = SessionError::RequestTimedOut { api: ApiKey::Produce, timeout: TIMEOUT };
    assert_eq!(session.handle_timeout(due), Err(timed_out));
    assert_eq!(session.in_flight(), 1);
}

#[test]
fn without_acks_a_batch_is_unconfirmed_once_it_is_written() {
    let mut session = ready(Acks::None);
    produce(&mut session, START, 10);
    session.request_heartbeat(START).unwrap();
    session.poll_transmit().unwrap();
    session.poll_transmit().unwrap();
    assert_eq!((session.poll_event(), session.in_flight()), (None, 1));
    session.handle_written(10);
    let Some(Event::Produced(produced)) = session.poll_event() else { panic!() };
    assert_eq!((produced.token, produced.outcome), (10, Outcome::Unconfirmed));
    assert_eq!(session.in_flight(), 0);
    // The correlation id of the batch is used up: the heartbeat's answer has the next one.
    session.handle_bytes(START, &empty_metadata(2)).unwrap();
    assert_eq!(session.poll_event(), Some(Event::HeartbeatAnswered));
}

#[test]
fn a_batch_that_cannot_be_written_in_time_ends_the_session_without_acks_too() {
    let mut session = ready(Acks::None);
    produce(&mut session, START, 10);
    session.poll_transmit().unwrap();
    let due = session.poll_timeout().unwrap();
    let timed_out = SessionError::RequestTimedOut { api: ApiKey::Produce, timeout: TIMEOUT };
    assert_eq!(session.handle_timeout(due), Err(timed_out));
}

#[test]
fn with_acks_being_written_is_no_outcome() {
    let mut session = ready(Acks::Leader);
    produce(&mut session, START, 10);
    session.poll_transmit().unwrap();
    session.handle_written(10);
    assert_eq!(session.poll_event(), None);
    session.handle_bytes(START, &produced(1, ErrorCode::NotEnoughReplicas, 0)).unwrap();
    assert_eq!(token_of(session.poll_event()), 10);
}

#[test]
fn an_oversized_frame_and_another_protocol_end_the_session_before_their_bytes_arrive() {
    let announced = 4097u32;
    let mut session = ready(Acks::All);
    let too_large = FrameError::TooLarge { announced, limit: 4096 };
    assert_eq!(
        session.handle_bytes(START, &announced.to_be_bytes()),
        Err(SessionError::Frame(too_large))
    );
    let outcome = ready(Acks::All).handle_bytes(START, b"HTTP/1.1 400 Bad Request\r\n");
    assert!(matches!(outcome, Err(SessionError::Frame(FrameError::TooLarge { .. }))));
}

#[test]
fn an_id_is_handed_out_or_its_refusal_told() {
    for (error, id, event) in [
        (ErrorCode::None, 77, Event::ProducerId { producer_id: 77, producer_epoch: 0 }),
        (
            ErrorCode::ClusterAuthorizationFailed,
            -1,
            Event::ProducerIdFailed(ErrorCode::ClusterAuthorizationFailed),
        ),
    ] {
        let mut session = ready(Acks::All);
        session.request_producer_id(START).unwrap();
        session.poll_transmit().unwrap();
        let response = init_producer_id::Response {
            throttle_ms: 0,
            error,
            producer_id: id,
            producer_epoch: 0,
        };
        let bytes = answer(ApiKey::InitProducerId, 1, 1, |w| response.encode(1, w));
        session.handle_bytes(START, &bytes).unwrap();
        assert_eq!(session.poll_event(), Some(event));
    }
    let mut session = ready_with(Acks::All, &server::SUPPORTED[..3]);
    let refused = CommandError::NotOffered(ApiKey::InitProducerId);
    assert_eq!(session.request_producer_id(START), Err(refused));
}

fn partition(index: i32, leader_id: i32) -> metadata::Partition {
    metadata::Partition {
        error: ErrorCode::None,
        index,
        leader_id,
        leader_epoch: 4,
        replicas: vec![],
        in_sync_replicas: vec![],
        offline_replicas: vec![],
    }
}

fn metadata_answer(port: i32, partitions: Vec<metadata::Partition>) -> Vec<u8> {
    let response = metadata::Response {
        throttle_ms: 0,
        brokers: vec![metadata::Broker { node_id: 1, host: "b1", port, rack: None }],
        cluster_id: None,
        controller_id: 1,
        topics: vec![metadata::Topic {
            error: ErrorCode::None,
            name: "logs",
            is_internal: false,
            partitions,
        }],
    };
    answer(ApiKey::Metadata, 8, 1, |writer| response.encode(8, writer))
}

fn empty_metadata(correlation_id: i32) -> Vec<u8> {
    let response = metadata::Response {
        throttle_ms: 0,
        brokers: vec![],
        cluster_id: None,
        controller_id: -1,
        topics: vec![],
    };
    answer(ApiKey::Metadata, 8, correlation_id, |writer| response.encode(8, writer))
}

#[test]
fn metadata_becomes_a_view_by_rising_partition_or_is_refused_as_impossible() {
    let ask = |bytes: &[u8]| {
        let mut session = ready(Acks::All);
        session.request_metadata(START, &["logs"], true).unwrap();
        session.poll_transmit().unwrap();
        session.handle_bytes(START, bytes).map(|()| session.poll_event())
    };
    let view = match ask(&metadata_answer(9092, vec![partition(1, -1), partition(0, 1)])) {
        Ok(Some(Event::Metadata(view))) => view,
        other => panic!("{other:?}"),
    };
    assert_eq!((view.brokers[0].host.as_str(), view.brokers[0].port), ("b1", 9092));
    let leaders: Vec<_> = view.topics[0].partitions.iter().map(|p| (p.index, p.leader)).collect();
    assert_eq!(leaders, [(0, Some(1)), (1, None)]);
    for impossible in [
        metadata_answer(70_000, vec![]),
        metadata_answer(9092, vec![partition(-1, 1)]),
        metadata_answer(9092, vec![partition(0, 1), partition(0, 1)]),
    ] {
        assert!(matches!(ask(&impossible), Err(SessionError::ImpossibleAnswer { .. })));
    }
}

#[test]
fn a_batch_that_cannot_be_expressed_is_refused_and_uses_up_no_correlation_id() {
    let mut session = ready(Acks::All);
    let header = [0; HEADER_BYTES];
    let huge =
        ProduceRequest { topic: "logs", partition: 0, token: 1, header, body_bytes: u32::MAX };
    assert!(matches!(session.produce(START, huge), Err(CommandError::Encode(_))));
    assert_eq!((session.in_flight(), session.poll_transmit()), (0, None));
    produce(&mut session, START, 2);
    let transmit = session.poll_transmit().unwrap();
    let header = RequestHeader::decode(&mut Reader::new(&transmit.head[4..])).unwrap();
    assert_eq!(header.correlation_id, 1);
}

#[test]
fn requests_without_answers_are_bounded() {
    let mut session = ready(Acks::All);
    for _ in 0..REQUESTS_MAX {
        session.request_heartbeat(START).unwrap();
    }
    let refused = CommandError::TooManyRequests(REQUESTS_MAX);
    assert_eq!(session.request_heartbeat(START), Err(refused));
}

proptest::proptest! {
    #[test]
    fn garbage_ends_the_session_or_waits_for_more_but_releases_nothing(
        bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200),
        correlation_id in 0i32..3,
    ) {
        let mut session = ready(Acks::All);
        produce(&mut session, START, 10);
        session.poll_transmit().unwrap();
        let frame = answer(ApiKey::Produce, 8, correlation_id, |writer| writer.raw(&bytes));
        let ended = session.handle_bytes(START, &frame).is_err();
        proptest::prop_assert!(ended);
        proptest::prop_assert_eq!(session.poll_event(), None);
        // Raw bytes may be read as the size of a frame that is still incomplete.
        let _ = ready(Acks::All).handle_bytes(START, &bytes);
    }
}
