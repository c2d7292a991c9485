//! Policies: which parameters learn, when and how. A [`Policy`] is what a method string states; a [`Schedule`] is a policy
//! compiled for a stream, of known or unknown length, and answers what happens at each position.

mod rules;
mod schedule;

pub use rules::{Action, Policy, Position, Rule, SCOPES, Scope, Span, Training};
pub use schedule::Schedule;
