//! Random operations and crashes against a plain list.

use super::*;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Operation {
    Commit(Vec<(u32, usize)>),
    Publish,
    Prepare,
    Next,
    Skip(prop::sample::Index),
    NextAhead,
    Bind(prop::sample::Index),
    Resolve(prop::sample::Index, u8),
    Crash,
    Reopen,
}

fn operation() -> impl Strategy<Value = Operation> {
    let batches = prop::collection::vec((1u32..20, 0usize..9_000), 1..5);
    let index = any::<prop::sample::Index>;
    prop_oneof![
        6 => batches.prop_map(Operation::Commit),
        // Larger than a segment.
        1 => prop::collection::vec((1u32..20, 20_000usize..30_000), 3..5)
            .prop_map(Operation::Commit),
        6 => Just(Operation::Publish),
        1 => Just(Operation::Prepare),
        12 => Just(Operation::Next),
        3 => index().prop_map(Operation::Skip),
        8 => Just(Operation::NextAhead),
        4 => index().prop_map(Operation::Bind),
        12 => (index(), any::<u8>()).prop_map(|(index, how)| Operation::Resolve(index, how)),
        1 => Just(Operation::Crash),
        1 => Just(Operation::Reopen),
    ]
}

/// What the spool should know about one batch.
#[derive(Clone, Debug)]
struct Entry {
    first_record: u64,
    records: u32,
    binding: Option<Binding>,
    resolution: Option<Resolution>,
    is_taken: bool,
}

/// The quota of five segments.
fn options_of(store: StoreKind) -> Options {
    Options { store: Some(store), ..options(5) }
}

struct Model {
    store: StoreKind,
    dir: tempfile::TempDir,
    writer: Writer,
    reader: Reader,
    entries: Vec<Entry>,
    published: usize,
    /// Places that were the end of what is published, and how many batches that was.
    places: Vec<(u64, usize)>,
    /// The first batch that this process committed.
    own_from: usize,
    /// The first batch behind what was skipped.
    ahead_from: usize,
    open: Vec<Frame>,
    ring: u64,
    bindings: i32,
}

impl Model {
    fn new(store: StoreKind) -> Self {
        let dir = private_dir().unwrap();
        let (writer, reader) = create(dir.path(), INSTANCE, &options_of(store)).unwrap();
        Self {
            store,
            dir,
            writer,
            reader,
            entries: Vec::new(),
            published: 0,
            places: Vec::new(),
            own_from: 0,
            ahead_from: 0,
            open: Vec::new(),
            ring: 0,
            bindings: 0,
        }
    }

    fn apply(&mut self, operation: Operation) {
        match operation {
            Operation::Commit(batches) => self.commit(&batches),
            Operation::Publish => {
                self.writer.publish();
                self.published = self.entries.len();
                self.places.push((self.reader.published_position(), self.published));
            }
            Operation::Prepare => self.writer.prepare(Moment(0)),
            Operation::Next => self.next(false),
            Operation::NextAhead => self.next(true),
            Operation::Skip(index) => {
                if !self.places.is_empty() {
                    self.skip_to(self.places[index.index(self.places.len())]);
                }
            }
            Operation::Bind(index) => self.bind(index),
            Operation::Resolve(index, how) => {
                if !self.open.is_empty() {
                    self.resolve(index.index(self.open.len()), how);
                }
            }
            Operation::Crash => {
                let crashed = copy_dir(self.dir.path());
                self.recover(crashed);
            }
            Operation::Reopen => {
                let dir = std::mem::replace(&mut self.dir, private_dir().unwrap());
                self.recover(dir);
            }
        }
        assert_conserved(&self.reader);
        assert!(segment_files(self.dir.path()).len() <= 5, "the quota");
    }

    fn commit(&mut self, batches: &[(u32, usize)]) {
        let mut first_record = self.writer.next_record();
        self.ring += 1;
        match commit(&mut self.writer, &[position(0, self.ring)], batches) {
            Ok(_) => {}
            Err(CommitError::Full { .. }) => return,
            Err(error) => panic!("{error}"),
        }
        for (records, _) in batches {
            let (binding, resolution, is_taken) = (None, None, false);
            self.entries.push(Entry {
                first_record,
                records: *records,
                binding,
                resolution,
                is_taken,
            });
            first_record += u64::from(*records);
        }
    }

    /// The next entry that the reader must hand out.
    fn expected(&self, is_ahead: bool) -> Option<usize> {
        let is_left = |index: &usize| {
            let entry = &self.entries[*index];
            !entry.is_taken && entry.resolution.is_none()
        };
        let from = if is_ahead { self.ahead_from } else { 0 };
        (from..self.published).find(is_left)
    }

    fn skip_to(&mut self, (position, batches): (u64, usize)) {
        let from = self.ahead_from.max(self.own_from);
        let skips = (from..batches).any(|index| !self.entries[index].is_taken);
        assert_eq!(self.reader.skip_to(position), skips && batches < self.published);
        if skips && batches < self.published {
            self.ahead_from = batches;
        }
    }

    fn next(&mut self, is_ahead: bool) {
        let expected = self.expected(is_ahead);
        let frame = if is_ahead { self.reader.next_ahead() } else { self.reader.next() };
        assert_eq!(frame.is_some(), expected.is_some());
        let (Some(frame), Some(index)) = (frame, expected) else { return };
        let entry = &mut self.entries[index];
        assert_eq!(check(&frame), (entry.first_record, entry.records));
        assert_eq!(frame.binding(), entry.binding);
        entry.is_taken = true;
        self.open.push(frame);
    }

    fn entry(&mut self, frame: &Frame) -> &mut Entry {
        let index = self
            .entries
            .binary_search_by_key(&frame.first_record(), |entry| entry.first_record)
            .unwrap();
        &mut self.entries[index]
    }

    fn bind(&mut self, index: prop::sample::Index) {
        if self.open.is_empty() {
            return;
        }
        self.bindings += 1;
        let binding = Binding {
            producer_id: 1 << 40,
            epoch: 7,
            base_sequence: self.bindings,
            partition: 2,
            batch_crc: 0x1234_5678,
            sequence_space: 3,
            part: Part::default(),
        };
        let frame = self.open[index.index(self.open.len())].clone();
        self.reader.bind(&frame, &binding).unwrap();
        self.entry(&frame).binding = Some(binding);
    }

    fn resolve(&mut self, index: usize, how: u8) {
        let frame = self.open.swap_remove(index);
        let resolution = match how % 4 {
            0 => Resolution::Unconfirmed,
            1 => Resolution::Dropped(DropReason::InDoubt),
            _ => Resolution::Delivered,
        };
        self.reader.resolve(&frame, resolution);
        self.entry(&frame).resolution = Some(resolution);
    }

    /// A new process on `dir`: every committed batch is published, none is handed out.
    fn recover(&mut self, dir: tempfile::TempDir) {
        self.open.clear();
        let recovered = recover(dir.path(), &options_of(self.store)).unwrap();
        assert_eq!(recovered.instance, INSTANCE);
        assert_eq!(recovered.report.set_aside, []);
        assert!(!recovered.report.ledger_lost && !recovered.report.tail_unknown);
        let end = self.entries.last();
        let next_record = end.map_or(0, |entry| entry.first_record + u64::from(entry.records));
        assert_eq!(recovered.next_record, next_record);
        (self.dir, self.writer, self.reader) = (dir, recovered.writer, recovered.reader);
        (self.published, self.own_from) = (self.entries.len(), self.entries.len());
        self.ahead_from = 0;
        self.places.clear();
        self.entries.iter_mut().for_each(|entry| entry.is_taken = false);
    }

    fn finish(mut self) {
        self.recover(copy_dir(self.dir.path()));
        while self.expected(false).is_some() {
            self.next(false);
            self.resolve(0, 3);
        }
        assert!(self.reader.next().is_none());
        assert!(self.reader.is_drained());
        assert_eq!(self.reader.take_damage(), None);
        let totals = self.reader.totals();
        let sum = |resolution| {
            let ended = self.entries.iter().filter(|entry| entry.resolution == Some(resolution));
            ended.map(|entry| u64::from(entry.records)).sum::<u64>()
        };
        assert_eq!(totals.delivered, sum(Resolution::Delivered));
        assert_eq!(totals.unconfirmed, sum(Resolution::Unconfirmed));
        assert_eq!(totals.dropped[3], sum(Resolution::Dropped(DropReason::InDoubt)));
        assert_eq!((totals.stored_records, totals.stored_batches), (0, 0));
        assert_eq!(totals.stored_bytes, 0);
        assert_eq!(totals.batches, self.entries.len() as u64);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn it_does_what_a_list_does(
        operations in prop::collection::vec(operation(), 1..250),
        is_file: bool,
    ) {
        let mut model = Model::new(if is_file { StoreKind::File } else { StoreKind::Mapped });
        for operation in operations {
            model.apply(operation);
        }
        model.finish();
    }
}
