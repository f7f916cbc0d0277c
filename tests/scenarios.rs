//! What people and clients do, and what they get.

mod approvals;
mod authenticators;
mod bodies;
mod challenges;
mod cors;
mod devices;
mod discovery;
mod http_rules;
mod languages;
mod locks;
mod login;
mod mailboxes;
mod management;
mod notices;
mod operator;
mod planted;
mod providers;
mod recovery;
mod scopes;
mod selection;
mod sent_codes;
mod spending;
mod strings;
mod telephones;
mod tokens;
mod watching;
