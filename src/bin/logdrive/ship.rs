//! `logdrive ship`: lines of files or standard input, one record each.

use std::error::Error;
use std::fs::File;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use logdrive::Client;
use logdrive::Severity;

use crate::Outcome;
use crate::delivery;
use crate::delivery::Delivery;
use crate::input;
use crate::input::Input;
use crate::input::InputError;
use crate::input::Piece;
use crate::output;
use crate::target::Target;

/// How long a silent input is waited for before the tool looks whether it was told to stop.
const LOOK: Duration = Duration::from_millis(50);
/// What is kept of a line: more than any record may have.
const LINE_BYTES_MAX: usize = 1 << 20;

/// Ship lines of files (or of standard input) as records, one per line, bytes kept exactly.
///
/// Waits when rings and spool are full and never drops. On SIGTERM or SIGINT it reads no more; what was read and
/// finds no room within a second is not logged, and counted as refused (stopped). Exits with 0 when everything was
/// acknowledged, 1 when anything was refused, dropped or is still stored, 2 when it could not run. A run that was
/// killed is finished by the next one with the same name and spool.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    target: Target,
    /// Keep undelivered batches in this directory, not in memory.
    #[arg(long, value_name = "DIR")]
    spool: Option<PathBuf>,
    /// Print one JSON object about the run on standard output.
    #[arg(long)]
    json: bool,
    /// Give up waiting for acknowledgements after this long (5s, 2m); what is left stays stored.
    #[arg(long, value_name = "TIME", value_parser = delivery::parse_duration)]
    deadline: Option<Duration>,
    /// Files to read; standard input if none is named.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
}

pub fn run(arguments: &Arguments) -> Result<Outcome, Box<dyn Error>> {
    let config = arguments.target.config(arguments.spool.as_deref())?;
    // Opened before anything starts: a file that is missing is a usage error.
    let mut inputs: Vec<Input> = Vec::new();
    for path in &arguments.files {
        let name = path.display().to_string();
        let file = open(path).map_err(|error| format!("{name}: {error}"))?;
        inputs.push(Input { name, source: Box::new(file) });
    }
    if inputs.is_empty() {
        let name = "standard input".to_owned();
        inputs.push(Input { name, source: Box::new(io::stdin()) });
    }
    let client = Client::start(&config)?;
    let is_stopping = delivery::stop_flag()?;
    let mut delivery = Delivery::start(client, arguments.deadline, is_stopping.clone());
    ship_lines(&input::read(inputs, is_stopping)?, &mut delivery)?;
    let summary = delivery.finish();
    if arguments.json {
        output::print(&format!("{}}}\n", summary.json()))?;
    } else {
        output::remark(format_args!("{}", summary.text()));
    }
    Ok(summary.outcome())
}

fn open(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    // Opening a directory works, reading it does not.
    if file.metadata()?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    Ok(file)
}

/// One record per line; a last line without its newline is one too.
fn ship_lines(
    pieces: &Receiver<Result<Piece, InputError>>,
    delivery: &mut Delivery,
) -> Result<(), InputError> {
    let mut line = Vec::new();
    loop {
        match pieces.recv_timeout(LOOK) {
            Ok(Ok(Piece::Bytes(bytes))) => ship_piece(&bytes, &mut line, delivery),
            Ok(Ok(Piece::End)) if line.is_empty() => {}
            Ok(Ok(Piece::End)) => ship_line(&mut line, delivery),
            Ok(Err(error)) => return Err(error),
            // All that was read is here: who reads waits for a silent input.
            Err(RecvTimeoutError::Timeout) if delivery.is_stopping() => break,
            Err(RecvTimeoutError::Timeout) => delivery.show(),
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    if !line.is_empty() {
        // Only a stop leaves the begin of a line.
        delivery.note_stopped();
    }
    Ok(())
}

/// Ships the lines that end in this piece; `line` is the one that began before it, or goes on behind it.
fn ship_piece(mut bytes: &[u8], line: &mut Vec<u8>, delivery: &mut Delivery) {
    while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
        append(line, &bytes[..end]);
        ship_line(line, delivery);
        bytes = &bytes[end + 1..];
    }
    append(line, bytes);
}

/// Of a line that is too large anyway only so much is kept that it is refused.
fn append(line: &mut Vec<u8>, bytes: &[u8]) {
    let room = LINE_BYTES_MAX.saturating_sub(line.len());
    line.extend_from_slice(&bytes[..room.min(bytes.len())]);
}

fn ship_line(line: &mut Vec<u8>, delivery: &mut Delivery) {
    // Where it was refused the summary has it.
    delivery.log(|client| client.log(Severity::Info, &*line));
    line.clear();
}
