//! Compares the systems, lists and heals drift.
