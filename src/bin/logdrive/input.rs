//! What `ship` reads: files and standard input, in pieces, by a thread of its own.
//!
//! A pipe may be silent for hours; who waits for it here can still be told to stop. Bounded: a few pieces
//! are read ahead.

use std::io;
use std::io::ErrorKind;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::SyncSender;

/// Bytes read at once.
const PIECE_BYTES: usize = 256 * 1024;
/// Pieces that are read ahead.
const PIECES_AHEAD: usize = 4;

/// What is read, in order.
pub enum Piece {
    /// Some bytes of an input.
    Bytes(Vec<u8>),
    /// The end of one input; the next begins a line of its own.
    End,
}

/// One input.
pub struct Input {
    /// How an error names it.
    pub name: String,
    /// Its bytes.
    pub source: Box<dyn Read + Send>,
}

/// An input could not be read to its end.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {source}")]
pub struct InputError {
    name: String,
    source: io::Error,
}

/// Starts to read `inputs`, one after the other. The channel ends behind the last one, or behind an error; or behind
/// what was read before `is_stopping` was raised, but not while an input is silent.
pub fn read(
    inputs: Vec<Input>,
    is_stopping: Arc<AtomicBool>,
) -> io::Result<Receiver<Result<Piece, InputError>>> {
    let (sender, receiver) = mpsc::sync_channel(PIECES_AHEAD);
    let read = move || {
        for input in inputs {
            if !read_one(input, &sender, &is_stopping) {
                return;
            }
        }
    };
    // Detached: it may be waiting for a silent pipe when the program ends.
    std::thread::Builder::new().name("input".to_owned()).spawn(read)?;
    Ok(receiver)
}

/// False where an error or the stop ended it, or nobody wants to know any more.
fn read_one(
    mut input: Input,
    sender: &SyncSender<Result<Piece, InputError>>,
    is_stopping: &AtomicBool,
) -> bool {
    // Relaxed: a flag set by a signal handler; nothing is published by it.
    while !is_stopping.load(Ordering::Relaxed) {
        let mut bytes = vec![0; PIECE_BYTES];
        let piece = match input.source.read(&mut bytes) {
            Ok(0) => return sender.send(Ok(Piece::End)).is_ok(),
            Ok(count) => {
                bytes.truncate(count);
                Ok(Piece::Bytes(bytes))
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(source) => Err(InputError { name: input.name.clone(), source }),
        };
        let is_over = piece.is_err();
        if sender.send(piece).is_err() || is_over {
            return false;
        }
    }
    false
}
