//! The loggers that a thread used, so that its next call with one of them needs neither the table of handles nor
//! a lock.
//!
//! A logger of a closed client stays until the thread's next miss; it refuses by itself.

use std::cell::RefCell;

use logdrive::Code;
use logdrive::Logger;

/// Loggers that a thread finds without the table.
const RECENT_MAX: usize = 64;

thread_local! {
    static RECENT: RefCell<Vec<(u64, Logger)>> = const { RefCell::new(Vec::new()) };
}

/// Runs `body` with the logger behind a handle; `look_up` finds it on a thread's first call with it.
///
/// # Errors
/// What `look_up` or `body` give; [`Code::Reentrant`] in a signal handler that interrupts [`remember`].
#[inline(always)]
pub fn with_logger<T>(
    handle: u64,
    look_up: impl FnOnce() -> Result<Logger, Code>,
    body: impl FnOnce(&Logger) -> Result<T, Code>,
) -> Result<T, Code> {
    let mut body = Some(body);
    let tried = RECENT.try_with(|recent| {
        let Ok(recent) = recent.try_borrow() else { return Some(Err(Code::Reentrant)) };
        let (_, logger) = recent.iter().find(|(known, _)| *known == handle)?;
        Some(body.take()?(logger))
    });
    match (tried, body) {
        (Ok(Some(outcome)), _) => outcome,
        (_, Some(body)) => body(&look_up()?),
        (_, None) => Err(Code::Internal),
    }
}

/// Keeps a logger for the thread's next call; gives what the thread forgets for it, `is_open` having said of which
/// handles there is no more use.
///
/// To be dropped outside of every lock: the last of a logger's clones may unmap its arena.
#[must_use]
pub fn remember(handle: u64, logger: &Logger, is_open: impl Fn(u64) -> bool) -> Vec<(u64, Logger)> {
    let forgotten = RECENT.try_with(|recent| {
        let Ok(mut recent) = recent.try_borrow_mut() else { return Vec::new() };
        let mut forgotten: Vec<_> = recent.extract_if(.., |(known, _)| !is_open(*known)).collect();
        if recent.len() >= RECENT_MAX {
            forgotten.push(recent.remove(0));
        }
        recent.push((handle, logger.clone()));
        forgotten
    });
    // Where the thread's locals are gone already, it remembers nothing.
    forgotten.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::OpenClient;
    use logdrive::Config;
    use std::time::Duration;

    #[test]
    fn a_thread_remembers_what_is_open_and_so_much_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().display();
        let url = format!(
            "receivers://127.0.0.1:1/t?ring.dir={path}&spool.dir={path}/s&ring.bytes_max=1MiB"
        );
        let open = OpenClient::start(&Config::from_url(&url).unwrap()).unwrap();
        let logger: Logger = (*open.client).clone();
        let is_known = |handle| with_logger(handle, || Err(Code::Closed), |_| Ok(())).is_ok();
        let found = with_logger(1, || Ok(logger.clone()), |_| Ok(()));
        assert_eq!((found, is_known(1)), (Ok(()), false), "a look-up alone is not remembered");
        for handle in 1..=RECENT_MAX as u64 {
            assert!(remember(handle, &logger, |_| true).is_empty());
        }
        assert!(is_known(1) && is_known(RECENT_MAX as u64));
        let evicted = remember(100, &logger, |_| true);
        assert_eq!(evicted.iter().map(|(handle, _)| *handle).collect::<Vec<_>>(), [1]);
        let closed = remember(101, &logger, |handle| handle >= 100);
        assert_eq!(closed.len(), RECENT_MAX - 1, "what is closed is forgotten");
        assert!(!is_known(2) && is_known(100) && is_known(101));
        drop((evicted, closed));
        assert!(open.client.close(Duration::from_secs(60)).is_ok());
    }
}
