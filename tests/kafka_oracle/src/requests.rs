//! Requests: what logdrive sends, and what foreign producers send to its receiver.

use bytes::Bytes;
use kafka_protocol::messages::ApiVersionsRequest;
use kafka_protocol::messages::BrokerId;
use kafka_protocol::messages::FetchRequest;
use kafka_protocol::messages::FindCoordinatorRequest;
use kafka_protocol::messages::InitProducerIdRequest;
use kafka_protocol::messages::MetadataRequest;
use kafka_protocol::messages::ProduceRequest;
use kafka_protocol::messages::ProducerId;
use kafka_protocol::messages::RequestHeader as TheirHeader;
use kafka_protocol::messages::SaslAuthenticateRequest;
use kafka_protocol::messages::SaslHandshakeRequest;
use kafka_protocol::messages::TopicName;
use kafka_protocol::messages::fetch_request::FetchPartition;
use kafka_protocol::messages::fetch_request::FetchTopic;
use kafka_protocol::messages::fetch_request::ForgottenTopic;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::produce_request::PartitionProduceData;
use kafka_protocol::messages::produce_request::TopicProduceData;
use logdrive::proto::kafka::wire::ApiKey;
use logdrive::proto::kafka::wire::Reader;
use logdrive::proto::kafka::wire::RequestHeader;
use logdrive::proto::kafka::wire::api_versions;
use logdrive::proto::kafka::wire::fetch;
use logdrive::proto::kafka::wire::find_coordinator;
use logdrive::proto::kafka::wire::init_producer_id;
use logdrive::proto::kafka::wire::metadata;
use logdrive::proto::kafka::wire::produce;
use logdrive::proto::kafka::wire::sasl_authenticate;
use logdrive::proto::kafka::wire::sasl_handshake;

use crate::bodies::every_prefix_fails;
use crate::bodies::ours;
use crate::bodies::text;
use crate::bodies::theirs;

/// The batch without a codec of the golden vectors.
const BATCH: &[u8] =
    b"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x50\xff\xff\xff\xff\x02\x23\x49\x78\
    \x74\x00\x00\x00\x00\x00\x01\x00\x00\x01\x8b\xcf\xe5\x68\x00\x00\x00\x01\x8b\xcf\xe5\x68\x05\
    \xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x02\
    \x1e\x00\x00\x00\x01\x0a\x68\x65\x6c\x6c\x6f\x02\x02\x6b\x02\x76\
    \x1c\x00\x0a\x02\x06\x6b\x65\x79\x0a\x77\x6f\x72\x6c\x64\x00";

fn topic_name(name: &'static str) -> TopicName {
    TopicName(text(name))
}

/// A request header of the other crate, in the version that goes with the request.
fn their_header(api: ApiKey, version: i16) -> Vec<u8> {
    let header = TheirHeader::default()
        .with_request_api_key(api.number())
        .with_request_api_version(version)
        .with_correlation_id(7)
        .with_client_id(Some(text("sdk")));
    theirs(&header, if api.is_flexible(version) { 2 } else { 1 })
}

#[test]
fn headers_are_the_same_in_both_versions() {
    for (api, version) in [(ApiKey::Produce, 8), (ApiKey::Produce, 9), (ApiKey::ApiVersions, 3)] {
        let header = RequestHeader {
            api_key: api.number(),
            api_version: version,
            correlation_id: 7,
            client_id: Some("sdk"),
        };
        assert_eq!(ours(|writer| header.encode(writer)), their_header(api, version));
    }
}

#[test]
fn produce_frames_are_the_same() {
    assert_eq!(BATCH.len(), 92);
    for version in 3..=12 {
        let head = produce::RequestHead {
            correlation_id: 7,
            client_id: "sdk",
            acks: -1,
            timeout_ms: 10_000,
            topic: "logs",
            partition: 3,
            batch_bytes: BATCH.len() as u32,
        };
        let mut frame = Vec::new();
        head.encode(version, &mut frame).unwrap();
        frame.extend_from_slice(BATCH);
        frame.extend_from_slice(produce::request_tail(version));

        let partition = PartitionProduceData::default()
            .with_index(3)
            .with_records(Some(Bytes::from_static(BATCH)));
        let topic = TopicProduceData::default()
            .with_name(topic_name("logs"))
            .with_partition_data(vec![partition]);
        let request = ProduceRequest::default()
            .with_acks(-1)
            .with_timeout_ms(10_000)
            .with_topic_data(vec![topic]);
        let body = [their_header(ApiKey::Produce, version), theirs(&request, version)].concat();
        assert_eq!(frame[..4], (body.len() as u32).to_be_bytes(), "version {version}");
        assert_eq!(frame[4..], body, "version {version}");
    }
}

#[test]
fn produce_of_several_topics_and_partitions_is_understood() {
    let data =
        |index, records| PartitionProduceData::default().with_index(index).with_records(records);
    let some = Some(Bytes::from_static(BATCH));
    let request = ProduceRequest::default().with_acks(1).with_timeout_ms(5).with_topic_data(vec![
        TopicProduceData::default()
            .with_name(topic_name("a"))
            .with_partition_data(vec![data(0, some.clone()), data(9, None)]),
        TopicProduceData::default()
            .with_name(topic_name("b"))
            .with_partition_data(vec![data(1, some)]),
    ]);
    for version in 3..=12 {
        let bytes = theirs(&request, version);
        let read = produce::Request::decode(version, &mut Reader::new(&bytes)).unwrap();
        assert_eq!((read.acks, read.timeout_ms, read.transactional_id), (1, 5, None));
        let all: Vec<_> = read
            .topics
            .iter()
            .flat_map(|topic| topic.partitions.iter().map(|p| (topic.name, p.index, p.records)))
            .collect();
        assert_eq!(all, [("a", 0, Some(BATCH)), ("a", 9, None), ("b", 1, Some(BATCH))]);
    }
}

#[test]
fn metadata_is_the_same() {
    for version in 0..=12 {
        for names in [Some(vec!["logs", "audit"]), Some(vec![]), None] {
            if version == 0 && names.is_none() {
                continue; // Version 0 has no null; "all topics" is the empty list.
            }
            let topic = |name| MetadataRequestTopic::default().with_name(Some(topic_name(name)));
            let expected = MetadataRequest::default()
                .with_topics(names.clone().map(|names| names.into_iter().map(topic).collect()))
                .with_allow_auto_topic_creation(version < 4);
            let request =
                metadata::Request { topics: names, allow_auto_topic_creation: version < 4 };
            assert_eq!(
                ours(|writer| request.encode(version, writer)),
                theirs(&expected, version),
                "version {version}"
            );
        }
    }
}

#[test]
fn init_producer_id_is_the_same() {
    for version in 0..=4 {
        let expected = InitProducerIdRequest::default()
            .with_transactional_id(None)
            .with_transaction_timeout_ms(i32::MAX)
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1);
        let request = init_producer_id::Request::IDEMPOTENT;
        let bytes = ours(|writer| request.encode(version, writer));
        assert_eq!(bytes, theirs(&expected, version), "version {version}");
    }
}

#[test]
fn api_versions_is_the_same() {
    for version in 0..=3 {
        let mut expected = ApiVersionsRequest::default();
        if version >= 3 {
            expected = expected
                .with_client_software_name(text("logdrive"))
                .with_client_software_version(text("0.1.0"));
        }
        let request =
            api_versions::Request { software_name: "logdrive", software_version: "0.1.0" };
        let bytes = ours(|writer| request.encode(version, writer));
        assert_eq!(bytes, theirs(&expected, version), "version {version}");
    }
}

#[test]
fn sasl_is_the_same() {
    let expected = SaslHandshakeRequest::default().with_mechanism(text("PLAIN"));
    let request = sasl_handshake::Request { mechanism: "PLAIN" };
    for version in 0..=1 {
        assert_eq!(ours(|writer| request.encode(writer)), theirs(&expected, version));
    }
    let message = b"\0user\0password";
    let expected = SaslAuthenticateRequest::default().with_auth_bytes(Bytes::from_static(message));
    let request = sasl_authenticate::Request { message };
    for version in 0..=2 {
        let bytes = ours(|writer| request.encode(version, writer));
        assert_eq!(bytes, theirs(&expected, version), "version {version}");
    }
}

#[test]
fn fetch_and_find_coordinator_are_understood() {
    let partition = FetchPartition::default().with_partition(4).with_partition_max_bytes(1 << 20);
    let topic =
        FetchTopic::default().with_topic(topic_name("logs")).with_partitions(vec![partition]);
    let forgotten =
        ForgottenTopic::default().with_topic(topic_name("old")).with_partitions(vec![1, 2]);
    for version in 4..=11 {
        let mut request =
            FetchRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![topic.clone()]);
        if version >= 7 {
            request = request.with_forgotten_topics_data(vec![forgotten.clone()]);
        }
        let bytes = theirs(&request, version);
        let read = fetch::Request::decode(version, &mut Reader::new(&bytes)).unwrap();
        let wanted = fetch::TopicWanted { name: "logs", partitions: vec![4] };
        assert_eq!(read.topics, [wanted], "version {version}");
        every_prefix_fails(&bytes, |reader| fetch::Request::decode(version, reader).map(|_| ()));
    }
    for version in 0..=2 {
        let request = FindCoordinatorRequest::default()
            .with_key(text("group"))
            .with_key_type(i8::from(version >= 1));
        let bytes = theirs(&request, version);
        let read = find_coordinator::Request::decode(version, &mut Reader::new(&bytes)).unwrap();
        assert_eq!((read.key, read.key_type), ("group", i8::from(version >= 1)));
        every_prefix_fails(&bytes, |reader| {
            find_coordinator::Request::decode(version, reader).map(|_| ())
        });
    }
}
