//! Second factors as users set them up themselves: nothing is there before its owner has shown a code of it.

use std::sync::Arc;

use qrcode::render::svg;
use qrcode::{EcLevel, QrCode};

use super::people::{Pending, Right, read};
use super::web::Web;
use crate::base::name::UserName;
use crate::base::secret::Secret;
use crate::base::system::random;
use crate::base::time::UnixTime;
use crate::engine::account::Account;
use crate::engine::delivery::Notice;
use crate::engine::question::{UserAnswer, UserQuery};
use crate::engine::reason::Reason;
use crate::engine::record::{CommitAnswer, Guard, LoginId, Method, Record, Row};
use crate::factor::oath::{self, Drift, Parameters};
use crate::factor::recovery::{RecoveryCode, SET};
use crate::factor::{otpauth, seed};
use crate::server::answers::Answers;
use crate::server::system::SystemEntropy;
use crate::store::StoreFault;
use crate::store::act::Act;
use crate::store::admin::{Admin, AdminFault, NewToken, UserFields};
use crate::store::user_act::UserAct;

/// Steps to either side of now in which a code confirms.
const WINDOW: u8 = 1;

impl Pending {
    /// A seed that nobody has yet.
    pub(super) fn new(web: &Web) -> Pending {
        let octets = zeroize::Zeroizing::new(web.random::<{ seed::SEED_NEW }>());
        let serial = format!("app-{}", LoginId::from_round(web.random())).into();
        Pending { seed: Secret::new(*octets), serial }
    }

    fn uri(&self, issuer: &str, user: &UserName) -> String {
        otpauth::uri(issuer, user.as_str(), &self.seed, &Parameters::default(), 0)
    }

    /// The picture that an app reads.
    pub(super) fn picture(&self, issuer: &str, user: &UserName) -> Option<String> {
        let code = QrCode::with_error_correction_level(self.uri(issuer, user), EcLevel::M).ok()?;
        Some(code.render::<svg::Color<'_>>().min_dimensions(240, 240).quiet_zone(true).build())
    }

    /// The seed in letters, four at a time.
    pub(super) fn letters(&self) -> String {
        let text = zeroize::Zeroizing::new(seed::print(&self.seed));
        let groups: Vec<&str> =
            (0..text.len()).step_by(4).filter_map(|at| text.get(at..text.len().min(at + 4))).collect();
        groups.join(" ")
    }

    /// The step that `typed` is the code of, around `now`.
    pub(super) fn step_of(&self, typed: &str, now: UnixTime) -> Option<u64> {
        let parameters = Parameters::default();
        // Apps show them in groups, and some people type what they see.
        let typed: String = typed.chars().filter(|letter| !letter.is_whitespace()).collect();
        let entered = oath::parse_entry(typed.as_bytes(), parameters.digits)?;
        let window = oath::window(&parameters, now.secs(), Drift::default(), WINDOW);
        oath::find_step(self.seed.expose(), &parameters, window, entered)
    }

    /// Makes a token of it, the code's step used up. An invitation is used up first, so that of two who race one gets in.
    pub(super) fn keep(
        &self,
        admin: &mut dyn Admin,
        user: &UserName,
        right: Right,
        (step, now): (u64, UnixTime),
    ) -> Result<(), AdminFault> {
        take(admin, user, right)?;
        let token = NewToken::new(
            Arc::clone(&self.serial),
            Some(user.clone()),
            self.seed.clone(),
            Parameters::default(),
        );
        let id = admin.add_token(&token)?;
        let account = admin.user(user)?;
        let act = Act::new(Reason::TokenVerified).on(user, account.id).token(&self.serial);
        let act = act.row(admin.origin(), now, random(&mut entropy()?));
        let row = Row { method: Method::Totp, spent: Some((id, step)), ..act };
        let guards = vec![Guard::StepUnspent { token: id, step }];
        match admin.append(&Record { guards, row: Arc::new(row) }) {
            CommitAnswer::Done(_) => Ok(()),
            // It was added this moment and nobody else knows it.
            _ => Err(unwritten("a token's first code could not be recorded")),
        }
    }
}

/// Uses up what gives the right, where it works once; whoever was led here may have no factor by now.
pub(super) fn take(admin: &mut dyn Admin, user: &UserName, right: Right) -> Result<(), AdminFault> {
    match right {
        Right::Invited(hash) => admin.act_for(user, &UserAct::TakeInvite { hash }),
        Right::Led if newcomer(admin, user)?.is_none_or(|account| account.is_enrolled()) => {
            Err(AdminFault::Missing("user who never had a second factor".to_owned()))
        }
        Right::Led | Right::Enrolled | Right::LoggedIn => Ok(()),
    }
}

/// The user, if any. [`AdminFault::Missing`] for whoever looks like somebody who is asked for a factor: since the gateway looked, that
/// user may have come (CVE-2020-12812).
fn newcomer(admin: &mut dyn Admin, user: &UserName) -> Result<Option<Account>, AdminFault> {
    let query = UserQuery { user: user.clone(), seeds: false, look_alikes: true };
    match admin.account(&query) {
        UserAnswer::Found(account) if !account.resembles_another => Ok(Some(account)),
        UserAnswer::Unknown { resembles: false } => Ok(None),
        UserAnswer::Found(_) | UserAnswer::Unknown { .. } => {
            Err(AdminFault::Missing("user who looks like nobody else".to_owned()))
        }
        UserAnswer::Unavailable => Err(unwritten("a user cannot be read")),
    }
}

/// Records that a user showed the code that leads to a first factor, and makes the user known where nobody was called so: the
/// directory knows whose password was right. [`AdminFault::Missing`] for whoever ever had a factor, or may not log in.
pub(super) fn led(admin: &mut dyn Admin, user: &UserName, now: UnixTime) -> Result<(), AdminFault> {
    let mut known = newcomer(admin, user)?;
    if known.is_none() {
        admin.add_user(user, &UserFields::default())?;
        known = read(admin, user)?;
    }
    let account = known.ok_or_else(|| AdminFault::Missing(format!("user {user}")))?;
    if account.is_enrolled() || account.barred(now).is_some() {
        return Err(AdminFault::Missing("user who never had a second factor".to_owned()));
    }
    note(admin, &account, Act::new(Reason::EnrolCodeUsed), now)
}

/// Records something of the user of `account` that changes nothing else.
pub(super) fn note(
    admin: &mut dyn Admin,
    account: &Account,
    act: Act,
    now: UnixTime,
) -> Result<(), AdminFault> {
    let act = act.on(&account.name, account.id);
    let row = act.row(admin.origin(), now, random(&mut entropy()?));
    match admin.append(&Record { guards: vec![Guard::UserActive { user: account.id }], row: Arc::new(row) }) {
        CommitAnswer::Done(_) => Ok(()),
        _ => Err(unwritten("what was done on a page could not be recorded")),
    }
}

/// Tells somebody that a factor was set up in their name; whoever had none before hears of it even where there is no mail.
pub(super) fn tell(answers: &Answers, right: Right, account: &Account) {
    match right {
        Right::Invited(_) | Right::Led => answers.notify_anyhow(Notice::Enrolled, account),
        Right::Enrolled | Right::LoggedIn => answers.notify(Notice::Enrolled, account),
    }
}

/// New recovery codes for whoever has none left, to be shown once. Of two who ask at the same time one gets them.
pub(super) fn first_codes(admin: &mut dyn Admin, user: &UserName) -> Result<Option<Vec<String>>, AdminFault> {
    let account = read(admin, user)?;
    let left = account.and_then(|account| account.special).map_or(0, |special| special.recovery_left());
    if left > 0 { Ok(None) } else { new_codes(admin, user).map(Some) }
}

/// New recovery codes, to be shown once.
pub(super) fn new_codes(admin: &mut dyn Admin, user: &UserName) -> Result<Vec<String>, AdminFault> {
    let mut entropy = entropy()?;
    let codes: Vec<RecoveryCode> = (0..SET).map(|_| RecoveryCode::generate(&mut entropy)).collect();
    admin.act_for(user, &UserAct::Recovery { codes: &codes, why: None })?;
    Ok(codes.iter().map(ToString::to_string).collect())
}

fn entropy() -> Result<SystemEntropy, AdminFault> {
    SystemEntropy::new().map_err(|fault| unwritten(&fault.to_string()))
}

fn unwritten(what: &str) -> AdminFault {
    AdminFault::Store(StoreFault { what: what.to_owned(), hint: "the log says more".to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::system::SystemClock;
    use crate::store::memory::MemoryStore;

    fn pending() -> Pending {
        Pending { seed: Secret::from("12345678901234567890"), serial: "app-1".into() }
    }

    #[test]
    fn whoever_was_led_is_made_known_once_and_only_where_they_never_had_a_factor() {
        let now = UnixTime::from_secs(1_800_000_000);
        let mut store = MemoryStore::new(Arc::new(SystemClock), Box::new(SystemEntropy::new().unwrap()));
        let dora = UserName::canonical(b"dora").unwrap();
        assert!(led(&mut store, &dora, now).is_ok());
        assert!(store.user(&dora).is_ok(), "the directory knew her");
        assert!(led(&mut store, &dora, now).is_ok() && take(&mut store, &dora, Right::Led).is_ok());
        let codes = first_codes(&mut store, &dora).unwrap().unwrap();
        assert_eq!((codes.len(), first_codes(&mut store, &dora).unwrap()), (SET, None));
        for fault in [led(&mut store, &dora, now), take(&mut store, &dora, Right::Led)] {
            assert!(matches!(fault, Err(AdminFault::Missing(_))), "{fault:?}");
        }
        // Whoever looks like her is nobody new, also where a seat was taken before she had a factor.
        let alike = UserName::canonical(b"dora.").unwrap();
        assert!(matches!(led(&mut store, &alike, now), Err(AdminFault::Missing(_))));
        assert!(matches!(take(&mut store, &alike, Right::Led), Err(AdminFault::Missing(_))));
        store.add_user(&alike, &UserFields::default()).unwrap();
        assert!(matches!(take(&mut store, &alike, Right::Led), Err(AdminFault::Missing(_))));
        let emil = UserName::canonical(b"emil").unwrap();
        store.add_user(&emil, &UserFields { disabled: true, ..UserFields::default() }).unwrap();
        assert!(matches!(led(&mut store, &emil, now), Err(AdminFault::Missing(_))));
    }

    #[test]
    fn a_code_of_the_present_step_or_one_beside_it_confirms_and_no_other() {
        // RFC 6238, appendix B, cut to six digits.
        let at = |seconds| pending().step_of("287082", UnixTime::from_secs(seconds));
        assert_eq!(at(59), Some(1));
        assert_eq!(at(89), Some(1));
        assert_eq!(at(29), Some(1));
        assert_eq!(at(90), None);
        assert_eq!(pending().step_of(" 287 082 ", UnixTime::from_secs(59)), Some(1));
        for wrong in ["", "287083", "28708", "2870822", "abcdef"] {
            assert_eq!(pending().step_of(wrong, UnixTime::from_secs(59)), None, "{wrong}");
        }
    }

    #[test]
    fn a_seed_is_shown_as_a_picture_and_in_letters() {
        let user = UserName::canonical(b"u1").unwrap();
        assert_eq!(pending().letters(), "GEZD GNBV GY3T QOJQ GEZD GNBV GY3T QOJQ");
        let picture = pending().picture("mfa.example.com", &user).unwrap();
        assert!(picture.starts_with("<?xml") && picture.contains("<svg") && !picture.contains("<script"));
    }
}
