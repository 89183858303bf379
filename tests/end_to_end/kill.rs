//! `kill -9` of the application at random moments, with the receiver up or down, and two of one name at a time.

use crate::application;
use crate::application::Accepted;
use crate::application::Application;
use crate::support::ReceiverProcess;
use crate::support::lasting_address;
use crate::support::random::Random;
use crate::support::site::Site;
use crate::support::site::cat_lines;
use crate::support::site::verify;

const KILLS: u64 = 10;

/// The spool waits rather than drops; the application blocks then, and the kill finds it blocked.
pub const NEVER_DROP: &str =
    "name=application&spool.full=block&ring.full=block&ring.bytes_max=4MiB";

pub fn kill_ten_times(test: &str, options: &str) {
    let site = Site::new();
    let mut random = Random::seeded(test);
    let address = lasting_address(&mut random);
    let dirs = [site.receiver_dir(0)];
    let url = site.url(&[address], &options.replace("SPOOL", &site.spool_dir().to_string_lossy()));
    let mut runs: Vec<Accepted> = Vec::new();
    let mut receiver: Option<ReceiverProcess> = None;
    for run in 0..KILLS {
        // The first run has nobody to send to; later the receiver comes, is killed, and stays away.
        match random.below(3) {
            _ if run == 0 => {}
            0 => receiver.take().into_iter().for_each(ReceiverProcess::kill),
            _ if receiver.is_none() => {
                receiver = Some(ReceiverProcess::start_at(address, &dirs[0], &[]));
            }
            _stays => {}
        }
        let mut application = Application::start(run, &url, &site.file("witness"), None);
        application.wait_for(1 + random.below(8_000));
        runs.push(application.kill());
    }
    let _receiver = match receiver {
        Some(receiver) => receiver,
        None => ReceiverProcess::start_at(address, &dirs[0], &[]),
    };
    let stats = site.drain(&url);
    let (adopted, panics) = (stats.sender.adopted_delivered, stats.panics);
    println!("{adopted} records were left for the last process");
    assert_eq!((panics, stats.spool_errors), (0, 0));
    application::check(&runs, &cat_lines(&dirs));
    verify(&dirs);
    let left = [site.slots(&site.ring_dir()), site.slots(&site.spool_dir())];
    assert!(left.concat().is_empty(), "left behind: {left:?}");
}

#[test]
fn ten_kills_of_the_application_lose_and_repeat_nothing() {
    kill_ten_times("ten_kills_of_the_application_lose_and_repeat_nothing", NEVER_DROP);
}

#[test]
fn ten_kills_with_a_spool_on_a_disk_lose_and_repeat_nothing() {
    let options = format!("{NEVER_DROP}&spool.dir=SPOOL&workers=2&codec=zstd");
    kill_ten_times("ten_kills_with_a_spool_on_a_disk_lose_and_repeat_nothing", &options);
}

#[test]
fn two_processes_of_one_name_leave_each_other_alone() {
    let site = Site::new();
    let receiver = ReceiverProcess::start(&site.receiver_dir(0), &[]);
    let url = site.url(&[receiver.address], NEVER_DROP);
    let start = |run: u64| {
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
    application::check(&runs, &cat_lines(&[site.receiver_dir(0)]));
    verify(&[site.receiver_dir(0)]);
    assert!(site.slots(&site.ring_dir()).is_empty());
}
