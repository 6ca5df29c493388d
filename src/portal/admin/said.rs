//! What the pages say for values that the store, the trail and the interface for programs know by a code: roles, factors, states, what to
//! do. Names, reason codes and what people have written stay as they are.

use super::office::Fault;
use super::read::HindranceView;
use crate::engine::role::Role;
use crate::portal::desk;
use crate::portal::web::Words;
use crate::server::posture::Advice;
use crate::store::admin::AdminFault;

/// A role.
pub(super) fn role(words: Words, role: Role) -> &'static str {
    words.say(match role {
        Role::Admin => "admin.role-admin",
        Role::HelpDesk => "admin.role-helpdesk",
        Role::Auditor => "admin.role-auditor",
    })
}

/// What a login waits for.
pub(super) fn state(words: Words, state: &str) -> &'static str {
    words.say(match state {
        "working" => "admin.state-working",
        "held" => "admin.state-held",
        "shared" => "admin.state-shared",
        _ => "admin.state-parked",
    })
}

/// A factor, by the word of the trail; one that is new here is its own word.
pub(super) fn method(words: Words, code: &str) -> String {
    let key = match code {
        "none" => return String::new(),
        "totp" => "admin.method-totp",
        "hotp" => "admin.method-hotp",
        "waived" => "admin.method-waived",
        "sms" => "admin.method-sms",
        "voice" => "admin.method-voice",
        "email" => "admin.method-email",
        "recovery" => "admin.method-recovery",
        "bypass" => "admin.method-bypass",
        "remembered" => "admin.method-remembered",
        "push" => "admin.method-push",
        "armed" => "admin.method-armed",
        "passkey" => "admin.method-passkey",
        other => return other.to_owned(),
    };
    words.say(key).to_owned()
}

/// `message-authenticator` of a gateway.
pub(super) fn signing(words: Words, code: &str) -> &'static str {
    words.say(match code {
        "required" => "admin.signing-required",
        "optional" => "admin.signing-optional",
        _ => "admin.signing-auto",
    })
}

/// Kinds of credentials; `none` is a gateway that has checked the password itself.
pub(super) fn protocols(words: Words, known: &[String]) -> String {
    let said = |code: &String| {
        if code == "none" { words.say("admin.protocol-none").to_owned() } else { code.to_uppercase() }
    };
    known.iter().map(said).collect::<Vec<_>>().join(", ")
}

/// Why somebody cannot log in.
pub(super) fn hindrance(words: Words, found: &HindranceView) -> String {
    let key = match found.why {
        "disabled" if found.since.is_none() => "admin.why-disabled-once",
        "disabled" => "admin.why-disabled",
        "blocked" => "admin.why-blocked",
        "locked" => "admin.why-locked",
        "waits" => "admin.why-waits",
        "password-withheld" => "admin.why-withheld",
        "no-pin" => "admin.why-no-pin",
        "pin-expired" => "admin.why-pin-expired",
        "phone-held" => "admin.why-phone-held",
        "push-paused" => "admin.why-push-paused",
        "no-passkey" => "admin.why-no-passkey",
        "no-usable-token" => "admin.why-no-usable-token",
        _ => "admin.why-no-token",
    };
    let of = |text: &Option<String>| text.clone().unwrap_or_default();
    let filled = [("since", of(&found.since)), ("until", of(&found.until)), ("detail", of(&found.detail))];
    words.with(key, &filled.each_ref().map(|(name, value)| (*name, value.as_str())))
}

/// What to do about a gateway.
pub(super) fn advice(words: Words, advice: &Advice) -> String {
    let key = match advice.code {
        "longer-secret" => "admin.advice-longer-secret",
        "signing-off" => "admin.advice-signing-off",
        "signs-nothing" => "admin.advice-signs-nothing",
        "signs-some" => "admin.advice-signs-some",
        "signs-all" => "admin.advice-signs-all",
        "proxy" => "admin.advice-proxy",
        "no-proxy" => "admin.advice-no-proxy",
        "not-pap" => "admin.advice-not-pap",
        "sends-slowly" => "admin.advice-sends-slowly",
        "waits-longer" => "admin.advice-waits-longer",
        "asks-soon" => "admin.advice-asks-soon",
        "asks-often" => "admin.advice-asks-often",
        _ => "admin.advice-none",
    };
    let [first, second] = &advice.spans;
    words.with(key, &[("first", first), ("second", second)])
}

/// Why nothing was done. What exactly is wrong is known in English alone.
pub(super) fn fault(words: Words, fault: &Fault) -> String {
    let said = words.say(match fault {
        Fault::Refused(_) => "admin.may-not",
        Fault::Invalid(_) | Fault::Desk(desk::Fault::Store(AdminFault::Invalid(_))) => "admin.fault-invalid",
        Fault::Desk(desk::Fault::Store(AdminFault::Missing(_))) => "admin.fault-missing",
        Fault::Desk(desk::Fault::Store(AdminFault::Exists(_))) => "admin.fault-exists",
        Fault::Desk(_) => "admin.fault-store",
    });
    match fault {
        Fault::Invalid(_) | Fault::Desk(desk::Fault::Store(AdminFault::Invalid(_)))
            if words.code() == "en" =>
        {
            format!("{said} ({fault})")
        }
        _ => said.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::record::Method;

    fn languages() -> impl Iterator<Item = Words> {
        Words::languages().map(|(code, _)| Words::choose([code]))
    }

    #[test]
    fn every_factor_and_role_has_words_of_its_own_in_every_language() {
        for words in languages() {
            for code in Method::ALL.map(Method::code) {
                let said = method(words, code);
                assert!(!said.starts_with("admin."), "{code} in {}", words.code());
                // English has some words in common with the codes; what is not known at all is said as it is.
                assert!(words.code() == "en" || said != code, "{code} in {}", words.code());
            }
            for one in Role::ALL {
                assert!(!role(words, one).starts_with("admin."), "{one} in {}", words.code());
            }
        }
        let hungarian = Words::choose(["hu"]);
        assert_eq!(method(hungarian, "none"), "");
        assert_eq!(method(hungarian, "x-new"), "x-new");
    }

    #[test]
    fn every_hindrance_has_words_of_its_own_in_every_language() {
        let known = [
            "no-token",
            "disabled",
            "blocked",
            "locked",
            "waits",
            "password-withheld",
            "no-usable-token",
            "no-pin",
            "pin-expired",
            "no-passkey",
            "push-paused",
            "phone-held",
        ];
        for words in languages() {
            let said: std::collections::HashSet<String> = known
                .iter()
                .map(|why| {
                    let found = HindranceView {
                        why,
                        since: None,
                        until: None,
                        sentence: String::new(),
                        detail: None,
                    };
                    hindrance(words, &found)
                })
                .collect();
            assert_eq!(said.len(), known.len(), "{}", words.code());
        }
    }

    #[test]
    fn every_advice_that_there_is_has_words_with_its_times() {
        for words in languages() {
            for code in crate::server::posture::ADVICE {
                let one = Advice { code, spans: ["17s".into(), "23s".into()], sentence: String::new() };
                let said = advice(words, &one);
                let nothing = Advice { code: "nothing", ..one.clone() };
                assert!(code == &"nothing" || said != advice(words, &nothing), "{code} in {}", words.code());
                assert!(!said.contains(['{', '}']), "{said}");
            }
        }
    }

    #[test]
    fn what_is_wrong_is_told_in_the_readers_language() {
        let fault = Fault::Invalid("a reason has 1 to 200 octets of printable text".into());
        assert!(super::fault(Words::choose(["en"]), &fault).contains("1 to 200 octets"));
        assert!(!super::fault(Words::choose(["hu"]), &fault).contains("octets"));
    }
}
