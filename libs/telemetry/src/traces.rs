use std::env;

use opentelemetry::KeyValue;
use opentelemetry_otlp::{ExporterBuildError, SpanExporter};
use opentelemetry_sdk::{
    Resource,
    resource::{EnvResourceDetector, TelemetryResourceDetector},
    trace::SdkTracerProvider,
};
use uuid::Uuid;

/// Spans are exported if one of these is set and not empty.
const ENDPOINT_VARIABLES: [&str; 2] =
    ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];

/// The maker of spans, with the sampler that OTEL_TRACES_SAMPLER asks for.
pub(crate) fn provider(service: &'static str) -> Result<SdkTracerProvider, ExporterBuildError> {
    let builder = SdkTracerProvider::builder().with_resource(resource(service));
    if !ENDPOINT_VARIABLES.into_iter().any(is_set) {
        return Ok(builder.build());
    }
    let exporter = SpanExporter::builder().with_tonic().build()?;
    Ok(builder.with_batch_exporter(exporter).build())
}

/// Which process makes the spans, unless OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES say otherwise.
fn resource(service: &'static str) -> Resource {
    let resource = Resource::builder_empty()
        .with_attributes([
            KeyValue::new("service.name", service),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", Uuid::new_v4().to_string()),
        ])
        .with_detectors(&[
            Box::new(TelemetryResourceDetector),
            Box::new(EnvResourceDetector::new()),
        ]);
    match env::var("OTEL_SERVICE_NAME") {
        Ok(name) if !name.is_empty() => resource.with_service_name(name).build(),
        _ => resource.build(),
    }
}

fn is_set(variable: &str) -> bool {
    env::var_os(variable).is_some_and(|value| !value.is_empty())
}
