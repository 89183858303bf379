//! A signal handler that logs: it may have interrupted a log call of its own thread, and then is refused.

#![allow(unsafe_code, reason = "a signal handler is C's")]

use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use logdrive::Code;
use logdrive::Logger;
use logdrive::Severity;

use crate::support::ReceiverProcess;
use crate::support::site::Site;
use crate::support::site::cat_lines;
use crate::support::site::verify;
use crate::support::wait;

static LOGGER: OnceLock<Logger> = OnceLock::new();
static LOGGED: AtomicU64 = AtomicU64::new(0);
static REENTRANT: AtomicU64 = AtomicU64::new(0);
static OTHERWISE: AtomicU64 = AtomicU64::new(0);

extern "C" fn log_from_handler(_: libc::c_int) {
    let Some(logger) = LOGGER.get() else { return };
    let counter = match logger.log(Severity::Info, "from a handler") {
        Ok(()) => &LOGGED,
        Err(Code::Reentrant) => &REENTRANT,
        Err(_) => &OTHERWISE,
    };
    // SeqCst: the test reads the counts when the threads have ended.
    counter.fetch_add(1, Ordering::SeqCst);
}

#[test]
fn a_handler_that_interrupts_a_log_call_is_refused_and_any_other_is_not() {
    let site = Site::new();
    let receiver = ReceiverProcess::start(&site.receiver_dir(0), &[]);
    let client = site.client(&[receiver.address], "ring.full=block&ring.full_deadline=1m");
    assert!(LOGGER.set(client.stream("lines").unwrap()).is_ok());
    // SAFETY: the handler calls nothing but the log call, which is what is tested, and atomics.
    let before = unsafe {
        libc::signal(libc::SIGUSR2, log_from_handler as extern "C" fn(libc::c_int) as usize)
    };
    assert_ne!(before, libc::SIG_ERR);
    let is_done = AtomicBool::new(false);
    let (sender, receives) = std::sync::mpsc::channel();
    let logged = std::thread::scope(|scope| {
        let (client, is_done) = (&client, &is_done);
        let thread = scope.spawn(move || {
            // The first record of a thread allocates; no handler's should be that.
            client.log(Severity::Info, "from the thread").unwrap();
            // SAFETY: it names the calling thread.
            sender.send(unsafe { libc::pthread_self() }).unwrap();
            let mut logged = 1;
            // SeqCst: any order would do.
            while !is_done.load(Ordering::SeqCst) {
                client.log(Severity::Info, "from the thread").unwrap();
                logged += 1;
            }
            logged
        });
        let target = receives.recv().unwrap();
        wait::until("handlers have met both", || {
            // SAFETY: the thread lives until `is_done`.
            assert_eq!(unsafe { libc::pthread_kill(target, libc::SIGUSR2) }, 0);
            // SeqCst: as above.
            let load = |count: &AtomicU64| count.load(Ordering::SeqCst);
            load(&REENTRANT) >= 5 && load(&LOGGED) >= 5
        });
        // SeqCst: as above.
        is_done.store(true, Ordering::SeqCst);
        thread.join().unwrap()
    });
    let (from_handlers, reentrant) =
        (LOGGED.load(Ordering::SeqCst), REENTRANT.load(Ordering::SeqCst));
    assert_eq!(OTHERWISE.load(Ordering::SeqCst), 0);
    let stats = client.close(wait::PATIENCE).unwrap();
    assert_eq!(stats.refused, [("reentrant", reentrant)]);
    assert_eq!(stats.accepted, logged + from_handlers);
    assert_eq!(LOGGER.get().unwrap().log(Severity::Info, "after close"), Err(Code::Closed));
    let lines = cat_lines(&[site.receiver_dir(0)]);
    let found = lines.iter().filter(|line| *line == b"from a handler").count() as u64;
    assert_eq!((found, lines.len() as u64), (from_handlers, logged + from_handlers));
    verify(&[site.receiver_dir(0)]);
}
