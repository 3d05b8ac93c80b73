//! Spans of requests, exported as OTLP; and the W3C trace context that passes through.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use opentelemetry::KeyValue;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::domain::command::Trace;
use crate::wire::verb::Verb;

const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";

/// Are spans exported? One load for each request where they are not.
static IS_ACTIVE: AtomicBool = AtomicBool::new(false);

pub(super) fn set_active(is_active: bool) {
    IS_ACTIVE.store(is_active, Ordering::Relaxed);
}

/// The exporter in a batch thread of its own, with a blocking HTTP client: it needs no runtime and slows none.
pub(super) fn provider(
    endpoint: &str,
    service_instance: &str,
) -> Result<SdkTracerProvider, opentelemetry_otlp::ExporterBuildError> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
        .build()?;
    // OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME come with the builder; the name is only a default.
    let named = std::env::var_os("OTEL_SERVICE_NAME").is_some();
    let resource =
        Resource::builder().with_attribute(KeyValue::new("service.instance.id", service_instance.to_owned()));
    let resource = if named { resource } else { resource.with_service_name("berth") };
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource.build()).build())
}

/// The span of one request, and the trace context that its reply and events carry: a child of the request's own
/// where spans are exported, the request's own where they are not.
pub fn request_span(parent: Option<&Trace>, verb: Verb) -> (Span, Option<Trace>) {
    if !IS_ACTIVE.load(Ordering::Relaxed) {
        return (Span::none(), parent.cloned());
    }
    let span = tracing::info_span!(
        target: "berth",
        parent: None,
        "berth.request",
        otel.kind = "server",
        messaging.system = "nats",
        berth.verb = verb.name()
    );
    let propagator = TraceContextPropagator::new();
    if let Some(parent) = parent {
        let mut carrier = HashMap::from([(TRACEPARENT.to_owned(), parent.traceparent.clone())]);
        carrier.extend(parent.tracestate.clone().map(|state| (TRACESTATE.to_owned(), state)));
        // It fails where the span is not recorded: then its context is not valid either, see below.
        if span.set_parent(propagator.extract(&carrier)).is_err() {
            return (span, Some(parent.clone()));
        }
    }
    let mut carrier = HashMap::new();
    propagator.inject_context(&span.context(), &mut carrier);
    let trace = carrier
        .remove(TRACEPARENT)
        .map(|traceparent| Trace { traceparent, tracestate: parent.and_then(|parent| parent.tracestate.clone()) });
    (span, trace.or_else(|| parent.cloned()))
}
