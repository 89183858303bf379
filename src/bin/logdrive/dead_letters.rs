//! `logdrive spool --dead-letters`: the records that receivers refused for good, and another try with them.
//!
//! Reads what `pipeline::dead_letters` wrote, by way of the tools' catalogue; so each record counts once.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

use logdrive::Client;
use logdrive::Logger;
use logdrive::Severity;
use logdrive::batch::RecordView;
use logdrive::ids::InstanceId;
use logdrive::inspect::catalogue::Catalogue;
use logdrive::inspect::records;
use logdrive::inspect::records::CataloguedRecord;
use logdrive::inspect::survey;
use logdrive::pipeline::DEAD_LETTERS_DIR;
use logdrive::pipeline::REJECTED_HEADER;
use logdrive::pipeline::slots;
use logdrive::pipeline::slots::Owner;

use crate::Outcome;
use crate::delivery;
use crate::delivery::Delivery;
use crate::json;
use crate::target::Target;

/// Headers that logdrive writes anew.
const OWN_HEADERS: [&str; 2] = ["severity", "time_ns"];
const OWN_PREFIX: &str = "logdrive.";
const UNKNOWN: &str = "unknown";

/// The dead letters of one process's run.
struct Letters {
    name: String,
    instance: InstanceId,
    dir: PathBuf,
    is_alive: bool,
}

/// Records by topic and reason.
type Counts = BTreeMap<(String, String), u64>;

/// Lists them; with a target, logs them again there.
pub fn run(dir: &Path, target: Option<&Target>, as_json: bool) -> Result<Outcome, Box<dyn Error>> {
    let found = find(dir)?;
    match target {
        Some(target) => resubmit(&found, target, as_json),
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
            let is_alive =
                slots.iter().any(|slot| slot.instance == instance && slot.owner == Owner::Alive);
            let name = name.file_name().to_string_lossy().into_owned();
            found.push(Letters { name, instance, dir: entry.path(), is_alive });
        }
    }
    found.sort_by(|a, b| (&a.name, a.instance.0).cmp(&(&b.name, b.instance.0)));
    Ok(found)
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
        (true, _) => println!("{{\"dead_letters\":[{out}]}}"),
        (false, true) => println!("no dead letters"),
        (false, false) => print!("{out}"),
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

/// Logs them again, each to the topic it was meant for, and removes the files once all is acknowledged.
fn resubmit(found: &[Letters], target: &Target, as_json: bool) -> Result<Outcome, Box<dyn Error>> {
    let mut config = target.config(None)?;
    config.set("name", "dead-letters")?;
    let mut dirs = Vec::new();
    for letters in found {
        if letters.is_alive {
            eprintln!("left alone: {}: its process is running", letters.dir.display());
        } else {
            dirs.push(letters.dir.clone());
        }
    }
    let catalogue = Catalogue::of(&dirs, None)?;
    let mut delivery = Delivery::start(Client::start(&config)?, None, delivery::stop_flag()?);
    let mut streams = BTreeMap::new();
    records::for_each(&catalogue, |record| {
        // A report of losses says nothing where another process logs it.
        if record.view.headers().any(|(name, _)| name == survey::LOSS_NAME) {
            return Ok(());
        }
        let topic = &record.file.partition.topic;
        if !streams.contains_key(topic) {
            streams.insert(topic.clone(), delivery.client().stream(topic)?);
        }
        log_again(&streams[topic], record, &mut delivery);
        Ok::<_, Box<dyn Error>>(())
    })?;
    let summary = delivery.finish();
    if as_json {
        println!("{}}}", summary.json());
    } else {
        eprintln!("{}", summary.text());
    }
    let outcome = summary.outcome();
    if matches!(outcome, Outcome::Good) && catalogue.damaged == 0 {
        for dir in &dirs {
            fs::remove_dir_all(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        }
    }
    Ok(outcome)
}

/// Severity, key, text and attributes are those of the first time; the time is now's.
fn log_again(stream: &Logger, found: &CataloguedRecord<'_>, delivery: &mut Delivery) {
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
    });
}
