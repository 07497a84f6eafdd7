//! Mappings: TOML compiled to a program that turns a partner's payload into canonical facts, and back. Pure.
