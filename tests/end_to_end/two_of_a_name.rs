//! Two processes of one name at a time. Kills of applications are the fault suite's (tests/faults/kill.rs).

use logdrive::Client;
use logdrive::Code;
use logdrive::Severity;

use crate::support::ReceiverProcess;
use crate::support::application::Application;
use crate::support::oracle;
use crate::support::site::Site;
use crate::support::site::bytes_below;
use crate::support::site::cat_lines;
use crate::support::site::verify;
use crate::support::wait;

/// The spool waits rather than drops; the application blocks then, and the kill finds it blocked.
const NEVER_DROP: &str = "name=application&spool.full=block&ring.full=block&ring.bytes_max=4MiB";

#[test]
fn two_processes_of_one_name_leave_each_other_alone() {
    let site = Site::new();
    let receiver = ReceiverProcess::start(&site.receiver_dir(0), &[]);
    let url = site.url(&[receiver.address], NEVER_DROP);
    let start = |run: u32| {
        Application::start(run, &url, &site.file(&format!("witness-{run}")), Some(3_000))
    };
    let mut applications = vec![start(0), start(1)];
    // They come and go while others of the name live.
    let mut runs = Vec::new();
    for run in 2..5 {
        runs.push(applications.remove(0).finish());
        applications.push(start(run));
    }
    runs.extend(applications.into_iter().map(Application::finish));
    oracle::judge_lines(&runs, &cat_lines(&[site.receiver_dir(0)])).assert_clean("two of a name");
    verify(&[site.receiver_dir(0)]);
    assert!(site.slots(&site.ring_dir()).is_empty());
}

/// Logs texts of 1 KiB until one is refused; how many were not.
fn log_until_refused(client: &Client) -> u64 {
    let text = [b'x'; 1024];
    let is_refused = |_: &u64| match client.log(Severity::Info, text) {
        Ok(()) => false,
        Err(Code::RingFull | Code::SpoolFull) => true,
        Err(code) => panic!("{code}"),
    };
    (0..).find(is_refused).unwrap()
}

/// One that cannot send holds the quota of the name; the other goes on in the two segments that are always its own.
#[test]
fn one_that_delivers_admits_everything_beside_one_that_fills_the_quota() {
    const SHARED: &str =
        "name=shared&spool.bytes_max=64MiB&spool.full=block&codec=none&ring.bytes_max=2MiB";
    let site = Site::new();
    let receiver = ReceiverProcess::start(&site.receiver_dir(0), &[]);
    let deaf = site.client(&["127.0.0.1:9"], SHARED);
    wait::until("the quota is full", || {
        let _refused_once = log_until_refused(&deaf);
        bytes_below(site.disk()) + bytes_below(&site.ring_dir()) > 58 << 20
    });
    let delivering = site.client(&[receiver.address], SHARED);
    let mut logged = 0;
    wait::until("three segments full are admitted", || {
        logged += log_until_refused(&delivering);
        logged > 12 << 10
    });
    delivering.close(wait::PATIENCE).unwrap();
}
