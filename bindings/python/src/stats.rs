//! The figures as a dictionary: names as in the C structure, reasons and receivers as in its JSON.

use logdrive_core::Snapshot;
use logdrive_core::stats::ReceiverStats;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use pyo3::types::PyList;

/// The dictionary of a snapshot.
pub(crate) fn dictionary<'py>(
    py: Python<'py>,
    snapshot: &Snapshot,
) -> PyResult<Bound<'py, PyDict>> {
    let sender = &snapshot.sender;
    let figures = PyDict::new(py);
    figures.set_item("instance", &snapshot.instance)?;
    for (name, value) in [
        ("accepted", snapshot.accepted),
        ("delivered", sender.delivered),
        ("unconfirmed", sender.unconfirmed),
        ("damaged", sender.damaged),
        ("stored", sender.stored),
        ("stored_bytes", sender.stored_bytes),
        ("bytes_in", snapshot.bytes_in),
        ("bytes_sealed", snapshot.bytes_sealed),
        ("bytes_wire", sender.bytes_wire),
        ("malformed", snapshot.malformed),
        ("spool_full", snapshot.spool_full),
        ("spool_errors", snapshot.spool_errors),
        ("adopted_delivered", sender.adopted_delivered),
        ("adopted_slots", sender.adopted_slots),
        ("retries", sender.retries),
        ("rebinds", sender.rebinds),
        ("panics", snapshot.panics),
        ("arena_bytes", snapshot.arena_bytes),
        ("arena_used_percent", u64::from(snapshot.arena_used_percent)),
    ] {
        figures.set_item(name, value)?;
    }
    figures.set_item("arena_is_private", snapshot.arena_is_private)?;
    figures.set_item("arena_is_lost", snapshot.arena_is_lost)?;
    figures.set_item("refused", reasons(py, &snapshot.refused)?)?;
    figures.set_item("dropped", reasons(py, &sender.dropped)?)?;
    let receivers = sender.receivers.iter().map(|of| receiver(py, of));
    figures.set_item("receivers", PyList::new(py, receivers.collect::<PyResult<Vec<_>>>()?)?)?;
    Ok(figures)
}

fn reasons<'py>(py: Python<'py>, reasons: &[(&'static str, u64)]) -> PyResult<Bound<'py, PyDict>> {
    let counts = PyDict::new(py);
    for (reason, count) in reasons {
        counts.set_item(reason, count)?;
    }
    Ok(counts)
}

fn receiver<'py>(py: Python<'py>, of: &ReceiverStats) -> PyResult<Bound<'py, PyDict>> {
    let figures = PyDict::new(py);
    figures.set_item("address", &of.address)?;
    figures.set_item("is_connected", of.is_connected)?;
    figures.set_item("batches", of.batches)?;
    figures.set_item("records", of.records)?;
    figures.set_item("bytes", of.bytes)?;
    figures.set_item("failures", of.failures)?;
    Ok(figures)
}
