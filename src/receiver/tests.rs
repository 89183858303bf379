//! The store under restarts, repeats, rolls, torn tails and failing files.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use crate::batch;
use crate::batch::Builder;
use crate::batch::Codec;
use crate::batch::Compressor;
use crate::batch::Record;
use crate::ids::BatchIdentity;
use crate::ids::InstanceId;
use crate::ids::Moment;
use crate::inspect::account::Account;
use crate::inspect::layout;
use crate::inspect::segment::Found;
use crate::inspect::segment::SegmentReader;
use crate::receiver::Options;
use crate::receiver::StoreError;
use crate::receiver::Sync;
use crate::receiver::judge::Judge;
use crate::receiver::segment::Segment;
use crate::receiver::stats::Refusal;
use crate::receiver::store::AppendError;
use crate::receiver::store::InDoubt;
use crate::receiver::store::Placed;
use crate::receiver::store::Store;

/// A batch of `record_count` records bound to a producer.
pub fn batch_of(producer_id: i64, sequence: i32, record_count: u32, codec: Codec) -> Vec<u8> {
    let mut builder = Builder::with_capacity(0);
    for n in 0..record_count {
        let value = format!("record {n} of {producer_id}/{sequence}");
        builder.push(&Record {
            timestamp_ms: 1_700_000_000_000,
            key: None,
            value: Some(value.as_bytes()),
            headers: std::iter::empty(),
        });
    }
    let identity = BatchIdentity {
        instance: InstanceId([7; 16]),
        batch: sequence as u64,
        first_record: sequence as u64,
        record_count,
    };
    let mut body = Vec::new();
    let mut compressor = Compressor::new(codec, None).unwrap();
    let mut sealed = builder.seal(&identity, &mut compressor, &mut body).unwrap();
    let (crc, bytes) = (sealed.body_crc, sealed.body_bytes);
    batch::bind(&mut sealed.header, crc, bytes, producer_id, 0, sequence);
    [&sealed.header[..], &body].concat()
}

fn options(dir: &Path) -> Options {
    Options::new("127.0.0.1:0".parse().unwrap(), dir.join("store"))
}

fn append(
    store: &mut Store,
    options: &Options,
    topic: &str,
    bytes: &[u8],
) -> Result<Placed, AppendError> {
    let mut judge = Judge::new(options);
    store.append(topic, &judge.judge(bytes).expect("a good batch"), Moment(0))
}

fn segment_paths(options: &Options, topic: &str) -> Vec<PathBuf> {
    let dir = options.dir.join(format!("{topic}-0"));
    layout::segments(&dir).unwrap().into_iter().map(|segment| segment.path).collect()
}

/// Base offsets and counts of all good batches of a topic.
fn stored(options: &Options, topic: &str) -> Vec<(i64, i32)> {
    let mut found = Vec::new();
    for path in segment_paths(options, topic) {
        let mut reader = SegmentReader::open(&path).unwrap();
        while let Some(next) = reader.next_found().unwrap() {
            if let Found::Batch(batch) = next {
                found.push((batch.header.base_offset, batch.header.record_count));
            }
        }
    }
    found
}

#[test]
fn batches_get_real_offsets_and_go_on_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path());
    let mut store = Store::open(&options, Moment(0)).unwrap();
    for n in 0..3 {
        append(&mut store, &options, "t", &batch_of(1, n * 5, 5, Codec::Lz4)).unwrap();
    }
    drop(store);
    let mut store = Store::open(&options, Moment(0)).unwrap();
    let placed = append(&mut store, &options, "t", &batch_of(1, 15, 2, Codec::None)).unwrap();
    assert_eq!(placed.base_offset, 15);
    assert_eq!(stored(&options, "t"), [(0, 5), (5, 5), (10, 5), (15, 2)]);
    assert_eq!(segment_paths(&options, "t").len(), 1);
}

#[test]
fn a_repeat_is_not_stored_again_even_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path());
    let batch = batch_of(1, 5, 5, Codec::None);
    let mut store = Store::open(&options, Moment(0)).unwrap();
    append(&mut store, &options, "t", &batch_of(1, 0, 5, Codec::None)).unwrap();
    let first = append(&mut store, &options, "t", &batch).unwrap();
    assert!(!first.repeat);
    assert_eq!(
        append(&mut store, &options, "t", &batch).unwrap(),
        Placed { repeat: true, ..first }
    );
    drop(store);
    let mut store = Store::open(&options, Moment(0)).unwrap();
    assert!(append(&mut store, &options, "t", &batch).unwrap().repeat);
    assert!(!append(&mut store, &options, "u", &batch).unwrap().repeat, "another topic");
    assert_eq!(stored(&options, "t"), [(0, 5), (5, 5)]);
    let nameless = batch_of(-1, -1, 1, Codec::None);
    append(&mut store, &options, "n", &nameless).unwrap();
    append(&mut store, &options, "n", &nameless).unwrap();
    assert_eq!(stored(&options, "n").len(), 2, "without a producer id nothing is a repeat");
}

#[test]
fn segments_roll_by_size_and_by_age() {
    let dir = tempfile::tempdir().unwrap();
    let batch = batch_of(-1, -1, 10, Codec::None);
    let options = Options {
        segment_bytes: batch.len() as u64 * 2,
        segment_age: Duration::from_secs(60),
        ..options(dir.path())
    };
    let mut store = Store::open(&options, Moment(0)).unwrap();
    for _ in 0..5 {
        append(&mut store, &options, "size", &batch).unwrap();
    }
    let names: Vec<_> = segment_paths(&options, "size");
    assert_eq!(names.len(), 3);
    assert!(names[2].ends_with("00000000000000000040.log"));
    drop(store);
    let options = Options { segment_bytes: 1 << 20, ..options };
    let mut store = Store::open(&options, Moment(0)).unwrap();
    let mut judge = Judge::new(&options);
    for second in [0, 59, 60, 61] {
        let now = Moment(second * 1_000_000_000);
        store.append("age", &judge.judge(&batch).unwrap(), now).unwrap();
    }
    assert_eq!(segment_paths(&options, "age").len(), 2);
    assert_eq!(stored(&options, "age"), [(0, 10), (10, 10), (20, 10), (30, 10)]);
}

#[test]
fn a_tail_torn_at_any_byte_is_cut_off_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path());
    let last = batch_of(1, 5, 3, Codec::None);
    let mut store = Store::open(&options, Moment(0)).unwrap();
    append(&mut store, &options, "t", &batch_of(1, 0, 5, Codec::None)).unwrap();
    append(&mut store, &options, "t", &last).unwrap();
    drop(store);
    let path = segment_paths(&options, "t").pop().unwrap();
    let whole = fs::read(&path).unwrap();
    let good = whole.len() - last.len();
    let torn_path = path.with_extension("log.torn");
    for torn in 1..last.len() {
        fs::write(&path, &whole[..good + torn]).unwrap();
        let mut store = Store::open(&options, Moment(0)).unwrap();
        assert_eq!(fs::read(&path).unwrap(), whole[..good]);
        assert_eq!(fs::read(&torn_path).unwrap(), whole[good..good + torn]);
        let account = Account::of(std::slice::from_ref(&options.dir)).unwrap();
        assert_eq!(account.set_aside[0].bytes, torn as u64, "readers are told of it");
        let placed = append(&mut store, &options, "t", &last).unwrap();
        assert_eq!((placed.base_offset, placed.repeat), (5, false), "it was never stored");
        assert_eq!(fs::read(&path).unwrap(), whole);
        fs::remove_file(&torn_path).unwrap();
    }
}

#[test]
fn damage_in_the_middle_hides_nothing_behind_it() {
    type Damage = (&'static str, fn(&mut [u8]));
    let damages: [Damage; 6] = [
        ("a flipped bit", |batch| batch[batch.len() / 2] ^= 1),
        ("an impossible length", |batch| batch[8] ^= 0x80),
        ("a shorter length", |batch| batch[11] -= 1),
        ("a longer length", |batch| batch[11] += 1),
        ("a header of zeros", |batch| batch[..61].fill(0)),
        ("zeros", |batch| batch.fill(0)),
    ];
    for (what, damage) in damages {
        let dir = tempfile::tempdir().unwrap();
        let options = options(dir.path());
        let mut store = Store::open(&options, Moment(0)).unwrap();
        for n in [10, 15, 20] {
            append(&mut store, &options, "t", &batch_of(1, n, 5, Codec::None)).unwrap();
        }
        drop(store);
        let path = segment_paths(&options, "t").pop().unwrap();
        let mut bytes = fs::read(&path).unwrap();
        let third = bytes.len() / 3;
        damage(&mut bytes[third..2 * third]);
        fs::write(&path, &bytes).unwrap();
        let mut store = Store::open(&options, Moment(0)).unwrap();
        assert_eq!(fs::read(&path).unwrap(), bytes, "nothing is cut off: {what}");
        let last = append(&mut store, &options, "t", &batch_of(1, 20, 5, Codec::None)).unwrap();
        assert!(last.repeat, "{what}");
        append(&mut store, &options, "t", &batch_of(1, 25, 5, Codec::None)).unwrap();
        assert_eq!(stored(&options, "t"), [(0, 5), (10, 5), (15, 5)], "{what}");
    }
}

#[test]
fn a_directory_has_one_receiver_and_not_everybody_s_hands_in_it() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path());
    let store = Store::open(&options, Moment(0)).unwrap();
    assert!(matches!(Store::open(&options, Moment(0)), Err(StoreError::InUse(_))));
    drop(store);
    drop(Store::open(&options, Moment(0)).unwrap());
    fs::set_permissions(&options.dir, fs::Permissions::from_mode(0o777)).unwrap();
    assert!(matches!(Store::open(&options, Moment(0)), Err(StoreError::WorldWritable(_))));
}

#[test]
fn symbolic_links_are_not_followed_and_files_are_private() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path());
    let mut store = Store::open(&options, Moment(0)).unwrap();
    append(&mut store, &options, "t", &batch_of(1, 0, 1, Codec::None)).unwrap();
    let path = segment_paths(&options, "t").pop().unwrap();
    assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    let outside = dir.path().join("outside");
    fs::create_dir(options.dir.join("u-0")).unwrap();
    std::os::unix::fs::symlink(&outside, options.dir.join("u-0").join(layout::segment_name(0)))
        .unwrap();
    let refused = append(&mut store, &options, "u", &batch_of(1, 0, 1, Codec::None));
    assert!(matches!(refused, Err(AppendError::Storage(_))));
    assert!(!outside.exists());
}

#[test]
fn a_partition_may_be_on_another_disk() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path());
    let batch = batch_of(1, 0, 5, Codec::None);
    append(&mut Store::open(&options, Moment(0)).unwrap(), &options, "t", &batch).unwrap();
    let (partition, elsewhere) = (options.dir.join("t-0"), dir.path().join("elsewhere"));
    fs::rename(&partition, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &partition).unwrap();
    let mut store = Store::open(&options, Moment(0)).unwrap();
    assert!(append(&mut store, &options, "t", &batch).unwrap().repeat);
    append(&mut store, &options, "t", &batch_of(1, 5, 5, Codec::None)).unwrap();
    assert_eq!(stored(&options, "t"), [(0, 5), (5, 5)]);
    assert_eq!(layout::partitions(&options.dir).unwrap().len(), 1, "readers find it, too");
}

#[test]
fn a_file_whose_name_cannot_be_synced_is_in_doubt() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { sync: Sync::Batch, ..options(dir.path()) };
    let mut store = Store::open(&options, Moment(0)).unwrap();
    let batch = batch_of(1, 0, 5, Codec::None);
    append(&mut store, &options, "t", &batch).unwrap();
    let (partition, aside) = (options.dir.join("t-0"), dir.path().join("aside"));
    fs::rename(&partition, &aside).unwrap();
    assert_eq!(store.sync(), [InDoubt { partition: 0, offsets: 0..5 }]);
    fs::rename(&aside, &partition).unwrap();
    assert!(!append(&mut store, &options, "t", &batch).unwrap().repeat);
    assert!(store.sync().is_empty());
}

#[test]
fn what_a_failed_sync_left_is_neither_repeated_to_nor_written_to() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { sync: Sync::Batch, ..options(dir.path()) };
    let batch = batch_of(1, 0, 5, Codec::None);
    append(&mut Store::open(&options, Moment(0)).unwrap(), &options, "t", &batch).unwrap();
    let path = segment_paths(&options, "t").pop().unwrap();
    Segment::existing(path, 0, 1, Moment(0)).mark_in_doubt();
    let mut store = Store::open(&options, Moment(0)).unwrap();
    let placed = append(&mut store, &options, "t", &batch).unwrap();
    assert_eq!((placed.base_offset, placed.repeat), (5, false));
    assert_eq!(segment_paths(&options, "t").len(), 2);
}

#[test]
fn open_files_and_topics_are_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let options =
        Options { open_files_max: 3, topics_max: 10, sync: Sync::Batch, ..options(dir.path()) };
    let mut store = Store::open(&options, Moment(0)).unwrap();
    for round in 0..3 {
        for topic in 0..10 {
            let batch = batch_of(1, round, 1, Codec::None);
            append(&mut store, &options, &format!("t{topic}"), &batch).unwrap();
            assert!(store.open_files() <= 3);
        }
    }
    assert!(store.sync().is_empty());
    let eleventh = append(&mut store, &options, "one-more", &batch_of(1, 0, 1, Codec::None));
    assert!(matches!(eleventh, Err(AppendError::TooManyTopics)));
    for topic in 0..10 {
        assert_eq!(stored(&options, &format!("t{topic}")), [(0, 1), (1, 1), (2, 1)]);
    }
}

#[test]
fn a_segment_that_cannot_be_written_is_left_and_others_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { open_files_max: 1, sync: Sync::Batch, ..options(dir.path()) };
    let mut store = Store::open(&options, Moment(0)).unwrap();
    append(&mut store, &options, "t", &batch_of(1, 0, 5, Codec::None)).unwrap();
    assert!(store.sync().is_empty());
    append(&mut store, &options, "u", &batch_of(1, 0, 5, Codec::None)).unwrap();
    // The file of "t" is closed now; a directory in its place cannot be opened for writing.
    let path = segment_paths(&options, "t").pop().unwrap();
    fs::rename(&path, dir.path().join("aside")).unwrap();
    fs::create_dir(&path).unwrap();
    let batch = batch_of(1, 5, 5, Codec::None);
    let refused = append(&mut store, &options, "t", &batch);
    assert!(matches!(refused, Err(AppendError::Storage(_))));
    let placed = append(&mut store, &options, "t", &batch).unwrap();
    assert_eq!((placed.base_offset, placed.repeat), (5, false));
    assert_eq!(stored(&options, "t"), [(5, 5)]);
    append(&mut store, &options, "u", &batch_of(1, 5, 5, Codec::None)).unwrap();
    assert!(store.sync().is_empty());
}

#[test]
fn bad_batches_are_refused_with_their_reason() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { batch_bytes_max: 10_000, ..options(dir.path()) };
    let mut judge = Judge::new(&options);
    let good = batch_of(1, 0, 5, Codec::None);
    let mut refused = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        judge.judge(&bytes).unwrap_err()
    };
    assert_eq!(refused(&|b| b[16] = 1), Refusal::OldFormat);
    assert_eq!(refused(&|b| b[100] ^= 1), Refusal::Corrupt);
    assert_eq!(refused(&|b| b.truncate(80)), Refusal::Corrupt);
    assert_eq!(refused(&|b| b.clear()), Refusal::Corrupt);
    assert_eq!(refused(&|b| b[7] = 9), Refusal::InvalidRecord, "base offset");
    assert_eq!(refused(&|b| b[60] = 9), Refusal::InvalidRecord, "record count");
    assert_eq!(refused(&|b| b.resize(10_001, 0)), Refusal::TooLarge);
    assert_eq!(
        refused(&|b| fix_crc(b, |b| {
            b[60] = 4;
            b[26] = 3;
        })),
        Refusal::InvalidRecord
    );
    assert_eq!(refused(&|b| fix_crc(b, |b| b[22] = 7)), Refusal::InvalidRecord, "codec 7");
}

#[test]
fn a_decompression_bomb_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { batch_bytes_decompressed_max: 1 << 20, ..options(dir.path()) };
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let mut builder = Builder::with_capacity(0);
        let value = vec![b'x'; 2 << 20];
        builder.push(&Record {
            timestamp_ms: 0,
            key: None,
            value: Some(&value),
            headers: std::iter::empty(),
        });
        let identity = BatchIdentity {
            instance: InstanceId([7; 16]),
            batch: 0,
            first_record: 0,
            record_count: 1,
        };
        let mut body = Vec::new();
        let mut compressor = Compressor::new(codec, None).unwrap();
        let mut sealed = builder.seal(&identity, &mut compressor, &mut body).unwrap();
        let (crc, bytes) = (sealed.body_crc, sealed.body_bytes);
        batch::bind(&mut sealed.header, crc, bytes, 1, 0, 0);
        let bomb = [&sealed.header[..], &body].concat();
        assert_eq!(Judge::new(&options).judge(&bomb).unwrap_err(), Refusal::InvalidRecord);
    }
}

/// Changes a batch and signs it again, so that only the change is wrong.
fn fix_crc(bytes: &mut [u8], change: impl Fn(&mut [u8])) {
    change(bytes);
    let crc = crate::checksum::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
}

/// A request to append a batch, with its length in front.
pub fn produce_request(acks: i16, topic: &str, batch: &[u8]) -> Vec<u8> {
    let head = crate::proto::kafka::wire::produce::RequestHead {
        correlation_id: 1,
        client_id: "c",
        acks,
        timeout_ms: 1,
        topic,
        partition: 0,
        batch_bytes: u32::try_from(batch.len()).unwrap(),
    };
    let mut request = Vec::new();
    head.encode(8, &mut request).unwrap();
    request.extend_from_slice(batch);
    request
}

/// Sends a batch over a connection of its own; the answer's error code, or none where the connection was closed.
fn produce(address: std::net::SocketAddr, topic: &str, batch: &[u8]) -> Option<i16> {
    use std::io::Read;
    use std::io::Write;
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.write_all(&produce_request(-1, topic, batch)).unwrap();
    let mut size = [0; 4];
    stream.read_exact(&mut size).ok()?;
    let mut answer = vec![0; u32::from_be_bytes(size) as usize];
    stream.read_exact(&mut answer).unwrap();
    let mut reader = crate::proto::kafka::wire::Reader::new(&answer);
    crate::proto::kafka::wire::header::decode_correlation_id(&mut reader).unwrap();
    let response = crate::proto::kafka::wire::produce::Response::decode(8, &mut reader).unwrap();
    Some(response.topics[0].partitions[0].error.number())
}

/// Its producer divides it and goes on; that of a panic that ends the connection would send the same for ever.
#[test]
fn a_batch_whose_reading_panics_is_refused_for_good() {
    let dir = tempfile::tempdir().unwrap();
    let receiver = crate::receiver::Receiver::start(options(dir.path())).unwrap();
    let batch = batch_of(1, 0, 3, Codec::None);
    let defect = crate::receiver::service::PANICS_JUDGED;
    for _ in 0..2 {
        assert_eq!(produce(receiver.local_addr(), defect, &batch), Some(87), "INVALID_RECORD");
    }
    assert_eq!(produce(receiver.local_addr(), "t", &batch), Some(0));
    let stats = receiver.shutdown(Duration::from_secs(60)).unwrap();
    assert_eq!(
        (stats.panics, stats.batches, stats.refused),
        (2, 1, vec![(Refusal::InvalidRecord, 2)])
    );
}

#[test]
fn a_panic_ends_the_connections_and_the_receiver_goes_on_with_what_it_has_stored() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path());
    let receiver = crate::receiver::Receiver::start(options.clone()).unwrap();
    let batch = batch_of(1, 0, 3, Codec::None);
    assert_eq!(produce(receiver.local_addr(), "t", &batch), Some(0));
    let defect = crate::receiver::service::PANICS_STORED;
    assert_eq!(produce(receiver.local_addr(), defect, &batch), None, "the connection ends");
    assert_eq!(produce(receiver.local_addr(), "t", &batch), Some(0), "a repeat");
    assert_eq!(produce(receiver.local_addr(), "t", &batch_of(1, 3, 3, Codec::None)), Some(0));
    let in_use = Store::open(&options, Moment(0)).map(|_| ());
    assert!(matches!(in_use, Err(StoreError::InUse(_))), "the directory stays ours");
    let stats = receiver.shutdown(Duration::from_secs(60)).unwrap();
    assert_eq!((stats.panics, stats.batches, stats.duplicates), (1, 2, 1));
    assert_eq!(stored(&options, "t"), [(0, 3), (3, 3)]);
}
