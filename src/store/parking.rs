//! Logins that wait where every server of one store can take them up, and what such servers tell each other so that one
//! login brings its user one message.
//!
//! A login is kept under its [`Spot`], sealed under the store's key with the spot as associated data, so that a row that
//! was changed or moved does not open. Invariants: a login is taken up once, whoever asks how often; what comes out has
//! been authenticated ([`Opened`], which a store alone certifies); times are spans by the store's own clock, since the
//! servers' clocks differ.

use std::fmt;
use std::time::Duration;

use super::keyring::Keyring;
use super::seal::Purpose;
use crate::base::secret::Secret;
use crate::base::system::Entropy;
use crate::base::text::hex;
use crate::engine::parked::Opened;
use crate::engine::record::LoginId;

/// Where a login waits: what its State says.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Spot {
    /// The number of the server that parked it.
    pub server: [u8; 4],
    /// The round that its State names.
    pub round: [u8; 16],
}

impl fmt::Debug for Spot {
    /// Never the round's bits: whoever knows them could look the login up.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Spot(…)")
    }
}

impl Spot {
    fn owner(&self) -> String {
        format!("{}/{}", hex(&self.server), hex(&self.round))
    }

    /// Seals the login that waits here.
    pub fn seal(&self, login: &Secret, keys: &Keyring, entropy: &mut (impl Entropy + ?Sized)) -> Box<[u8]> {
        keys.seal(Purpose::ParkedLogin, &self.owner(), login, entropy)
    }

    /// Opens what [`Spot::seal`] made of the login that waits here; `None` for anything else.
    pub fn open(&self, sealed: &[u8], keys: &Keyring) -> Option<Opened> {
        keys.open(Purpose::ParkedLogin, &self.owner(), sealed).ok().map(Opened::certify)
    }
}

/// A login that is to wait.
#[derive(Clone, Debug)]
pub struct Parking {
    /// Where.
    pub spot: Spot,
    /// The login, encoded; at most [`LOGIN_MAX`] octets. The store seals it.
    pub login: Secret,
    /// For so long somebody may come for it, by the store's clock. Afterwards the store forgets it.
    pub keep: Duration,
    /// What whoever joins it is told, where it may be joined.
    pub told: Option<Told>,
}

/// The longest encoded login, in octets: what a primary may grant, and as much again.
pub const LOGIN_MAX: usize = 16 * 1024;

/// The challenge of a login that claimed an intent.
#[derive(Clone, Debug)]
pub struct Told {
    /// Which intent.
    pub intent: [u8; 16],
    /// Whose: nothing is written where another login has the intent by now.
    pub login: LoginId,
    /// The challenge's attributes, encoded. The store seals them ([`seal_told`]).
    pub attributes: Secret,
}

/// What came of asking for a login.
#[derive(Debug)]
pub enum Unparked {
    /// Here it is; nobody else gets it.
    Login {
        /// It.
        login: Opened,
        /// How long it waited, by the store's clock.
        age: Duration,
        /// The intent of [`Parking::told`].
        intent: Option<[u8; 16]>,
    },
    /// It is not there: it was taken up, its time is over, or there never was one.
    Gone,
    /// The store cannot say, or what was there does not open.
    Unavailable,
}

/// A login that is about to send something, and what it means by that.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    /// The intent, as a MAC that tells nobody what is in it.
    pub intent: [u8; 16],
    /// Which login claims it.
    pub login: LoginId,
    /// For so long, by the store's clock.
    pub keep: Duration,
    /// How long that login has run, and a little more: the intent of a login that ended in this time is [`Claimed::Over`].
    pub ran: Duration,
}

/// What came of a [`Claim`].
#[derive(Debug)]
pub enum Claimed {
    /// The intent is this login's, now or since before.
    Ours,
    /// Another login has it, and has told this; `None` where it is about to.
    Theirs(Option<Secret>),
    /// It was another login's that ended after this one began: this one is a copy that was slow to get here.
    Over,
    /// The store cannot say.
    Unavailable,
}

/// Seals what a login with this intent tells.
pub fn seal_told(
    intent: [u8; 16],
    attributes: &Secret,
    keys: &Keyring,
    entropy: &mut (impl Entropy + ?Sized),
) -> Box<[u8]> {
    keys.seal(Purpose::ToldChallenge, &hex(&intent), attributes, entropy)
}

/// Opens what [`seal_told`] made for this intent; `None` for anything else.
pub fn open_told(intent: [u8; 16], sealed: &[u8], keys: &Keyring) -> Option<Secret> {
    keys.open(Purpose::ToldChallenge, &hex(&intent), sealed).ok()
}
