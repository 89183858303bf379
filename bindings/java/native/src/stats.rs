//! Figures, as lines of a name and a number, behind one with the instance.

use std::fmt::Write as _;

use jni_sys::JNIEnv;
use jni_sys::jbyteArray;
use jni_sys::jclass;
use jni_sys::jlong;
use logdrive::Snapshot;
use logdrive_bindings::guard;

use crate::arrays::Environment;
use crate::handles;

/// The instance as a line, then the figures as `name number` lines; null where the client is closed, or after a panic.
///
/// # Safety
/// Called by the JVM.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Java_io_logdrive_Native_stats(
    environment: *mut JNIEnv,
    _class: jclass,
    client: jlong,
) -> jbyteArray {
    guard::value(std::ptr::null_mut(), || {
        let Ok(open) = handles::client(client) else { return std::ptr::null_mut() };
        let text = lines(&open.client.stats());
        // SAFETY: promised by the caller.
        unsafe { Environment::new(environment) }.new_bytes(text.as_bytes())
    })
}

/// Names are those of docs/configuration.md's sibling, the C binding's JSON; reasons and receivers follow a dot.
fn lines(snapshot: &Snapshot) -> String {
    let sender = &snapshot.sender;
    let mut text = format!("{}\n", snapshot.instance);
    let mut line = |name: &str, value: u64| {
        // Writing to a string cannot fail.
        let _infallible = writeln!(text, "{name} {value}");
    };
    line("accepted", snapshot.accepted);
    line("refused", snapshot.refused_total());
    line("delivered", sender.delivered);
    line("unconfirmed", sender.unconfirmed);
    line("dropped", snapshot.dropped_total());
    line("damaged", sender.damaged);
    line("stored", sender.stored);
    line("stored_bytes", sender.stored_bytes);
    line("bytes_in", snapshot.bytes_in);
    line("bytes_sealed", snapshot.bytes_sealed);
    line("bytes_wire", sender.bytes_wire);
    line("malformed", snapshot.malformed);
    line("spool_full", snapshot.spool_full);
    line("spool_errors", snapshot.spool_errors);
    line("adopted_delivered", sender.adopted_delivered);
    line("adopted_slots", sender.adopted_slots);
    line("adoption_done", u64::from(sender.adoption_done));
    line("retries", sender.retries);
    line("rebinds", sender.rebinds);
    line("panics", snapshot.panics + guard::caught());
    line("arena_bytes", snapshot.arena_bytes);
    line("arena_used_percent", u64::from(snapshot.arena_used_percent));
    let connected = sender.receivers.iter().filter(|receiver| receiver.is_connected).count();
    line("receivers_connected", connected as u64);
    for (reason, count) in &snapshot.refused {
        line(&format!("refused.{reason}"), *count);
    }
    for (reason, count) in &sender.dropped {
        line(&format!("dropped.{reason}"), *count);
    }
    for receiver in &sender.receivers {
        line(&format!("receiver.{}.records", receiver.address), receiver.records);
        line(&format!("receiver.{}.failures", receiver.address), receiver.failures);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use logdrive::stats::ReceiverStats;

    #[test]
    fn figures_reasons_and_receivers_are_lines() {
        let instance = "00ff".repeat(8);
        let mut snapshot = Snapshot { instance, accepted: 7, ..Snapshot::default() };
        snapshot.refused = vec![("ring_full", 2)];
        let address = "[::1]:9092".to_owned();
        let receiver =
            ReceiverStats { address, is_connected: true, records: 5, ..Default::default() };
        snapshot.sender.receivers = vec![receiver];
        let text = lines(&snapshot);
        assert!(text.starts_with("00ff00ff00ff00ff00ff00ff00ff00ff\naccepted 7\n"), "{text}");
        for expected in [
            "accepted 7\nrefused 2\n",
            "receivers_connected 1\n",
            "refused.ring_full 2\n",
            "receiver.[::1]:9092.records 5\n",
        ] {
            assert!(text.contains(expected), "{expected} in {text}");
        }
    }
}
