//! What people and clients do, and what they get.

mod authenticators;
mod bodies;
mod challenges;
mod cors;
mod discovery;
mod http_rules;
mod locks;
mod login;
mod management;
mod notices;
mod operator;
mod planted;
mod recovery;
mod scopes;
mod strings;
mod tokens;
