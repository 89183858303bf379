//! Two processes of one name at a time. Kills of applications are the fault suite's (tests/faults/kill.rs).

use crate::support::ReceiverProcess;
use crate::support::application::Application;
use crate::support::oracle;
use crate::support::site::Site;
use crate::support::site::cat_lines;
use crate::support::site::verify;

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
