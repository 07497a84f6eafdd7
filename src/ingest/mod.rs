//! What comes in: webhooks, polls and dropped files, verified and put into the inbox.

pub mod backlog;
pub mod bus;
pub mod poll;
pub mod reread;
pub mod webhook;
