//! `logdrive ship`: lines of files or standard input, one record each.

use std::error::Error;
use std::fs::File;
use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use logdrive::Client;
use logdrive::Code;
use logdrive::Severity;

use crate::Outcome;
use crate::delivery;
use crate::delivery::Delivery;
use crate::target::Target;

/// Bytes read at once.
const READ_BYTES: usize = 256 * 1024;

/// Ship lines of files (or of standard input) as records, one per line, bytes kept exactly.
///
/// Waits when rings and spool are full and never drops. Exits with 0 when everything was acknowledged, 1 when
/// anything was refused, dropped or is still stored, 2 when it could not run. A run that was killed is
/// finished by the next one with the same name and spool.
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
    let mut inputs: Vec<(String, Box<dyn BufRead>)> = Vec::new();
    for path in &arguments.files {
        let name = path.display().to_string();
        let file = open(path).map_err(|error| format!("{name}: {error}"))?;
        inputs.push((name, Box::new(BufReader::with_capacity(READ_BYTES, file))));
    }
    if inputs.is_empty() {
        let input = BufReader::with_capacity(READ_BYTES, io::stdin());
        inputs.push(("standard input".to_owned(), Box::new(input)));
    }
    let client = Client::start(&config)?;
    let mut delivery = Delivery::start(client, arguments.deadline, delivery::stop_flag()?);
    for (name, input) in &mut inputs {
        ship_lines(input.as_mut(), &mut delivery).map_err(|error| format!("{name}: {error}"))?;
    }
    let summary = delivery.finish();
    if arguments.json {
        println!("{}}}", summary.json());
    } else {
        eprintln!("{}", summary.text());
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
fn ship_lines(input: &mut dyn BufRead, delivery: &mut Delivery) -> io::Result<()> {
    let mut line = Vec::new();
    while !delivery.is_stopping() && input.read_until(b'\n', &mut line)? > 0 {
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        loop {
            match delivery.client().log(Severity::Info, &line) {
                // The receivers are slower than we read: wait, and say so where somebody looks.
                Err(Code::RingFull) if !delivery.is_stopping() => delivery.show(),
                // Refused for good and counted; the summary has it.
                Ok(()) | Err(_) => break,
            }
        }
        delivery.note_record();
        line.clear();
    }
    Ok(())
}
