//! A disk that makes no more files while nobody receives: what gives way does so for something.

use std::fs;
use std::os::unix::fs::symlink;

use logdrive::Client;
use logdrive::Severity;

use crate::support::ReceiverProcess;
use crate::support::lasting_address;
use crate::support::site::Site;
use crate::support::site::verify;
use crate::support::wait;

const OPTIONS: &str = "codec=none&spool.segment_bytes=4MiB&spool.memory_bytes_max=8MiB&poll.idle=5ms\
    &ring.bytes_max=1MiB&ring.full=block&ring.full_deadline=500ms";
/// Records of about a kilobyte that fill a segment.
const SEGMENT_RECORDS: u64 = 4 << 10;
const BACKLOG_SEGMENTS: u64 = 8;

/// Logs so many records, or up to the first one that is refused; how many were accepted.
fn log(client: &Client, records: u64) -> u64 {
    let is_accepted = |number: &u64| client.log(Severity::Info, format!("{number:01000}")).is_ok();
    (0..records).take_while(is_accepted).count() as u64
}

#[test]
fn a_disk_that_takes_no_account_costs_no_backlog() {
    let site = Site::new();
    let address = lasting_address();
    let options = format!("{OPTIONS}&spool.dir={}", site.spool_dir().display());
    let client = site.client(&[address], &options);
    let mut accepted = log(&client, BACKLOG_SEGMENTS * SEGMENT_RECORDS);
    let slot = site.slots(&site.spool_dir()).remove(0);
    // The segment that is allocated ahead has this name until it is used.
    let next = slot.join("next.new");
    wait::until("the next segment is not allocated yet", || {
        accepted += log(&client, 100);
        wait::until("all is stored", || client.stats().sender.stored == accepted);
        fs::create_dir(&next).is_ok()
    });
    let ledger = slot.join("ledger");
    fs::remove_file(&ledger).unwrap();
    symlink("nowhere/to/be/found", &ledger).unwrap();
    log(&client, 2 * BACKLOG_SEGMENTS * SEGMENT_RECORDS);
    let stats = client.stats();
    assert!(stats.spool_memory_mode, "{stats:?}");
    // The first one shows that giving up makes no room.
    assert!(stats.dropped_total() <= SEGMENT_RECORDS, "{stats:?}");

    fs::remove_file(&ledger).unwrap();
    fs::remove_dir(&next).unwrap();
    let dir = site.receiver_dir(0);
    let _receiver = ReceiverProcess::start_at(address, &dir, &[]);
    let stats = client.close(wait::PATIENCE).unwrap();
    let ended = stats.sender.delivered + stats.dropped_total();
    assert_eq!((stats.accepted, stats.sender.stored), (ended, 0), "{stats:?}");
    verify(&[dir]);
}
