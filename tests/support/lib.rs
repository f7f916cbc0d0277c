//! Support for the scenarios.
