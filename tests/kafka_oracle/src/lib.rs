//! An independent opinion on every byte of `logdrive::proto::kafka::wire`: the `kafka-protocol`
//! crate, generated from Kafka's own message definitions.
//!
//! Every message that both can write must be the same bytes, and every message that only the
//! other one can write must be understood. It is a package of its own, outside of the default
//! members, so that nobody else builds that crate: `cargo test -p kafka-oracle`.

#[cfg(test)]
mod requests;
#[cfg(test)]
mod responses;

#[cfg(test)]
mod bodies {
    use bytes::BytesMut;
    use kafka_protocol::protocol::Encodable;
    use kafka_protocol::protocol::StrBytes;
    use logdrive::proto::kafka::wire::Reader;
    use logdrive::proto::kafka::wire::WireError;
    use logdrive::proto::kafka::wire::Writer;

    /// A message as logdrive writes it, without the frame's size.
    pub fn ours(encode: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
        let mut out = Vec::new();
        let mut writer = Writer::frame(&mut out);
        encode(&mut writer);
        writer.finish(0).unwrap();
        out.split_off(4)
    }

    /// A message as the other crate writes it.
    pub fn theirs(message: &impl Encodable, version: i16) -> Vec<u8> {
        let mut out = BytesMut::new();
        message.encode(&mut out, version).unwrap();
        out.to_vec()
    }

    /// Asserts that nothing that was cut short is read as a message.
    pub fn every_prefix_fails<T>(
        bytes: &[u8],
        decode: impl Fn(&mut Reader<'_>) -> Result<T, WireError>,
    ) {
        for length in 0..bytes.len() {
            assert!(decode(&mut Reader::new(&bytes[..length])).is_err(), "{length} bytes");
        }
    }

    /// The other crate's string.
    pub fn text(text: &'static str) -> StrBytes {
        StrBytes::from_static_str(text)
    }
}
