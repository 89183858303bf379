//! What one side writes the other side reads back, in every version; and nothing that is cut short
//! or made up is read as a message.

use proptest::prelude::*;

use super::*;
use crate::proto::kafka::errors::ErrorCode;
use crate::proto::kafka::server;

/// A message's body, encoded without a frame's size.
fn body(encode: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = Writer::frame(&mut out);
    encode(&mut writer);
    writer.finish(0).unwrap();
    out.split_off(4)
}

/// Reads `bytes` back as `expected`, and every proper prefix of it as an error.
fn check<'a, T: PartialEq + std::fmt::Debug>(
    bytes: &'a [u8],
    expected: &T,
    decode: impl Fn(&mut Reader<'a>) -> Result<T, WireError>,
) -> Result<(), TestCaseError> {
    let read = decode(&mut Reader::new(bytes));
    prop_assert_eq!(read.as_ref(), Ok(expected));
    for length in 0..bytes.len() {
        let cut = decode(&mut Reader::new(&bytes[..length]));
        prop_assert!(cut.is_err(), "{} of {} bytes: {:?}", length, bytes.len(), cut);
    }
    Ok(())
}

fn text() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "",
        "a",
        "logs",
        "t\u{f6}pic",
        "a-name-of-more-than-127-bytes-------\
        ----------------------------------------------------------------------------------------",
    ])
}

fn maybe_text() -> impl Strategy<Value = Option<&'static str>> {
    prop::option::of(text())
}

fn error() -> impl Strategy<Value = ErrorCode> {
    any::<i16>().prop_map(ErrorCode::from)
}

fn few<T: std::fmt::Debug>(item: impl Strategy<Value = T>) -> impl Strategy<Value = Vec<T>> {
    prop::collection::vec(item, 0..3)
}

prop_compose! {
    fn partition()(
        error in error(),
        index in any::<i32>(),
        leader_id in any::<i32>(),
        leader_epoch in any::<i32>(),
        replicas in few(any::<i32>()),
        in_sync_replicas in few(any::<i32>()),
        offline_replicas in few(any::<i32>()),
    ) -> metadata::Partition {
        metadata::Partition {
            error, index, leader_id, leader_epoch, replicas, in_sync_replicas, offline_replicas,
        }
    }
}

prop_compose! {
    fn metadata_topic()(
        error in error(),
        name in text(),
        is_internal in any::<bool>(),
        partitions in few(partition()),
    ) -> metadata::Topic<'static> {
        metadata::Topic { error, name, is_internal, partitions }
    }
}

prop_compose! {
    fn broker()(
        node_id in any::<i32>(),
        host in text(),
        port in any::<i32>(),
        rack in maybe_text(),
    ) -> metadata::Broker<'static> {
        metadata::Broker { node_id, host, port, rack }
    }
}

prop_compose! {
    fn metadata_response()(
        throttle_ms in any::<i32>(),
        brokers in few(broker()),
        cluster_id in maybe_text(),
        controller_id in any::<i32>(),
        topics in few(metadata_topic()),
    ) -> metadata::Response<'static> {
        metadata::Response { throttle_ms, brokers, cluster_id, controller_id, topics }
    }
}

/// What is left of a response in the layout of `version`.
fn metadata_in(version: i16, mut response: metadata::Response<'_>) -> metadata::Response<'_> {
    if version < 3 {
        response.throttle_ms = 0;
    }
    if version < 2 {
        response.cluster_id = None;
    }
    if version < 1 {
        response.controller_id = -1;
        response.brokers.iter_mut().for_each(|broker| broker.rack = None);
        response.topics.iter_mut().for_each(|topic| topic.is_internal = false);
    }
    for partition in response.topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
        if version < 7 {
            partition.leader_epoch = -1;
        }
        if version < 5 {
            partition.offline_replicas.clear();
        }
    }
    response
}

prop_compose! {
    fn outcome()(
        (index, error) in (any::<i32>(), error()),
        (base_offset, log_append_time_ms, log_start_offset) in any::<(i64, i64, i64)>(),
        record_errors in few((any::<i32>(), maybe_text())),
        error_message in maybe_text(),
        leader in prop::option::of(any::<(i32, i32)>()),
    ) -> produce::PartitionOutcome<'static> {
        let record_error =
            |(batch_index, message)| produce::RecordError { batch_index, message };
        produce::PartitionOutcome {
            index,
            error,
            base_offset,
            log_append_time_ms,
            log_start_offset,
            record_errors: record_errors.into_iter().map(record_error).collect(),
            error_message,
            current_leader: leader.map(|(leader_id, leader_epoch)| {
                produce::LeaderHint { leader_id, leader_epoch }
            }),
        }
    }
}

prop_compose! {
    fn produce_response()(
        topics in few((text(), few(outcome()))),
        throttle_ms in any::<i32>(),
        endpoints in few((any::<i32>(), text(), any::<i32>(), maybe_text())),
    ) -> produce::Response<'static> {
        let topic = |(name, partitions)| produce::TopicOutcome { name, partitions };
        let endpoint = |(node_id, host, port, rack)| {
            produce::NodeEndpoint { node_id, host, port, rack }
        };
        produce::Response {
            topics: topics.into_iter().map(topic).collect(),
            throttle_ms,
            node_endpoints: endpoints.into_iter().map(endpoint).collect(),
        }
    }
}

/// What is left of a response in the layout of `version`.
fn produce_in(version: i16, mut response: produce::Response<'_>) -> produce::Response<'_> {
    for outcome in response.topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
        if version < 10 {
            outcome.current_leader = None;
        }
        if version < 8 {
            outcome.record_errors.clear();
            outcome.error_message = None;
        }
        if version < 5 {
            outcome.log_start_offset = -1;
        }
    }
    if version < 10 {
        response.node_endpoints.clear();
    }
    response
}

proptest! {
    #[test]
    fn api_versions_round_trips(
        error in error(),
        apis in few(any::<(i16, i16, i16)>()),
        throttle_ms in any::<i32>(),
    ) {
        let range = |(api_key, version_min, version_max)| {
            api_versions::ApiRange { api_key, version_min, version_max }
        };
        let apis: Vec<_> = apis.into_iter().map(range).collect();
        for version in 0..=3 {
            let in_full = version >= 1 && error != ErrorCode::UnsupportedVersion;
            let throttle_ms = if in_full { throttle_ms } else { 0 };
            let response = api_versions::Response { error, apis: apis.clone(), throttle_ms };
            let bytes = body(|writer| response.encode(version, writer));
            check(&bytes, &response, |reader| api_versions::Response::decode(version, reader))?;
        }
        let request = api_versions::Request { software_name: "logdrive", software_version: "1" };
        let bytes = body(|writer| request.encode(3, writer));
        check(&bytes, &request, |reader| api_versions::Request::decode(3, reader))?;
    }

    #[test]
    fn metadata_round_trips(
        topics in prop::option::of(few(text())),
        allow in any::<bool>(),
        response in metadata_response(),
    ) {
        for version in 0..=12 {
            let request =
                metadata::Request { topics: topics.clone(), allow_auto_topic_creation: allow };
            let bytes = body(|writer| request.encode(version, writer));
            let expected = metadata::Request {
                topics: topics.clone().filter(|topics| version > 0 || !topics.is_empty()),
                allow_auto_topic_creation: allow || version < 4,
            };
            check(&bytes, &expected, |reader| metadata::Request::decode(version, reader))?;
            let bytes = body(|writer| response.encode(version, writer));
            let expected = metadata_in(version, response.clone());
            check(&bytes, &expected, |reader| metadata::Response::decode(version, reader))?;
        }
    }

    #[test]
    fn init_producer_id_round_trips(
        transactional_id in maybe_text(),
        transaction_timeout_ms in any::<i32>(),
        (throttle_ms, producer_id, producer_epoch) in any::<(i32, i64, i16)>(),
        error in error(),
    ) {
        for version in 0..=4 {
            let request = init_producer_id::Request { transactional_id, transaction_timeout_ms };
            let bytes = body(|writer| request.encode(version, writer));
            check(&bytes, &request, |reader| init_producer_id::Request::decode(version, reader))?;
            let response =
                init_producer_id::Response { throttle_ms, error, producer_id, producer_epoch };
            let bytes = body(|writer| response.encode(version, writer));
            check(&bytes, &response, |reader| init_producer_id::Response::decode(version, reader))?;
        }
    }

    #[test]
    fn produce_round_trips(
        topic in text(),
        partition in any::<i32>(),
        batch in prop::collection::vec(any::<u8>(), 0..200),
        response in produce_response(),
    ) {
        let head = produce::RequestHead {
            correlation_id: 7,
            client_id: "sdk",
            acks: -1,
            timeout_ms: 1000,
            topic,
            partition,
            batch_bytes: batch.len() as u32,
        };
        for version in 3..=12 {
            let mut frame = Vec::new();
            head.encode(version, &mut frame).unwrap();
            frame.extend_from_slice(&batch);
            frame.extend_from_slice(produce::request_tail(version));
            let records = Some(batch.as_slice());
            let expected = produce::Request {
                transactional_id: None,
                acks: -1,
                timeout_ms: 1000,
                topics: vec![produce::TopicData {
                    name: topic,
                    partitions: vec![produce::PartitionData { index: partition, records }],
                }],
            };
            check(&frame[4..], &expected, |reader| {
                RequestHeader::decode(reader)?;
                produce::Request::decode(version, reader)
            })?;
            let bytes = body(|writer| response.encode(version, writer));
            let expected = produce_in(version, response.clone());
            check(&bytes, &expected, |reader| produce::Response::decode(version, reader))?;
        }
    }

    #[test]
    fn made_up_bytes_never_panic(
        bytes in prop::collection::vec(
            prop_oneof![Just(0u8), Just(1), Just(255), any::<u8>()],
            0..120,
        ),
    ) {
        // Whether they are a message does not matter here, only that reading them returns.
        let _ = server::Request::decode(&bytes);
        for version in 0..=12 {
            let reader = || Reader::new(&bytes);
            let _ = api_versions::Response::decode(version, &mut reader());
            let _ = metadata::Request::decode(version, &mut reader());
            let _ = metadata::Response::decode(version, &mut reader());
            let _ = init_producer_id::Response::decode(version, &mut reader());
            let _ = produce::Request::decode(version, &mut reader());
            let _ = produce::Response::decode(version, &mut reader());
            let _ = fetch::Request::decode(version, &mut reader());
            let _ = find_coordinator::Request::decode(version, &mut reader());
            let _ = sasl_authenticate::Response::decode(version, &mut reader()).is_ok();
            let _ = sasl_handshake::Response::decode(&mut reader());
        }
    }
}
