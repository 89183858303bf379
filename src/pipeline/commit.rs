//! One sealed group into a spool, as one commit.

use crate::pipeline::encode::SealedGroup;
use crate::spool;
use crate::spool::CommitError;

/// Commits `group`, whose streams have the names `topics`; after an error nothing of it is in the spool.
pub fn commit(
    writer: &mut spool::Writer,
    group: &SealedGroup,
    topics: &[String],
) -> Result<(), CommitError> {
    let whole = spool::Group {
        first_record: group.ticket.first_record,
        positions: group.positions(),
        batches: &group.spool_batches(topics),
    };
    writer.commit(&whole).map(|_committed| ())
}
