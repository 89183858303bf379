//! From what a dead process left to a spool that goes on: a pure plan, then its few file operations.
//!
//! Two durable facts are joined. The *ledger* says which segments are released; it can be behind (a
//! crash between ledger and recycling never happens in the other order). The *segments* say by
//! checksummed header who they are; name and header differ for an instant when one is recycled. The
//! header is believed over the name, unless only the name fits what the file holds: then a broken disk put the
//! header there. What explains neither is moved to the quarantine: nothing that
//! was not understood is deleted, and nothing is refused because of one bad file.
//!
//! Only headers and the newest segment with content are read, whatever the backlog. Nothing is appended to an old one.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use crate::ids::InstanceId;
use crate::spool::format::Address;
use crate::spool::format::COMMITTED;
use crate::spool::format::SEGMENT_HEADER_BYTES;
use crate::spool::format::SegmentHeader;
use crate::spool::format::SegmentHeaderFault;
use crate::spool::format::array_at;
use crate::spool::format::committed_bytes;
use crate::spool::format::u64_at;
use crate::spool::home::COPY_FILE;
use crate::spool::ledger::LEDGER_FILE;
use crate::spool::ledger::Ledger;
use crate::spool::quarantine::Quarantine;
use crate::spool::recovery::plan::FileFacts;
use crate::spool::recovery::plan::Plan;
use crate::spool::recovery::plan::is_segment_length;
use crate::spool::recovery::plan::plan;
use crate::spool::scan::Sections;
use crate::spool::scan::Survey;
use crate::spool::segment::NEW_SEGMENT_FILE;
use crate::spool::segment::SEGMENT_EXTENSION;
use crate::spool::segment::Segment;
use crate::spool::segment::segment_name;
use crate::spool::store::StoreKind;
use crate::spool::track::Content;
use crate::spool::track::Tracked;
use crate::spool::types::Report;
use crate::spool::types::SetAside;
use crate::spool::types::SetAsideReason;
use crate::spool::types::SpoolError;
use crate::sys::faults::Point;
use crate::sys::faults::crash_point;
use crate::sys::file::open_own_file;

mod plan;

/// The largest segment that is read; [`Options`](super::Options) allow no larger one.
pub const SEGMENT_BYTES_MAX: u64 = 1 << 30;

/// The directory of a dead process's spool, read but not changed.
#[derive(Debug)]
pub struct Unrecovered {
    dir: PathBuf,
    store: StoreKind,
    files: Vec<(PathBuf, FileFacts)>,
    /// Named as segments, but no readable files.
    unreadable: Vec<PathBuf>,
}

/// What is left after the files were put in order.
#[derive(Debug)]
pub struct Ordered {
    /// Segments that may hold unresolved frames.
    pub tracked: VecDeque<Tracked>,
    /// Where the dead process stood.
    pub survey: Survey,
    /// Number of the next segment.
    pub next_segment: u64,
    /// Bytes of the files kept.
    pub segment_bytes: u64,
    /// What was met.
    pub report: Report,
}

impl Unrecovered {
    /// Reads names, lengths and headers.
    ///
    /// # Errors
    ///
    /// What the system says about the directory or a file in it.
    pub fn read(dir: &Path, store: StoreKind) -> Result<Unrecovered, SpoolError> {
        let mut files = Vec::new();
        let mut unreadable = Vec::new();
        for entry in fs::read_dir(dir).map_err(SpoolError::io("list", dir))? {
            let path = entry.map_err(SpoolError::io("list", dir))?.path();
            if !is_segment(&path) {
                continue;
            }
            match read_facts(&path) {
                Ok(facts) => files.push((path, facts)),
                Err(error) if is_shortage(&error) => {
                    return Err(SpoolError::io("read", path)(error));
                }
                Err(_) => unreadable.push(path),
            }
        }
        files.sort_by(|left, right| left.0.cmp(&right.0));
        crash_point(Point::RecoveryRead);
        Ok(Unrecovered { dir: dir.to_owned(), store, files, unreadable })
    }

    /// Whose spool it is where no ledger says it: the newest good header, or the directory's name.
    pub fn instance(&self) -> Option<InstanceId> {
        let headers = self.files.iter().filter_map(|(_, facts)| facts.header.as_ref().ok());
        let newest = headers.max_by_key(|header| header.address.segment);
        let name = || InstanceId::parse(self.dir.file_name()?.to_str()?);
        newest.map(|header| header.address.instance).or_else(name)
    }

    /// Carries the plan out and finds where the instance stood. A crash in the middle changes
    /// nothing about what the next attempt finds.
    ///
    /// # Errors
    ///
    /// What the system says about moving or removing a file, or mapping the newest segments.
    pub fn finish(
        mut self,
        instance: InstanceId,
        ledger: Option<&Ledger>,
        quarantine: &mut Quarantine,
    ) -> Result<Ordered, SpoolError> {
        let released_through = ledger.map_or(0, |ledger| ledger.released_through);
        self.doubt_headers(instance)?;
        let facts: Vec<FileFacts> = self.files.iter().map(|(_, facts)| facts.clone()).collect();
        let plan = plan(&facts, instance, released_through);
        let mut report = Report { ledger_lost: ledger.is_none(), ..Report::default() };
        for path in &self.unreadable {
            set_aside(path, SetAsideReason::Unreadable, quarantine, &mut report)?;
        }
        for (index, reason) in &plan.set_aside {
            set_aside(&self.files[*index].0, reason.clone(), quarantine, &mut report)?;
        }
        for index in &plan.free {
            remove(&self.files[*index].0)?;
        }
        remove(&self.dir.join(NEW_SEGMENT_FILE))?;
        remove(&self.dir.join(COPY_FILE))?;
        crash_point(Point::RecoveryCleaned);
        let mut tracked = VecDeque::new();
        let mut segment_bytes = 0;
        for (number, path, facts) in self.rename_kept(&plan)? {
            let address = Address { instance, segment: number };
            if facts.header.is_err() {
                report.segments_scanned += 1;
                if survey(&path, &address, self.store)?.1.items == 0 {
                    set_aside(&path, SetAsideReason::Unreadable, quarantine, &mut report)?;
                    continue;
                }
            }
            segment_bytes += facts.bytes;
            let committed_bytes = facts.committed.map_or(facts.bytes, |bytes| bytes as u64);
            let content = Content::Unopened { path, file_bytes: facts.bytes, committed_bytes };
            tracked.push_back(Tracked::new(number, content));
        }
        let survey =
            survey_newest(self.store, instance, &mut tracked, &mut segment_bytes, &mut report)?;
        report.segments = tracked.len();
        Ok(Ordered { tracked, survey, next_segment: plan.next_segment, segment_bytes, report })
    }

    /// A good header that contradicts the file's name, where groups or frames fit the name alone, came from
    /// elsewhere: it is as good as damaged. (A segment that is recycled has none yet: there the header is right.)
    fn doubt_headers(&mut self, instance: InstanceId) -> Result<(), SpoolError> {
        for (path, facts) in &mut self.files {
            let (Ok(header), Some(segment)) = (&facts.header, facts.number) else { continue };
            let named = Address { instance, segment };
            let is_doubtful = header.address != named
                && facts.committed != Some(0)
                && is_segment_length(facts.bytes);
            if is_doubtful
                && survey(path, &header.address, self.store)?.1.items == 0
                && survey(path, &named, self.store)?.1.items > 0
            {
                facts.header = Err(SegmentHeaderFault::Damaged);
            }
        }
        Ok(())
    }

    /// Gives every kept file the name of its number, in two steps where names were swapped.
    fn rename_kept(&self, plan: &Plan) -> Result<Vec<(u64, PathBuf, FileFacts)>, SpoolError> {
        let mut kept = Vec::new();
        let mut misnamed = Vec::new();
        for (number, index) in &plan.keep {
            let (path, facts) = &self.files[*index];
            let right = self.dir.join(segment_name(*number));
            if *path != right {
                // Ends in .seg, so that a crash between the steps hides nothing.
                let between = self.dir.join(format!("moving-{}", segment_name(*number)));
                rename(path, &between)?;
                misnamed.push((between, right.clone()));
            }
            kept.push((*number, right, facts.clone()));
        }
        for (between, right) in misnamed {
            rename(&between, &right)?;
        }
        Ok(kept)
    }
}

/// Reads segments from the newest down until one holds something; removes those that never did.
fn survey_newest(
    store: StoreKind,
    instance: InstanceId,
    tracked: &mut VecDeque<Tracked>,
    segment_bytes: &mut u64,
    report: &mut Report,
) -> Result<Survey, SpoolError> {
    let mut index = tracked.len();
    let mut tail_unknown = false;
    while index > 0 {
        index -= 1;
        let Content::Unopened { path, file_bytes, .. } = &tracked[index].content else { continue };
        let address = Address { instance, segment: tracked[index].number };
        let (sections, survey) = survey(path, &address, store)?;
        report.segments_scanned += 1;
        tail_unknown |= survey.tail_unknown;
        if survey.items > 0 {
            return Ok(Survey { tail_unknown, ..survey });
        }
        if sections.ranges.is_empty() {
            // Its header is good: made active, and the process died before its first group.
            remove(path)?;
            *segment_bytes -= file_bytes;
            tracked.remove(index);
        }
    }
    Ok(Survey { tail_unknown, ..Survey::default() })
}

/// Reads a whole segment.
fn survey(
    path: &Path,
    address: &Address,
    store: StoreKind,
) -> Result<(Sections, Survey), SpoolError> {
    let opened = Segment::open(path.to_owned(), *address, store);
    let segment = Arc::new(opened.map_err(SpoolError::io("open", path))?);
    let bytes = segment.load(0..segment.view.len()).map_err(SpoolError::io("read", path))?;
    let sections = Sections::of(&bytes, address, segment.committed());
    let survey = Survey::of(&bytes, address, &sections);
    Ok((sections, survey))
}

fn set_aside(
    path: &Path,
    reason: SetAsideReason,
    quarantine: &mut Quarantine,
    report: &mut Report,
) -> Result<(), SpoolError> {
    let path = quarantine.take(path).map_err(SpoolError::io("set aside", path))?;
    report.set_aside.push(SetAside { path, reason });
    Ok(())
}

/// A spool's files beside its segments, the ledger last.
const OTHER_FILES: [&str; 3] = [NEW_SEGMENT_FILE, COPY_FILE, LEDGER_FILE];

/// Removes every file of a spool but the quarantine and the lock; the ledger last, so that a crash in
/// between leaves an account that is true.
pub fn remove_files(dir: &Path) -> Result<(), SpoolError> {
    for entry in fs::read_dir(dir).map_err(SpoolError::io("list", dir))? {
        let path = entry.map_err(SpoolError::io("list", dir))?.path();
        if is_segment(&path) {
            remove(&path)?;
        }
    }
    for name in OTHER_FILES {
        remove(&dir.join(name))?;
    }
    crash_point(Point::SpoolRemoved);
    Ok(())
}

/// Whether a file's name is one that a spool gives; the quarantine is nobody's to deliver.
pub fn is_own_file(path: &Path) -> bool {
    is_segment(path) || OTHER_FILES.iter().any(|name| path.file_name().is_some_and(|n| n == *name))
}

fn is_segment(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == SEGMENT_EXTENSION)
}

/// Whether the system may well say yes the next time.
pub fn is_shortage(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ENOMEM | libc::EMFILE | libc::ENFILE | libc::EAGAIN | libc::EINTR)
    )
}

fn read_facts(path: &Path) -> io::Result<FileFacts> {
    let mut start = [0; HEAD_BYTES];
    let file = open_own_file(path)?;
    let bytes = file.metadata()?.len();
    let length = usize::try_from(bytes).unwrap_or(usize::MAX).min(HEAD_BYTES);
    file.read_exact_at(&mut start[..length], 0)?;
    let stem = path.file_stem().and_then(|stem| stem.to_str());
    let digits = stem.filter(|stem| stem.len() == 20 && stem.bytes().all(|b| b.is_ascii_digit()));
    Ok(FileFacts {
        number: digits.and_then(|digits| digits.parse().ok()),
        bytes,
        header: SegmentHeader::decode(&array_at(&start, 0)),
        committed: committed_bytes(u64_at(&start, COMMITTED)),
    })
}

fn rename(from: &Path, to: &Path) -> Result<(), SpoolError> {
    fs::rename(from, to).map_err(SpoolError::io("rename", from))
}

fn remove(path: &Path) -> Result<(), SpoolError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(SpoolError::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// A segment's header and its word `committed`.
const HEAD_BYTES: usize = COMMITTED + 8;
const _: () = assert!(SEGMENT_HEADER_BYTES <= COMMITTED);
