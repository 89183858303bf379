//! Whether the spool is full, as the application is told: not at every change, which under `spool.full=drop_oldest`
//! come many times a second, but when it fills and when it has had room for a while.

use std::time::Duration;

use crate::event::Event;
use crate::ids::Moment;
use crate::pipeline::notifier::Notifier;

/// How long there has to be room before it is told.
const ROOM_FOR: Duration = Duration::from_secs(1);

/// See the module's head.
pub struct Fullness {
    notifier: Notifier,
    full_at: Option<Moment>,
}

impl Fullness {
    /// Room, until the first commit that finds none.
    pub fn new(notifier: Notifier) -> Self {
        Self { notifier, full_at: None }
    }

    /// A commit found no room.
    pub fn note_full(&mut self, now: Moment) {
        if self.full_at.replace(now).is_none() {
            self.notifier.notify(Event::SpoolFull);
        }
    }

    /// Nothing waits for room.
    pub fn note_room(&mut self, now: Moment) {
        if self.full_at.is_some_and(|at| now.since(at) >= ROOM_FOR) {
            self.full_at = None;
            self.notifier.notify(Event::SpoolHasRoom);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventCallback;
    use std::sync::Arc;
    use std::sync::mpsc;

    #[test]
    fn a_spool_at_its_limit_is_told_once() {
        let (sender, told) = mpsc::channel();
        let callback = EventCallback::new(move |event| sender.send(event.clone()).unwrap());
        let notifier = Notifier::new(Some(callback), Arc::default());
        let mut fullness = Fullness::new(notifier.clone());
        let start = Moment(1_000_000_000);
        fullness.note_room(start);
        for turn in 0..10 {
            let now = start.after(ROOM_FOR / 2 * turn);
            fullness.note_full(now);
            fullness.note_room(now.after(ROOM_FOR / 4));
        }
        let last = start.after(ROOM_FOR / 2 * 9);
        fullness.note_room(last.after(ROOM_FOR));
        fullness.note_room(last.after(ROOM_FOR * 2));
        notifier.start().unwrap();
        notifier.stop(Duration::from_secs(60));
        assert_eq!(told.try_iter().collect::<Vec<_>>(), [Event::SpoolFull, Event::SpoolHasRoom]);
    }
}
