//! The working stage: map, apply and plan a message, and commit all of it as one unit.
