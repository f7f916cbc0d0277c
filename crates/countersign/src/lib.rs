//! The countersign binary: serve, demo, check-config, user.
