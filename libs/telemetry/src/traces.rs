use std::env;

use opentelemetry_otlp::{ExporterBuildError, SpanExporter};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};

/// Spans are exported if one of these is set and not empty.
const ENDPOINT_VARIABLES: [&str; 2] =
    ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];

/// The maker of spans, with the sampler that OTEL_TRACES_SAMPLER asks for.
pub(crate) fn provider(service: &'static str) -> Result<SdkTracerProvider, ExporterBuildError> {
    let resource = Resource::builder();
    let resource = match is_set("OTEL_SERVICE_NAME") {
        true => resource,
        false => resource.with_service_name(service),
    };
    let builder = SdkTracerProvider::builder().with_resource(resource.build());
    if !ENDPOINT_VARIABLES.into_iter().any(is_set) {
        return Ok(builder.build());
    }
    let exporter = SpanExporter::builder().with_tonic().build()?;
    Ok(builder.with_batch_exporter(exporter).build())
}

fn is_set(variable: &str) -> bool {
    env::var_os(variable).is_some_and(|value| !value.is_empty())
}
