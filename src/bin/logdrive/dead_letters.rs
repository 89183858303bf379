//! `logdrive spool --dead-letters`: the records that receivers refused for good, and another try with them.
//!
//! Reads what `pipeline::dead_letters` wrote, by way of the tools' catalogue; so each record counts once.
//! Another try goes file by file, under a name and instance of its own, with its spool in the same directory.
//! Invariant: a file is removed once each of its records was acknowledged, or refused again and so kept as a
//! dead letter of that instance; or where a stop leaves them in the spool, from which the next try delivers
//! them. So none is lost, and none is logged twice unless the command is killed, or a record of its file is
//! refused at the call, or its slot taken over meanwhile.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

use logdrive::Client;
use logdrive::Config;
use logdrive::Logger;
use logdrive::Severity;
use logdrive::Snapshot;
use logdrive::batch::RecordView;
use logdrive::ids::InstanceId;
use logdrive::inspect::catalogue::Catalogue;
use logdrive::inspect::records;
use logdrive::inspect::records::CataloguedRecord;
use logdrive::inspect::records::ReadError;
use logdrive::inspect::source;
use logdrive::inspect::survey;
use logdrive::pipeline::DEAD_LETTERS_DIR;
use logdrive::pipeline::REJECTED_HEADER;
use logdrive::pipeline::slots;
use logdrive::pipeline::slots::FoundSlot;
use logdrive::pipeline::slots::Owner;

use crate::Outcome;
use crate::delivery;
use crate::delivery::Delivery;
use crate::json;
use crate::output;
use crate::target::Target;

/// Headers that logdrive writes anew.
const OWN_HEADERS: [&str; 2] = ["severity", "time_ns"];
const OWN_PREFIX: &str = "logdrive.";
const UNKNOWN: &str = "unknown";
/// The reason under which records are counted that became dead letters.
const REJECTED: &str = "rejected";

/// The dead letters of one process's run.
struct Letters {
    name: String,
    instance: InstanceId,
    dir: PathBuf,
    owner: Owner,
}

/// A file of them as it was before it was read.
struct LetterFile {
    path: PathBuf,
    bytes: u64,
    instance: InstanceId,
}

/// Records by topic and reason.
type Counts = BTreeMap<(String, String), u64>;

/// Lists them; with a target, logs them again there.
pub fn run(dir: &Path, target: Option<&Target>, as_json: bool) -> Result<Outcome, Box<dyn Error>> {
    let found = find(dir)?;
    match target {
        Some(target) => resubmit(dir, target, as_json),
        None => list(&found, as_json),
    }
}

/// `<dir>/<name>/dead-letters/<instance>`, by name and instance.
fn find(dir: &Path) -> Result<Vec<Letters>, Box<dyn Error>> {
    let slots = slots::find(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let mut found = Vec::new();
    for name in fs::read_dir(dir)?.flatten() {
        let Ok(instances) = fs::read_dir(name.path().join(DEAD_LETTERS_DIR)) else { continue };
        for entry in instances.flatten() {
            let instance = entry.file_name().to_str().and_then(InstanceId::parse);
            let Some(instance) = instance else { continue };
            let owner = owner(&slots, instance);
            let name = name.file_name().to_string_lossy().into_owned();
            found.push(Letters { name, instance, dir: entry.path(), owner });
        }
    }
    found.sort_by(|a, b| (&a.name, a.instance.0).cmp(&(&b.name, b.instance.0)));
    Ok(found)
}

/// Who may still add dead letters of this instance: nobody where it has no slot any more.
fn owner(slots: &[FoundSlot], instance: InstanceId) -> Owner {
    let slot = slots.iter().find(|slot| slot.instance == instance);
    slot.map_or(Owner::Dead, |slot| slot.owner.clone())
}

fn list(found: &[Letters], as_json: bool) -> Result<Outcome, Box<dyn Error>> {
    let mut out = String::new();
    let mut is_good = true;
    for (place, letters) in found.iter().enumerate() {
        let catalogue = Catalogue::of(std::slice::from_ref(&letters.dir), None)?;
        is_good &= catalogue.damaged == 0;
        let mut counts = Counts::new();
        records::for_each(&catalogue, |record| {
            let topic = record.file.partition.topic.clone();
            *counts.entry((topic, reason(&record.view))).or_default() += 1;
            Ok::<_, Box<dyn Error>>(())
        })?;
        if as_json {
            out.push_str(if place > 0 { "," } else { "" });
            letters_json(&mut out, letters, &counts)?;
        } else {
            letters_text(&mut out, letters, &counts)?;
        }
    }
    match (as_json, found.is_empty()) {
        (true, _) => output::print(&format!("{{\"dead_letters\":[{out}]}}\n"))?,
        (false, true) => output::print("no dead letters\n")?,
        (false, false) => output::print(&out)?,
    }
    Ok(if is_good { Outcome::Good } else { Outcome::Bad })
}

fn letters_text(out: &mut String, letters: &Letters, counts: &Counts) -> std::fmt::Result {
    let Letters { name, instance, dir, .. } = letters;
    writeln!(out, "{name}/{instance}: logdrive cat {}", dir.display())?;
    for ((topic, reason), count) in counts {
        writeln!(out, "  {count} records of {topic}: {reason}")?;
    }
    Ok(())
}

fn letters_json(out: &mut String, letters: &Letters, counts: &Counts) -> std::fmt::Result {
    out.push_str("{\"name\":");
    json::string(out, &letters.name);
    write!(out, ",\"instance\":\"{}\",\"dir\":", letters.instance)?;
    json::string(out, &letters.dir.to_string_lossy());
    out.push_str(",\"rejected\":[");
    for (place, ((topic, reason), count)) in counts.iter().enumerate() {
        out.push_str(if place > 0 { ",{\"topic\":" } else { "{\"topic\":" });
        json::string(out, topic);
        out.push_str(",\"reason\":");
        json::string(out, reason);
        write!(out, ",\"records\":{count}}}")?;
    }
    out.push_str("]}");
    Ok(())
}

fn reason(record: &RecordView<'_>) -> String {
    let found = record.headers().find(|(name, _)| *name == REJECTED_HEADER);
    let text = found.and_then(|(_, value)| value).map(String::from_utf8_lossy);
    text.map_or(UNKNOWN.to_owned(), |text| text.into_owned())
}

/// Logs them again, each to the topic it was meant for; see the module's head.
fn resubmit(root: &Path, target: &Target, as_json: bool) -> Result<Outcome, Box<dyn Error>> {
    let config = config(root, target)?;
    // Before there is a slot: from then on a stop leaves it in order.
    let is_stopping = delivery::stop_flag()?;
    let mut delivery = Delivery::start(Client::start(&config)?, None, is_stopping);
    // What an earlier try left in its spool may be refused again: first, so that it is found here.
    delivery.wait_until_delivered();
    // A stop may come before it is known what an earlier try left.
    let mut is_good = !delivery.is_stopping();
    let mut under_way = None;
    for letters in find(root)? {
        let ended = log_letters(root, &letters, &mut delivery)?;
        is_good &= ended.is_good;
        under_way = ended.under_way;
        if ended.is_last {
            break;
        }
    }
    let summary = delivery.finish();
    if let Some(file) = under_way {
        // All of it is in the spool now.
        is_good &= remove(root, &file)?;
    }
    if as_json {
        output::print(&format!("{}}}\n", summary.json()))?;
    } else {
        output::remark(format_args!("{}", summary.text()));
    }
    Ok(if is_good { summary.outcome() } else { Outcome::Bad })
}

/// What came of the letters of one instance.
struct Ended {
    /// Whether all of them went on, or belong to a running process.
    is_good: bool,
    /// The file whose records were all accepted and not all acknowledged before the stop.
    under_way: Option<LetterFile>,
    /// Whether those of other instances are not to be tried.
    is_last: bool,
}

fn log_letters(
    root: &Path,
    letters: &Letters,
    delivery: &mut Delivery,
) -> Result<Ended, Box<dyn Error>> {
    let left_alone = |why: &str, is_good| {
        output::remark(format_args!("left alone: {}: {why}", letters.dir.display()));
        Ok(Ended { is_good, under_way: None, is_last: false })
    };
    match &letters.owner {
        Owner::Dead => {}
        Owner::Alive => return left_alone("its process is running", true),
        Owner::Unknown(error) => {
            let why = format!("cannot tell whether its process runs: {error}");
            return left_alone(&why, false);
        }
    }
    let files = files_of(letters)?;
    let catalogue = Catalogue::of(std::slice::from_ref(&letters.dir), None)?;
    if catalogue.damaged > 0 {
        // What is good in them would be logged again at every try.
        let why = format!("{} places are damaged; `logdrive cat` has the rest", catalogue.damaged);
        return left_alone(&why, false);
    }
    let mut is_good = true;
    for file in files {
        if delivery.is_stopping() {
            return Ok(Ended { is_good: false, under_way: None, is_last: true });
        }
        let is_accepted = log_file(&catalogue, &file.path, delivery)?;
        let has_ended = delivery.wait_until_flushed();
        let is_last = is_any_lost(&delivery.client().stats());
        if !is_accepted || is_last {
            is_good = false;
            output::remark(format_args!("kept: {}: not all went on", file.path.display()));
        } else if has_ended {
            is_good &= remove(root, &file)?;
        } else {
            return Ok(Ended { is_good, under_way: Some(file), is_last: true });
        }
        if is_last {
            return Ok(Ended { is_good, under_way: None, is_last });
        }
    }
    Ok(Ended { is_good, under_way: None, is_last: false })
}

/// The target's, with its spool in `root`. A file that is removed was on the disk, and so is what takes its place: in
/// the spool, or refused again.
fn config(root: &Path, target: &Target) -> Result<Config, Box<dyn Error>> {
    let mut config = target.config(None)?;
    let rings = config.settings()?.ring.dir.unwrap_or_else(slots::default_root);
    if fs::canonicalize(root)? != fs::canonicalize(rings).unwrap_or_default() {
        config = target.config(Some(root))?;
        config.set("spool.sync", "batch")?;
    }
    config.set("name", "dead-letters")?;
    config.set("dead_letters.bytes_max", "1TiB")?;
    Ok(config)
}

/// The files that are there now.
fn files_of(letters: &Letters) -> Result<Vec<LetterFile>, Box<dyn Error>> {
    let mut found = Vec::new();
    for source::SourceFile { path, .. } in source::files(std::slice::from_ref(&letters.dir), None)?
    {
        let bytes = fs::metadata(&path).map_err(source::error_at(&path))?.len();
        found.push(LetterFile { path, bytes, instance: letters.instance });
    }
    Ok(found)
}

/// Logs what the catalogue has of this file; false where a record was not accepted, and then those behind it are not
/// tried: the file stays, and all of it is logged again.
fn log_file(
    catalogue: &Catalogue,
    path: &Path,
    delivery: &mut Delivery,
) -> Result<bool, Box<dyn Error>> {
    let Some(index) = catalogue.files.iter().position(|file| file.path == path) else {
        return Ok(false);
    };
    let stream = delivery.client().stream(&catalogue.files[index].partition.topic)?;
    let entries = catalogue.entries.iter().filter(|entry| entry.file == index).copied().collect();
    let of_file = Catalogue { files: catalogue.files.clone(), entries, damaged: 0 };
    let mut is_accepted = true;
    records::for_each(&of_file, |record| {
        // A report of losses says nothing where another process logs it.
        let is_report = record.view.headers().any(|(name, _)| name == survey::LOSS_NAME);
        is_accepted = is_accepted && (is_report || log_again(&stream, record, delivery));
        Ok::<_, ReadError>(())
    })?;
    Ok(is_accepted)
}

/// Whether anything that was accepted will neither arrive nor be found among the dead letters.
fn is_any_lost(stats: &Snapshot) -> bool {
    let sender = &stats.sender;
    sender.dropped.iter().any(|(reason, _)| *reason != REJECTED)
        || sender.damaged > 0
        || stats.dead_letters_lost > 0
        || stats.arena_is_lost
}

/// Removes a file all of whose records went on, and its directories where they are empty then. False where a process
/// has taken over the slot meanwhile and may write there: what it added was not read.
fn remove(root: &Path, file: &LetterFile) -> Result<bool, Box<dyn Error>> {
    let LetterFile { path, bytes, instance } = file;
    let at = |error| format!("{}: {error}", path.display());
    let is_as_read = fs::metadata(path).map_err(at)?.len() == *bytes;
    if !is_as_read || owner(&slots::find(root)?, *instance) != Owner::Dead {
        output::remark(format_args!(
            "kept: {}: a process writes there; the next try logs all of it again",
            path.display()
        ));
        return Ok(false);
    }
    fs::remove_file(path).map_err(at)?;
    for dir in path.ancestors().skip(1).take(2) {
        // Other files keep it.
        let _not_empty = fs::remove_dir(dir);
    }
    Ok(true)
}

/// Severity, key, text and attributes are those of the first time; the time is now's.
fn log_again(stream: &Logger, found: &CataloguedRecord<'_>, delivery: &mut Delivery) -> bool {
    let record = &found.view;
    let severity = record.headers().find(|(name, _)| *name == b"severity");
    let severity = severity.and_then(|(_, value)| std::str::from_utf8(value?).ok()?.parse().ok());
    let severity = severity.unwrap_or(Severity::Info);
    let headers: Vec<(&str, &[u8])> = record
        .headers()
        .filter_map(|(name, value)| Some((std::str::from_utf8(name).ok()?, value?)))
        .filter(|(name, _)| !OWN_HEADERS.contains(name) && !name.starts_with(OWN_PREFIX))
        .collect();
    let body = record.value.unwrap_or_default();
    delivery.log(|_| match record.key {
        Some(key) => stream.log_keyed(severity, key, body, &headers),
        None => stream.log_with(severity, body, &headers),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an heir of the slot has added since, and what it has written beside it, was never read.
    #[test]
    fn only_what_was_read_is_removed() {
        let root = tempfile::tempdir().unwrap();
        let instance = InstanceId([7; 16]);
        let dir = root.path().join("app").join(DEAD_LETTERS_DIR).join(instance.to_string());
        let letters = Letters { name: "app".into(), instance, dir, owner: Owner::Dead };
        let path = |partition: &str| letters.dir.join(partition).join("00000000000000000000.log");
        for partition in ["a-0", "b-0"] {
            fs::create_dir_all(letters.dir.join(partition)).unwrap();
            fs::write(path(partition), "read").unwrap();
        }
        let files = files_of(&letters).unwrap();
        fs::write(path("a-0"), "read, and more").unwrap();
        fs::create_dir_all(letters.dir.join("c-0")).unwrap();
        fs::write(path("c-0"), "new").unwrap();
        let removed: Vec<bool> =
            files.iter().map(|file| remove(root.path(), file).unwrap()).collect();
        assert_eq!(removed, [false, true]);
        assert!(path("a-0").exists() && path("c-0").exists());
        assert!(!letters.dir.join("b-0").exists());
    }
}
