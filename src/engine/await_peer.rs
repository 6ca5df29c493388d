//! A request whose login another server has: it was handed there, and that server decides.
//!
//! This server keeps no login for it and spends, counts and records nothing: the owner has done so before it answered. Only
//! what kept the owner from answering is recorded here.

use std::sync::Arc;

use super::login::{Facts, refuse_at};
use super::proof::{Outcome, Relayed};
use super::question::{PeerAnswer, PeerRequest};
use super::reason::Reason;
use super::record::Verdict;
use super::step::{Env, Step};
use crate::base::name::Label;
use crate::wire::{AttributeList, Code, number};

/// Takes the owner's answer.
#[derive(Debug)]
pub struct AwaitPeer {
    facts: Box<Facts>,
    owner: Label,
}

/// Hands a request to the server that has its login.
pub fn relay(facts: Box<Facts>, request: PeerRequest) -> Step {
    let owner = request.owner.clone();
    Step::Relay(request, AwaitPeer { facts, owner })
}

impl AwaitPeer {
    /// Goes on with `answer`.
    pub fn resume(self, answer: PeerAnswer, env: &mut Env<'_>) -> Step {
        let AwaitPeer { facts, owner } = self;
        let told = |code, attributes, verdict| {
            let row = facts.row_at(&owner, verdict, Reason::Relayed, env);
            Step::Decided(Outcome::relayed(Relayed::by_owner(code, attributes, Arc::new(row))))
        };
        match answer {
            PeerAnswer::Accepted { attributes } => told(Code::ACCESS_ACCEPT, attributes, Verdict::Accepted),
            PeerAnswer::Rejected { attributes } => told(Code::ACCESS_REJECT, attributes, Verdict::Rejected),
            PeerAnswer::Challenged { state, attributes } => {
                let mut all = AttributeList::new();
                match all.push(number::STATE, &state) {
                    Ok(()) => {
                        all.append(&attributes);
                        told(Code::ACCESS_CHALLENGE, all, Verdict::Noted)
                    }
                    // No gateway could have sent it back.
                    Err(_) => refuse_at(&facts, &owner, Reason::OwnerUnavailable, env),
                }
            }
            PeerAnswer::ClientUnknown => refuse_at(&facts, &owner, Reason::ClientUnknownAtOwner, env),
            PeerAnswer::Unavailable => refuse_at(&facts, &owner, Reason::OwnerUnavailable, env),
        }
    }
}
