//! Logs, traces and metrics: what leaves the process so that a person can see inside.
//!
//! | setting | meaning |
//! |---|---|
//! | `RUST_LOG` | what is logged, to stderr: `info` by default |
//! | `BERTH_LOG` | `text` (default) or `json` |
//! | `OTEL_EXPORTER_OTLP_ENDPOINT` | where spans go as OTLP over HTTP; nowhere where it is absent |
//! | the other `OTEL_…` of a tracing SDK | headers, timeout, sampler, resource: as OpenTelemetry defines them |
//!
//! Metrics are served in the Prometheus text format, see [`crate::health`].

mod metrics;
mod trace;

use std::io::IsTerminal;

use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry};

pub use metrics::Metrics;
pub use trace::request_span;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

/// What is logged and where spans go.
#[derive(Clone, Debug, Default)]
pub struct TelemetrySettings {
    pub log_format: LogFormat,
    /// Directives as in `RUST_LOG`; `None`: `info`.
    pub log_filter: Option<String>,
    /// The base URL of an OTLP collector, `http://host:4318`.
    pub otlp_endpoint: Option<String>,
}

impl TelemetrySettings {
    /// As the environment has them; an empty value counts as absent.
    pub fn from_env() -> TelemetrySettings {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        TelemetrySettings {
            log_format: if variable("BERTH_LOG").as_deref() == Some("json") {
                LogFormat::Json
            } else {
                LogFormat::Text
            },
            log_filter: variable("RUST_LOG"),
            otlp_endpoint: variable("OTEL_EXPORTER_OTLP_ENDPOINT"),
        }
    }
}

/// Sends the spans that are still here when it is dropped: keep it until the end of `main`.
#[derive(Debug)]
#[must_use = "dropped at once, it ends the export of spans"]
pub struct TelemetryGuard {
    provider: Option<SdkTracerProvider>,
}

impl Drop for TelemetryGuard {
    fn drop(&mut self) {
        if let Some(provider) = self.provider.take() {
            trace::set_active(false);
            if let Err(error) = provider.shutdown() {
                tracing::warn!(%error, "some spans were not exported");
            }
        }
    }
}

/// Starts logging and, where it is configured, the export of spans: once, at the start of the process, as the
/// environment says. `service_instance`: `service.instance.id` of the spans.
pub fn init(service_instance: &str) -> TelemetryGuard {
    init_with(&TelemetrySettings::from_env(), service_instance)
}

/// Like [`init`], as the settings say. Where a subscriber is installed already it stays.
pub fn init_with(settings: &TelemetrySettings, service_instance: &str) -> TelemetryGuard {
    let (filter, unfit_filter) = log_filter(settings.log_filter.as_deref());
    let is_read_by_a_person = std::io::stderr().is_terminal();
    let logs = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(is_read_by_a_person);
    let logs: Box<dyn Layer<Registry> + Send + Sync> = match settings.log_format {
        LogFormat::Text => logs.with_filter(filter).boxed(),
        LogFormat::Json => logs.json().flatten_event(true).with_filter(filter).boxed(),
    };
    let exported = settings.otlp_endpoint.as_deref().map(|endpoint| trace::provider(endpoint, service_instance));
    let (provider, failure) = match exported {
        None => (None, None),
        Some(Ok(provider)) => (Some(provider), None),
        Some(Err(error)) => (None, Some(error)),
    };
    // Spans of this crate alone, whatever is logged: a level for logs must not break traces.
    let spans = provider.as_ref().map(|provider| {
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("berth"))
            .with_location(false)
            .with_threads(false)
            .with_filter(Targets::new().with_target("berth", LevelFilter::INFO))
    });
    let is_installed = tracing_subscriber::registry().with(logs).with(spans).try_init().is_ok();
    trace::set_active(is_installed && provider.is_some());
    if let Some(error) = unfit_filter {
        tracing::warn!(%error, "RUST_LOG is not understood; logging at info");
    }
    if let Some(error) = failure {
        tracing::error!(%error, "spans are not exported");
    }
    TelemetryGuard { provider }
}

/// From now on a panic ends the process, in whichever task it is: one that died alone, a decider or a client library's
/// connection, would leave a worker that says it is ready and answers nothing. What was answered is committed, and a
/// supervisor starts the process again (ADR 34).
pub fn abort_on_panic() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        tracing::error!(%panic, "this process ends: it has a fault");
        print(panic);
        std::process::abort();
    }));
}

fn log_filter(directives: Option<&str>) -> (EnvFilter, Option<tracing_subscriber::filter::ParseError>) {
    match EnvFilter::try_new(directives.unwrap_or("info")) {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new("info"), Some(error)),
    }
}
