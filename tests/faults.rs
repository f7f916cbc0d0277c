//! What breaks around the server, and what it does then: a clear answer, nothing lost, no token wrongly issued, still up.

mod audit;
mod crash;
mod crash_outbox;
mod crash_sending;
mod data_keys;
mod data_keys_in_flight;
mod disk_full;
mod ending;
mod garbage;
mod lost_answer;
mod provider_down;
mod redis_gone;
mod redis_stopped;
mod restore;
mod second_process;
mod stalled_log;
mod stores_gone;
mod unwritten_audit;
mod unwritten_messages;
