//! What may differ from login to login, and how it is resolved.
//!
//! One cascade, twice: [`Admission`] holds before the password is checked, [`LoginPolicy`] after it, when groups can
//! be known. Built-in defaults, then the client's profile, then the client's own keys, then the first rule that matches
//! ([`super::rule`]): each an [`Overrides`], the later one wins. Only this module makes a [`Waiver`], so a second factor
//! is never left out by accident.

mod limits;

use std::sync::Arc;
use std::time::Duration;

pub use self::limits::{Lockout, SendLimits, Sending};
use ipnet::IpNet;

use super::append::Append;
use super::methods::{Factor, ORDER};
use super::remember::{Session, Visit};
use super::special::Bypass;
use super::words::Line;
use crate::base::messages::Language;
use crate::base::name::Label;
use crate::base::time::UnixTime;
use crate::factor::oath::LOOK_AHEAD;
use crate::wire::Integrity;

/// What happens to a user who owns no factor that could be asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unenrolled {
    /// Refused.
    #[default]
    Deny,
    /// Let in on the password alone.
    Allow,
    /// Refused, and led to the page where a first factor is set up ([`super::enrol`]).
    Enrol,
}

/// Whether a PIN is wanted beside a code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PinWanted {
    /// No.
    #[default]
    Never,
    /// Typed before every code, in one entry.
    WithCode,
}

/// What a push is approved with, beside what ties it to the prompt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Require {
    /// Nothing else.
    #[default]
    Nothing,
    /// A passkey of the user's.
    Passkey,
}

/// Where a login may come from that its user has armed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ArmStation {
    /// From anywhere.
    #[default]
    Any,
    /// From the address that armed it: Calling-Station-Id has to say so, in a signed request.
    Same,
}

/// What holds before the password is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admission {
    /// Which primary authentication checks the password; [`NO_PRIMARY`]: the gateway did.
    pub primary: Label,
    /// How long the gateway waits for an answer in all, its retries included.
    pub patience: Duration,
    /// Whether the gateway can show an Access-Challenge.
    pub challenge: bool,
    /// No Reject leaves sooner after its request; `None`: min(1 s, patience / 4).
    pub reject_delay: Option<Duration>,
    /// Whether a code may stand behind the password.
    pub append: Append,
    /// Whether a refused user is shown a reference that an admin can look up.
    pub reference: bool,
    /// Whether a login that is lost asks for a code all the same, so that a challenge does not tell that the password was
    /// right; every challenge is then held to a Reject's time.
    pub uniform_prompt: bool,
    /// Whether a signed request without any credential goes to the primary as it is: the gateway has checked the password.
    pub bare: bool,
    /// Whether every login needs its second factor, whatever else is said: where whoever is let in may change factors.
    pub insists: bool,
    /// The language of what users are shown whose own is not known, and of refusals before anything was asked.
    pub language: Language,
}

/// The word of a client that says that the gateway has checked the password itself; no primary is called so.
pub const NO_PRIMARY: &str = "none";

/// A gateway that waits less is too impatient for somebody to take out a phone.
pub const HELD_LEAST: Duration = Duration::from_secs(10);

impl Admission {
    /// Whether the password is none of ours: the gateway has checked it, and every login needs its second factor.
    #[must_use]
    pub fn trusts_gateway(&self) -> bool {
        self.primary.as_str() == NO_PRIMARY
    }

    /// Whether a login may come to an Accept without a second factor, if the rest of its policy says so.
    #[must_use]
    pub fn may_waive(&self) -> bool {
        !self.trusts_gateway() && !self.insists
    }

    /// Whether a request can be held until a user has answered on the phone.
    #[must_use]
    pub fn can_hold(&self) -> bool {
        self.answer_within() >= HELD_LEAST
    }

    /// When a request that came at an instant must be answered, counted from it: patience − min(2 s, patience / 4).
    #[must_use]
    pub fn answer_within(&self) -> Duration {
        self.patience.saturating_sub(Duration::from_secs(2).min(self.patience / 4))
    }

    /// No Reject leaves sooner after its request than this.
    #[must_use]
    pub fn reject_after(&self) -> Duration {
        self.reject_delay.unwrap_or(Duration::from_secs(1)).min(self.patience / 4)
    }
}

/// What holds after the password was right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginPolicy {
    /// Users without a factor.
    pub unenrolled: Unenrolled,
    /// Stations at which the right password is enough to be led to a first factor.
    pub enrol_networks: Arc<[IpNet]>,
    /// How many codes may be tried in one login, 1 to 5.
    pub tries: u8,
    /// How long a challenge may be answered, 30 s to 15 min.
    pub code_lifetime: Duration,
    /// What a user may be asked for, best first.
    pub methods: Arc<[Factor]>,
    /// Who picks among them.
    pub choose: Choose,
    /// TOTP: steps accepted to either side of now, 0 to 10.
    pub window: u8,
    /// HOTP: counters accepted beyond the expected one, 0 to 50.
    pub look_ahead: u8,
    /// The line that asks for a TOTP code, in words of the admin's own: at most 80 characters of printable ASCII.
    pub prompt: Option<Arc<str>>,
    /// The rule that asks such logins for no second factor.
    pub exempt: Option<Label>,
    /// Whether a PIN is typed before the code.
    pub pin: PinWanted,
    /// A PIN that is older is not good any more, 1 to 3650 days; `None`: it is for good.
    pub pin_max_age: Option<Duration>,
    /// For so long after a right second factor the same user at the same client and station is not asked again, 1 min to
    /// 90 d; zero: never.
    pub remember: Duration,
    /// A login has to be armed, and then comes within so long, 30 s to 10 min; zero: it need not.
    pub arm: Duration,
    /// Where it then comes from.
    pub arm_station: ArmStation,
    /// What a push is approved with.
    pub require: Require,
}

/// Both halves of a client's policy, resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Before the password.
    pub admission: Admission,
    /// After it.
    pub login: LoginPolicy,
    /// The arithmetic of failures, one for the whole server.
    pub lockout: Lockout,
    /// The rules that had a say in it.
    pub by: By,
    /// How codes are sent; `None` where there is no way to send any.
    pub sending: Option<Arc<Sending>>,
    /// The page where a first factor is set up, as users type it: up to [`super::enrol::PLACE_MAX`] octets of ASCII; `None` where
    /// there is none.
    pub enrol_at: Option<Arc<str>>,
    /// What users know the client by: 1 to 64 characters; `None`: by its name.
    pub display_name: Option<Arc<str>>,
}

/// The rules that had a say in a policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct By {
    /// In [`Policy::admission`].
    pub admission: Option<Label>,
    /// In [`Policy::login`].
    pub login: Option<Label>,
}

/// Who picks the second factor where a user owns several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choose {
    /// Nobody: it is the first one.
    First,
    /// The first one, unless the user types the name of another.
    #[default]
    Keyword,
    /// The user, from a menu.
    Menu,
}

/// One stage of the cascade: what is `None` is left as it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// [`Admission::primary`].
    pub primary: Option<Label>,
    /// [`Admission::patience`].
    pub patience: Option<Duration>,
    /// [`Admission::challenge`].
    pub challenge: Option<bool>,
    /// [`Admission::reject_delay`].
    pub reject_delay: Option<Duration>,
    /// [`Admission::append`].
    pub append: Option<Append>,
    /// [`Admission::reference`].
    pub reference: Option<bool>,
    /// [`Admission::uniform_prompt`].
    pub uniform_prompt: Option<bool>,
    /// [`Admission::bare`].
    pub bare: Option<bool>,
    /// [`Admission::language`].
    pub language: Option<Language>,
    /// [`LoginPolicy::unenrolled`].
    pub unenrolled: Option<Unenrolled>,
    /// [`LoginPolicy::enrol_networks`].
    pub enrol_networks: Option<Arc<[IpNet]>>,
    /// [`Policy::enrol_at`]: the server's, said once in the first stage.
    pub enrol_at: Option<Arc<str>>,
    /// [`LoginPolicy::tries`].
    pub tries: Option<u8>,
    /// [`LoginPolicy::code_lifetime`].
    pub code_lifetime: Option<Duration>,
    /// [`LoginPolicy::methods`].
    pub methods: Option<Arc<[Factor]>>,
    /// [`LoginPolicy::choose`].
    pub choose: Option<Choose>,
    /// [`Policy::sending`]: the server's, said once in the first stage.
    pub sending: Option<Arc<Sending>>,
    /// [`LoginPolicy::window`].
    pub window: Option<u8>,
    /// [`LoginPolicy::look_ahead`].
    pub look_ahead: Option<u8>,
    /// [`LoginPolicy::prompt`].
    pub prompt: Option<Arc<str>>,
    /// [`LoginPolicy::pin`].
    pub pin: Option<PinWanted>,
    /// [`LoginPolicy::pin_max_age`].
    pub pin_max_age: Option<Duration>,
    /// [`LoginPolicy::remember`].
    pub remember: Option<Duration>,
    /// [`LoginPolicy::arm`].
    pub arm: Option<Duration>,
    /// [`LoginPolicy::arm_station`].
    pub arm_station: Option<ArmStation>,
    /// [`LoginPolicy::require`].
    pub require: Option<Require>,
}

impl Policy {
    /// What users know `client`, whose policy this is, by.
    #[must_use]
    pub fn called<'a>(&'a self, client: &'a Label) -> &'a str {
        self.display_name.as_deref().unwrap_or(client.as_str())
    }

    /// Resolves the cascade. `primary` serves where no stage names one.
    #[must_use]
    pub fn resolve(primary: Label, lockout: Lockout, cascade: &[&Overrides]) -> Policy {
        let mut policy = Policy {
            admission: Admission {
                primary,
                patience: Duration::from_secs(10),
                challenge: true,
                reject_delay: None,
                append: Append::Never,
                reference: true,
                uniform_prompt: false,
                bare: false,
                insists: false,
                language: Language::ENGLISH,
            },
            login: LoginPolicy {
                unenrolled: Unenrolled::Deny,
                enrol_networks: Arc::default(),
                tries: 3,
                code_lifetime: Duration::from_mins(2),
                methods: ORDER.into(),
                choose: Choose::default(),
                window: 1,
                look_ahead: LOOK_AHEAD,
                prompt: None,
                exempt: None,
                pin: PinWanted::Never,
                pin_max_age: None,
                remember: Duration::ZERO,
                arm: Duration::ZERO,
                arm_station: ArmStation::Any,
                require: Require::Nothing,
            },
            lockout,
            by: By::default(),
            sending: None,
            enrol_at: None,
            display_name: None,
        };
        for stage in cascade {
            policy.apply(stage);
        }
        policy
    }

    /// Lays one more stage over it.
    pub fn apply(&mut self, stage: &Overrides) {
        let policy = self;
        let Overrides {
            primary,
            patience,
            challenge,
            reject_delay,
            append,
            reference,
            uniform_prompt,
            bare,
            language,
            unenrolled,
            enrol_networks,
            enrol_at,
            tries,
            code_lifetime,
            methods,
            choose,
            sending,
            window,
            look_ahead,
            prompt,
            pin,
            pin_max_age,
            remember,
            arm,
            arm_station,
            require,
        } = stage;
        set(&mut policy.admission.primary, primary.as_ref());
        set(&mut policy.admission.patience, patience.as_ref());
        set(&mut policy.admission.challenge, challenge.as_ref());
        policy.admission.reject_delay = reject_delay.or(policy.admission.reject_delay);
        set(&mut policy.admission.append, append.as_ref());
        set(&mut policy.admission.reference, reference.as_ref());
        set(&mut policy.admission.uniform_prompt, uniform_prompt.as_ref());
        set(&mut policy.admission.bare, bare.as_ref());
        set(&mut policy.admission.language, language.as_ref());
        set(&mut policy.login.unenrolled, unenrolled.as_ref());
        set(&mut policy.login.enrol_networks, enrol_networks.as_ref());
        policy.enrol_at = enrol_at.clone().or(policy.enrol_at.take());
        set(&mut policy.login.tries, tries.as_ref());
        set(&mut policy.login.code_lifetime, code_lifetime.as_ref());
        set(&mut policy.login.methods, methods.as_ref());
        set(&mut policy.login.choose, choose.as_ref());
        policy.sending = sending.clone().or(policy.sending.take());
        set(&mut policy.login.window, window.as_ref());
        set(&mut policy.login.look_ahead, look_ahead.as_ref());
        policy.login.prompt = prompt.clone().or(policy.login.prompt.take());
        set(&mut policy.login.pin, pin.as_ref());
        policy.login.pin_max_age = pin_max_age.or(policy.login.pin_max_age);
        set(&mut policy.login.remember, remember.as_ref());
        set(&mut policy.login.arm, arm.as_ref());
        set(&mut policy.login.arm_station, arm_station.as_ref());
        set(&mut policy.login.require, require.as_ref());
    }
}

fn set<T: Clone>(target: &mut T, value: Option<&T>) {
    if let Some(value) = value {
        target.clone_from(value);
    }
}

/// Permission to leave the second factor out, and why. Made by the policy alone.
#[derive(Debug)]
pub struct Waiver {
    why: WaivedBy,
}

/// Which rule of the policy left the second factor out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WaivedBy {
    /// `unenrolled = "allow"`.
    Unenrolled,
    /// `exempt = true` of the rule of that name.
    Exempt(Label),
    /// A one-time bypass that an admin opened.
    Bypass,
    /// A second factor that was right a while ago.
    Remembered,
}

impl Waiver {
    /// The waiver of an open bypass for a login at `client`. None for a request that proves nothing about its station
    /// where the bypass names one. Whoever gets a waiver has passed the primary: where there is none to pass, there must
    /// be no bypass either (protocol: `primary = "none"`).
    #[must_use]
    pub fn by_bypass(
        bypass: &Bypass,
        client: &Label,
        station: Option<&str>,
        integrity: Integrity,
        now: UnixTime,
    ) -> Option<Waiver> {
        let believed = bypass.station.is_none() || integrity == Integrity::Signed;
        (believed && bypass.covers(client, station, now)).then_some(Waiver { why: WaivedBy::Bypass })
    }

    /// The waiver of a factor remembered in `session` for a later login, a `visit`, under `policy` as it is by now. None
    /// for a request that proves nothing about its station (CVE-2024-3596).
    #[must_use]
    pub fn by_session(session: &Session, policy: &LoginPolicy, visit: &Visit<'_>) -> Option<Waiver> {
        let believed = visit.integrity == Integrity::Signed;
        let lasts = session.covers(visit) && visit.now < session.since + policy.remember;
        (believed && lasts).then_some(Waiver { why: WaivedBy::Remembered })
    }

    /// Which rule it was.
    pub fn why(&self) -> &WaivedBy {
        &self.why
    }
}

impl LoginPolicy {
    /// The line that asks for a code: where the admin wrote none, the one in `language` that speaks of the PIN if one is wanted.
    #[must_use]
    pub fn question(&self, language: Language) -> &str {
        match (&self.prompt, self.pin) {
            (Some(written), _) => written,
            (None, PinWanted::WithCode) => Line::CodePin.say(language),
            (None, PinWanted::Never) => Line::Code.say(language),
        }
    }

    /// Whether a code of a token, or a recovery code in its place, lets anybody in.
    #[must_use]
    pub fn takes_codes(&self) -> bool {
        self.methods.contains(&Factor::Token)
    }

    /// The waiver that a rule gives, whoever the user is and whatever the user owns.
    #[must_use]
    pub fn waive_exempt(&self) -> Option<Waiver> {
        self.exempt.clone().map(|rule| Waiver { why: WaivedBy::Exempt(rule) })
    }

    /// Whether somebody may come in on the password alone, or be led to a factor by it, so that a name which looks like
    /// another's matters.
    #[must_use]
    pub fn may_waive(&self) -> bool {
        self.exempt.is_some() || self.unenrolled != Unenrolled::Deny
    }

    /// The waiver for a user without a factor, where the policy gives one.
    #[must_use]
    pub fn waive_unenrolled(&self) -> Option<Waiver> {
        match self.unenrolled {
            Unenrolled::Allow => Some(Waiver { why: WaivedBy::Unenrolled }),
            Unenrolled::Deny | Unenrolled::Enrol => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_later_stage_wins_and_an_empty_one_changes_nothing() {
        let label = |text: &str| Label::new(text).unwrap();
        let profile = Overrides {
            patience: Some(Duration::from_secs(3)),
            challenge: Some(false),
            ..Overrides::default()
        };
        let client = Overrides { challenge: Some(true), primary: Some(label("b")), ..Overrides::default() };
        let policy =
            Policy::resolve(label("a"), Lockout::default(), &[&profile, &client, &Overrides::default()]);
        assert_eq!(policy.admission.patience, Duration::from_secs(3));
        assert!(policy.admission.challenge);
        assert_eq!(policy.admission.primary, label("b"));
        assert_eq!(policy.login.tries, 3);
    }

    #[test]
    fn a_reject_never_outlasts_the_patience() {
        let mut admission = Policy::resolve(Label::new("a").unwrap(), Lockout::default(), &[]).admission;
        assert_eq!(admission.reject_after(), Duration::from_secs(1));
        admission.patience = Duration::from_secs(3);
        assert_eq!(admission.reject_after(), Duration::from_millis(750));
        assert_eq!(admission.answer_within(), Duration::from_millis(2250));
        admission.reject_delay = Some(Duration::from_mins(1));
        assert_eq!(admission.reject_after(), Duration::from_millis(750));
    }
}
