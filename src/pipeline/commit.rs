//! One sealed group into a spool.
//!
//! A group is committed as one. Only one that is larger than a segment (many tiny keyed batches, JSON that grew) is
//! committed batch by batch, the rings' positions with the last: a crash in between repeats records under
//! other numbers, which is the price of not losing them.

use crate::pipeline::encode::SealedGroup;
use crate::spool;
use crate::spool::CommitError;

/// Commits `group`; after an error it is called again with the same group and goes on where it stopped.
pub fn commit(
    writer: &mut spool::Writer,
    group: &SealedGroup,
    topics: &[String],
) -> Result<(), CommitError> {
    let batches = group.spool_batches(topics);
    if group.committed_batches.get() == 0 {
        let whole = spool::Group {
            first_record: group.ticket.first_record,
            positions: group.positions(),
            batches: &batches,
        };
        match writer.commit(&whole) {
            Err(CommitError::TooLarge { .. }) if batches.len() > 1 => {}
            outcome => return outcome.map(|_| ()),
        }
    }
    for index in group.committed_batches.get()..batches.len() {
        let is_last = index + 1 == batches.len();
        writer.commit(&spool::Group {
            first_record: batches[index].first_record,
            positions: if is_last { group.positions() } else { &[] },
            batches: &batches[index..=index],
        })?;
        group.committed_batches.set(index + 1);
    }
    Ok(())
}
