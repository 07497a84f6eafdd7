//! Webhook routes, the API and the console.
