//! The contract and the workspace keep the rules of the house style.
//!
//! A failing test names what is wrong, every finding at once; nothing here needs a list that grows with the contract.
#![allow(missing_docs, clippy::expect_used)]

#[path = "contract/comments.rs"]
mod comments;
#[path = "contract/dependency_rule.rs"]
mod dependency_rule;
#[path = "contract/names.rs"]
mod names;
#[path = "contract/pool.rs"]
mod pool;
#[path = "contract/reasons.rs"]
mod reasons;
#[path = "contract/workspace.rs"]
mod workspace;
