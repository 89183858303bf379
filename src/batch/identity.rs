//! The record header that names a batch for ever (I11), on the first record of each that we build.
//!
//! Owns its name and its 36 bytes. Invariant: it is the record's first header and has a fixed
//! width, so that the builder can reserve it with the first record and fill it in at seal.
//!
//! ```text
//!  0  16  instance         16  8  batch number
//! 24   8  first record     32  4  record count          big-endian
//! ```

use crate::batch::reader::RecordView;
use crate::ids::BatchIdentity;
use crate::ids::InstanceId;

/// The name of the header. Attributes of applications should not begin with `logdrive.`.
pub const IDENTITY_NAME: &[u8] = b"logdrive.id";
/// Bytes of the header's value.
pub const IDENTITY_BYTES: usize = RECORD_COUNT + 4;

const INSTANCE: usize = 0;
const BATCH: usize = INSTANCE + 16;
const FIRST_RECORD: usize = BATCH + 8;
const RECORD_COUNT: usize = FIRST_RECORD + 8;

/// The identity that a record carries as its first header, if it does.
///
/// A relay may have joined batches, so readers ask every record, not only a batch's first.
pub fn identity(record: &RecordView<'_>) -> Option<BatchIdentity> {
    let (name, value) = record.headers().next()?;
    if name != IDENTITY_NAME {
        return None;
    }
    value?.try_into().ok().map(decode)
}

/// The 36 bytes of an identity.
pub(super) fn encode(identity: &BatchIdentity) -> [u8; IDENTITY_BYTES] {
    let mut bytes = [0; IDENTITY_BYTES];
    bytes[INSTANCE..BATCH].copy_from_slice(&identity.instance.0);
    bytes[BATCH..FIRST_RECORD].copy_from_slice(&identity.batch.to_be_bytes());
    bytes[FIRST_RECORD..RECORD_COUNT].copy_from_slice(&identity.first_record.to_be_bytes());
    bytes[RECORD_COUNT..].copy_from_slice(&identity.record_count.to_be_bytes());
    bytes
}

fn decode(bytes: &[u8; IDENTITY_BYTES]) -> BatchIdentity {
    BatchIdentity {
        instance: InstanceId(take(bytes, INSTANCE)),
        batch: u64::from_be_bytes(take(bytes, BATCH)),
        first_record: u64::from_be_bytes(take(bytes, FIRST_RECORD)),
        record_count: u32::from_be_bytes(take(bytes, RECORD_COUNT)),
    }
}

fn take<const N: usize>(bytes: &[u8; IDENTITY_BYTES], at: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&bytes[at..at + N]);
    field
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes() {
        let identity = BatchIdentity {
            instance: InstanceId(*b"0123456789abcdef"),
            batch: 0x0102_0304_0506_0708,
            first_record: 0x1112_1314_1516_1718,
            record_count: 0x2122_2324,
        };
        let bytes = encode(&identity);
        assert_eq!(
            bytes,
            *b"0123456789abcdef\x01\x02\x03\x04\x05\x06\x07\x08\
               \x11\x12\x13\x14\x15\x16\x17\x18\x21\x22\x23\x24"
        );
        assert_eq!(decode(&bytes), identity);
    }
}
