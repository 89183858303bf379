//! What came of a delivery, in words and as JSON.

use std::fmt::Write as _;

use logdrive::Snapshot;
use logdrive::stats::ReceiverStats;

use crate::Outcome;
use crate::json;

/// The figures of one client's run, or of several one after the other.
#[derive(Default)]
pub struct Summary {
    /// Who logged, and how many records: what `verify --expect` wants. Without those that logged nothing.
    instances: Vec<(String, u64)>,
    /// Records that were accepted from the input, and our own reports of losses.
    pub accepted: u64,
    /// Records acknowledged, of this run and of adopted ones.
    pub delivered: u64,
    /// Those of adopted runs among them.
    pub adopted_delivered: u64,
    /// Records sent where no acknowledgement comes.
    pub unconfirmed: u64,
    /// Records neither acknowledged nor given up: in the spool, or still in the rings.
    pub stored: u64,
    dropped: Vec<(&'static str, u64)>,
    refused: Vec<(&'static str, u64)>,
    damaged: u64,
    loss_reports: u64,
    spool_errors: u64,
    bytes_in: u64,
    bytes_wire: u64,
    seconds: f64,
    receivers: Vec<ReceiverStats>,
}

impl Summary {
    /// Of one client's figures at its end.
    pub fn of(stats: &Snapshot, seconds: f64) -> Self {
        let sender = &stats.sender;
        let ended = sender.delivered + sender.unconfirmed + sender.damaged + stats.dropped_total();
        let mut dropped = sender.dropped.clone();
        if sender.adopted_dropped > 0 {
            dropped.push(("earlier_run", sender.adopted_dropped));
        }
        let instances = (stats.accepted > 0).then(|| (stats.instance.clone(), stats.accepted));
        Self {
            instances: instances.into_iter().collect(),
            accepted: stats.accepted,
            delivered: sender.delivered + sender.adopted_delivered,
            adopted_delivered: sender.adopted_delivered,
            unconfirmed: sender.unconfirmed,
            stored: sender.adopted_stored + stats.accepted.saturating_sub(ended),
            dropped,
            refused: stats.refused.clone(),
            damaged: sender.damaged + stats.spool_damages,
            loss_reports: stats.loss_reports,
            spool_errors: stats.spool_errors,
            bytes_in: stats.bytes_in,
            bytes_wire: sender.bytes_wire,
            seconds,
            receivers: sender.receivers.clone(),
        }
    }

    /// Adds the run that came next.
    pub fn add(&mut self, next: Summary) {
        self.instances.extend(next.instances);
        self.accepted += next.accepted;
        self.delivered += next.delivered;
        self.adopted_delivered += next.adopted_delivered;
        self.unconfirmed += next.unconfirmed;
        self.stored += next.stored;
        self.damaged += next.damaged;
        self.loss_reports += next.loss_reports;
        self.spool_errors += next.spool_errors;
        self.bytes_in += next.bytes_in;
        self.bytes_wire += next.bytes_wire;
        self.seconds += next.seconds;
        add_counts(&mut self.dropped, next.dropped);
        add_counts(&mut self.refused, next.refused);
        for receiver in next.receivers {
            match self.receivers.iter_mut().find(|known| known.address == receiver.address) {
                Some(known) => {
                    known.batches += receiver.batches;
                    known.records += receiver.records;
                    known.bytes += receiver.bytes;
                }
                None => self.receivers.push(receiver),
            }
        }
    }

    /// Good only where nothing was refused, dropped or damaged, and nothing is left.
    pub fn outcome(&self) -> Outcome {
        let is_good = self.stored == 0
            && self.dropped.is_empty()
            && self.refused.is_empty()
            && self.damaged == 0
            && self.spool_errors == 0;
        if is_good { Outcome::Good } else { Outcome::Bad }
    }

    /// One line for people.
    pub fn text(&self) -> String {
        let rate = self.delivered as f64 / self.seconds.max(0.001);
        let mut text = format!("{} records delivered", self.delivered);
        // Writing into a string does not fail, here and below.
        if self.adopted_delivered > 0 {
            let _infallible = write!(text, ", {} of them of earlier runs", self.adopted_delivered);
        }
        let _infallible = write!(
            text,
            ", {} stored; {:.1} s, {rate:.0} records/s, {} bytes read, {} bytes sent",
            self.stored, self.seconds, self.bytes_in, self.bytes_wire,
        );
        if self.unconfirmed > 0 {
            let _infallible = write!(text, "; {} sent without confirmation", self.unconfirmed);
        }
        for (what, counts) in [("refused", &self.refused), ("dropped", &self.dropped)] {
            for (reason, count) in counts {
                let _infallible = write!(text, "; {what} ({reason}): {count}");
            }
        }
        if self.damaged > 0 {
            let _infallible = write!(text, "; damaged: {}", self.damaged);
        }
        if self.spool_errors > 0 {
            let _infallible = write!(text, "; errors of the spool: {}", self.spool_errors);
        }
        if self.stored > 0 {
            text.push_str(&self.who_is_away());
        }
        text
    }

    /// Why something is stored, as far as connections tell.
    fn who_is_away(&self) -> String {
        let away = self.receivers.iter().filter(|receiver| !receiver.is_connected);
        let away: Vec<_> = away.map(reason).collect();
        if self.receivers.is_empty() {
            "; no address was found for the receivers".to_owned()
        } else if away.is_empty() {
            String::new()
        } else {
            format!("; not connected: {}", away.join(", "))
        }
    }

    /// One object, without its closing brace: what a command adds comes behind.
    pub fn json(&self) -> String {
        let Self { accepted, delivered, adopted_delivered, unconfirmed, stored, .. } = self;
        let Self { damaged, loss_reports, spool_errors, bytes_in, bytes_wire, seconds, .. } = self;
        let mut out = format!(
            "{{\"accepted\":{accepted},\"delivered\":{delivered},\
             \"adopted_delivered\":{adopted_delivered},\"unconfirmed\":{unconfirmed},\"dropped\":"
        );
        counts_json(&mut out, &self.dropped);
        out.push_str(",\"refused\":");
        counts_json(&mut out, &self.refused);
        let _infallible = write!(
            out,
            ",\"damaged\":{damaged},\"loss_reports\":{loss_reports},\
             \"spool_errors\":{spool_errors},\"stored\":{stored},\
             \"bytes_in\":{bytes_in},\"bytes_wire\":{bytes_wire},\"seconds\":{seconds:.3},\
             \"instances\":{{"
        );
        for (index, (instance, accepted)) in self.instances.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            let _infallible = write!(out, "{comma}\"{instance}\":{accepted}");
        }
        out.push_str("},\"receivers\":[");
        for (index, receiver) in self.receivers.iter().enumerate() {
            out.push_str(if index > 0 { ",{\"address\":" } else { "{\"address\":" });
            json::string(&mut out, &receiver.address);
            let ReceiverStats { batches, records, bytes, .. } = receiver;
            let _infallible = write!(
                out,
                ",\"batches\":{batches},\"records\":{records},\"bytes\":{bytes},\"last_failure\":"
            );
            json::string(&mut out, &receiver.last_failure);
            out.push('}');
        }
        out.push(']');
        out
    }
}

/// An address, and why the last connection to it failed.
fn reason(receiver: &ReceiverStats) -> String {
    match receiver.last_failure.as_str() {
        "" => receiver.address.clone(),
        why => format!("{} ({why})", receiver.address),
    }
}

fn add_counts(counts: &mut Vec<(&'static str, u64)>, more: Vec<(&'static str, u64)>) {
    for (reason, count) in more {
        match counts.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, known)) => *known += count,
            None => counts.push((reason, count)),
        }
    }
}

fn counts_json(out: &mut String, counts: &[(&'static str, u64)]) {
    out.push('{');
    for (index, (reason, count)) in counts.iter().enumerate() {
        let comma = if index > 0 { "," } else { "" };
        let _infallible = write!(out, "{comma}\"{reason}\":{count}");
    }
    out.push('}');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_keep_reasons_and_receivers_apart() {
        let receiver = |address: &str, records| ReceiverStats {
            address: address.to_owned(),
            records,
            ..ReceiverStats::default()
        };
        let summary = |address: &str, reason, count| Summary {
            instances: vec![(format!("i{count}"), count)],
            delivered: count,
            dropped: vec![(reason, count)],
            receivers: vec![receiver(address, count)],
            ..Summary::default()
        };
        let mut sum = Summary::default();
        assert!(matches!(sum.outcome(), Outcome::Good));
        for next in
            [summary("a", "quota", 1), summary("b", "rejected", 2), summary("a", "quota", 4)]
        {
            sum.add(next);
        }
        assert_eq!(sum.dropped, [("quota", 5), ("rejected", 2)]);
        assert_eq!(sum.receivers, [receiver("a", 5), receiver("b", 2)]);
        assert!(matches!(sum.outcome(), Outcome::Bad));
        assert!(sum.json().contains("\"dropped\":{\"quota\":5,\"rejected\":2}"), "{}", sum.json());
        assert!(sum.json().contains(r#""instances":{"i1":1,"i2":2,"i4":4}"#), "{}", sum.json());
        assert!(sum.text().starts_with("7 records delivered, 0 stored"), "{}", sum.text());
    }
}
