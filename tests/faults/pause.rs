//! Fault 9: an owner that is stopped, not dead. Nobody may take its slot, however long it sleeps; when it is killed
//! in its sleep exactly one of many may.

use crate::delivered;
use crate::delivered::Delivered;
use crate::row::Row;
use crate::support::ReceiverProcess;
use crate::support::application::Application;
use crate::support::oracle::Tally;
use crate::support::site::Site;
use crate::support::wait;

const OPTIONS: &str = "name=application&spool.full=block&ring.full=block&ring.bytes_max=2MiB";
const OTHERS: u32 = 8;
const RECORDS_OF_OTHERS: u64 = 20;

#[test]
fn a_stopped_owner_keeps_its_slot_and_a_dead_one_has_one_heir() {
    let row = Row::begin("9", "SIGSTOP of the owner, 8 others start", 20, 1_000);
    let (mut tally, mut deaths) = (Tally::default(), 0);
    for run in 0..row.runs() {
        let mut random = row.random(run);
        let site = Site::new();
        let dirs = [site.receiver_dir(0)];
        let receiver = ReceiverProcess::start(&dirs[0], &[]);
        let url = site.url_of_topic("paused", &[receiver.address], OPTIONS);
        // The owner has nobody to send to, so that its slot is full of what an heir would take.
        let deaf = site.url_of_topic("paused", &["127.0.0.1:9"], OPTIONS);
        let dies = run % 2 == 1;
        let its_url = if dies { &deaf } else { &url };
        let mut owner = Application::start(0, its_url, &site.memory_file("owner"), None);
        owner.wait_for(50 + random.below(500));
        owner.signal("STOP");
        wait::until("the owner is stopped", || owner.is_stopped());
        let stopped_at = owner.accepted();
        let slot = site.slots(&site.ring_dir());
        assert_eq!(slot.len(), 1);
        let arena = slot[0].join("arena");
        let mut accepted = Vec::new();
        let sleeper = if dies {
            deaths += 1;
            accepted.push(owner.kill());
            None
        } else {
            Some(owner)
        };
        // Where somebody died, all of them live until its slot is gone: so one that took it had no reason to leave any
        // of it to another.
        let records = (!dies).then_some(RECORDS_OF_OTHERS);
        let others: Vec<_> = (1..=OTHERS)
            .map(|other| {
                let witness = site.memory_file(&format!("other-{other}"));
                Application::start(other, &url, &witness, records)
            })
            .collect();
        if dies {
            wait::until("an heir has delivered everything", || !slot[0].exists());
            others.iter().for_each(Application::ask_to_stop);
        }
        let others: Vec<_> = others.into_iter().map(Application::finish_and_count).collect();
        let heirs = others.iter().filter(|(_, adopted)| *adopted > 0).count();
        assert_eq!(heirs, usize::from(dies), "heirs, run {run}");
        accepted.extend(others.into_iter().map(|(accepted, _)| accepted));
        if let Some(mut owner) = sleeper {
            assert!(arena.exists(), "the slot of a stopped process was taken");
            assert_eq!(owner.accepted(), stopped_at);
            owner.signal("CONT");
            owner.wait_for(stopped_at + 100);
            accepted.push(owner.stop());
        }
        site.drain(&url);
        let verdict = Delivered::read(&dirs, "paused").judge(&accepted, 0);
        verdict.assert_clean(&format!("run {run}"));
        delivered::assert_accounted(&dirs);
        assert_eq!(delivered::repeats(&dirs), 0, "a record was delivered by two");
        tally += verdict;
    }
    let figures = format!("{deaths} of them killed in their sleep, one heir each");
    row.finish(&figures, &tally);
}
