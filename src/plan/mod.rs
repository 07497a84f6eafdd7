//! What should be, less what was intended: state and flows to intents and exceptions. Pure.
