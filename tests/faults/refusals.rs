//! Fault 1: the account of what was refused, and of what was given up, survives `kill -9`. Nobody receives, rings and
//! spool are small, the application overruns both until it is killed.

use logdrive::clock::Clock;

use crate::arena::ArenaFile;
use crate::delivered;
use crate::delivered::Delivered;
use crate::row::Row;
use crate::support::ReceiverProcess;
use crate::support::application;
use crate::support::application::Application;
use crate::support::lasting_address;
use crate::support::oracle::Tally;
use crate::support::site::Site;

const OPTIONS: &str =
    "name=application&ring.full=refuse&ring.bytes_max=1MiB&codec=none&spool.bytes_max=16MiB";
/// Of records of about 8 KB, more than the spool holds.
const OVERRUN: u64 = 2_500;

#[test]
fn refusals_across_kill_9() {
    let row = Row::begin("1", "refusals across kill -9", 20, 1_000);
    overrun(row, false);
}

#[test]
fn what_was_given_up_across_kill_9() {
    let row = Row::begin("1", "what the quota gave up across kill -9", 10, 1_000);
    overrun(row, true);
}

/// `gives_up`: the oldest records give way to the newest, so that a loss may be a moment old when the kill comes.
fn overrun(row: Row, gives_up: bool) {
    let (mut tally, mut refused) = (Tally::default(), 0);
    for run in 0..row.runs() {
        let mut random = row.random(run);
        let site = Site::new();
        let address = lasting_address();
        let policy = if gives_up { "drop_oldest" } else { "block" };
        let options = format!("{OPTIONS}&spool.full={policy}");
        let url = site.url_of_topic("overrun", &[address], &options);
        let clock = Clock::start();
        let begun = clock.moment();
        let mut application = Application::start(1, &url, &site.memory_file("witness"), None);
        let more = if gives_up { OVERRUN } else { 0 };
        application.wait_for(200 + more + random.below(700));
        let (accepted, counted) = application.kill_and_count();
        // One range, reported at most once a second.
        let reports_max = if gives_up { 1 + clock.moment().since(begun).as_secs() } else { 0 };
        // A refusal may be counted and not yet witnessed, once per thread.
        let arena: u64 = ArenaFile::below(&site.ring_dir()).iter().map(ArenaFile::refused).sum();
        let allowed = counted..=counted + application::THREADS as u64;
        assert!(allowed.contains(&arena), "{arena} refused, {counted} witnessed, run {run}");
        refused += arena;
        let dirs = [site.receiver_dir(0)];
        let _receiver = ReceiverProcess::start_at(address, &dirs[0], &[]);
        let stats = site.drain(&url);
        assert_eq!((stats.panics, stats.spool_errors, stats.sender.damaged), (0, 0, 0));
        let found = Delivered::read(&dirs, "overrun");
        let named = found.named();
        let mut verdict = found.judge(&[accepted], named);
        // A report that was given up itself has a number, but the application did not log it.
        let reports = verdict.named.saturating_sub(verdict.missing);
        assert!(reports <= reports_max, "{reports} of {reports_max} reports, run {run}");
        verdict.named -= reports;
        verdict.assert_clean(&format!("run {run}"));
        delivered::assert_accounted(&dirs);
        tally += verdict;
    }
    assert_eq!(tally.named > 0, gives_up, "records were given up");
    let figures = format!("{refused} refused, {} given up, all counted", tally.named);
    row.finish(&figures, &tally);
}
