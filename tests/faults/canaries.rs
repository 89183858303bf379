//! Canaries: a promise is broken on purpose (`sys::faults`), and the suite must notice. A row that passes with its
//! canary would prove nothing.

use std::process::Command;

use logdrive::sys::faults::Canary;

use crate::host;
use crate::row::Row;
use crate::support::oracle::Tally;

/// Each canary with the row that must fail, and the share of its runs that is enough.
const CANARIES: &[(Canary, &str, &str)] = &[
    (Canary::ReleaseStore, "kill::kill_9_of_the_application", "0.2"),
    (Canary::ForkCheck, "fork::forks_while_logging", "0.2"),
    (Canary::Checksum, "damage::damaged_spools", "0.2"),
    (Canary::Counter, "damage::damaged_spools", "0.2"),
    (Canary::BindBeforeSend, "crash_points::a_binding_is_stored_before_its_batch_is_sent", "1"),
    (Canary::DirectorySync, "syscalls::a_segments_name_is_durable_before_its_first_group", "1"),
];

#[test]
fn the_suite_fails_for_each_canary() {
    let row = Row::begin("-", "canaries that were noticed", CANARIES.len() as u64, 6);
    for (canary, test, factor) in CANARIES {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([*test, "--exact"]).env("TEST_FACTOR", factor);
        // Many a broken promise is a host that hangs.
        command.env(host::SECONDS_MAX, "10");
        command.env_remove("FAULTS_REPORT").env_remove("FAULTS_SEED");
        let output = command.env("LOGDRIVE_CANARY", canary.name()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("test result: FAILED. 0 passed; 1 failed"), "{canary:?}: {text}");
        println!("{}: {test} fails", canary.name());
    }
    row.finish("each by the row that is there for it", &Tally::default());
}
