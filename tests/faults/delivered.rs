//! What readers find in receivers' directories, for the oracle: every record once, and the losses by name.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::ops::Range;
use std::path::PathBuf;

use logdrive::batch::RecordIter;
use logdrive::ids::InstanceId;
use logdrive::inspect::account::Account;
use logdrive::inspect::catalogue::Catalogue;
use logdrive::inspect::catalogue::Entry;
use logdrive::inspect::records;
use logdrive::inspect::records::ReadError;
use logdrive::inspect::segment::Found;
use logdrive::inspect::source;
use logdrive::inspect::survey;
use logdrive::inspect::survey::Owner;

use crate::support::oracle::Accepted;
use crate::support::oracle::Oracle;
use crate::support::oracle::Tally;
use crate::support::payload::Id;

/// See the module's head.
#[derive(Default)]
pub struct Delivered {
    oracle: Oracle,
    /// Ranges of record numbers that loss records name, by instance.
    losses: BTreeMap<[u8; 16], Vec<Range<u64>>>,
    /// Instances that delivered something.
    pub instances: Vec<InstanceId>,
}

impl Delivered {
    /// Reads what is of `topic` in `dirs`.
    pub fn read(dirs: &[PathBuf], topic: &str) -> Self {
        Self::read_of(dirs, topic, |_| true)
    }

    /// As [`Delivered::read`], of the instances that are `wanted`.
    pub fn read_of(dirs: &[PathBuf], topic: &str, wanted: impl Fn(InstanceId) -> bool) -> Self {
        let catalogue = Catalogue::of(dirs, Some(topic)).unwrap();
        assert_eq!(catalogue.damaged, 0, "damage in {dirs:?}");
        let mut found = Self::default();
        let read = records::for_each(&catalogue, |record| {
            let Some(instance) = owner(record.entry) else { panic!("a foreign record") };
            if !wanted(instance) {
                return Ok::<(), ReadError>(());
            }
            if found.instances.last() != Some(&instance) {
                found.instances.push(instance);
            }
            match survey::loss(&record.view, instance) {
                Some(loss) => {
                    let range = loss.first_record..loss.first_record + loss.count;
                    found.losses.entry(loss.instance.0).or_default().push(range);
                }
                None => found.oracle.see(record.view.value.unwrap_or_default()),
            }
            Ok::<(), ReadError>(())
        });
        read.unwrap();
        found
    }

    /// Records that loss records name, each counted once.
    pub fn named(&self) -> u64 {
        self.losses.values().cloned().map(covered).sum()
    }

    /// The oracle's verdict; `named` lost records are known of.
    pub fn judge(self, runs: &[Accepted], named: u64) -> Tally {
        self.oracle.judge(runs, named)
    }
}

/// What is of `topic` in `dirs`, by record number, where one instance logged it all; none for a report of losses.
pub fn texts(dirs: &[PathBuf], topic: &str) -> BTreeMap<u64, Option<Vec<u8>>> {
    let catalogue = Catalogue::of(dirs, Some(topic)).unwrap();
    let mut texts = BTreeMap::new();
    let read = records::for_each(&catalogue, |record| {
        let Owner::Ours { instance, first_record } = record.entry.owner else {
            panic!("a foreign record")
        };
        let is_report = survey::loss(&record.view, instance).is_some();
        let text = (!is_report).then(|| record.view.value.unwrap_or_default().to_vec());
        let known = texts.insert(first_record + u64::from(record.number), text);
        assert!(known.is_none(), "a record number of two instances");
        Ok::<(), ReadError>(())
    });
    read.unwrap();
    texts
}

/// Records of ours that arrived again, before readers drop them: as many as readers will drop.
pub fn repeats(dirs: &[PathBuf]) -> u64 {
    account(dirs).instances.iter().map(|instance| instance.duplicates).sum()
}

/// Whose records each instance carries, by run; and how many record numbers stand for two different records.
pub fn numbers(dirs: &[PathBuf]) -> (BTreeMap<[u8; 16], BTreeSet<u32>>, u64) {
    let (mut runs, mut reused) = (BTreeMap::<_, BTreeSet<u32>>::new(), 0);
    let mut first: HashMap<([u8; 16], u64), Vec<u8>> = HashMap::new();
    let mut texts = None;
    for file in source::files(dirs, None).unwrap() {
        let walked = source::walk(&file, |found| {
            let Found::Batch(batch) = found else { return };
            let mut scratch = Vec::new();
            let survey = survey::survey(&batch.header, batch.body, &mut scratch).unwrap();
            let records = survey::uncompressed(&batch.header, batch.body, &mut scratch).unwrap();
            let mut records = RecordIter::new(&batch.header, records);
            for run in survey.runs {
                let Owner::Ours { instance, first_record } = run.owner else { continue };
                for number in first_record..first_record + u64::from(run.count) {
                    let record = records.next().unwrap().unwrap();
                    let text = record.value.unwrap_or_default();
                    let known = first.entry((instance.0, number)).or_insert_with(|| text.to_vec());
                    reused += u64::from(known != text);
                    let id = Id::of(text, &mut texts);
                    runs.entry(instance.0).or_default().extend(id.map(|id| id.run));
                }
            }
        });
        walked.unwrap();
    }
    (runs, reused)
}

/// The account by record numbers.
pub fn account(dirs: &[PathBuf]) -> Account {
    Account::of(dirs).unwrap()
}

/// Fails unless nothing is damaged and no record number is unexplained in `dirs`.
pub fn assert_accounted(dirs: &[PathBuf]) {
    let account = account(dirs);
    assert!(account.is_complete(), "{account:?}");
}

fn owner(entry: &Entry) -> Option<InstanceId> {
    match entry.owner {
        Owner::Ours { instance, .. } => Some(instance),
        Owner::Foreign => None,
    }
}

fn covered(mut ranges: Vec<Range<u64>>) -> u64 {
    ranges.sort_by_key(|range| range.start);
    let mut end = 0;
    let mut count = 0;
    for range in ranges {
        count += range.end.saturating_sub(range.start.max(end));
        end = end.max(range.end);
    }
    count
}
