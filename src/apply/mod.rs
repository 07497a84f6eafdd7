//! (state, facts) to state: the fact ledger and its projections. Pure.
