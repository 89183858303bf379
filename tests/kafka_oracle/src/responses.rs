//! Responses: what logdrive's receiver answers, and what brokers answer to logdrive.

use bytes::Bytes;
use kafka_protocol::messages::ApiVersionsResponse;
use kafka_protocol::messages::BrokerId;
use kafka_protocol::messages::FetchResponse;
use kafka_protocol::messages::FindCoordinatorResponse;
use kafka_protocol::messages::InitProducerIdResponse;
use kafka_protocol::messages::MetadataResponse;
use kafka_protocol::messages::ProduceResponse;
use kafka_protocol::messages::ProducerId;
use kafka_protocol::messages::ResponseHeader;
use kafka_protocol::messages::SaslAuthenticateResponse;
use kafka_protocol::messages::SaslHandshakeResponse;
use kafka_protocol::messages::TopicName;
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::fetch_response::FetchableTopicResponse;
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::metadata_response::MetadataResponseBroker;
use kafka_protocol::messages::metadata_response::MetadataResponsePartition;
use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use kafka_protocol::messages::produce_response::BatchIndexAndErrorMessage;
use kafka_protocol::messages::produce_response::LeaderIdAndEpoch;
use kafka_protocol::messages::produce_response::NodeEndpoint;
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::produce_response::TopicProduceResponse;
use logdrive::proto::kafka::errors::ErrorCode;
use logdrive::proto::kafka::server;
use logdrive::proto::kafka::wire::ApiKey;
use logdrive::proto::kafka::wire::Reader;
use logdrive::proto::kafka::wire::api_versions;
use logdrive::proto::kafka::wire::fetch;
use logdrive::proto::kafka::wire::find_coordinator;
use logdrive::proto::kafka::wire::header;
use logdrive::proto::kafka::wire::init_producer_id;
use logdrive::proto::kafka::wire::metadata;
use logdrive::proto::kafka::wire::produce;
use logdrive::proto::kafka::wire::sasl_authenticate;
use logdrive::proto::kafka::wire::sasl_handshake;

use crate::bodies::every_prefix_fails;
use crate::bodies::ours;
use crate::bodies::text;
use crate::bodies::theirs;

fn topic_name(name: &'static str) -> TopicName {
    TopicName(text(name))
}

#[test]
fn headers_are_the_same_and_that_of_api_versions_never_is_flexible() {
    let expected = ResponseHeader::default().with_correlation_id(7);
    for (api, version, header_version) in [
        (ApiKey::Produce, 8, 0),
        (ApiKey::Produce, 9, 1),
        (ApiKey::ApiVersions, 3, 0),
        (ApiKey::Metadata, 12, 1),
    ] {
        let bytes = ours(|writer| header::encode_response_header(writer, api, version, 7));
        assert_eq!(bytes, theirs(&expected, header_version), "{api:?} {version}");
    }
}

#[test]
fn api_versions_is_the_same() {
    let response = server::api_versions_response(false);
    let range = |range: &api_versions::ApiRange| {
        ApiVersion::default()
            .with_api_key(range.api_key)
            .with_min_version(range.version_min)
            .with_max_version(range.version_max)
    };
    let expected =
        ApiVersionsResponse::default().with_api_keys(server::SUPPORTED.iter().map(range).collect());
    for version in 0..=3 {
        let bytes = ours(|writer| response.encode(version, writer));
        assert_eq!(bytes, theirs(&expected, version), "version {version}");
        let read = api_versions::Response::decode(version, &mut Reader::new(&bytes));
        assert_eq!(read, Ok(response.clone()), "version {version}");
    }
}

#[test]
fn unsupported_api_versions_is_in_the_layout_of_version_0() {
    let own = ApiVersion::default().with_api_key(18).with_min_version(0).with_max_version(2);
    let expected = ApiVersionsResponse::default().with_error_code(35).with_api_keys(vec![own]);
    let refusal = server::api_versions_unsupported();
    let bytes = ours(|writer| refusal.encode(4, writer));
    assert_eq!(bytes, theirs(&expected, 0));
    assert_eq!(api_versions::Response::decode(3, &mut Reader::new(&bytes)), Ok(refusal));
}

#[test]
fn metadata_is_the_same() {
    for version in 0..=12 {
        let at = |since: i16| version >= since;
        let partition = metadata::Partition {
            error: ErrorCode::LeaderNotAvailable,
            index: 2,
            leader_id: -1,
            leader_epoch: if at(7) { 9 } else { -1 },
            replicas: vec![1, 2],
            in_sync_replicas: vec![1],
            offline_replicas: if at(5) { vec![2] } else { vec![] },
        };
        let topic = metadata::Topic {
            error: ErrorCode::None,
            name: "logs",
            is_internal: false,
            partitions: vec![partition.clone()],
        };
        let broker = metadata::Broker {
            node_id: 1,
            host: "b1",
            port: 9092,
            rack: if at(1) { Some("r") } else { None },
        };
        let response = metadata::Response {
            throttle_ms: if at(3) { 11 } else { 0 },
            brokers: vec![broker.clone()],
            cluster_id: if at(2) { Some("c") } else { None },
            controller_id: if at(1) { 1 } else { -1 },
            topics: vec![topic],
        };
        let ids = |ids: &[i32]| ids.iter().map(|id| BrokerId(*id)).collect();
        let their_partition = MetadataResponsePartition::default()
            .with_error_code(5)
            .with_partition_index(2)
            .with_leader_id(BrokerId(-1))
            .with_leader_epoch(partition.leader_epoch)
            .with_replica_nodes(ids(&partition.replicas))
            .with_isr_nodes(ids(&partition.in_sync_replicas))
            .with_offline_replicas(ids(&partition.offline_replicas));
        let their_topic = MetadataResponseTopic::default()
            .with_name(Some(topic_name("logs")))
            .with_partitions(vec![their_partition]);
        let their_broker = MetadataResponseBroker::default()
            .with_node_id(BrokerId(1))
            .with_host(text("b1"))
            .with_port(9092)
            .with_rack(broker.rack.map(text));
        let expected = MetadataResponse::default()
            .with_throttle_time_ms(response.throttle_ms)
            .with_brokers(vec![their_broker])
            .with_cluster_id(response.cluster_id.map(text))
            .with_controller_id(BrokerId(response.controller_id))
            .with_topics(vec![their_topic]);
        let bytes = ours(|writer| response.encode(version, writer));
        assert_eq!(bytes, theirs(&expected, version), "version {version}");
        let read = metadata::Response::decode(version, &mut Reader::new(&bytes));
        assert_eq!(read, Ok(response), "version {version}");
    }
}

#[test]
fn init_producer_id_is_the_same() {
    let response = init_producer_id::Response {
        throttle_ms: 3,
        error: ErrorCode::None,
        producer_id: 4000,
        producer_epoch: 2,
    };
    let expected = InitProducerIdResponse::default()
        .with_throttle_time_ms(3)
        .with_producer_id(ProducerId(4000))
        .with_producer_epoch(2);
    for version in 0..=4 {
        let bytes = ours(|writer| response.encode(version, writer));
        assert_eq!(bytes, theirs(&expected, version), "version {version}");
    }
}

#[test]
fn produce_is_the_same_with_its_leader_hints() {
    for version in 3..=12 {
        let at = |since: i16| version >= since;
        let mut outcome = produce::PartitionOutcome {
            base_offset: 40,
            log_append_time_ms: 50,
            ..produce::PartitionOutcome::failed(3, ErrorCode::NotLeaderOrFollower)
        };
        let mut partition = PartitionProduceResponse::default()
            .with_index(3)
            .with_error_code(6)
            .with_base_offset(40)
            .with_log_append_time_ms(50);
        if at(5) {
            outcome.log_start_offset = 30;
            partition = partition.with_log_start_offset(30);
        }
        if at(8) {
            outcome.record_errors =
                vec![produce::RecordError { batch_index: 1, message: Some("bad") }];
            outcome.error_message = Some("worse");
            let fault = BatchIndexAndErrorMessage::default()
                .with_batch_index(1)
                .with_batch_index_error_message(Some(text("bad")));
            partition =
                partition.with_record_errors(vec![fault]).with_error_message(Some(text("worse")));
        }
        let mut node_endpoints = Vec::new();
        let mut their_endpoints = Vec::new();
        if at(10) {
            outcome.current_leader = Some(produce::LeaderHint { leader_id: 2, leader_epoch: 8 });
            let leader =
                LeaderIdAndEpoch::default().with_leader_id(BrokerId(2)).with_leader_epoch(8);
            partition = partition.with_current_leader(leader);
            node_endpoints =
                vec![produce::NodeEndpoint { node_id: 2, host: "b2", port: 9093, rack: None }];
            their_endpoints = vec![
                NodeEndpoint::default()
                    .with_node_id(BrokerId(2))
                    .with_host(text("b2"))
                    .with_port(9093),
            ];
        }
        let topics = vec![produce::TopicOutcome { name: "logs", partitions: vec![outcome] }];
        let response = produce::Response { topics, throttle_ms: 12, node_endpoints };
        let topic = TopicProduceResponse::default()
            .with_name(topic_name("logs"))
            .with_partition_responses(vec![partition]);
        let expected = ProduceResponse::default()
            .with_responses(vec![topic])
            .with_throttle_time_ms(12)
            .with_node_endpoints(their_endpoints);
        let bytes = ours(|writer| response.encode(version, writer));
        assert_eq!(bytes, theirs(&expected, version), "version {version}");
        let read = produce::Response::decode(version, &mut Reader::new(&bytes));
        assert_eq!(read, Ok(response), "version {version}");
    }
}

#[test]
fn refusals_are_the_same() {
    let request =
        fetch::Request { topics: vec![fetch::TopicWanted { name: "logs", partitions: vec![4] }] };
    for version in 4..=11 {
        let partition = PartitionData::default()
            .with_partition_index(4)
            .with_error_code(29)
            .with_high_watermark(-1)
            .with_last_stable_offset(-1)
            .with_log_start_offset(-1)
            .with_aborted_transactions(None)
            .with_preferred_read_replica(BrokerId(-1))
            .with_records(Some(Bytes::new()));
        let topic = FetchableTopicResponse::default()
            .with_topic(topic_name("logs"))
            .with_partitions(vec![partition]);
        let expected = FetchResponse::default().with_responses(vec![topic]);
        let error = ErrorCode::TopicAuthorizationFailed;
        let bytes = ours(|writer| request.encode_refusal(version, error, writer));
        assert_eq!(bytes, theirs(&expected, version), "version {version}");
    }
    for version in 0..=2 {
        let mut expected = FindCoordinatorResponse::default()
            .with_error_code(15)
            .with_node_id(BrokerId(-1))
            .with_port(-1);
        expected.error_message = None;
        let error = ErrorCode::CoordinatorNotAvailable;
        let bytes = ours(|writer| find_coordinator::encode_refusal(version, error, writer));
        assert_eq!(bytes, theirs(&expected, version), "version {version}");
    }
}

#[test]
fn sasl_is_understood() {
    let response = SaslHandshakeResponse::default()
        .with_error_code(33)
        .with_mechanisms(vec![text("PLAIN"), text("SCRAM-SHA-256")]);
    for version in 0..=1 {
        let bytes = theirs(&response, version);
        let read = sasl_handshake::Response::decode(&mut Reader::new(&bytes)).unwrap();
        assert_eq!(read.error, ErrorCode::UnsupportedSaslMechanism);
        assert_eq!(read.mechanisms, ["PLAIN", "SCRAM-SHA-256"]);
        every_prefix_fails(&bytes, |reader| sasl_handshake::Response::decode(reader).map(|_| ()));
    }
    for version in 0..=2 {
        let lifetime = if version >= 1 { 3_600_000 } else { 0 };
        let response = SaslAuthenticateResponse::default()
            .with_error_code(58)
            .with_error_message(Some(text("no")))
            .with_auth_bytes(Bytes::from_static(b"v=1"))
            .with_session_lifetime_ms(lifetime);
        let bytes = theirs(&response, version);
        let mut reader = Reader::new(&bytes);
        let read = sasl_authenticate::Response::decode(version, &mut reader).unwrap();
        assert_eq!(read.error, ErrorCode::SaslAuthenticationFailed);
        assert_eq!((read.error_message, read.message), (Some("no"), &b"v=1"[..]));
        assert_eq!(read.session_lifetime_ms, lifetime);
        every_prefix_fails(&bytes, |reader| {
            sasl_authenticate::Response::decode(version, reader).map(|_| ())
        });
    }
}
