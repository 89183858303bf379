//! What the sender has to tell the application: receivers that came or went, records that were given up.
//!
//! Compares the figures of one round with those of the rounds before; nothing is counted here.

use std::collections::BTreeMap;

use crate::event::Event;
use crate::pipeline::losses::Loss;
use crate::pipeline::notifier::Notifier;
use crate::stats::ReceiverStats;

/// See the module's head.
pub struct Announcer {
    notifier: Notifier,
    known: BTreeMap<String, Known>,
}

/// What was told of a receiver last.
#[derive(Clone, Copy, Default)]
struct Known {
    /// None while it was neither reached nor missed.
    is_up: Option<bool>,
    /// Its failures that are no news.
    failures: u64,
}

impl Announcer {
    /// Tells `notifier`.
    pub fn new(notifier: Notifier) -> Self {
        Self { notifier, known: BTreeMap::new() }
    }

    /// Records were lost.
    pub fn announce_loss(&self, loss: Loss) {
        let Loss { instance, first_record, count, cause } = loss;
        self.notifier.notify(Event::Loss { instance, first_record, count, cause: cause.text() });
    }

    /// The receivers as they are now.
    pub fn announce_receivers(&mut self, receivers: &[ReceiverStats]) {
        if !self.notifier.is_heard() {
            return;
        }
        let mut gone = std::mem::take(&mut self.known);
        for receiver in receivers {
            let address = receiver.address.clone();
            let mut known = gone.remove(&address).unwrap_or_default();
            if receiver.is_connected {
                if known.is_up != Some(true) {
                    self.notifier.notify(Event::ReceiverUp { address: address.clone() });
                }
                known = Known { is_up: Some(true), failures: receiver.failures };
            } else if receiver.failures > known.failures {
                if known.is_up != Some(false) {
                    self.notifier.notify(Event::ReceiverDown { address: address.clone() });
                }
                known = Known { is_up: Some(false), failures: receiver.failures };
            }
            self.known.insert(address, known);
        }
        for (address, _) in gone.into_iter().filter(|(_, known)| known.is_up == Some(true)) {
            self.notifier.notify(Event::ReceiverDown { address });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventCallback;
    use std::sync::Arc;
    use std::sync::mpsc;
    use std::time::Duration;

    #[test]
    fn receivers_are_told_when_they_come_and_when_the_last_lane_failed() {
        let (sender, told) = mpsc::channel();
        let callback = EventCallback::new(move |event| sender.send(event.clone()).unwrap());
        let notifier = Notifier::new(Some(callback), Arc::default());
        let mut announcer = Announcer::new(notifier.clone());
        let rounds: [&[(&str, bool, u64)]; 9] = [
            &[("a", false, 0), ("b", false, 1)],
            &[("a", true, 0), ("b", false, 2)],
            // Rebound: not connected for a moment, but no failure.
            &[("a", false, 0), ("b", false, 3)],
            &[("a", true, 0), ("b", true, 3)],
            // One lane of two failed, then the other was rebound.
            &[("a", true, 1), ("b", true, 3)],
            &[("a", false, 1), ("b", true, 3)],
            &[("a", false, 2), ("b", true, 3)],
            // Resolved to another address.
            &[("a", false, 2)],
            &[("a", true, 2)],
        ];
        for round in rounds {
            let receivers = round.iter().map(|(address, is_connected, failures)| ReceiverStats {
                address: (*address).to_owned(),
                is_connected: *is_connected,
                failures: *failures,
                ..ReceiverStats::default()
            });
            announcer.announce_receivers(&receivers.collect::<Vec<_>>());
        }
        notifier.start().unwrap();
        notifier.stop(Duration::from_secs(60));
        let told: Vec<_> = told
            .try_iter()
            .map(|event| match event {
                Event::ReceiverUp { address } => format!("+{address}"),
                Event::ReceiverDown { address } => format!("-{address}"),
                other => format!("{other:?}"),
            })
            .collect();
        assert_eq!(told, ["-b", "+a", "+b", "-a", "-b", "+a"]);
    }
}
