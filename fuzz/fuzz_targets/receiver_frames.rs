//! Bytes from a stranger, taken for what a client sends to our receiver: nothing may panic, no
//! frame may pass the limit, what a request borrows must lie within its frame, and every refusal
//! must be expressible.
//!
//! Input: one byte that chooses how the stream is cut, then the stream.

#![no_main]

use libfuzzer_sys::fuzz_target;
use logdrive::proto::kafka::errors::ErrorCode;
use logdrive::proto::kafka::server::Request;
use logdrive::proto::kafka::wire::Writer;
use logdrive::proto::kafka::wire::find_coordinator;
use logdrive::proto::kafka::wire::frame::FrameBuffer;

const FRAME_BYTES_MAX: u32 = 1 << 16;

fuzz_target!(|data: &[u8]| {
    // The stream, for the framing, and the same bytes as one frame, for the requests: the fuzzer
    // would rarely guess a size and a request together.
    let Some((cut, stream)) = data.split_first() else { return };
    handle_frame(stream);
    let mut buffer = FrameBuffer::new(FRAME_BYTES_MAX);
    for chunk in stream.chunks(usize::from(*cut) + 1) {
        buffer.push(chunk);
        loop {
            match buffer.next_frame() {
                Ok(Some(frame)) => {
                    assert!(frame.len() <= FRAME_BYTES_MAX as usize);
                    handle_frame(frame);
                }
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
});

fn handle_frame(frame: &[u8]) {
    let Ok((header, request)) = Request::decode(frame) else { return };
    let mut out = Vec::new();
    let mut writer = Writer::frame(&mut out);
    match request {
        Request::Produce(request) => {
            let partitions = request.topics.iter().flat_map(|topic| &topic.partitions);
            let borrowed: usize = partitions.filter_map(|data| data.records).map(<[u8]>::len).sum();
            assert!(borrowed <= frame.len(), "the same bytes were read twice");
        }
        Request::Fetch(request) => {
            let error = ErrorCode::TopicAuthorizationFailed;
            request.encode_refusal(header.api_version, error, &mut writer);
        }
        Request::FindCoordinator(_) => {
            let error = ErrorCode::CoordinatorNotAvailable;
            find_coordinator::encode_refusal(header.api_version, error, &mut writer);
        }
        Request::ApiVersions
        | Request::ApiVersionsUnsupported
        | Request::InitProducerId(_)
        | Request::Metadata(_)
        | Request::SaslHandshake(_)
        | Request::SaslAuthenticate(_) => (),
    }
    writer.finish(0).expect("everything in an answer was expressible in the request");
}
