//! What breaks around the server, and what it does then: a clear answer, nothing lost, no token wrongly issued, still up.

mod crash;
mod disk_full;
mod garbage;
mod redis_gone;
