//! One run of librdkafka, set up for throughput as its own documentation says.

use std::net::SocketAddr;
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

/// Sends `load` to the receiver at `address`; panics where a record was not acknowledged.
pub fn run(load: &Load, address: SocketAddr, linger: &str, is_idempotent: bool) -> Used {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", address.to_string())
        .set("acks", "all")
        .set("enable.idempotence", if is_idempotent { "true" } else { "false" })
        .set("compression.codec", &load.codec)
        .set("linger.ms", linger)
        // More than fits one message set anyway, so that bytes limit it, as in logdrive.
        .set("batch.num.messages", "1000000")
        // No event per record, only for those that failed: the cheapest way to use it.
        .set("delivery.report.only.error", "true")
        .create()
        .expect("the configuration is right");
    let send = |line: &[u8]| {
        let mut record = BaseRecord::<(), [u8]>::to("bench").payload(line);
        while let Err((error, returned)) = producer.send(record) {
            let is_full = KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) == error;
            assert!(is_full, "librdkafka refused a record: {error}");
            std::thread::sleep(PAUSE);
            record = returned;
        }
    };
    // Connected before the clock runs.
    send(b"warm");
    producer.flush(DEADLINE).expect("the receiver answers");
    measure(load, send, || producer.flush(DEADLINE).expect("everything is acknowledged in time"))
}
