//! Templates, providers, courier and worker against real parts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod delivery {
    mod apns;
    mod authority;
    mod courier;
    mod failure;
    mod fcm;
    mod http_server;
    mod logs;
    mod mail_server;
    mod messages;
    mod number_check;
    mod outbox_file;
    mod push_server;
    mod scripted;
    mod smtp;
    mod store;
    mod templates;
    mod twilio;
    mod webhook;
    mod worker;
}
