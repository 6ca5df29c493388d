//! Proofs: values that exist only after what they stand for has happened.
//!
//! An [`Accept`] takes three of them by value, so an Access-Accept without its password, its second factor or its
//! durable record does not compile. Every constructor is private to the engine (and [`Recorded`]'s to the store).

use super::enrol::Lead;
use super::policy::Waiver;
use super::record::{Recorded, Row};
use crate::wire::{AttributeList, Code};
use std::sync::Arc;

/// The primary authentication said yes to this login.
#[derive(Debug)]
pub struct PrimaryPassed {
    _private: (),
}

impl PrimaryPassed {
    /// Made where the primary's answer is read, nowhere else.
    pub(super) fn by_answer() -> PrimaryPassed {
        PrimaryPassed { _private: () }
    }

    /// Comes back with the login that it was parked with: made where that is decoded, nowhere else.
    pub(super) fn by_parked() -> PrimaryPassed {
        PrimaryPassed { _private: () }
    }

    /// Made where a signed request of a gateway begins that has checked the password itself, nowhere else.
    pub(super) fn by_gateway() -> PrimaryPassed {
        PrimaryPassed { _private: () }
    }
}

/// A second factor was checked and was right.
#[derive(Debug)]
pub struct FactorPassed {
    _private: (),
}

impl FactorPassed {
    /// On the portal, for this login, moments ago.
    pub(super) fn by_arming() -> FactorPassed {
        FactorPassed { _private: () }
    }

    /// Made where a code is compared, nowhere else.
    pub(super) fn by_code() -> FactorPassed {
        FactorPassed { _private: () }
    }

    /// Made where an answer from a phone is judged, nowhere else.
    pub(super) fn by_phone() -> FactorPassed {
        FactorPassed { _private: () }
    }
}

/// The second factor of an Accept.
#[derive(Debug)]
pub enum SecondFactor {
    /// It was right.
    Passed(FactorPassed),
    /// The policy left it out.
    Waived(Waiver),
}

/// How a login ended, ready to be told.
#[derive(Debug)]
pub enum Outcome {
    /// Access-Accept.
    Accept(Accept),
    /// Access-Reject.
    Reject(Reject),
    /// What the server said that has the login.
    Relayed(Relayed),
}

/// Another server's verdict on its own login, ready to be told as it is. That server had the proofs.
#[derive(Debug)]
pub struct Relayed {
    code: Code,
    attributes: AttributeList,
    row: Arc<Row>,
}

impl Relayed {
    /// Made where the owner's answer is read, nowhere else.
    pub(super) fn by_owner(code: Code, attributes: AttributeList, row: Arc<Row>) -> Relayed {
        Relayed { code, attributes, row }
    }

    /// Accept, Reject or Challenge.
    pub fn code(&self) -> Code {
        self.code
    }

    /// All that the owner's reply carries; of a challenge, the owner's State too.
    pub fn attributes(&self) -> &AttributeList {
        &self.attributes
    }

    /// What the log says. It is in no trail but the owner's, in other words.
    pub fn row(&self) -> &Arc<Row> {
        &self.row
    }
}

/// An Access-Accept that has earned its name.
#[derive(Debug)]
pub struct Accept {
    attributes: AttributeList,
    row: Arc<Row>,
    recorded: Recorded,
    has_factor: bool,
}

impl Accept {
    /// The attributes of the primary's own Accept, all of them.
    pub fn attributes(&self) -> &AttributeList {
        &self.attributes
    }

    /// Whether a second factor was checked in this login; otherwise the policy left it out.
    #[must_use]
    pub fn has_factor(&self) -> bool {
        self.has_factor
    }

    /// The row that was made durable.
    pub fn row(&self) -> &Arc<Row> {
        &self.row
    }

    /// The row's place in the audit trail.
    pub fn sequence(&self) -> u64 {
        self.recorded.sequence()
    }
}

/// An Access-Reject.
#[derive(Debug)]
pub struct Reject {
    /// The line that the user sees.
    pub message: String,
    /// Attributes of the primary's own Reject, where its dialog is being relayed; empty otherwise.
    pub attributes: AttributeList,
    /// What was recorded, or would have been.
    pub row: Arc<Row>,
    /// The row's place in the audit trail; `None` where the store could not take it.
    pub sequence: Option<u64>,
    /// The code that its line shows, for the page to take.
    pub lead: Option<Box<Lead>>,
}

impl Outcome {
    /// The only way to an Accept.
    pub(super) fn accept(
        _password: PrimaryPassed,
        factor: SecondFactor,
        recorded: Recorded,
        row: Arc<Row>,
        attributes: AttributeList,
    ) -> Outcome {
        let has_factor = match factor {
            SecondFactor::Passed(_proof) => true,
            SecondFactor::Waived(_waiver) => false,
        };
        Outcome::Accept(Accept { attributes, row, recorded, has_factor })
    }

    /// What another server decided.
    pub(super) fn relayed(relayed: Relayed) -> Outcome {
        Outcome::Relayed(relayed)
    }

    /// The row, for the log.
    pub fn row(&self) -> &Arc<Row> {
        match self {
            Outcome::Accept(accept) => &accept.row,
            Outcome::Reject(reject) => &reject.row,
            Outcome::Relayed(relayed) => &relayed.row,
        }
    }
}
