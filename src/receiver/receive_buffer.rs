//! The bytes of one connection that arrived and were not handled yet.
//!
//! Invariants: memory grows only when it is full of bytes that did arrive, never by what a frame
//! announces; never beyond its limit; a whole frame lies in one piece, so a batch goes from here to
//! the file without a copy.

/// What a connection starts with.
const START_BYTES: usize = 64 << 10;

/// Up to here the buffer doubles whenever one read fills it, so that a fast client is read in large
/// pieces; beyond, only a frame that does not fit makes it grow. 1 MiB stays within a core's cache.
const FAST_BYTES: usize = 1 << 20;

pub(crate) struct ReceiveBuffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    bytes_max: usize,
}

impl ReceiveBuffer {
    /// An empty buffer that may grow to `bytes_max`.
    pub fn new(bytes_max: usize) -> Self {
        Self { bytes: Vec::new(), start: 0, end: 0, bytes_max }
    }

    /// What arrived and was not consumed.
    pub fn filled(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Room for the next read, never empty unless the limit is reached by one unfinished frame.
    pub fn room(&mut self) -> &mut [u8] {
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
        if self.end == self.bytes.len() {
            if self.start > 0 {
                self.bytes.copy_within(self.start..self.end, 0);
                self.end -= self.start;
                self.start = 0;
            }
            if self.end == self.bytes.len() || self.bytes.len() < FAST_BYTES {
                let doubled = (self.bytes.len() * 2).max(START_BYTES);
                self.bytes.resize(doubled.min(self.bytes_max), 0);
            }
        }
        &mut self.bytes[self.end..]
    }

    /// Says that a read put `count` bytes into [`ReceiveBuffer::room`].
    pub fn add(&mut self, count: usize) {
        self.end += count;
        assert!(self.end <= self.bytes.len(), "a read returns at most what it was given");
    }

    /// Says that the first `count` bytes were handled.
    pub fn consume(&mut self, count: usize) {
        self.start += count;
        assert!(self.start <= self.end, "only what was filled is consumed");
    }

    /// Gives the memory back if nothing is in it.
    pub fn shrink(&mut self) {
        if self.start == self.end {
            *self = Self::new(self.bytes_max);
        }
    }

    /// Bytes of memory held.
    #[cfg(test)]
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(buffer: &mut ReceiveBuffer, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = buffer.room();
            let count = room.len().min(bytes.len());
            assert!(count > 0);
            room[..count].copy_from_slice(&bytes[..count]);
            buffer.add(count);
            bytes = &bytes[count..];
        }
    }

    #[test]
    fn bytes_come_out_as_they_went_in() {
        let stream: Vec<u8> = (0..1_000_000u32).map(|n| (n % 251) as u8).collect();
        let mut buffer = ReceiveBuffer::new(256 << 10);
        let mut out = Vec::new();
        for chunk in stream.chunks(70_001) {
            push(&mut buffer, chunk);
            let whole = buffer.filled().len() / 1_000 * 1_000;
            out.extend_from_slice(&buffer.filled()[..whole]);
            buffer.consume(whole);
        }
        assert_eq!(out, stream);
        assert!(buffer.capacity() <= 256 << 10);
    }

    #[test]
    fn memory_follows_what_arrived_and_goes_back() {
        let mut buffer = ReceiveBuffer::new(4 << 20);
        push(&mut buffer, &[0x7f, 0xff, 0xff, 0xff]);
        assert!(buffer.capacity() <= 64 << 10, "2 GiB announced, 4 bytes arrived");
        push(&mut buffer, &vec![0; 3 << 20]);
        assert!(buffer.capacity() <= 4 << 20);
        buffer.shrink();
        assert!(buffer.capacity() > 0, "bytes in it are kept");
        buffer.consume(4 + (3 << 20));
        buffer.shrink();
        assert_eq!(buffer.capacity(), 0);
    }

    #[test]
    fn at_the_limit_there_is_no_room() {
        let mut buffer = ReceiveBuffer::new(64 << 10);
        push(&mut buffer, &vec![0; 64 << 10]);
        assert!(buffer.room().is_empty());
        buffer.consume(1);
        assert_eq!(buffer.room().len(), 1);
    }
}
