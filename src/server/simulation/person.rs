//! Users: what they own, know, and type.

use std::sync::Arc;

use super::dice::Dice;
use super::plan::{Plan, group, is_in_group, user};
use super::server::authenticator;
use crate::base::name::{Label, UserName};
use crate::base::secret::Secret;
use crate::engine::append::Append;
use crate::engine::delivery::Kind;
use crate::engine::record::LoginId;
use crate::factor::oath::{self, Algorithm, Digits, Moving, Parameters};
use crate::store::admin::{Admin, NewToken, UserFields};
use crate::store::memory::MemoryStore;
use crate::store::user_act::UserAct;

pub(super) fn totp() -> Parameters {
    Parameters { algorithm: Algorithm::Sha1, digits: Digits::SIX, moving: Moving::Time { interval: 30 } }
}

/// The stations that a rule exempts: those of the first attempts.
pub(super) const EXEMPT: &str = "10.0.0.0/30";

pub(super) fn is_exempt(station: &str) -> bool {
    ["10.0.0.0", "10.0.0.1", "10.0.0.2", "10.0.0.3"].contains(&station)
}

/// What a user's device is called.
pub(super) const DEVICE: &str = "phone";

pub(super) struct Person {
    place: usize,
    pub(super) name: UserName,
    seed: Secret,
    serial: Arc<str>,
    phone: String,
    /// Codes of the app that were typed anywhere: somebody may have looked.
    pub(super) typed: Vec<u64>,
    /// Codes that came by message, and for which login.
    pub(super) messages: Vec<(LoginId, String)>,
}

impl Person {
    pub(super) fn all(plan: &Plan, dice: &mut Dice) -> Vec<Person> {
        (0..plan.people)
            .map(|place| Person {
                place,
                name: user(place),
                seed: Secret::new(authenticator(dice).repeat(2)),
                serial: format!("T{place}").into(),
                phone: format!("+3630123456{place}"),
                typed: Vec::new(),
                messages: Vec::new(),
            })
            .collect()
    }

    pub(super) fn enrol(&self, store: &mut MemoryStore) {
        let groups = is_in_group(self.place).then(|| Arc::from([group()]));
        let fields = UserFields { phone: Some(self.phone.as_str().into()), groups, ..UserFields::default() };
        store.add_user(&self.name, &fields).unwrap();
        let token =
            NewToken::new(Arc::clone(&self.serial), Some(self.name.clone()), self.seed.clone(), totp());
        store.add_token(&token).unwrap();
        self.enrol_device(store);
    }

    pub(super) fn enrol_device(&self, store: &mut MemoryStore) {
        let channel = Label::new("app").unwrap();
        let device = UserAct::AddDevice { name: DEVICE, channel, address: "somewhere", key: None };
        store.act_for(&self.name, &device).unwrap();
    }

    pub(super) fn password(&self) -> Box<[u8]> {
        format!("password of {}", self.name).into_bytes().into()
    }

    fn code(&self, step: u64) -> String {
        oath::code(self.seed.expose(), &totp(), step).to_string()
    }
}

/// What stands in a request's password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Typed {
    Password {
        right: bool,
        /// What stands behind it.
        behind: Option<Box<Typed>>,
    },
    /// The code of the user's app at this step of true time.
    App(u64),
    /// A code that came by message, for this login.
    Message(LoginId, String),
    Wrong,
    /// The word for another method.
    Word(Kind),
    /// Nothing but that the phone has been answered.
    Okay,
}

impl Typed {
    /// The code, or whatever stands in its place.
    pub(super) fn code(&self) -> &Typed {
        match self {
            Typed::Password { behind: Some(behind), .. } => behind,
            typed => typed,
        }
    }

    pub(super) fn octets(&self, person: &Person, append: Append) -> Vec<u8> {
        match self {
            Typed::Password { right, behind } => {
                let mut octets = if *right { person.password().into() } else { b"not the password".to_vec() };
                if let Some(behind) = behind {
                    octets.extend(matches!(append, Append::Behind(_)).then_some(MARK));
                    octets.extend(behind.octets(person, append));
                }
                octets
            }
            Typed::App(step) => person.code(*step).into_bytes(),
            Typed::Message(_, code) => code.clone().into_bytes(),
            // Of no app and in no message: both have six digits.
            Typed::Wrong => b"99999999".to_vec(),
            Typed::Word(kind) => kind.word().into(),
            Typed::Okay => b"ok".to_vec(),
        }
    }
}

/// What divides a password from the code behind it.
pub(super) const MARK: u8 = b',';
