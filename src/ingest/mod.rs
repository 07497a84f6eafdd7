//! What comes in: webhooks, polls and dropped files, verified and put into the inbox.

pub mod backlog;
pub mod webhook;
