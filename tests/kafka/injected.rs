//! kfake, which is strict, answers with every error code there is: each has the effect that the table of
//! `proto::kafka::errors` names, and every record is accounted for.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::peers::Peer;
use crate::peers::consume;
use crate::records::Arrived;
use crate::records::text;

const RECORDS: u64 = 3_000;

/// What becomes of the batches whose first answer has the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    /// They are sent again, and arrive once.
    Delivered,
    /// They are given up, counted under this reason.
    Dropped(&'static str),
    /// The answer says that they are there, which here is a lie.
    Believed,
}
use Effect::*;

/// Code, how often it is answered, effect.
const TABLE: &[(i16, u32, Effect)] = &[
    (-1, 3, Delivered),
    (-1, 4, Dropped("rejected")),
    (2, 1, Delivered),
    // Divided from then on; both halves arrive.
    (2, 2, Delivered),
    (3, 2, Delivered),
    (5, 2, Delivered),
    (6, 2, Delivered),
    (7, 2, Delivered),
    (10, 1, Delivered),
    (10, 7, Delivered),
    (13, 2, Delivered),
    (14, 3, Delivered),
    (15, 4, Dropped("rejected")),
    (17, 1, Delivered),
    (18, 3, Delivered),
    (19, 2, Delivered),
    (20, 2, Delivered),
    (21, 1, Delivered),
    (29, 1, Delivered),
    (31, 1, Delivered),
    // Other times, then halves.
    (32, 1, Delivered),
    (32, 2, Delivered),
    (32, 4, Delivered),
    (34, 1, Delivered),
    (35, 1, Delivered),
    (42, 4, Dropped("rejected")),
    (43, 1, Delivered),
    (44, 1, Delivered),
    (45, 2, Delivered),
    (46, 1, Believed),
    (47, 2, Delivered),
    (49, 1, Delivered),
    (54, 1, Delivered),
    (56, 2, Delivered),
    (59, 2, Delivered),
    (72, 2, Delivered),
    (74, 2, Delivered),
    (75, 2, Delivered),
    // gzip, then no compression, then halves.
    (76, 1, Delivered),
    (76, 2, Delivered),
    (76, 3, Delivered),
    (87, 1, Delivered),
    (87, 5, Delivered),
    (89, 2, Delivered),
    (90, 1, Delivered),
    (100, 2, Delivered),
    (120, 1, Delivered),
];

#[test]
fn every_error_code_has_the_effect_of_the_table() {
    let Some(mut kfake) = Peer::kfake(1, &[]) else { return };
    let dir = tempfile::tempdir().unwrap();
    let lines = dir.path().join("lines");
    let mut input = String::new();
    for number in 0..RECORDS {
        let _infallible = writeln!(input, "{}", text("ship", number));
    }
    fs::write(&lines, input).unwrap();
    let mut hits = 0;
    let mut failures = Vec::new();
    for (code, times, effect) in TABLE {
        let topic = format!("code{code}x{times}");
        kfake.tell(&format!("create {topic} 1"));
        kfake.tell(&format!("fault {code} {times}"));
        let [delivered, dropped, stored, reports] = ship(&kfake.bootstrap, &topic, &lines);
        hits += u64::from(*times);
        if kfake.tell("hits").parse() != Ok(hits) {
            failures.push(format!("{code} x {times}: was not met"));
        }
        let arrived = Arrived::new(&consume(&kfake.bootstrap, &topic));
        let is_right = match effect {
            Delivered => {
                failures.extend(arrived.complaint("ship", RECORDS));
                delivered == RECORDS && dropped == 0 && arrived.count() == delivered
            }
            Dropped(_) => dropped > 0 && arrived.count() == delivered - reports,
            Believed => delivered == RECORDS && arrived.count() < delivered,
        };
        if !is_right || delivered + dropped != RECORDS + reports || stored != 0 {
            failures.push(format!(
                "{code} x {times} ({effect:?}): delivered {delivered}, dropped {dropped}, stored {stored}, arrived {}",
                arrived.count()
            ));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

/// Delivered, dropped, stored, reports of losses (which count as delivered too).
fn ship(bootstrap: &str, topic: &str, lines: &Path) -> [u64; 4] {
    let spool = tempfile::tempdir().unwrap();
    let shipped = Command::new(env!("CARGO_BIN_EXE_logdrive"))
        .args(["ship", "--json", "--deadline", "15s", "--set", "batch.bytes=4KiB", "--to"])
        .arg(format!("kafka://{bootstrap}/{topic}"))
        .arg("--spool")
        .arg(spool.path())
        .arg(lines)
        .output()
        .unwrap();
    let summary = String::from_utf8_lossy(&shipped.stdout).into_owned();
    let number = |after: &str| -> u64 {
        let rest = summary.split(after).nth(1);
        let digits = rest.and_then(|rest| rest.split([',', '}']).next());
        digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
    };
    let dropped = number("\"rejected\":") + number("\"too_large\":");
    let reports = number("\"loss_reports\":");
    [number("\"delivered\":"), dropped, number("\"stored\":"), reports]
}
