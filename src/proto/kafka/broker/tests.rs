//! Frames in, answers out: each request, what closes the connection, and random bytes.

use proptest::prelude::*;

use crate::proto::kafka::broker::*;
use crate::proto::kafka::wire::Reader;
use crate::proto::kafka::wire::api_versions;

fn broker() -> Broker {
    Broker::new("192.0.2.1".to_owned(), 9092, |topic| topic != "bad")
}

/// A request's frame, without its size.
fn frame(api: ApiKey, version: i16, body: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = Writer::frame(&mut out);
    let header = RequestHeader {
        api_key: api.number(),
        api_version: version,
        correlation_id: 77,
        client_id: Some("test"),
    };
    header.encode(&mut writer);
    body(&mut writer);
    writer.finish(0).unwrap();
    out.split_off(4)
}

/// The body of the answer, after its size and correlation id were checked.
fn answer(frame: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    assert_eq!(broker().handle(frame, || 4711, &mut out), Ok(Handled::Answered));
    let size = u32::try_from(out.len() - 4).unwrap();
    assert_eq!(out[..8], [&size.to_be_bytes()[..], &77i32.to_be_bytes()].concat());
    out.split_off(8)
}

#[test]
fn what_is_advertised_is_exactly_what_foreign_producers_need() {
    for version in 0..=2 {
        let body = answer(&frame(ApiKey::ApiVersions, version, |_| {}));
        let response = api_versions::Response::decode(version, &mut Reader::new(&body)).unwrap();
        let apis: Vec<_> = response
            .apis
            .iter()
            .map(|api| (api.api_key, api.version_min, api.version_max))
            .collect();
        let expected = [(0, 3, 8), (1, 4, 11), (3, 0, 8), (10, 0, 2), (18, 0, 2), (22, 0, 1)];
        assert_eq!(apis, expected);
        assert_eq!(response.error, ErrorCode::None);
    }
    for version in [3, 4, 99] {
        let too_high = frame(ApiKey::ApiVersions, version, |writer| writer.raw(b"whatever"));
        assert_eq!(answer(&too_high), b"\x00\x23\x00\x00\x00\x01\x00\x12\x00\x00\x00\x02");
    }
}

#[test]
fn every_legal_topic_exists_with_one_partition_led_by_us() {
    for version in 0..=8 {
        let request =
            metadata::Request { topics: Some(vec!["t", "bad"]), allow_auto_topic_creation: true };
        let body = answer(&frame(ApiKey::Metadata, version, |w| request.encode(version, w)));
        let response = metadata::Response::decode(version, &mut Reader::new(&body)).unwrap();
        let broker = &response.brokers[0];
        assert_eq!((broker.node_id, broker.host, broker.port), (1, "192.0.2.1", 9092));
        let [good, bad] = &response.topics[..] else { panic!("two topics") };
        assert_eq!((good.name, good.error, good.partitions.len()), ("t", ErrorCode::None, 1));
        assert_eq!((good.partitions[0].index, good.partitions[0].leader_id), (0, 1));
        assert_eq!((bad.error, bad.partitions.len()), (ErrorCode::InvalidTopic, 0));
    }
}

#[test]
fn producer_ids_are_given_out_but_not_for_transactions() {
    for version in 0..=1 {
        let mut request = init_producer_id::Request::IDEMPOTENT;
        let body = answer(&frame(ApiKey::InitProducerId, version, |w| request.encode(version, w)));
        let response =
            init_producer_id::Response::decode(version, &mut Reader::new(&body)).unwrap();
        assert_eq!((response.producer_id, response.producer_epoch), (4711, 0));
        request.transactional_id = Some("tx");
        let body = answer(&frame(ApiKey::InitProducerId, version, |w| request.encode(version, w)));
        let response =
            init_producer_id::Response::decode(version, &mut Reader::new(&body)).unwrap();
        assert_eq!((response.error.number(), response.producer_id), (53, -1));
    }
}

#[test]
fn fetch_and_find_coordinator_are_advertised_and_refused() {
    let find = frame(ApiKey::FindCoordinator, 0, |writer| writer.string("group"));
    assert_eq!(answer(&find)[..2], 15i16.to_be_bytes());
    let fetch = frame(ApiKey::Fetch, 4, |writer| {
        (0..4).for_each(|_| writer.i32(0));
        writer.i8(0);
        writer.array(&["t"], |writer, topic| {
            writer.string(topic);
            writer.array(&[0], |writer, index| {
                writer.i32(*index);
                writer.i64(0);
                writer.i32(0);
            });
        });
    });
    let refused =
        b"\x00\x00\x00\x00\x00\x00\x00\x01\x00\x01t\x00\x00\x00\x01\x00\x00\x00\x00\x00\x1d";
    assert!(answer(&fetch).starts_with(refused));
}

#[test]
fn produce_is_handed_out_and_answered_in_its_version() {
    for version in 3..=8 {
        let head = produce::RequestHead {
            correlation_id: 5,
            client_id: "c",
            acks: 0,
            timeout_ms: 1,
            topic: "t",
            partition: 3,
            batch_bytes: 4,
        };
        let mut request = Vec::new();
        head.encode(version, &mut request).unwrap();
        request.extend_from_slice(b"abcd");
        let mut out = Vec::new();
        let handled = broker().handle(&request[4..], || 0, &mut out).unwrap();
        let Handled::Append(append) = handled else { panic!("{handled:?}") };
        assert!(out.is_empty() && !append.answered && append.acks_valid);
        assert_eq!(append.topics[0].name, "t");
        assert_eq!(append.topics[0].partitions[0].records, Some(&b"abcd"[..]));
        let replies = [
            PartitionReply { index: 3, outcome: Ok(42) },
            PartitionReply { index: 4, outcome: Err(ErrorCode::CorruptMessage) },
        ];
        let topics = [("t", &replies[..])].into_iter();
        encode_produce_response(append.reply_to, topics, &mut out).unwrap();
        let response = produce::Response::decode(version, &mut Reader::new(&out[8..])).unwrap();
        let [good, bad] = &response.topics[0].partitions[..] else { panic!("two partitions") };
        assert_eq!((good.index, good.error, good.base_offset), (3, ErrorCode::None, 42));
        assert_eq!((bad.index, bad.error.number(), bad.base_offset), (4, 2, -1));
    }
}

#[test]
fn what_is_not_advertised_or_names_too_much_closes_the_connection() {
    let refused = |frame: &[u8]| {
        let mut out = Vec::new();
        let error = broker().handle(frame, || 0, &mut out).unwrap_err();
        assert!(out.is_empty());
        error
    };
    let unsupported = [(ApiKey::Produce, 2), (ApiKey::Produce, 9), (ApiKey::SaslHandshake, 2)];
    for (api, version) in unsupported {
        let error = refused(&frame(api, version, |_| {}));
        assert!(matches!(error, BrokerError::Request(RequestError::Unsupported { .. })));
    }
    let unasked = refused(&frame(ApiKey::SaslHandshake, 1, |writer| writer.string("PLAIN")));
    assert_eq!(unasked, BrokerError::UnexpectedSasl);
    let request = metadata::Request {
        topics: Some(vec!["t"; ENTRIES_MAX + 1]),
        allow_auto_topic_creation: true,
    };
    let error = refused(&frame(ApiKey::Metadata, 7, |writer| request.encode(7, writer)));
    assert_eq!(error, BrokerError::TooManyEntries(ENTRIES_MAX + 1));
}

proptest! {
    #[test]
    fn random_bytes_never_panic_and_leave_nothing_half_written(
        api in 0i16..40,
        version in -1i16..13,
        body in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut bytes = [api.to_be_bytes(), version.to_be_bytes()].concat();
        bytes.extend_from_slice(&body);
        let mut out = Vec::new();
        if broker().handle(&bytes, || 0, &mut out).is_err() {
            prop_assert!(out.is_empty());
        }
    }
}
