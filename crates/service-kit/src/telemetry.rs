//! Logs: lines for people on a terminal, JSON otherwise, always on standard error.
//!
//! Standard output belongs to what a command prints for its user. Every line carries the `service` field;
//! with several services in one process it names the process, and each service runs in a span of its own.

use std::fmt;
use std::io::{self, IsTerminal as _};
use std::sync::Mutex;

use serde::{Deserialize, Serialize};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{FormatEvent, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Lines for people when standard error is a terminal, JSON otherwise.
    #[default]
    Auto,
    /// Lines for people.
    Human,
    /// One JSON object a line.
    Json,
}

/// Why logging could not begin.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is not in the syntax of `RUST_LOG`.
    #[error("{filter:?} is no log filter; write it like \"info,crate_name=debug\"")]
    Filter {
        /// What was given.
        filter: String,
        /// What the parser says.
        source: tracing_subscriber::filter::ParseError,
    },
}

/// Begins to log for this process, as `service`. Only the first call has an effect, so that services which
/// share a process may all call it.
///
/// # Errors
/// When `filter` is no filter in the syntax of `RUST_LOG`.
pub fn init(service: &'static str, format: LogFormat, filter: &str) -> Result<(), TelemetryError> {
    static INSTALLED: Mutex<bool> = Mutex::new(false);
    let filter = EnvFilter::builder()
        .parse(filter)
        .map_err(|source| TelemetryError::Filter { filter: filter.to_owned(), source })?;
    let mut installed = INSTALLED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if *installed {
        return Ok(());
    }
    *installed = true;
    let terminal = io::stderr().is_terminal();
    let json = match format {
        LogFormat::Auto => !terminal,
        LogFormat::Human => false,
        LogFormat::Json => true,
    };
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(terminal);
    // A subscriber that somebody else has installed stays: a test harness, or a program that embeds us.
    let outcome = if json {
        let inner = tracing_subscriber::fmt::format().json().flatten_event(true).with_span_list(false);
        let fields = tracing_subscriber::fmt::format::JsonFields::new();
        let subscriber = builder.fmt_fields(fields).event_format(JsonLines { service, inner }).finish();
        tracing::subscriber::set_global_default(subscriber)
    } else {
        tracing::subscriber::set_global_default(builder.finish())
    };
    if outcome.is_err() {
        tracing::debug!(service, "logging was already set up by somebody else");
    }
    Ok(())
}

/// JSON lines that begin with the service's name.
struct JsonLines<F> {
    service: &'static str,
    inner: F,
}

impl<S, N, F> FormatEvent<S, N> for JsonLines<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        // The formatter has no place for a constant field, so it is written into the object's beginning.
        let mut line = String::new();
        self.inner.format_event(ctx, Writer::new(&mut line), event)?;
        match line.strip_prefix('{') {
            Some(rest) => write!(writer, "{{\"service\":{},{rest}", serde_json::Value::from(self.service)),
            None => writer.write_str(&line),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_json_line_carries_service_fields_and_span() {
        let lines = Lines::default();
        let sink = lines.clone();
        let inner = tracing_subscriber::fmt::format().json().flatten_event(true).with_span_list(false);
        let subscriber = tracing_subscriber::fmt()
            .fmt_fields(tracing_subscriber::fmt::format::JsonFields::new())
            .event_format(JsonLines { service: "ingress", inner })
            .with_writer(move || sink.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            let _entered = tracing::info_span!("delivery", source = "main").entered();
            tracing::info!(event_id = 7, "accepted");
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["service"], "ingress");
        assert_eq!(line["event_id"], 7);
        assert_eq!(line["message"], "accepted");
        assert_eq!(line["span"]["source"], "main");
    }

    #[test]
    fn a_filter_that_is_none_is_refused() {
        let error = init("x", LogFormat::Json, "info,=,[").unwrap_err();
        insta::assert_snapshot!(error, @r#""info,=,[" is no log filter; write it like "info,crate_name=debug""#);
    }
}
