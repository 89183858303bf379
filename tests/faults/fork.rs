//! Fault 4: fork while logging. The host's threads log without a pause while it forks by `fork`, `_Fork` and a raw
//! `clone`, without exec, children and grandchildren; all log on, and end by `exit` or `_exit`, closed or not. The last
//! child logs while its parent is stopped: what then moves on the parent's sockets would be the child's.

#![allow(unsafe_code, reason = "a fork is unsafe by nature; the children here are ours")]

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use logdrive::Client;

use crate::delivered;
use crate::delivered::Delivered;
use crate::host;
use crate::host::Orders;
use crate::host::Voice;
use crate::row::Row;
use crate::support::ReceiverProcess;
use crate::support::oracle::Tally;
use crate::support::random::Random;
use crate::support::site::Site;
use crate::support::wait;
use crate::support::witness::Witness;

const OPTIONS: &str = "name=forked&spool.full=block&ring.full=block&ring.bytes_max=4MiB";
/// Forks of one host; each has a grandchild.
const FORKS: u32 = 10;
/// The host, its children, theirs, and the child of a stopped parent.
const RUNS: u32 = 1 + 2 * FORKS + 1;
const RECORDS: u64 = 40;
/// Behind the threads' words of a witness one for each run: 1 where it hung and was ended.
const HUNG: usize = RUNS as usize * host::THREADS_MAX;
/// A child that was forked without handlers may hang in glibc: a thread of its parent held a lock of `malloc` at that
/// instant, which nobody in the child will give back. No library can help that; such a child is ended, a grandchild
/// before its parent, and what it was promised is delivered like a killed process's. With handlers none may hang.
const HANG_SECONDS: [u32; 2] = [60, 30];
/// More of them than one in a hundred would be our doing.
const HUNG_DIVISOR: u64 = 100;
/// Records that a thread of the host logs between two pauses: forks are to find it in the middle of a call, children
/// are to find a processor.
const BURST: u32 = 16;
const PAUSE: Duration = Duration::from_micros(200);

#[test]
fn forks_while_logging() {
    let row = Row::begin("4", "fork without exec while logging", 50, 1_000);
    let (mut tally, mut hung) = (Tally::default(), 0);
    for group in 0..row.runs().div_ceil(FORKS.into()) {
        let site = Site::new();
        let dirs = [site.receiver_dir(0)];
        let receiver = ReceiverProcess::start(&dirs[0], &[]);
        let url = site.url_of_topic("forked", &[receiver.address], OPTIONS);
        let path = site.memory_file("witness");
        let witness = Witness::create(&path, HUNG + RUNS as usize);
        host::run(host::command("fork::host", &url, &path, row.random(group).next(), ""), 0);
        let stats = site.drain(&url);
        assert_eq!(stats.panics, 0);
        let hung_here: u64 = (0..RUNS as usize).map(|run| witness.read(HUNG + run)).sum();
        hung += hung_here;
        let promised = host::promised(&witness, RUNS, hung_here > 0);
        let verdict = Delivered::read(&dirs, "forked").judge(&promised, 0);
        let left = site.files_left();
        assert!(verdict.difference() == 0 && left.is_empty(), "{verdict:?}, left {left:?}");
        delivered::assert_accounted(&dirs);
        let (runs, reused) = delivered::numbers(&dirs);
        assert!(runs.values().all(|runs| runs.len() == 1), "an instance of two processes");
        // One that hung at once logged nothing and had no child.
        let least = RUNS as usize - 2 * hung_here as usize;
        assert!(runs.len() >= least && runs.len() <= RUNS as usize, "{} instances", runs.len());
        assert_eq!(reused, 0, "numbers used twice");
        tally += verdict;
    }
    assert!(hung <= 1 + row.runs() / HUNG_DIVISOR, "{hung} children hung");
    let figures = format!(
        "as many grandchildren, 0 bytes of a child on its parent's sockets, {hung} ended in a lock of malloc"
    );
    row.finish(&figures, &tally);
}

/// No test, but the host of the row above.
#[test]
fn host() {
    let Some(Orders { url, witness, seed, .. }) = host::orders() else { return };
    let mut random = Random::new(seed);
    let client = host::client(&url);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for thread in 1..4 {
            let (client, witness, is_over) = (&client, &witness, &is_over);
            scope.spawn(move || {
                let mut voice = Voice::new(witness, 0, thread);
                while !is_over.load(Ordering::Relaxed) {
                    (0..BURST).for_each(|_| voice.log(client).unwrap());
                    std::thread::sleep(PAUSE);
                }
            });
        }
        let mut voice = Voice::new(&witness, 0, 0);
        let mut children = Vec::new();
        for number in 0..FORKS {
            let run = 1 + 2 * number;
            let ways = random.next();
            let child = fork(ways, HANG_SECONDS[0], || descend(&client, &witness, run, ways));
            children.push((child, ways, run));
            (0..RECORDS).for_each(|_| voice.log(&client).unwrap());
        }
        for (child, ways, run) in children {
            wait_for(child, ways, &witness, run);
        }
        is_over.store(true, Ordering::Relaxed);
    });
    client.flush(wait::PATIENCE).unwrap();
    log_beside_a_stopped_parent(&client, &witness);
    client.close(wait::PATIENCE).unwrap();
}

/// A child: logs, has a child of its own in the middle, and goes by one of the ways.
fn descend(client: &Client, witness: &Witness, run: u32, ways: u64) {
    let mut voice = Voice::new(witness, run, 0);
    let mut log = |count| (0..count).for_each(|_| voice.log(client).unwrap());
    log(ways >> 8 & 1);
    let next_ways = ways_of_grandchild(ways);
    let grandchild = fork(next_ways, HANG_SECONDS[1], || {
        let mut voice = Voice::new(witness, run + 1, 0);
        (0..RECORDS).for_each(|_| voice.log(client).unwrap());
    });
    log(RECORDS);
    if ways & 16 == 0 {
        client.clone().close(wait::PATIENCE).unwrap();
    }
    wait_for(grandchild, next_ways, witness, run + 1);
}

/// A child that was made without handlers goes on so: glibc's `fork` takes all locks of `malloc`, one of which a
/// thread of the parent may have held at that moment, for ever in the child. What else we do there takes none of them.
fn ways_of_grandchild(ways: u64) -> u64 {
    let next = ways >> 2;
    if has_handlers(next) && !has_handlers(ways) { next + 1 } else { next }
}

fn has_handlers(ways: u64) -> bool {
    ways.is_multiple_of(3)
}

/// Forks by one of three ways; the child runs `body` and ends by `exit` or `_exit`, or where it hangs.
fn fork(ways: u64, hang_seconds: u32, body: impl FnOnce()) -> libc::pid_t {
    let seconds_max = if has_handlers(ways) { host::seconds_max() } else { hang_seconds };
    // SAFETY: the child runs test code of ours and ends; in glibc malloc and threads work in it.
    let child = unsafe {
        match ways % 3 {
            0 => libc::fork(),
            1 => _Fork(),
            _raw => libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) as libc::pid_t,
        }
    };
    assert!(child >= 0);
    if child == 0 {
        // SAFETY: ends a child that hangs, no later than its host; no memory is touched.
        unsafe { libc::alarm(seconds_max) };
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
        let code = i32::from(outcome.is_err());
        if ways.is_multiple_of(3) && ways & 32 == 0 {
            std::process::exit(code);
        }
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(code) };
    }
    child
}

unsafe extern "C" {
    /// glibc 2.34: a fork that runs no handlers.
    fn _Fork() -> libc::pid_t;
}

fn wait_for(child: libc::pid_t, ways: u64, witness: &Witness, run: u32) {
    let mut status = 0;
    // SAFETY: a child of ours; `status` has room.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    let was_ended = libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGALRM;
    if was_ended && !has_handlers(ways) {
        witness.store(HUNG + run as usize, 1);
        return;
    }
    assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "status {status:#x}");
}

fn log_beside_a_stopped_parent(client: &Client, witness: &Witness) {
    let sockets = sockets();
    assert!(!sockets.is_empty(), "the parent is connected");
    let parent = std::process::id();
    let child = fork(0, host::seconds_max(), || {
        wait::until("the parent is stopped", || {
            let status = std::fs::read_to_string(format!("/proc/{parent}/status")).unwrap();
            status.contains("State:\tT")
        });
        let sent = || sockets.iter().map(|socket| bytes_sent(*socket)).collect::<Vec<_>>();
        let before = sent();
        let mut voice = Voice::new(witness, RUNS - 1, 0);
        (0..RECORDS).for_each(|_| voice.log(client).unwrap());
        let closed = client.clone().close(wait::PATIENCE);
        let after = sent();
        // SAFETY: wakes the parent, whatever was found.
        unsafe { libc::kill(parent as libc::pid_t, libc::SIGCONT) };
        assert_eq!(before, after, "bytes of the child on the parent's sockets");
        assert!(closed.is_ok());
    });
    // SAFETY: stops this process, until the child wakes it.
    unsafe { libc::raise(libc::SIGSTOP) };
    wait_for(child, 0, witness, RUNS - 1);
}

/// The connected TCP sockets of this process.
fn sockets() -> Vec<libc::c_int> {
    let names = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    let numbers = names.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.filter(|socket| tcp_info(*socket).is_some()).collect()
}

/// Bytes that the peer has acknowledged, and packets that are not yet.
fn bytes_sent(socket: libc::c_int) -> (u64, u32) {
    let info = tcp_info(socket).unwrap();
    let acknowledged = u64::from_le_bytes(info[120..128].try_into().unwrap());
    (acknowledged, u32::from_le_bytes(info[24..28].try_into().unwrap()))
}

/// `struct tcp_info` of an established connection (include/uapi/linux/tcp.h): tcpi_state at 0, tcpi_unacked at 24,
/// tcpi_bytes_acked at 120.
fn tcp_info(socket: libc::c_int) -> Option<[u8; 256]> {
    const ESTABLISHED: u8 = 1;
    let mut info = [0u8; 256];
    let mut length = info.len() as libc::socklen_t;
    // SAFETY: `info` has `length` bytes; the kernel refuses what is no TCP socket.
    let outcome = unsafe {
        let to = info.as_mut_ptr().cast();
        libc::getsockopt(socket, libc::IPPROTO_TCP, libc::TCP_INFO, to, &raw mut length)
    };
    (outcome == 0 && length >= 128 && info[0] == ESTABLISHED).then_some(info)
}
