//! A segment's file behind `pread` and `pwrite`, with the words that the disk refused.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

/// A file behind `pread` and `pwrite`.
#[derive(Debug)]
pub struct FileBytes {
    pub(super) file: File,
    pub(super) len: usize,
    /// Words that the disk refused, by their offset.
    unsaved: Mutex<BTreeMap<usize, u64>>,
}

impl FileBytes {
    pub(super) fn of(file: File) -> io::Result<FileBytes> {
        let len = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
        Ok(FileBytes { file, len, unsaved: Mutex::default() })
    }

    /// What somebody cut off reads as zeros, as it does behind a mapping.
    pub(super) fn read_into(&self, offset: usize, target: &mut [u8]) -> io::Result<()> {
        let mut done = 0;
        while done < target.len() {
            match self.file.read_at(&mut target[done..], (offset + done) as u64) {
                Ok(0) => {
                    target[done..].fill(0);
                    break;
                }
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        for (at, word) in self.lock().range(offset..offset + target.len().saturating_sub(7)) {
            target[at - offset..at - offset + 8].copy_from_slice(&word.to_le_bytes());
        }
        Ok(())
    }

    pub(super) fn word(&self, offset: usize) -> u64 {
        if let Some(word) = self.lock().get(&offset) {
            return *word;
        }
        let mut bytes = [0; 8];
        self.file.read_exact_at(&mut bytes, offset as u64).map_or(0, |()| u64::from_le_bytes(bytes))
    }

    pub(super) fn store_words(&self, offset: usize, words: &[u64]) -> io::Result<()> {
        let mut unsaved = self.lock();
        while let Some((at, word)) = unsaved.first_key_value().map(|(at, word)| (*at, *word)) {
            if self.file.write_all_at(&word.to_le_bytes(), at as u64).is_err() {
                break;
            }
            unsaved.remove(&at);
        }
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let stored = self.file.write_all_at(&bytes, offset as u64);
        for (index, word) in words.iter().enumerate() {
            let at = offset + 8 * index;
            match stored {
                // An older value of it may still be waiting.
                Ok(()) => unsaved.remove(&at),
                Err(_) => unsaved.insert(at, *word),
            };
        }
        stored
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<usize, u64>> {
        // A poisoned lock guards a map that is valid at every step.
        self.unsaved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
