//! Faults 1 and 14: `kill -9` of the application at random moments, with the receiver up, down or just killed
//! itself; often a second kill before the first one was recovered from.

use std::path::PathBuf;

use crate::arena::ArenaFile;
use crate::delivered;
use crate::delivered::Delivered;
use crate::row::Row;
use crate::support::ReceiverProcess;
use crate::support::application::Application;
use crate::support::lasting_address;
use crate::support::oracle::Accepted;
use crate::support::oracle::Tally;
use crate::support::random::Random;
use crate::support::site::Site;

/// Kills after which everything is made anew, so that nothing grows with the number of kills.
const KILLS_PER_SITE: u64 = 25;

/// The spool waits rather than drops; the application blocks then, and a kill may find it blocked.
const OPTIONS: [&str; 4] = [
    "spool.full=block&ring.full=block&ring.bytes_max=16MiB",
    "spool.full=block&ring.full=block&ring.bytes_max=16MiB&spool.dir=SPOOL&workers=2&codec=zstd",
    "spool.full=block&ring.full=block&ring.bytes_max=16MiB&codec=none&linger=0",
    "spool.full=block&ring.full=block&ring.bytes_max=16MiB&spool.order=fresh_first",
];

/// Where one group of kills happens.
struct Scene {
    site: Site,
    options: &'static str,
    address: std::net::SocketAddr,
    receiver: Option<ReceiverProcess>,
    dirs: [PathBuf; 1],
    /// Runs whose records were not looked for yet.
    open: Vec<Accepted>,
    tally: Tally,
    torn: u64,
}

impl Scene {
    fn new(options: &'static str) -> Self {
        let site = Site::new();
        let dirs = [site.receiver_dir(0)];
        Self {
            address: lasting_address(),
            site,
            options,
            receiver: None,
            dirs,
            open: Vec::new(),
            tally: Tally::default(),
            torn: 0,
        }
    }

    fn url(&self, topic: &str) -> String {
        let spool = self.site.spool_dir();
        let options = self.options.replace("SPOOL", &spool.to_string_lossy());
        self.site.url_of_topic(topic, &[self.address], &format!("name=application&{options}"))
    }

    /// Starts an application beside what others left, kills it, and looks at its arena.
    fn kill_once(&mut self, run: u32, random: &mut Random) {
        match random.below(4) {
            0 => self.receiver.take().into_iter().for_each(ReceiverProcess::kill),
            1 | 2 => self.receive(),
            _as_it_is => {}
        }
        let witness = self.site.memory_file("witness");
        let mut application = Application::start(run, &self.url(&topic(run)), &witness, None);
        // Without a pause between two looks: what is to be hit takes microseconds.
        let kill_at = 1 + random.below(1_500);
        while application.accepted() < kill_at && application.is_running() {
            std::hint::spin_loop();
        }
        let accepted = application.kill();
        let arenas = ArenaFile::below(&self.site.ring_dir());
        let is_torn = arenas.iter().any(|arena| arena.torn(run, &accepted.by_thread) > 0);
        self.torn += u64::from(is_torn);
        self.open.push(accepted);
    }

    fn receive(&mut self) {
        let start = || ReceiverProcess::start_at(self.address, &self.dirs[0], &[]);
        self.receiver.get_or_insert_with(start);
    }

    /// Lets a last process deliver everything, and judges each run by itself.
    fn settle(&mut self) {
        self.receive();
        let stats = self.site.drain(&self.url("drain"));
        assert_eq!((stats.panics, stats.spool_errors), (0, 0), "{stats:?}");
        for accepted in self.open.drain(..) {
            let found = Delivered::read(&self.dirs, &topic(accepted.run));
            assert_eq!(found.named(), 0, "nothing is ever dropped here");
            let tally = found.judge(std::slice::from_ref(&accepted), 0);
            // Missing and left behind would be one fault, missing and nowhere another.
            let left = self.site.slots_left(&self.site.spool_dir());
            tally.assert_clean(&format!("run {}, left {left:?}, {stats:?}", accepted.run));
            self.tally += tally;
        }
        let left = self.site.slots_left(&self.site.spool_dir());
        assert!(left.is_empty(), "left behind: {left:?}, {stats:?}");
    }
}

fn topic(run: u32) -> String {
    format!("run-{run}")
}

#[test]
fn kill_9_of_the_application() {
    let row = Row::begin("1+14", "kill -9 of the application", 300, 10_000);
    let (mut tally, mut torn, mut settled) = (Tally::default(), 0, 0);
    let mut kills = 0u32;
    for group in 0..row.runs().div_ceil(KILLS_PER_SITE) {
        let mut random = row.random(group);
        let options = OPTIONS[group as usize % OPTIONS.len()];
        let mut scene = Scene::new(options);
        let last = row.runs().min((group + 1) * KILLS_PER_SITE) as u32;
        while kills < last {
            scene.kill_once(kills, &mut random);
            kills += 1;
            if kills == last || random.below(2) == 0 {
                scene.settle();
                settled += 1;
            }
        }
        delivered::assert_accounted(&scene.dirs);
        tally += scene.tally;
        torn += scene.torn;
    }
    let percent = 100 * torn / u64::from(kills);
    let figures = format!("{percent} % with a torn record, {settled} restarts to the end");
    row.finish(&figures, &tally);
    assert!(kills < 100 || percent >= 30, "only {torn} of {kills} kills tore a record");
}
