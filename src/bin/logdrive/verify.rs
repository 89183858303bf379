//! `logdrive verify`: whether everything that was logged is in the receivers' directories.

use std::error::Error;
use std::fmt::Write as _;

use std::path::PathBuf;

use logdrive::ids::InstanceId;
use logdrive::inspect::account::Account;
use logdrive::inspect::account::Damage;
use logdrive::inspect::account::InstanceAccount;

use crate::Outcome;
use crate::json;
use crate::output;

/// How many gaps or damaged places are listed; all are counted.
const LISTED_MAX: usize = 20;

/// Check that all records are there, over all given directories together.
///
/// Give the directories of all receivers at once: each alone has only its share. Checks every
/// checksum and record, finds gaps and repeats by the record numbers that logdrive writes, and
/// takes reported losses into account. What is missing behind an instance's last record shows
/// only with --expect: without it the end is said to be unknown. Exits with 0 only if nothing is damaged and nothing is
/// missing without a reason. While receivers are being written to, what is on its way shows as missing: flush or stop
/// the applications first.
#[derive(clap::Args)]
pub struct Arguments {
    /// Directories of receivers.
    #[arg(required = true, value_name = "DIR")]
    dirs: Vec<PathBuf>,
    /// How many records an instance logged in all, as its statistics (`instance`, `accepted`) say
    /// after it was closed. May be given several times.
    #[arg(long, value_name = "INSTANCE:RECORDS", value_parser = parse_expected)]
    expect: Vec<(InstanceId, u64)>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Result<Outcome, Box<dyn Error>> {
    let account = Account::expecting(&arguments.dirs, &arguments.expect)?;
    let text = if arguments.json { as_json(&account)? } else { as_table(&account)? };
    output::print(&text)?;
    if account.files == 0 {
        output::remark(format_args!(
            "logdrive: no receiver's files in these directories: nothing was verified"
        ));
        return Ok(Outcome::Bad);
    }
    Ok(if account.is_complete() { Outcome::Good } else { Outcome::Bad })
}

fn parse_expected(text: &str) -> Result<(InstanceId, u64), String> {
    let parts = text.split_once(':');
    parts
        .and_then(|(instance, records)| Some((InstanceId::parse(instance)?, records.parse().ok()?)))
        .ok_or_else(|| "32 lower-case hexadecimal digits, `:` and a number".to_owned())
}

fn as_table(account: &Account) -> Result<String, std::fmt::Error> {
    let mut out = String::new();
    let Account { files, batches, records, bytes, .. } = account;
    writeln!(out, "{files} files, {batches} batches, {records} records, {bytes} bytes")?;
    if !account.instances.is_empty() {
        let head = ["instance", "batches", "records", "duplicates", "lost", "missing"];
        let [instance, columns @ ..] = head;
        write!(out, "\n{instance:<32}")?;
        for column in columns {
            write!(out, " {column:>12}")?;
        }
        writeln!(out)?;
    }
    for of in &account.instances {
        write!(out, "{}", of.instance)?;
        for number in [of.batches, of.records, of.duplicates, of.lost, of.missing] {
            write!(out, " {number:>12}")?;
        }
        writeln!(out)?;
        for gap in of.gaps.iter().take(LISTED_MAX) {
            writeln!(out, "  missing: records {} to {}", gap.start, gap.end - 1)?;
        }
        list_rest(&mut out, of.gaps.len())?;
        match (of.expected, of.beyond) {
            (None, _) => {
                writeln!(out, "  end unknown: records behind its last one would not show")?
            }
            (Some(expected), 0) => writeln!(out, "  end known: {expected} records in all")?,
            (Some(expected), more) => {
                writeln!(out, "  {more} records more than the {expected} that were expected")?;
            }
        }
    }
    if account.foreign_batches > 0 {
        let Account { foreign_batches, foreign_records, foreign_duplicates, .. } = account;
        writeln!(
            out,
            "\nother producers: {foreign_batches} batches, {foreign_records} records, \
             {foreign_duplicates} batches repeated"
        )?;
    }
    list_damage(&mut out, "damaged", &account.damaged)?;
    list_damage(&mut out, "torn end (never acknowledged)", &account.torn)?;
    list_damage(&mut out, "set aside", &account.set_aside)?;
    let (missing, damaged) = (account.missing(), account.damaged.len());
    if account.files == 0 {
        // Said on standard error: an empty account is not a complete one.
    } else if account.is_complete() {
        writeln!(out, "\ncomplete: nothing missing, nothing damaged")?;
    } else {
        writeln!(out, "\nNOT complete: {missing} records missing, {damaged} places damaged")?;
    }
    Ok(out)
}

fn list_damage(out: &mut String, what: &str, places: &[Damage]) -> std::fmt::Result {
    for damage in places.iter().take(LISTED_MAX) {
        let Damage { path, position, bytes, problem } = damage;
        let path = path.display();
        writeln!(out, "{what}: {path} at {position}, {bytes} bytes: {problem}")?;
    }
    list_rest(out, places.len())
}

fn list_rest(out: &mut String, count: usize) -> std::fmt::Result {
    match count.saturating_sub(LISTED_MAX) {
        0 => Ok(()),
        more => writeln!(out, "  and {more} more"),
    }
}

fn as_json(account: &Account) -> Result<String, std::fmt::Error> {
    let mut out = String::new();
    let Account { files, batches, records, bytes, .. } = account;
    let (complete, missing) = (account.is_complete(), account.missing());
    write!(out, "{{\"complete\":{complete},\"missing\":{missing},\"files\":{files}")?;
    write!(out, ",\"batches\":{batches},\"records\":{records},\"bytes\":{bytes}")?;
    let Account { foreign_batches, foreign_records, foreign_duplicates, .. } = account;
    write!(out, ",\"foreign\":{{\"batches\":{foreign_batches},\"records\":{foreign_records}")?;
    write!(out, ",\"duplicates\":{foreign_duplicates}}},\"instances\":[")?;
    for (place, of) in account.instances.iter().enumerate() {
        instance_json(&mut out, place, of)?;
    }
    out.push(']');
    let Account { damaged, torn, set_aside, .. } = account;
    for (name, places) in [("damaged", damaged), ("torn", torn), ("set_aside", set_aside)] {
        write!(out, ",\"{name}\":[")?;
        for (place, damage) in places.iter().enumerate() {
            out.push_str(if place > 0 { ",{\"path\":" } else { "{\"path\":" });
            json::string(&mut out, &damage.path.to_string_lossy());
            write!(out, ",\"position\":{},\"bytes\":{}", damage.position, damage.bytes)?;
            out.push_str(",\"problem\":");
            json::string(&mut out, &damage.problem);
            out.push('}');
        }
        out.push(']');
    }
    out.push_str("}\n");
    Ok(out)
}

fn instance_json(out: &mut String, place: usize, of: &InstanceAccount) -> std::fmt::Result {
    let InstanceAccount { instance, batches, records, duplicates, lost, missing, .. } = of;
    out.push_str(if place > 0 { "," } else { "" });
    write!(out, "{{\"instance\":\"{instance}\",\"batches\":{batches},\"records\":{records}")?;
    write!(out, ",\"duplicates\":{duplicates},\"lost\":{lost},\"missing\":{missing},\"gaps\":[")?;
    for (place, gap) in of.gaps.iter().enumerate() {
        let comma = if place > 0 { "," } else { "" };
        write!(out, "{comma}{{\"first\":{},\"count\":{}}}", gap.start, gap.end - gap.start)?;
    }
    let expected = of.expected.map_or("null".to_owned(), |records| records.to_string());
    write!(out, "],\"expected\":{expected},\"beyond\":{}}}", of.beyond)
}
