//! The facade `tracing`: a layer whose events carry their fields and those of the spans around them as attributes.
//!
//! ```no_run
//! use tracing_subscriber::layer::SubscriberExt;
//! use tracing_subscriber::util::SubscriberInitExt;
//!
//! let client = logdrive::Client::open("receivers://localhost:9092/app-logs")?;
//! let _guard = logdrive::facade::Guard::new(&client);
//! tracing_subscriber::registry().with(logdrive::facade::tracing::layer(&client)).init();
//! let _entered = tracing::info_span!("request", path = "/cart").entered();
//! tracing::info!(status = 200, "served"); // attributes: target, status, span, path
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The names of the spans travel as attribute `span`, outermost first, joined by colons. Where a name occurs more than
//! once, the event's own value counts, then that of the innermost span.

use std::fmt;

use tracing_core::Event;
use tracing_core::Field;
use tracing_core::Interest;
use tracing_core::Level;
use tracing_core::LevelFilter;
use tracing_core::Metadata;
use tracing_core::Subscriber;
use tracing_core::callsite;
use tracing_core::field::Visit;
use tracing_core::span::Attributes;
use tracing_core::span::Id;
use tracing_core::span::Record;
use tracing_subscriber::filter::Filtered;
use tracing_subscriber::layer::Context;
use tracing_subscriber::layer::Filter;
use tracing_subscriber::layer::Layer as _;
use tracing_subscriber::registry::LookupSpan;

use crate::client::Client;
use crate::facade::Scratch;
use crate::facade::TARGET;
use crate::facade::log_with_scratch;
use crate::record::Severity;

/// The attribute with the names of the spans.
const SPAN: &str = "span";
/// The field with an event's text.
const MESSAGE: &str = "message";

/// A layer that logs to the topic of the client's URL what the client's level lets pass.
///
/// Events below that level cost what a disabled event of `tracing` costs, and other layers still get them; see
/// [`set_level`]. The layer keeps the client open until it is closed by hand or by a [`Guard`](crate::facade::Guard).
pub fn layer<S>(client: &Client) -> Filtered<Layer, ClientLevel, S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    Layer { client: client.clone() }.with_filter(ClientLevel { client: client.clone() })
}

/// [`Client::set_level`], for callsites that were met already too: `tracing` caches what is enabled.
pub fn set_level(client: &Client, level: Severity) {
    client.set_level(level);
    callsite::rebuild_interest_cache();
}

/// Makes records of events; see [`layer`].
#[derive(Debug)]
pub struct Layer {
    client: Client,
}

/// Lets pass what the client logs, cached by callsite; see [`layer`].
#[derive(Debug)]
pub struct ClientLevel {
    client: Client,
}

impl<S> Filter<S> for ClientLevel {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        metadata.is_span() || self.client.is_enabled(severity(*metadata.level()))
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if metadata.is_span() || self.client.is_enabled(severity(*metadata.level())) {
            Interest::always()
        } else {
            Interest::never()
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        // Spans of every level are wanted: their fields belong to events of any level.
        None
    }
}

/// A span's fields, kept with it.
struct SpanFields(Scratch);

impl<S> tracing_subscriber::Layer<S> for Layer
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Scratch::new();
        attributes.record(&mut Fields { scratch: &mut fields, has_text: false });
        span.extensions_mut().insert(SpanFields(fields));
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut extensions = span.extensions_mut();
        if let Some(SpanFields(fields)) = extensions.get_mut() {
            let mut later = Scratch::new();
            values.record(&mut Fields { scratch: &mut later, has_text: false });
            // What is recorded later replaces what was before.
            later.add_all_new(fields);
            *fields = later;
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        log_with_scratch(&self.client, severity(*metadata.level()), |scratch| {
            scratch.add_text(TARGET, metadata.target());
            event.record(&mut Fields { scratch, has_text: true });
            let Some(scope) = context.event_scope(event) else { return };
            let at = scratch.begin(SPAN);
            for span in scope.from_root() {
                scratch.append(at, span.name());
            }
            scratch.end(at);
            for span in context.event_scope(event).into_iter().flatten() {
                if let Some(SpanFields(fields)) = span.extensions().get() {
                    scratch.add_all_new(fields);
                }
            }
        });
    }
}

/// Takes fields as attributes; an event's `message` as its text.
struct Fields<'a> {
    scratch: &'a mut Scratch,
    has_text: bool,
}

impl Fields<'_> {
    fn take(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        if self.has_text && field.name() == MESSAGE {
            self.scratch.write_text(value);
        } else {
            self.scratch.add(field.name(), value);
        }
    }
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field, format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if self.has_text && field.name() == MESSAGE {
            self.scratch.text.push_str(value);
        } else {
            self.scratch.add_text(field.name(), value);
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.take(field, format_args!("{value}"));
    }
}

fn severity(level: Level) -> Severity {
    match level {
        Level::ERROR => Severity::Error,
        Level::WARN => Severity::Warn,
        Level::INFO => Severity::Info,
        Level::DEBUG => Severity::Debug,
        Level::TRACE => Severity::Trace,
    }
}
