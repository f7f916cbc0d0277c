//! The recovery code.
