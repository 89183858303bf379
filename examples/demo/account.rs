//! The demo's own account: what each thread logged, and whether just that is in the receivers' files.
//!
//! Every line ends with its thread and number, and the account keeps a hash of each line as it was
//! logged: so every single line that is missing, repeated or changed is found.

use std::error::Error;
use std::hash::DefaultHasher;
use std::hash::Hasher;
use std::path::PathBuf;

use logdrive::inspect::catalogue::Catalogue;
use logdrive::inspect::records;
use logdrive::inspect::records::ReadError;

/// The lines that one thread logged: the hash of line 0, of line 1 and so on.
#[derive(Debug, Default)]
pub struct Logged {
    hashes: Vec<u64>,
}

impl Logged {
    /// How many lines, and the number of the next one.
    pub fn count(&self) -> u64 {
        self.hashes.len() as u64
    }

    /// Notes the next line.
    pub fn add(&mut self, line: &[u8]) {
        self.hashes.push(hash(line));
    }
}

/// What comes of the comparison, in lines.
#[derive(Debug, Default)]
pub struct Verdict {
    pub logged: u64,
    pub read: u64,
    pub missing: u64,
    pub duplicated: u64,
    pub corrupted: u64,
}

impl Verdict {
    pub fn is_clean(&self) -> bool {
        self.missing == 0 && self.duplicated == 0 && self.corrupted == 0
    }
}

/// Reads the receivers' directories as `logdrive cat` does, and compares.
pub fn compare(logged: &[Logged], dirs: &[PathBuf]) -> Result<Verdict, Box<dyn Error>> {
    let catalogue = Catalogue::of(dirs, None)?;
    let mut verdict = Verdict {
        logged: logged.iter().map(Logged::count).sum(),
        corrupted: catalogue.damaged,
        ..Verdict::default()
    };
    let mut seen: Vec<Vec<bool>> = logged.iter().map(|of| vec![false; of.hashes.len()]).collect();
    records::for_each(&catalogue, |record| {
        let line = record.view.value.unwrap_or_default();
        verdict.read += 1;
        let place = parse_mark(line).and_then(|(thread, number)| {
            let is_seen = seen.get_mut(thread)?.get_mut(number)?;
            (logged[thread].hashes[number] == hash(line)).then_some(is_seen)
        });
        match place {
            Some(is_seen) => verdict.duplicated += u64::from(std::mem::replace(is_seen, true)),
            // Nobody logged this line.
            None => verdict.corrupted += 1,
        }
        Ok::<_, ReadError>(())
    })?;
    verdict.missing = seen.iter().flatten().filter(|is_seen| !**is_seen).count() as u64;
    Ok(verdict)
}

fn hash(line: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(line);
    hasher.finish()
}

/// Thread and number from the end of a line, where punctuation may follow them.
fn parse_mark(line: &[u8]) -> Option<(usize, usize)> {
    let is_mark = |byte: &u8| byte.is_ascii_digit() || *byte == b'-';
    let end = line.iter().rposition(is_mark)? + 1;
    let start = line[..end].iter().rposition(|byte| !is_mark(byte)).map_or(0, |at| at + 1);
    let (thread, number) = std::str::from_utf8(&line[start..end]).ok()?.split_once('-')?;
    Some((thread.parse().ok()?, number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_found_behind_any_text() {
        for (line, expected) in [
            ("GET / 200 id=3-17", Some((3, 17))),
            ("{\"day\":\"2026-11-20\",\"id\":\"0-5\"}", Some((0, 5))),
            ("id=3-", None),
            ("17", None),
            ("", None),
        ] {
            assert_eq!(parse_mark(line.as_bytes()), expected, "{line}");
        }
    }
}
