//! The figures as one JSON object: names as in the C structure, reasons and receivers as objects.

use logdrive_core::Snapshot;

/// The object; `panics_caught` are those at the boundary.
pub(crate) fn write(snapshot: &Snapshot, panics_caught: u64) -> String {
    let sender = &snapshot.sender;
    let mut object = Object::begin();
    object.text("instance", &snapshot.instance);
    object.number("accepted", snapshot.accepted);
    object.reasons("refused", &snapshot.refused);
    object.number("delivered", sender.delivered);
    object.number("unconfirmed", sender.unconfirmed);
    object.reasons("dropped", &sender.dropped);
    object.number("damaged", sender.damaged);
    object.number("stored", sender.stored);
    object.number("stored_bytes", sender.stored_bytes);
    object.number("bytes_in", snapshot.bytes_in);
    object.number("bytes_sealed", snapshot.bytes_sealed);
    object.number("bytes_wire", sender.bytes_wire);
    object.number("malformed", snapshot.malformed);
    object.number("spool_full", snapshot.spool_full);
    object.number("spool_errors", snapshot.spool_errors);
    object.number("adopted_delivered", sender.adopted_delivered);
    object.number("adopted_slots", sender.adopted_slots);
    object.number("retries", sender.retries);
    object.number("acknowledgement_regressions", sender.acknowledgement_regressions);
    object.number("throttled_ms", sender.throttled_ms);
    object.number("rebinds", sender.rebinds);
    object.number("dead_letters_lost", snapshot.dead_letters_lost);
    object.number("discovery_failures", sender.discovery_failures);
    object.number("panics", snapshot.panics + panics_caught);
    object.number("events_lost", snapshot.events_lost);
    object.number("arena_bytes", snapshot.arena_bytes);
    object.number("arena_used_percent", u64::from(snapshot.arena_used_percent));
    object.boolean("arena_is_private", snapshot.arena_is_private);
    object.boolean("arena_is_lost", snapshot.arena_is_lost);
    object.text("spool_store", snapshot.spool_store);
    object.boolean("spool_memory_mode", snapshot.spool_memory_mode);
    object.number("spool_memory_entries", snapshot.spool_memory_entries);
    object.number("spool_memory_bytes", snapshot.spool_memory_bytes);
    object.number("spool_segments_rehomed", snapshot.spool_segments_rehomed);
    object.boolean("tls_unverified", sender.tls_unverified);
    object.boolean("sasl_cleartext", sender.sasl_cleartext);
    object.number("credentials_reloads", sender.credentials_reloads);
    object.number("credentials_failures", sender.credentials_failures);
    object.text("credentials_failure", &sender.credentials_failure);
    let receivers = sender.receivers.iter().map(|receiver| {
        let mut of = Object::begin();
        of.text("address", &receiver.address);
        of.boolean("is_connected", receiver.is_connected);
        of.number("batches", receiver.batches);
        of.number("records", receiver.records);
        of.number("bytes", receiver.bytes);
        of.number("failures", receiver.failures);
        of.text("last_failure", &receiver.last_failure);
        of.end()
    });
    let receivers: Vec<String> = receivers.collect();
    object.raw("receivers", &format!("[{}]", receivers.join(",")));
    object.end()
}

struct Object(String);

impl Object {
    fn begin() -> Self {
        Self("{".to_owned())
    }

    fn raw(&mut self, name: &str, value: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        quote(&mut self.0, name);
        self.0.push(':');
        self.0.push_str(value);
    }

    fn number(&mut self, name: &str, value: u64) {
        self.raw(name, itoa::Buffer::new().format(value));
    }

    fn boolean(&mut self, name: &str, value: bool) {
        self.raw(name, if value { "true" } else { "false" });
    }

    fn text(&mut self, name: &str, value: &str) {
        let mut quoted = String::new();
        quote(&mut quoted, value);
        self.raw(name, &quoted);
    }

    fn reasons(&mut self, name: &str, reasons: &[(&'static str, u64)]) {
        let mut object = Object::begin();
        for (reason, count) in reasons {
            object.number(reason, *count);
        }
        self.raw(name, &object.end());
    }

    fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

fn quote(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            control if control.is_control() => {
                out.push_str(&format!("\\u{:04x}", u32::from(control)))
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use logdrive_core::stats::ReceiverStats;

    #[test]
    fn names_reasons_and_receivers_are_there_and_texts_are_escaped() {
        let mut snapshot = Snapshot { accepted: 7, panics: 1, ..Snapshot::default() };
        snapshot.refused = vec![("ring_full", 2)];
        let address = "a\"b\\\n".to_owned();
        snapshot.sender.receivers = vec![ReceiverStats { address, ..ReceiverStats::default() }];
        let json = write(&snapshot, 2);
        assert!(
            json.starts_with(
                r#"{"instance":"","accepted":7,"refused":{"ring_full":2},"delivered":0,"#
            ),
            "{json}"
        );
        assert!(json.contains(r#""panics":3,"#), "{json}");
        assert!(json.contains(r#""dropped":{},"#), "{json}");
        assert!(json.ends_with(r#""receivers":[{"address":"a\"b\\\u000a","is_connected":false,"batches":0,"records":0,"bytes":0,"failures":0,"last_failure":""}]}"#), "{json}");
    }
}
