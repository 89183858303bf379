//! `logdrive cat`: the records of receivers' directories, each once.

use std::error::Error;
use std::fmt::Write as _;
use std::io;
use std::io::BufWriter;
use std::io::Write;
use std::path::PathBuf;

use clap::ValueEnum;
use logdrive::batch::RecordView;
use logdrive::batch::identity::IDENTITY_NAME;
use logdrive::inspect::catalogue::Catalogue;
use logdrive::inspect::records;
use logdrive::inspect::records::CataloguedRecord;
use logdrive::inspect::survey;
use logdrive::inspect::survey::Owner;

use crate::Outcome;
use crate::json;
use crate::output;

/// Print the records of receivers' directories, each once.
///
/// Records of logdrive come in the order in which each process logged them, across all directories;
/// records of other producers follow in the order in which they were stored. Exits with 1 if
/// something could not be read: see "logdrive verify".
#[derive(clap::Args)]
pub struct Arguments {
    /// Directories of receivers.
    #[arg(required = true, value_name = "DIR")]
    dirs: Vec<PathBuf>,
    /// Only the records of this topic.
    #[arg(long)]
    topic: Option<String>,
    /// "text": the bodies byte for byte, each followed by a newline; "json": one object per line
    /// with everything there is (bytes that are not UTF-8 as {"base64":"..."}).
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Format {
    Text,
    Json,
}

pub fn run(arguments: &Arguments) -> Result<Outcome, Box<dyn Error>> {
    let catalogue = Catalogue::of(&arguments.dirs, arguments.topic.as_deref())?;
    if catalogue.files.is_empty() && arguments.topic.is_none() {
        output::remark(format_args!("logdrive: no receiver's files in these directories"));
    }
    let mut printer = Printer {
        out: BufWriter::with_capacity(1 << 20, io::stdout().lock()),
        format: arguments.format,
        line: String::new(),
    };
    match print_all(&catalogue, &mut printer) {
        // Whoever reads us has seen enough.
        Err(error) if is_broken_pipe(&*error) => return Ok(Outcome::Good),
        printed => printed?,
    }
    if catalogue.damaged == 0 {
        return Ok(Outcome::Good);
    }
    let damaged = catalogue.damaged;
    output::remark(format_args!(
        "logdrive: {damaged} places could not be read; `logdrive verify` tells which"
    ));
    Ok(Outcome::Bad)
}

fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn print_all(
    catalogue: &Catalogue,
    printer: &mut Printer<impl Write>,
) -> Result<(), Box<dyn Error>> {
    records::for_each(catalogue, |record| Ok::<_, Box<dyn Error>>(printer.print(record)?))?;
    Ok(printer.out.flush()?)
}

struct Printer<W: Write> {
    out: W,
    format: Format,
    line: String,
}

impl<W: Write> Printer<W> {
    fn print(&mut self, record: &CataloguedRecord<'_>) -> io::Result<()> {
        if self.format == Format::Text {
            // A report of a loss is ours, not a line that somebody logged.
            if record.view.headers().any(|(name, _)| name == survey::LOSS_NAME) {
                return Ok(());
            }
            self.out.write_all(record.view.value.unwrap_or_default())?;
            return self.out.write_all(b"\n");
        }
        self.line.clear();
        json_line(&mut self.line, record);
        self.line.push('\n');
        self.out.write_all(self.line.as_bytes())
    }
}

fn json_line(line: &mut String, found: &CataloguedRecord<'_>) {
    let CataloguedRecord { file, entry, number, offset, view: record } = found;
    line.push_str("{\"topic\":");
    json::string(line, &file.partition.topic);
    let (partition, timestamp) = (file.partition.partition, record.timestamp_ms);
    // Writing into a string does not fail.
    let _infallible =
        write!(line, ",\"partition\":{partition},\"offset\":{offset},\"timestamp\":{timestamp}");
    if let Owner::Ours { instance, first_record } = entry.owner {
        let record_number = first_record.saturating_add((*number).into());
        let _infallible = write!(line, ",\"instance\":\"{instance}\",\"record\":{record_number}");
        if let Some(loss) = survey::loss(record, instance) {
            let survey::Loss { first_record, count, cause, .. } = loss;
            let _infallible = write!(
                line,
                ",\"loss\":{{\"first_record\":{first_record},\"count\":{count},\"cause\":{cause}}}"
            );
        }
    }
    line.push_str(",\"key\":");
    json::bytes(line, record.key);
    if let Some((_, severity)) = record.headers().find(|(name, _)| *name == SEVERITY_NAME) {
        line.push_str(",\"severity\":");
        json::bytes(line, severity);
    }
    attributes(line, record);
    match record.value {
        Some(value) if std::str::from_utf8(value).is_err() => {
            line.push_str(",\"value_base64\":\"");
            json::base64(line, value);
            line.push('"');
        }
        value => {
            line.push_str(",\"value\":");
            json::bytes(line, value);
        }
    }
    line.push('}');
}

fn attributes(line: &mut String, record: &RecordView<'_>) {
    let special = [SEVERITY_NAME, IDENTITY_NAME, survey::LOSS_NAME];
    let attributes = record.headers().filter(|(name, _)| !special.contains(name));
    line.push_str(",\"attributes\":{");
    for (place, (name, value)) in attributes.enumerate() {
        if place > 0 {
            line.push(',');
        }
        json::string(line, &String::from_utf8_lossy(name));
        line.push(':');
        json::bytes(line, value);
    }
    line.push('}');
}

/// The record header that holds a record's severity by name.
const SEVERITY_NAME: &[u8] = b"severity";
