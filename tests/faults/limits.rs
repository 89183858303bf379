//! Fault 11: a C host with default signal dispositions, under connections that are reset and under resource limits.
//! SIGPIPE, SIGXFSZ and whatever else would kill it must never reach it; our threads block all there is to block.

use std::process::Command;

use crate::c_program;
use crate::delivered;
use crate::host;
use crate::row::Row;
use crate::support::ReceiverProcess;
use crate::support::oracle::Tally;
use crate::support::proxy::Proxy;
use crate::support::site::Site;

const WAYS: [&str; 7] =
    ["resets", "fsize", "fsize-later", "nofile", "nofile-later", "memlock", "memlock-later"];
const RECORDS: u64 = 4_000;
const OPTIONS: &str = "linger=1ms&ring.bytes_max=2MiB&codec=none";

#[test]
fn resets_and_limits_of_a_host_with_default_dispositions() {
    let row = Row::begin("11", "signals and limits of a C host", 50, 1_000);
    let place = Site::new();
    let program = c_program::compile("tests/faults/c/limits.c", place.disk());
    let (mut tally, mut resets) = (Tally::default(), 0);
    for run in 0..row.runs() {
        let site = Site::new();
        let dirs = [site.receiver_dir(0)];
        let receiver = ReceiverProcess::start(&dirs[0], &[]);
        let way = WAYS[run as usize % WAYS.len()];
        // Cuts connections at any byte, by a reset.
        let proxy = Proxy::start(receiver.address, row.random(run));
        let host = if way == "resets" { proxy.address } else { receiver.address };
        let url = site.url_of_topic("limits", &[host], OPTIONS);
        let mut command = Command::new("timeout");
        command.args(["--signal=KILL", "100"]).arg(&program);
        command.args([&url, way, &RECORDS.to_string()]);
        let output = host::run(command, 0);
        let accepted = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
        let account = delivered::account(&dirs);
        assert!(account.is_complete(), "{way}: {account:?}");
        let delivered: u64 = account.instances.iter().map(|instance| instance.records).sum();
        let verdict = Tally {
            accepted,
            delivered,
            missing: accepted.saturating_sub(delivered),
            phantoms: delivered.saturating_sub(accepted),
            ..Tally::default()
        };
        verdict.assert_clean(way);
        resets += proxy.cuts();
        tally += verdict;
    }
    row.finish(&format!("{resets} resets, 0 deaths, masks of all our threads whole"), &tally);
}
