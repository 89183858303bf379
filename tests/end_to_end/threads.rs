//! Threads that come and go: each record of each is there, whenever its thread ended.

use std::cell::RefCell;
use std::collections::BTreeSet;

use logdrive::Logger;
use logdrive::Severity;

use crate::support::ReceiverProcess;
use crate::support::site::Site;
use crate::support::site::cat_lines;
use crate::support::site::verify;
use crate::support::wait;

#[test]
fn two_thousand_short_threads_lose_nothing() {
    const THREADS: usize = 2_000;
    const RECORDS: usize = 5;
    let site = Site::new();
    let receiver = ReceiverProcess::start(&site.receiver_dir(0), &[]);
    let client = site.client(&[receiver.address], "ring.full=block&ring.full_deadline=1m");
    for threads in (0..THREADS).collect::<Vec<_>>().chunks(50) {
        std::thread::scope(|scope| {
            for thread in threads {
                let client = &client;
                scope.spawn(move || {
                    for record in 0..RECORDS {
                        client.log(Severity::Info, format!("{thread} {record}")).unwrap();
                    }
                });
            }
        });
    }
    let stats = client.close(wait::PATIENCE).unwrap();
    assert_eq!((stats.accepted, stats.refused_total()), ((THREADS * RECORDS) as u64, 0));
    let found = cat_lines(&[site.receiver_dir(0)]);
    let unique: BTreeSet<_> = found.iter().cloned().collect();
    let expected: BTreeSet<_> = (0..THREADS)
        .flat_map(|thread| {
            (0..RECORDS).map(move |record| format!("{thread} {record}").into_bytes())
        })
        .collect();
    assert_eq!(found.len(), THREADS * RECORDS);
    assert!(unique == expected);
    verify(&[site.receiver_dir(0)]);
}

/// Logs when its thread's locals are destroyed.
struct LogsWhenDropped(Logger, &'static str);

impl Drop for LogsWhenDropped {
    fn drop(&mut self) {
        self.0.log(Severity::Info, self.1).unwrap();
    }
}

thread_local! {
    static EARLY: RefCell<Option<LogsWhenDropped>> = const { RefCell::new(None) };
    static LATE: RefCell<Option<LogsWhenDropped>> = const { RefCell::new(None) };
}

/// One local is made before the thread's ring and one after it, so one of the two is destroyed when the
/// ring's own local is gone already, whatever the order of destruction.
#[test]
fn a_destructor_of_a_thread_local_may_log() {
    let site = Site::new();
    let receiver = ReceiverProcess::start(&site.receiver_dir(0), &[]);
    let client = site.client(&[receiver.address], "");
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            EARLY.set(Some(LogsWhenDropped(client.stream("lines").unwrap(), "early")));
            client.log(Severity::Info, "alive").unwrap();
            LATE.set(Some(LogsWhenDropped(client.stream("lines").unwrap(), "late")));
        });
        // The scope's end would wait for the closure only, not for the destructors behind it.
        thread.join().unwrap();
    });
    client.close(wait::PATIENCE).unwrap();
    let mut found = cat_lines(&[site.receiver_dir(0)]);
    found.sort();
    assert_eq!(found, [&b"alive"[..], b"early", b"late"]);
}
