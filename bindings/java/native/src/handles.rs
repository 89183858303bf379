//! Handles: numbers that Java holds, looked up in a table, and never given twice.
//!
//! Owns the table of what is open. The call path does not take its lock: a thread remembers the loggers it used
//! (`recent` of `bindings/shared`).

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use logdrive::Code;
use logdrive::Logger;
use logdrive_bindings::client::OpenClient;
use logdrive_bindings::recent;

enum Entry {
    Client(OpenClient),
    Logger { client: i64, logger: Logger },
}

struct Table {
    /// The last handle that was given.
    given: i64,
    entries: BTreeMap<i64, Entry>,
}

static TABLE: Mutex<Table> = Mutex::new(Table { given: 0, entries: BTreeMap::new() });

impl Table {
    fn locked() -> MutexGuard<'static, Table> {
        // Poison is tolerated: every change of the table is one insertion or removal.
        TABLE.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&mut self, entry: Entry) -> i64 {
        self.given += 1;
        self.entries.insert(self.given, entry);
        self.given
    }

    fn find(&self, handle: i64) -> Result<&Entry, Code> {
        let was_given = (1..=self.given).contains(&handle);
        let absent = if was_given { Code::Closed } else { Code::InvalidArgument };
        self.entries.get(&handle).ok_or(absent)
    }

    fn client(&self, handle: i64) -> Result<OpenClient, Code> {
        match self.find(handle)? {
            Entry::Client(client) => Ok(client.clone()),
            Entry::Logger { .. } => Err(Code::InvalidArgument),
        }
    }
}

/// Gives a client a handle.
pub(crate) fn add_client(client: OpenClient) -> i64 {
    Table::locked().add(Entry::Client(client))
}

/// The client behind a handle.
pub(crate) fn client(handle: i64) -> Result<OpenClient, Code> {
    Table::locked().client(handle)
}

/// Every client that is open.
pub(crate) fn clients() -> Vec<OpenClient> {
    let table = Table::locked();
    let clients = table.entries.values().filter_map(|entry| match entry {
        Entry::Client(client) => Some(client.clone()),
        Entry::Logger { .. } => None,
    });
    clients.collect()
}

/// Takes a client and its loggers out of the table.
pub(crate) fn remove_client(owner: i64) -> Result<OpenClient, Code> {
    let mut table = Table::locked();
    let removed = table.client(owner)?;
    let is_of_owner = |handle: &i64, entry: &mut Entry| match entry {
        Entry::Client(_) => *handle == owner,
        Entry::Logger { client, .. } => *client == owner,
    };
    let gone: Vec<_> = table.entries.extract_if(.., is_of_owner).collect();
    // Outside of the lock: the last of a logger's clones may unmap its arena.
    drop(table);
    drop(gone);
    Ok(removed)
}

/// Gives a client's logger a handle.
pub(crate) fn add_logger(client: i64, logger: Logger) -> Result<i64, Code> {
    let mut table = Table::locked();
    // The client may have been closed since its logger was made.
    table.client(client)?;
    Ok(table.add(Entry::Logger { client, logger }))
}

/// Runs `body` with the logger behind a handle.
#[inline(always)]
pub(crate) fn with_logger<T>(
    handle: i64,
    body: impl FnOnce(&Logger) -> Result<T, Code>,
) -> Result<T, Code> {
    recent::with_logger(handle as u64, || look_up(handle), body)
}

/// Finds a logger in the table, and remembers it for the thread's next call.
#[cold]
fn look_up(handle: i64) -> Result<Logger, Code> {
    let table = Table::locked();
    let logger = match table.find(handle)? {
        Entry::Logger { logger, .. } => logger.clone(),
        Entry::Client(_) => return Err(Code::InvalidArgument),
    };
    let is_open = |known: u64| table.entries.contains_key(&(known as i64));
    let forgotten = recent::remember(handle as u64, &logger, is_open);
    // Outside of the lock.
    drop(table);
    drop(forgotten);
    Ok(logger)
}

#[cfg(test)]
mod tests {
    use super::*;
    use logdrive::Config;
    use std::time::Duration;

    #[test]
    fn foreign_closed_and_mistaken_handles_are_told_apart() {
        let dir = std::env::temp_dir().join(format!("logdrive-java-{}", std::process::id()));
        let path = dir.display();
        let url = format!(
            "receivers://127.0.0.1:1/t?ring.dir={path}&spool.dir={path}/s&ring.bytes_max=1MiB"
        );
        let opened = OpenClient::start(&Config::from_url(&url).unwrap()).unwrap();
        let logger = (*opened.client).clone();
        let owner = add_client(opened);
        let of_owner = add_logger(owner, logger.clone()).unwrap();
        assert_eq!(with_logger(of_owner, |_| Ok(1)), Ok(1));
        assert_eq!(with_logger(owner, |_| Ok(1)), Err(Code::InvalidArgument));
        assert_eq!(client(of_owner).err(), Some(Code::InvalidArgument));
        for foreign in [0, -1, i64::MAX, i64::MIN] {
            assert_eq!(with_logger(foreign, |_| Ok(1)), Err(Code::InvalidArgument), "{foreign}");
        }
        let removed = remove_client(owner).unwrap();
        assert_eq!(remove_client(owner).err(), Some(Code::Closed));
        assert_eq!(add_logger(owner, logger).err(), Some(Code::Closed));
        let on_another_thread = std::thread::scope(|scope| {
            scope.spawn(|| with_logger(of_owner, |_| Ok(1))).join().unwrap()
        });
        assert_eq!(on_another_thread, Err(Code::Closed));
        assert!(removed.client.close(Duration::from_secs(60)).is_ok());
        std::fs::remove_dir_all(dir).unwrap();
    }
}
