//! Records that say who wrote them and when, and the check that each arrived once and in order.

use std::collections::BTreeMap;

use crate::peers::Consumed;

/// The text of record `number` of a writer.
pub fn text(writer: &str, number: u64) -> String {
    format!("{writer} {number} the quick brown fox jumps over the lazy dog")
}

/// What arrived of each writer, logdrive's own reports of losses left out: the numbers, by partition in
/// the order of offsets.
pub struct Arrived {
    by_writer: BTreeMap<String, Vec<(u32, u64)>>,
}

impl Arrived {
    pub fn new(consumed: &[Consumed]) -> Self {
        let mut by_writer: BTreeMap<String, Vec<(u32, u64)>> = BTreeMap::new();
        for record in consumed {
            let value = std::str::from_utf8(&record.value).unwrap();
            if value.starts_with("logdrive: ") && value.contains(" were lost ") {
                continue;
            }
            let mut words = value.split(' ');
            let (writer, number) = (words.next().unwrap(), words.next().unwrap());
            let number = number.parse().unwrap();
            assert_eq!(value, text(writer, number), "changed on the way");
            by_writer.entry(writer.to_owned()).or_default().push((record.partition, number));
        }
        Self { by_writer }
    }

    /// Every record below `accepted` arrived; none twice; nothing is missing before what arrived beyond
    /// that; and in each partition the numbers rise.
    pub fn check(&self, writer: &str, accepted: u64) {
        if let Some(complaint) = self.complaint(writer, accepted) {
            panic!("{complaint}");
        }
    }

    /// What is wrong with that, if anything.
    pub fn complaint(&self, writer: &str, accepted: u64) -> Option<String> {
        let none = Vec::new();
        let arrived = self.by_writer.get(writer).unwrap_or(&none);
        let mut last_of: BTreeMap<u32, u64> = BTreeMap::new();
        for (partition, number) in arrived {
            if let Some(last) = last_of.insert(*partition, *number)
                && last >= *number
            {
                return Some(format!("{writer}: {number} behind {last} in partition {partition}"));
            }
        }
        let mut numbers: Vec<u64> = arrived.iter().map(|(_, number)| *number).collect();
        numbers.sort_unstable();
        let count = numbers.len();
        numbers.dedup();
        let last = numbers.last().copied();
        if numbers.len() < count {
            return Some(format!("{writer}: {} duplicates", count - numbers.len()));
        }
        if (count as u64) < accepted {
            return Some(format!("{writer}: {count} arrived of {accepted} accepted"));
        }
        last.filter(|last| last + 1 != count as u64)
            .map(|last| format!("{writer}: {last} arrived, but only {count} in all"))
    }

    /// What is wrong with a writer's records, gaps apart, and their numbers.
    pub fn numbers(&self, writer: &str) -> (Option<String>, Vec<u64>) {
        let none = Vec::new();
        let arrived = self.by_writer.get(writer).unwrap_or(&none);
        let mut numbers: Vec<u64> = arrived.iter().map(|(_, number)| *number).collect();
        numbers.sort_unstable();
        let disorder = self.complaint(writer, 0);
        (disorder.filter(|complaint| complaint.contains(" behind ")), numbers)
    }

    /// How many arrived in all.
    pub fn count(&self) -> u64 {
        self.by_writer.values().map(|arrived| arrived.len() as u64).sum()
    }
}
