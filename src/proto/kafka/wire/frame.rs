//! Cutting a byte stream into frames.
//!
//! A frame is a 32-bit size and that many bytes. Invariants: a size is compared with the limit as
//! soon as its four bytes are there, and memory grows with the bytes that arrived, never with the
//! size that was announced.

use thiserror::Error;

/// Why the stream cannot be cut into frames; the connection is of no use any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// The peer announced a frame that is larger than the limit.
    #[error("the peer announced a frame of {announced} bytes; the limit is {limit}")]
    TooLarge {
        /// What the peer announced.
        announced: u32,
        /// The limit in force.
        limit: u32,
    },
    /// The peer announced a negative size: it does not speak this protocol.
    #[error("the peer announced a frame of {0} bytes: it does not speak Kafka's protocol")]
    Negative(i32),
}

/// Collects bytes as they arrive and hands out whole frames, without their size.
#[derive(Debug)]
pub struct FrameBuffer {
    bytes: Vec<u8>,
    /// Start of the first byte that was not handed out yet.
    start: usize,
    frame_bytes_max: u32,
}

impl FrameBuffer {
    /// An empty buffer; a frame of more than `frame_bytes_max` bytes is an error.
    pub fn new(frame_bytes_max: u32) -> Self {
        Self { bytes: Vec::new(), start: 0, frame_bytes_max }
    }

    /// Appends bytes that arrived. Take out what is complete with [`FrameBuffer::next_frame`]
    /// after every push: then the buffer never holds more than one frame and the last push.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.start);
        self.start = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole frame, or none as long as bytes are missing.
    pub fn next_frame(&mut self) -> Result<Option<&[u8]>, FrameError> {
        let rest = &self.bytes[self.start..];
        let Some((size, body)) = rest.split_first_chunk::<4>() else { return Ok(None) };
        let size = frame_size(*size, self.frame_bytes_max)?;
        let Some(frame) = body.get(..size) else { return Ok(None) };
        self.start += 4 + size;
        Ok(Some(frame))
    }

    /// Bytes that were pushed and not handed out.
    pub fn pending_bytes(&self) -> usize {
        self.bytes.len() - self.start
    }
}

/// The size of a frame from its first four bytes, checked against `frame_bytes_max`.
pub fn frame_size(prefix: [u8; 4], frame_bytes_max: u32) -> Result<usize, FrameError> {
    let size = i32::from_be_bytes(prefix);
    let announced = u32::try_from(size).map_err(|_| FrameError::Negative(size))?;
    if announced > frame_bytes_max {
        return Err(FrameError::TooLarge { announced, limit: frame_bytes_max });
    }
    Ok(announced as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_whole_however_the_bytes_arrive() {
        let stream = [0, 0, 0, 2, 10, 11, 0, 0, 0, 0, 0, 0, 0, 1, 12];
        for chunk_bytes in 1..=stream.len() {
            let mut buffer = FrameBuffer::new(2);
            let mut frames = Vec::new();
            for chunk in stream.chunks(chunk_bytes) {
                buffer.push(chunk);
                while let Some(frame) = buffer.next_frame().unwrap() {
                    frames.push(frame.to_vec());
                }
            }
            assert_eq!(frames, [vec![10, 11], vec![], vec![12]], "chunks of {chunk_bytes}");
            assert_eq!(buffer.pending_bytes(), 0);
        }
    }

    #[test]
    fn an_announced_size_is_refused_before_its_bytes_arrive() {
        let mut buffer = FrameBuffer::new(1024);
        buffer.push(&[0, 0, 4, 1]);
        assert_eq!(buffer.next_frame(), Err(FrameError::TooLarge { announced: 1025, limit: 1024 }));
        let mut buffer = FrameBuffer::new(1024);
        buffer.push(b"\xff\xff\xff\xffGET /");
        assert_eq!(buffer.next_frame(), Err(FrameError::Negative(-1)));
    }

    #[test]
    fn memory_grows_with_what_arrived_not_with_what_was_announced() {
        let mut buffer = FrameBuffer::new(i32::MAX as u32);
        buffer.push(&[0x7f, 0xff, 0xff, 0xff, 1, 2, 3]);
        assert_eq!(buffer.next_frame(), Ok(None));
        assert!(buffer.bytes.capacity() < 64);
    }
}
