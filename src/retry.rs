//! What next after a failure: the only file that knows the crate `backoff`.
