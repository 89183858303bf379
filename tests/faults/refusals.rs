//! Fault 1: the account of what was refused survives `kill -9`. Nobody receives, rings and spool are small, the
//! application overruns both until it is killed.

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

const OPTIONS: &str = "name=application&ring.full=refuse&ring.bytes_max=1MiB\
    &spool.full=block&codec=none&spool.bytes_max=16MiB";

#[test]
fn refusals_across_kill_9() {
    let row = Row::begin("1", "refusals across kill -9", 20, 1_000);
    let (mut tally, mut refused) = (Tally::default(), 0);
    for run in 0..row.runs() {
        let mut random = row.random(run);
        let site = Site::new();
        let address = lasting_address(&mut random);
        let url = site.url_of_topic("overrun", &[address], OPTIONS);
        let mut application = Application::start(1, &url, &site.memory_file("witness"), None);
        application.wait_for(200 + random.below(700));
        let (accepted, counted) = application.kill_and_count();
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
        let verdict = found.judge(&[accepted], named);
        verdict.assert_clean(&format!("run {run}"));
        delivered::assert_accounted(&dirs);
        tally += verdict;
    }
    let figures = format!("{refused} refused, all counted");
    row.finish(&figures, &tally);
}
