//! Providers, courier and worker against real parts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod delivery {
    mod authority;
    mod courier;
    mod failure;
    mod http_server;
    mod logs;
    mod mail_server;
    mod messages;
    mod outbox_file;
    mod scripted;
    mod smtp;
    mod store;
    mod twilio;
    mod webhook;
    mod worker;
}
