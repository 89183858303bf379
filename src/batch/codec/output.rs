//! The output of a decompression, which cannot grow past its limit.
//!
//! Owns the growth of the buffer. Knows no codec. Invariant: the buffer's capacity grows to at most
//! the limit, and only as far as twice what has really arrived.

use std::io;
use std::io::Read;

use crate::batch::codec::Failure;

/// How much is read from a streaming decoder at a time.
const READ_BYTES: usize = 64 << 10;
/// What fresh bytes are copied from: optimised for size, `Vec::resize` writes one at a time.
const ZEROES: [u8; 4096] = [0; 4096];

pub(super) struct CappedOutput<'a> {
    bytes: &'a mut Vec<u8>,
    limit: usize,
}

impl<'a> CappedOutput<'a> {
    /// An output that appends to `bytes` until they are `limit` bytes.
    pub(super) fn new(bytes: &'a mut Vec<u8>, limit: usize) -> Self {
        Self { bytes, limit }
    }

    /// What has arrived.
    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes
    }

    /// How many bytes may still arrive.
    pub(super) fn remaining(&self) -> usize {
        self.limit - self.bytes.len()
    }

    pub(super) fn extend(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        if bytes.len() > self.remaining() {
            return Err(Failure::LimitExceeded);
        }
        self.reserve(bytes.len());
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// Lets `fill` write to `room` fresh bytes, at most [`CappedOutput::remaining`], and keeps as
    /// many as it says. It sees what has arrived before as well: a window to copy from.
    pub(super) fn fill<E>(
        &mut self,
        room: usize,
        fill: impl FnOnce(&[u8], &mut [u8]) -> Result<usize, E>,
    ) -> Result<usize, E> {
        let start = self.bytes.len();
        self.reserve(room);
        let end = start + room;
        while self.bytes.len() < end {
            let zeroes = &ZEROES[..ZEROES.len().min(end - self.bytes.len())];
            self.bytes.extend_from_slice(zeroes);
        }
        let (window, fresh) = self.bytes.split_at_mut(start);
        let result = fill(window, fresh);
        self.bytes.truncate(start + *result.as_ref().unwrap_or(&0));
        result
    }

    /// Takes everything that `reader` gives.
    pub(super) fn read_to_end(&mut self, reader: &mut impl Read) -> Result<(), Failure> {
        loop {
            let room = self.remaining().min(READ_BYTES);
            let count = if room > 0 {
                self.fill(room, |_, fresh| reader.read(fresh))
            } else {
                reader.read(&mut [0])
            };
            match count {
                Ok(0) => return Ok(()),
                Ok(_) if room == 0 => return Err(Failure::LimitExceeded),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Failure::damaged(error)),
            }
        }
    }

    fn reserve(&mut self, room: usize) {
        let needed = self.bytes.len() + room;
        debug_assert!(needed <= self.limit);
        if needed > self.bytes.capacity() {
            let target = needed.max(self.limit.min(2 * self.bytes.capacity()));
            self.bytes.reserve_exact(target - self.bytes.len());
        }
    }
}
