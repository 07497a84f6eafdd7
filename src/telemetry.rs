//! Logs and metrics. Logs go to standard error: a readable message plus fields, never secrets or personal data.

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

/// Starts logging with `filter` (`info`, `crossdock=debug`); one JSON object a line with `json`. A second call does
/// nothing: the first wins.
///
/// # Errors
/// In words, when the filter cannot be read.
pub fn start_logs(filter: &str, json: bool) -> Result<(), String> {
    let filter = EnvFilter::try_new(filter).map_err(|error| format!("the log filter `{filter}`: {error}"))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // An error here means that logging runs already, as in tests that start two daemons in one process.
    let _ = if json { builder.json().try_init() } else { builder.try_init() };
    Ok(())
}

/// Installs the recorder of metrics, once a process, and gives the handle that renders them.
#[must_use]
pub fn metrics() -> PrometheusHandle {
    static HANDLE: std::sync::OnceLock<PrometheusHandle> = std::sync::OnceLock::new();
    HANDLE
        .get_or_init(|| {
            let recorder = PrometheusBuilder::new().build_recorder();
            let handle = recorder.handle();
            // An error means that another recorder is installed; then ours stays empty and harms nobody.
            let _ = metrics::set_global_recorder(recorder);
            handle
        })
        .clone()
}
