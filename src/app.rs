//! Builds, starts and stops the daemon: the only place that names concrete edges.
