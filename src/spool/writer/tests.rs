//! What only the writer can be asked: a group that is taken back.

use super::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::spool;
use crate::spool::BATCH_HEADER_BYTES;
use crate::spool::Batch;

fn with_batch<T>(first_record: u64, body: &[u8], f: impl FnOnce(&Group<'_>) -> T) -> T {
    let batch = Batch {
        topic: "app",
        partition: 0,
        severity_max: 0,
        batch_number: first_record,
        first_record,
        record_count: 1,
        max_timestamp: 0,
        header: &[0; BATCH_HEADER_BYTES],
        body,
        body_crc: crate::checksum::crc32c(body),
    };
    f(&Group { first_record, positions: &[], batches: &[batch] })
}

#[test]
fn a_group_that_could_not_be_made_durable_is_taken_back_and_committed_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let options = Options { sync: Sync::Batch, ..Options::default() };
    let instance = InstanceId([3; 16]);
    let (mut writer, reader) = spool::create(dir.path(), instance, &options).unwrap();
    with_batch(0, b"durable", |group| writer.commit(group)).unwrap();
    // What `commit` does when a sync fails.
    with_batch(1, b"lost pages", |group| {
        let plan = writer.plan(group).unwrap();
        let active = writer.active.as_mut().unwrap();
        active.append(instance, group, &plan).unwrap();
        active.store_committed(active.end + plan.header.group_bytes as usize).unwrap();
        active.withdraw();
    });
    let again = with_batch(1, b"second try", |group| writer.commit(group)).unwrap();
    assert_eq!(again.segment, 2, "not into the segment whose pages nobody can vouch for");
    drop((writer, reader));
    let mut recovered = spool::recover(dir.path(), &options).unwrap();
    let bodies: Vec<Vec<u8>> =
        std::iter::from_fn(|| recovered.reader.next().map(|frame| frame.body().to_vec())).collect();
    assert_eq!(bodies, [b"durable".to_vec(), b"second try".to_vec()]);
    assert_eq!(recovered.reader.take_damage(), None);
}
