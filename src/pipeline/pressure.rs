//! A spool that runs full: when a refused commit is tried again, which records are still admitted, and what
//! others of the same name take of the quota.
//!
//! Owned by the batcher's thread. Invariant: nothing here drops anything; under `spool.full=drop_oldest` it is
//! the sender that makes room, under `drop_newest` and `block` the callers are refused before anything is lost.

use std::sync::Arc;
use std::time::Duration;

use crate::config::SpoolFull;
use crate::ids::Moment;
use crate::pipeline::slots::Roots;
use crate::ring::Arena;
use crate::spool;
use crate::spool::CommitError;

/// One in so many bytes of its quota is kept for severity WARN and above: above 90 % only they are admitted.
const RESERVE_DIVISOR: u64 = 10;
/// Half the first pause before a commit that the spool refused is tried again; each one is twice the last.
const PAUSE_MIN: Duration = Duration::from_millis(1);
/// Longest pause where the spool is full: room comes with the next acknowledgements.
const PAUSE_FULL_MAX: Duration = Duration::from_millis(32);
/// Longest pause where the file system refuses: each try costs system calls.
const PAUSE_ERROR_MAX: Duration = Duration::from_millis(512);

/// Pause between two looks at what others use while only the urgent are admitted: waiting callers wake the batcher
/// thousands of times in a second, and a look lists directories.
const OTHERS_INTERVAL: Duration = Duration::from_millis(100);

/// See the module's head.
pub struct Pressure {
    arena: Arc<Arena>,
    roots: Roots,
    policy: SpoolFull,
    pause: Duration,
    only_urgent: bool,
    /// When it was last looked at what others use.
    looked_at: Moment,
}

impl Pressure {
    /// None yet; the slots below `roots` share a quota.
    pub fn new(arena: Arc<Arena>, roots: Roots, policy: SpoolFull) -> Self {
        Self { arena, roots, policy, pause: PAUSE_MIN, only_urgent: false, looked_at: Moment(0) }
    }

    /// A commit was refused: it is tried again after the pause.
    pub fn note_refused(&mut self, error: &CommitError) {
        let longest = match error {
            CommitError::Full { .. } => PAUSE_FULL_MAX,
            CommitError::TooLarge { .. }
            | CommitError::Misnumbered { .. }
            | CommitError::Io { .. } => PAUSE_ERROR_MAX,
        };
        self.pause = (self.pause * 2).min(longest);
    }

    /// A commit went through.
    pub fn note_committed(&mut self) {
        self.pause = PAUSE_MIN;
    }

    /// How long to wait before a refused commit is tried again.
    pub fn pause(&self) -> Duration {
        self.pause
    }

    /// Whether the oldest batches are to give way.
    pub fn drops_oldest(&self) -> bool {
        self.policy == SpoolFull::DropOldest
    }

    /// Tells the writer what others use, the rings whom to admit: nobody where their file is gone. Looks at the disk
    /// only where a segment is to be allocated next.
    pub fn look(&mut self, now: Moment, writer: &mut spool::Writer, is_blocked: bool) {
        self.arena.close_if_lost();
        // A blocked group may be one that needs a segment of its own, whatever the active one has left. While only
        // the urgent are admitted none may ever be allocated: then others' room is how it ends.
        let is_due = self.only_urgent && now.since(self.looked_at) >= OTHERS_INTERVAL;
        if is_blocked || is_due || (!self.only_urgent && writer.will_allocate()) {
            self.looked_at = now;
            writer.set_other_bytes(self.roots.bytes_beside(self.arena.instance()));
        }
        let is_scarce = is_blocked || writer.room_bytes() < writer.quota_bytes() / RESERVE_DIVISOR;
        let only_urgent = is_scarce && !self.drops_oldest();
        if only_urgent != self.only_urgent {
            self.only_urgent = only_urgent;
            self.arena.admit_only_urgent(only_urgent);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    fn arena() -> Arc<Arena> {
        let options = crate::ring::Options {
            bytes: 1 << 20,
            threads_max: 1,
            reserve_percent: 0,
            record_bytes_max: 1024,
        };
        let description = Arena::layout(&options, crate::ids::InstanceId([1; 16]));
        let bytes = description.arena_bytes() as u64;
        let mapping = crate::sys::mapping::Mapping::anonymous(bytes).unwrap();
        Arc::new(Arena::create(mapping, description, &options))
    }

    #[test]
    fn others_are_looked_at_now_and_then_while_only_the_urgent_are_admitted() {
        let dir = tempfile::tempdir().unwrap();
        let roots = Roots::new(Some(dir.path()), None, "test");
        let (own, other) = (roots.create().unwrap(), roots.create().unwrap());
        let segment_bytes = 64 << 10;
        let options = spool::Options {
            segment_bytes,
            bytes_max: 8 * segment_bytes,
            ..spool::Options::default()
        };
        let (mut writer, _reader) =
            spool::create(own.spool_dir(), own.instance(), &options).unwrap();
        let mut pressure = Pressure::new(arena(), roots, SpoolFull::Block);
        let other_file = other.spool_dir().join("00000000000000000001.seg");
        std::fs::write(&other_file, vec![1; 7 << 16]).unwrap();
        let now = Moment(0).after(Duration::from_secs(60));
        pressure.look(now, &mut writer, true);
        assert!(pressure.only_urgent && writer.will_allocate());
        assert_eq!(writer.quota_bytes(), 2 * segment_bytes, "the rest is the other's");
        std::fs::remove_file(&other_file).unwrap();
        pressure.look(now.after(OTHERS_INTERVAL / 2), &mut writer, false);
        assert_eq!(writer.quota_bytes(), 2 * segment_bytes, "not looked at");
        pressure.only_urgent = true;
        pressure.look(now.after(OTHERS_INTERVAL), &mut writer, false);
        assert_eq!(writer.quota_bytes(), 8 * segment_bytes);
    }

    #[test]
    fn pauses_grow_to_their_bound_and_start_anew_after_a_commit() {
        let roots = Roots::new(None, None, "test");
        let mut pressure = Pressure::new(arena(), roots, SpoolFull::Block);
        let full = CommitError::Full { used_bytes: 1, bytes_max: 1 };
        (0..20).for_each(|_| pressure.note_refused(&full));
        assert_eq!(pressure.pause(), PAUSE_FULL_MAX);
        let error = || CommitError::Io { action: "test", source: io::Error::other("no") };
        (0..20).for_each(|_| pressure.note_refused(&error()));
        assert_eq!(pressure.pause(), PAUSE_ERROR_MAX);
        pressure.note_committed();
        assert_eq!(pressure.pause(), PAUSE_MIN);
    }
}
