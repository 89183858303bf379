//! One of three receivers is swallowed by the network, freezes, or reads slowly, under load.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::namespace::Namespace;
use crate::namespace::address;
use crate::namespace::limit;
use crate::namespace::place;
use crate::namespace::receiver;
use crate::producer::Figures;
use crate::producer::Producer;
use crate::producer::check;
use crate::support::ReceiverProcess;
use crate::support::scale::scaled;
use crate::support::site::Site;
use crate::support::site::cat_lines;
use crate::support::site::verify;
use crate::support::wait;

const RECEIVERS: usize = 3;
const RATE: u64 = 10_000;
/// A receiver that took nothing for so long, at this pace, has batches on their way to it.
const MISSED: Duration = Duration::from_millis(300);
const DEADLINE: Duration = Duration::from_secs(2);
/// Lanes move quickly, and what is not acknowledged in two seconds goes elsewhere.
const OPTIONS: &str = "acknowledgement.deadline=2s&heartbeat.interval=500ms&rebind.bytes=4MiB\
                       &rebind.interval=2s&batch.bytes=16KiB&lane.bytes_in_flight_max=1MiB&codec=none";
/// Anonymous memory of the producer, in KiB: buffers of the lanes and the workers, with room to spare.
const ANONYMOUS_KIB_MAX: u64 = 64 << 10;

/// Three receivers and a producer at a steady pace.
struct Fleet {
    site: Site,
    namespace: Namespace,
    receivers: Vec<ReceiverProcess>,
    producer: Producer,
}

impl Fleet {
    fn start(records_per_second: u64) -> Self {
        let site = Site::new();
        let namespace = Namespace::new();
        let receivers: Vec<_> = (0..RECEIVERS)
            .map(|number| receiver(&namespace, number, &site.receiver_dir(number)))
            .collect();
        let places: Vec<String> = (0..RECEIVERS).map(place).collect();
        let url = site.url(&places, OPTIONS);
        let mut producer = Producer::start(&namespace, 1, &url, records_per_second);
        wait::until("every receiver takes part", || {
            let figures = producer.figures();
            places.iter().all(|place| figures.bytes(place) > 0)
        });
        Self { site, namespace, receivers, producer }
    }

    /// What was delivered in `time`, and the figures at its end.
    fn observe(&mut self, time: Duration) -> (u64, Figures) {
        let before = self.producer.figures().value("delivered");
        std::thread::sleep(time);
        let after = self.producer.figures();
        (after.value("delivered") - before, after)
    }

    /// Brings the fault about: what is on its way to the victim then is acknowledged by others within the deadline
    /// and a second, then the others carry the load.
    fn others_take_over(&mut self, name: &str, victim: usize, fault: impl FnOnce(&Self)) {
        self.producer.figures();
        fault(self);
        wait::until("batches on their way to the victim are missed", || {
            let figures = self.producer.figures();
            figures.receivers[&place(victim)].gap > MISSED
        });
        let took = MISSED + self.producer.flush();
        let bound = DEADLINE + limit(Duration::from_secs(1));
        assert!(took <= bound, "{name}: fail-over took {took:?}, at most {bound:?}");
        // A measuring time, not a wait: it is the rate in it that counts.
        let (delivered, figures) = self.observe(Duration::from_secs(3));
        let expected = 3 * RATE;
        assert!(
            delivered * 10 >= expected * 9,
            "{name}: {delivered} of {expected} records were delivered without one receiver"
        );
        let memory = self.producer.anonymous_kib();
        assert!(memory <= ANONYMOUS_KIB_MAX, "{name}: {memory} KiB of anonymous memory");
        let failures = figures.receivers.get(&place(victim)).map_or(0, |victim| victim.failures);
        println!(
            "{name}: fail-over {took:?} (deadline {DEADLINE:?}), then {delivered} of {expected} \
             records in 3 s by the others, {failures} failures of the lost one, {memory} KiB"
        );
    }

    /// All that was logged is there, once.
    fn end(self) {
        let figures = self.producer.finish();
        let count = figures.value("logged");
        let dirs: Vec<PathBuf> =
            (0..RECEIVERS).map(|number| self.site.receiver_dir(number)).collect();
        drop(self.receivers);
        assert_eq!((figures.value("dropped"), figures.value("panics")), (0, 0));
        verify(&dirs);
        check(&[(1, count)], &cat_lines(&dirs));
    }
}

fn signal(receiver: &ReceiverProcess, signal: &str) {
    let id = receiver.id().to_string();
    assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
}

#[test]
fn a_black_hole_swallows_one_of_three_and_nothing_is_lost() {
    let mut fleet = Fleet::start(RATE);
    let victim: Ipv4Addr = address(1);
    fleet.others_take_over("black hole", 1, |fleet| fleet.namespace.black_hole(victim));
    fleet.namespace.heal();
    let before = fleet.producer.figures().bytes(&place(1));
    wait::until("the lost one gets its share again", || {
        fleet.producer.figures().bytes(&place(1)) > before + (1 << 20)
    });
    fleet.end();
}

/// The peer's host acknowledges, its process does not read: the window closes.
#[test]
fn a_frozen_process_holds_nobody_up() {
    let mut fleet = Fleet::start(RATE);
    fleet.others_take_over("frozen process", 2, |fleet| signal(&fleet.receivers[2], "-STOP"));
    signal(&fleet.receivers[2], "-CONT");
    let before = fleet.producer.figures().bytes(&place(2));
    wait::until("the frozen one gets its share again", || {
        fleet.producer.figures().bytes(&place(2)) > before + (1 << 20)
    });
    fleet.end();
}

#[test]
fn a_slow_reader_gets_what_it_can_take() {
    // Less than a third of the load, with what leaves room for others' work in `make test`.
    let kilobytes = scaled(100, 1_000) as u32;
    let rate = scaled(RATE, 3 * RATE);
    let mut fleet = Fleet::start(rate);
    fleet.namespace.slow_down(address(0), kilobytes);
    // The fleet has to learn of it first: that takes as long as what is on the way.
    fleet.producer.flush();
    let before = fleet.producer.figures().bytes(&place(0));
    let (delivered, figures) = fleet.observe(Duration::from_secs(5));
    let slow = figures.bytes(&place(0)) - before;
    let memory = fleet.producer.anonymous_kib();
    println!(
        "slow reader, {kilobytes} kB/s: {delivered} of {} records in 5 s, {slow} bytes by the slow one, \
         {memory} KiB",
        5 * rate
    );
    assert!(delivered * 10 >= 5 * rate * 9, "{delivered} of {} were delivered", 5 * rate);
    assert!(memory <= ANONYMOUS_KIB_MAX, "{memory} KiB of anonymous memory");
    fleet.namespace.heal();
    fleet.end();
}
