//! Two hundred producers whose receivers all restart at once. A thousand of them in virtual time:
//! src/proto/fleet/tests/storm.rs.

use std::path::PathBuf;
use std::time::Duration;

use crate::namespace::Namespace;
use crate::namespace::address;
use crate::namespace::place;
use crate::namespace::receiver;
use crate::producer::Producer;
use crate::producer::check;
use crate::support::site::Site;
use crate::support::site::cat_lines;
use crate::support::site::verify;
use crate::support::wait;

const CLIENTS: usize = 200;
const RECEIVERS: usize = 3;
const RATE: u64 = 4_000;
const RATIO_MAX: f64 = 1.2;
const SECOND: Duration = Duration::from_secs(1);
/// Seconds without any receiver; the backoff has reached its longest pause by the tenth.
const OUTAGE_SECONDS: usize = 16;
/// Backoff as by default: 100 ms to 10 s, full jitter. Everything else small, for two hundred.
const OPTIONS: &str = "ring.bytes_max=1MiB&ring.threads_max=4&batch.bytes=8KiB&codec=none&lanes=3\
                       &rebind.interval=10s&spool.bytes_max=16MiB";

/// Full jitter draws from ceilings of 0.1, 0.2, .. 6.4, then 10 s, with half of it as the mean: in the first seconds
/// each client has at most its first tries, the sum of whose means passes 1 s with the fifth; from the tenth second
/// on about one in 5 s for each receiver, as src/proto/fleet/tests/storm.rs has it.
fn connects_max(second: usize) -> u64 {
    let clients = CLIENTS as u64;
    if second < 10 { 5 * clients } else { clients * 2 / 5 }
}

#[test]
fn two_hundred_producers_come_back_in_good_order() {
    let (site, namespace) = (Site::new(), Namespace::new());
    let dirs: Vec<PathBuf> = (0..RECEIVERS).map(|number| site.receiver_dir(number)).collect();
    let start = || -> Vec<_> {
        (0..RECEIVERS).map(|number| receiver(&namespace, number, &dirs[number])).collect()
    };
    let receivers = start();
    (0..RECEIVERS).for_each(|number| namespace.count_connects(address(number)));
    let places: Vec<String> = (0..RECEIVERS).map(place).collect();
    let ring_dir = site.ring_dir();
    let url =
        format!("receivers://{}/lines?ring.dir={}&{OPTIONS}", places.join(","), ring_dir.display());
    let mut producer = Producer::start_many(&namespace, 1, &url, RATE, CLIENTS);
    wait::until("everybody delivers", || producer.figures().value("delivered") > 4 * RATE);

    drop(receivers);
    let connects = || -> Vec<u64> {
        (0..RECEIVERS).map(|number| namespace.connects(address(number))).collect()
    };
    let mut before = connects();
    let mut by_second = Vec::new();
    for second in 0..OUTAGE_SECONDS {
        // A measuring time, not a wait.
        std::thread::sleep(SECOND);
        let now = connects();
        let most = now.iter().zip(&before).map(|(now, then)| now - then).max().unwrap();
        by_second.push(most);
        before = now;
        assert!(most <= connects_max(second), "second {second}: {by_second:?}");
    }
    println!(
        "{CLIENTS} producers, connects per second to the busiest of {RECEIVERS}: {by_second:?}"
    );
    let _receivers = start();
    wait::until("the backlog is delivered", || {
        let figures = producer.figures();
        figures.value("accepted") - figures.value("delivered") <= RATE
    });
    let shares = |producer: &mut Producer| {
        let figures = producer.figures();
        places.iter().map(|place| figures.bytes(place)).collect::<Vec<_>>()
    };
    // Lanes move every ten seconds: the shares of three such periods. For a single one, a receiver that gets less of
    // a busy machine's time than the others is slower for seconds, and rightly gets less.
    let mut history = vec![shares(&mut producer)];
    let mut ratio = f64::INFINITY;
    for period in 1usize..=6 {
        std::thread::sleep(10 * SECOND);
        history.push(shares(&mut producer));
        let then = &history[period.saturating_sub(3)];
        let shares: Vec<u64> =
            history[period].iter().zip(then).map(|(now, then)| now - then).collect();
        ratio = *shares.iter().max().unwrap() as f64 / *shares.iter().min().unwrap() as f64;
        println!("bytes by receiver {period}0 s on: {shares:?}, max/min {ratio:.2}");
        if ratio <= RATIO_MAX {
            break;
        }
    }
    assert!(ratio <= RATIO_MAX, "after 60 s: {ratio:.2}");
    let count = producer.finish().value("logged");
    verify(&dirs);
    check(&[(1, count)], &cat_lines(&dirs));
}
