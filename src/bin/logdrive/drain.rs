//! `logdrive drain`: delivers what dead processes left in a spool directory.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use logdrive::Client;
use logdrive::clock::Clock;
use logdrive::inspect;
use logdrive::pipeline::slots::FoundSlot;
use logdrive::pipeline::slots::Owner;

use crate::Outcome;
use crate::delivery;
use crate::delivery::Delivery;
use crate::output;
use crate::spool;
use crate::summary::Summary;
use crate::target::Target;

/// Deliver what dead processes left in a spool directory.
///
/// Takes over every slot whose process is gone, sends what it holds and removes it. Slots of running
/// processes are left alone and named. Exits with 0 when everything was acknowledged, 1 when anything
/// was dropped, is unreadable or is still stored, 2 when it could not run.
#[derive(clap::Args)]
pub struct Arguments {
    /// The directory given as --spool or spool.dir.
    dir: PathBuf,
    #[command(flatten)]
    target: Target,
    /// Give up after this long (5s, 2m); what is left stays stored.
    #[arg(long, value_name = "TIME", value_parser = delivery::parse_duration)]
    deadline: Option<Duration>,
    /// Print one JSON object about the run on standard output.
    #[arg(long)]
    json: bool,
}

/// Slots that are not drained because their process runs, or because nobody can tell.
struct LeftAlone {
    alive: u64,
    unknown: u64,
}

pub fn run(arguments: &Arguments) -> Result<Outcome, Box<dyn Error>> {
    let slots_before = spool::slots_in(&arguments.dir)?;
    let left_alone = name_left_alone(&slots_before);
    let mut dead = BTreeMap::new();
    for slot in slots_before.iter().filter(|slot| slot.owner == Owner::Dead) {
        *dead.entry(slot.name.as_str()).or_insert(0u64) += 1;
    }
    // All of them before anything starts: a mistake in the options is a usage error.
    let mut configs = Vec::new();
    for name in dead.keys() {
        let mut config = arguments.target.config(Some(&arguments.dir))?;
        config.set("name", name)?;
        configs.push(config);
    }
    if configs.is_empty() {
        arguments.target.config(Some(&arguments.dir))?;
    }
    let is_stopping = delivery::stop_flag()?;
    let clock = Clock::start();
    let start = clock.moment();
    let mut summary = Summary::default();
    for config in &configs {
        let left =
            arguments.deadline.map(|deadline| deadline.saturating_sub(clock.moment().since(start)));
        let delivery = Delivery::start(Client::start(config)?, left, is_stopping.clone());
        summary.add(delivery.finish());
    }
    let left_over = name_left_over(&slots_before)?;
    // A deadline may end it before all slots were opened: what their files hold counts.
    summary.stored = summary.stored.max(left_over.records);
    let slots: u64 = dead.values().sum();
    if arguments.json {
        let LeftAlone { alive, unknown } = left_alone;
        let counts = format!("{{\"dead\":{slots},\"alive\":{alive},\"unknown\":{unknown}}}");
        output::print(&format!("{},\"slots\":{counts}}}\n", summary.json()))?;
    } else if slots == 0 {
        output::remark(format_args!(
            "nothing to drain: no slot of a dead process in {}",
            arguments.dir.display()
        ));
    } else {
        let plural = if slots == 1 { "" } else { "s" };
        output::remark(format_args!("{slots} slot{plural}: {}", summary.text()));
    }
    let is_drained = left_over.slots == 0 && left_alone.unknown == 0;
    Ok(if is_drained { summary.outcome() } else { Outcome::Bad })
}

/// What is still in slots of dead processes.
#[derive(Default)]
struct LeftOver {
    slots: u64,
    records: u64,
}

/// Tells which of these slots still hold something.
fn name_left_over(slots: &[FoundSlot]) -> Result<LeftOver, Box<dyn Error>> {
    let mut left_over = LeftOver::default();
    for slot in slots.iter().filter(|slot| slot.owner == Owner::Dead && slot.spool_dir.exists()) {
        let view = inspect::spool::read(&slot.spool_dir, slot.instance)?;
        let has_rings = slot.arena_bytes.is_some();
        if view.batches > 0 || has_rings || !view.problems.is_empty() {
            left_over.slots += 1;
            left_over.records += view.records;
            let (place, records) = (slot.spool_dir.display(), view.records);
            output::remark(format_args!(
                "not drained: {place}: {records} records; `logdrive spool` tells more"
            ));
        }
    }
    Ok(left_over)
}

fn name_left_alone(slots: &[FoundSlot]) -> LeftAlone {
    let mut left_alone = LeftAlone { alive: 0, unknown: 0 };
    for slot in slots {
        let place = slot.spool_dir.display();
        match &slot.owner {
            Owner::Dead => {}
            Owner::Alive => {
                left_alone.alive += 1;
                output::remark(format_args!("left alone: {place}: its process is running"));
            }
            Owner::Unknown(error) => {
                left_alone.unknown += 1;
                output::remark(format_args!(
                    "left alone: {place}: cannot tell whether its process runs: {error}"
                ));
            }
        }
    }
    left_alone
}
