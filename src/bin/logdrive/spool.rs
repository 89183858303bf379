//! `logdrive spool`: what a spool directory holds, without changing it.

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;
use std::path::PathBuf;

use logdrive::clock::UtcMillis;
use logdrive::ids::InstanceId;
use logdrive::inspect::spool;
use logdrive::inspect::spool::Bound;
use logdrive::inspect::spool::SpoolView;
use logdrive::pipeline::slots;
use logdrive::pipeline::slots::FoundSlot;
use logdrive::pipeline::slots::Owner;

use crate::Outcome;
use crate::dead_letters;
use crate::json;
use crate::output;
use crate::target::Target;

/// Show what a spool directory holds: who wrote it, what waits, what was sent and not acknowledged.
///
/// Changes nothing without --to, and works beside running processes. Records that are still in the rings
/// are not counted. Exits with 1 if something could not be read.
#[derive(clap::Args)]
pub struct Arguments {
    /// The directory given as --spool or spool.dir; the default one in memory if it is left out.
    dir: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    /// Instead, list the records that receivers refused for good, by reason. With --to, log them again, each to its own
    /// topic, file by file: a file is removed once all in it are acknowledged, or kept anew because they were refused
    /// again. What a stop leaves stored is delivered by the next try. Those of running processes are left alone.
    #[arg(long)]
    dead_letters: bool,
    /// Where to: as for `logdrive ship`.
    #[arg(long, value_name = "URL", requires = "dead_letters")]
    to: Option<String>,
    /// Set an option of that run. May be repeated.
    #[arg(long = "set", value_name = "NAME=VALUE", requires = "to")]
    set: Vec<String>,
}

/// A slot and what its files hold, or why they cannot be read.
type Seen = (FoundSlot, Result<SpoolView, String>);

pub fn run(arguments: &Arguments) -> Result<Outcome, Box<dyn Error>> {
    if arguments.dead_letters {
        let dir = arguments.dir.clone().unwrap_or_else(slots::default_root);
        let to = arguments.to.as_ref();
        let target = to.map(|to| Target::new(to.clone(), arguments.set.clone()));
        return dead_letters::run(&dir, target.as_ref(), arguments.json);
    }
    let (dir, slots) = match &arguments.dir {
        Some(dir) => (dir.clone(), slots_in(dir)?),
        // Nobody has ever logged here: that is no error.
        None if !slots::default_root().exists() => (slots::default_root(), Vec::new()),
        None => (slots::default_root(), slots_in(&slots::default_root())?),
    };
    let mut seen = Vec::new();
    for slot in slots {
        let view = spool::read(&slot.spool_dir, slot.instance);
        // A slot that its owner removed meanwhile is no slot any more.
        if slot.spool_dir.exists() {
            seen.push((slot, view.map_err(|error| error.to_string())));
        }
    }
    let text = if arguments.json { as_json(&dir, &seen)? } else { as_text(&dir, &seen)? };
    output::print(&text)?;
    let is_good =
        seen.iter().all(|(_, view)| view.as_ref().is_ok_and(|view| view.problems.is_empty()));
    Ok(if is_good { Outcome::Good } else { Outcome::Bad })
}

/// The slots below `dir`; an error that helps where it is not the directory that was meant.
pub fn slots_in(dir: &Path) -> Result<Vec<FoundSlot>, Box<dyn Error>> {
    let slots = slots::find(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let dir = std::path::absolute(dir)?;
    let is_instance = |name: Option<&std::ffi::OsStr>| {
        name.and_then(|n| InstanceId::parse(n.to_str()?)).is_some()
    };
    let holds_instances = || {
        let mut entries = std::fs::read_dir(&dir).into_iter().flatten().flatten();
        entries.any(|entry| is_instance(Some(&entry.file_name())))
    };
    let meant = if !slots.is_empty() {
        None
    } else if is_instance(dir.file_name()) {
        dir.parent().and_then(Path::parent)
    } else if holds_instances() {
        dir.parent()
    } else {
        None
    };
    match meant {
        Some(meant) => {
            let (dir, meant) = (dir.display(), meant.display());
            Err(format!("{dir} is a part of a spool directory: give the whole one, {meant}").into())
        }
        None => Ok(slots),
    }
}

fn as_text(dir: &Path, seen: &[Seen]) -> Result<String, std::fmt::Error> {
    let mut out = String::new();
    if seen.is_empty() {
        writeln!(out, "{}: no slots", dir.display())?;
    }
    for (place, (slot, view)) in seen.iter().enumerate() {
        let FoundSlot { name, instance, owner, .. } = slot;
        let owner = match owner {
            Owner::Alive => "owner alive".to_owned(),
            Owner::Dead => "owner dead".to_owned(),
            Owner::Unknown(error) => format!("owner unknown: {error}"),
        };
        let line = if place > 0 { "\n" } else { "" };
        writeln!(out, "{line}{name}/{instance}: {owner}")?;
        match view {
            Ok(view) => view_text(&mut out, view)?,
            Err(error) => writeln!(out, "  unreadable: {error}")?,
        }
        if let Some(bytes) = slot.arena_bytes {
            writeln!(out, "  arena    {bytes} bytes; records in it are not counted above")?;
        }
    }
    Ok(out)
}

fn view_text(out: &mut String, view: &SpoolView) -> std::fmt::Result {
    let SpoolView { segments, segment_bytes, batches, records, bytes, .. } = view;
    let oldest =
        view.oldest_ms.map_or(String::new(), |time| format!(", oldest {}", UtcMillis(time)));
    writeln!(out, "  waiting  {records} records in {batches} batches, {bytes} bytes{oldest}")?;
    writeln!(out, "  files    {segments} segments, {segment_bytes} bytes")?;
    for bound in &view.bound {
        let Bound { topic, partition, producer_id, epoch, .. } = bound;
        let Bound { first_sequence, last_sequence, batches, .. } = bound;
        writeln!(
            out,
            "  bound    {batches} batches: {topic}-{partition}, producer id {producer_id}, \
             epoch {epoch}, sequences {first_sequence} to {last_sequence}"
        )?;
    }
    if view.quarantined > 0 {
        writeln!(out, "  aside    {} files in quarantine", view.quarantined)?;
    }
    for (path, problem) in &view.problems {
        writeln!(out, "  problem  {}: {problem}", path.display())?;
    }
    Ok(())
}

fn as_json(dir: &Path, seen: &[Seen]) -> Result<String, std::fmt::Error> {
    let mut out = "{\"dir\":".to_owned();
    json::string(&mut out, &dir.to_string_lossy());
    out.push_str(",\"slots\":[");
    for (place, (slot, view)) in seen.iter().enumerate() {
        out.push_str(if place > 0 { ",{\"name\":" } else { "{\"name\":" });
        json::string(&mut out, &slot.name);
        let owner = match slot.owner {
            Owner::Alive => "alive",
            Owner::Dead => "dead",
            Owner::Unknown(_) => "unknown",
        };
        write!(out, ",\"instance\":\"{}\",\"owner\":\"{owner}\"", slot.instance)?;
        write!(out, ",\"arena_bytes\":{}", number_or_null(slot.arena_bytes))?;
        match view {
            Ok(view) => view_json(&mut out, view)?,
            Err(error) => {
                out.push_str(",\"error\":");
                json::string(&mut out, error);
            }
        }
        out.push('}');
    }
    out.push_str("]}\n");
    Ok(out)
}

fn view_json(out: &mut String, view: &SpoolView) -> std::fmt::Result {
    let SpoolView { segments, segment_bytes, batches, records, bytes, quarantined, .. } = view;
    write!(out, ",\"segments\":{segments},\"segment_bytes\":{segment_bytes}")?;
    write!(out, ",\"batches\":{batches},\"records\":{records},\"bytes\":{bytes}")?;
    write!(out, ",\"oldest\":{}", number_or_null(view.oldest_ms))?;
    write!(out, ",\"quarantined\":{quarantined},\"bound\":[")?;
    for (place, bound) in view.bound.iter().enumerate() {
        out.push_str(if place > 0 { ",{\"topic\":" } else { "{\"topic\":" });
        json::string(out, &bound.topic);
        let Bound { partition, producer_id, epoch, .. } = bound;
        let Bound { first_sequence, last_sequence, batches, .. } = bound;
        write!(out, ",\"partition\":{partition},\"producer_id\":{producer_id},\"epoch\":{epoch}")?;
        write!(out, ",\"first_sequence\":{first_sequence},\"last_sequence\":{last_sequence}")?;
        write!(out, ",\"batches\":{batches}}}")?;
    }
    out.push_str("],\"problems\":[");
    for (place, (path, problem)) in view.problems.iter().enumerate() {
        out.push_str(if place > 0 { ",{\"path\":" } else { "{\"path\":" });
        json::string(out, &path.to_string_lossy());
        out.push_str(",\"problem\":");
        json::string(out, problem);
        out.push('}');
    }
    out.push(']');
    Ok(())
}

fn number_or_null(number: Option<impl ToString>) -> String {
    number.map_or("null".to_owned(), |number| number.to_string())
}
