//! librdkafka, set up for throughput as its own documentation says.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::producer::BaseProducer;
use rdkafka::producer::BaseRecord;
use rdkafka::producer::Producer;
use rdkafka::types::RDKafkaErrorCode;

use crate::support::shipping::Load;
use crate::support::shipping::Used;
use crate::support::shipping::measure;

const DEADLINE: Duration = Duration::from_secs(60);
/// Pause when the queue is full, as long as logdrive's call pauses then.
const PAUSE: Duration = Duration::from_micros(200);

/// The library's version.
pub fn version() -> String {
    rdkafka::util::get_rdkafka_version().1
}

/// What every run has set.
pub fn settings(load: &Load, bootstrap: &str, linger: &str, is_idempotent: bool) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap)
        .set("acks", "all")
        .set("enable.idempotence", if is_idempotent { "true" } else { "false" })
        .set("compression.codec", &load.codec)
        .set("linger.ms", linger)
        // More than fits one message set anyway, so that bytes limit it, as in logdrive.
        .set("batch.num.messages", "1000000");
    config
}

/// Sends `load` as fast as it goes; panics where a record was not acknowledged.
pub fn run(load: &Load, topic: &str, mut settings: ClientConfig) -> Used {
    let producer: BaseProducer = settings
        // No event per record, only for those that failed: the cheapest way to use it.
        .set("delivery.report.only.error", "true")
        .create()
        .expect("the configuration is right");
    let send = |line: &[u8]| {
        let mut record = BaseRecord::<(), [u8]>::to(topic).payload(line);
        while let Err((error, returned)) = producer.send(record) {
            let is_full = KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) == error;
            assert!(is_full, "librdkafka refused a record: {error}");
            std::thread::sleep(PAUSE);
            record = returned;
        }
    };
    // Connected before the clock runs.
    send(b"warm");
    producer.flush(DEADLINE).expect("the peer answers");
    measure(load, send, || producer.flush(DEADLINE).expect("everything is acknowledged in time"))
}
