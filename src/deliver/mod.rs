//! Delivery: one lane an account; limit, encode, send, classify, settle.
