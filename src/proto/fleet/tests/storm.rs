//! A thousand producers whose receivers are all restarted at once.

use super::simulation::*;
use crate::proto::fleet::Options;

#[test]
fn a_thousand_fleets_reconnect_within_the_formula_and_evenly() {
    const FLEETS: u32 = 1000;
    const RECEIVERS: usize = 3;
    let seed = SEEDS[1];
    let mut network = Network::new(seed, RECEIVERS);
    let options = Options { rebind_interval: Some(seconds(60)), ..Options::default() };
    (0..FLEETS).for_each(|_| network.add_host(options.clone(), milliseconds(500)));
    network.run(seconds(5));
    (0..RECEIVERS).for_each(|receiver| network.kill(receiver));
    let killed_at = (network.now.0 / 1_000_000_000) as usize;
    network.run(seconds(30));
    (0..RECEIVERS).for_each(|receiver| network.restart(receiver));
    network.run(seconds(60));
    for (number, receiver) in network.receivers.iter().enumerate() {
        let connects = &receiver.connects[killed_at..];
        // Full jitter: ceilings 0.1, 0.2, .. 6.4, then 10 s, with half of it as the mean. So in the
        // first second each fleet has at most its first tries (the sum of their means passes 1 s
        // with the fifth), and from the tenth on about one in 5 s.
        assert!(connects[..2].iter().all(|count| *count <= 5 * FLEETS), "{number}: {connects:?}");
        let later = &connects[10..30];
        assert!(later.iter().all(|count| *count <= FLEETS * 2 / 5), "{number}: {connects:?}");
        // After the restart nobody tries more often than before it.
        assert!(
            connects[31..].iter().all(|count| *count <= FLEETS * 2 / 5),
            "{number}: {connects:?}"
        );
    }
    let shares = network.shares_over(seconds(10));
    assert!(ratio(&shares) <= 1.2, "seed {seed}: {shares:?}");
}
