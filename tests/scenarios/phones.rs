//! What users are asked on the phone, and what they answer, as a scenario's lines say it.

use std::sync::Arc;
use std::time::Duration;

use radmfa::base::name::{Label, UserName};
use radmfa::base::secret::Secret;
use radmfa::base::system::Clock as _;
use radmfa::engine::asking::{Asking, Asks, CallWay, Matching, PushWay, Question, Reference, TextWay};
use radmfa::engine::passkey::Assertion;
use radmfa::engine::question::{UserAnswer, UserQuery};
use radmfa::engine::step::Answer;
use radmfa::factor::enrol_code::EnrolCode;
use radmfa::server::node::Heard;
use radmfa::store::Logins as _;
use radmfa::store::pending::Pending;

use super::script::{option, parse};
use super::words::Word;
use super::world::World;

/// `asks=push,sms,voice match=choose answer-pin=yes fraud=0 per-hour=5`: which of what is sent is a question, good for a minute.
pub fn asking(rest: &[Word]) -> Result<Option<Arc<Asking>>, String> {
    let Some(kinds) = option(rest, "asks") else { return Ok(None) };
    let has = |word: &str| kinds.split(',').any(|kind| kind == word);
    let lifetime = Duration::from_mins(1);
    let matching = match option(rest, "match").as_deref() {
        None | Some("type") => Matching::Type,
        Some("choose") => Matching::Choose,
        Some("none") => Matching::None,
        Some(other) => return Err(format!("numbers never match by `{other}`")),
    };
    let per_hour = option(rest, "per-hour").map_or(Ok(20), |count| parse(&count))?;
    let pin = option(rest, "answer-pin").is_some_and(|text| text == "yes");
    let fraud = option(rest, "fraud").map(|digit| parse(&digit)).transpose()?;
    Ok(Some(Arc::new(Asking {
        push: has("push").then_some(PushWay { lifetime, matching, per_hour }),
        sms: has("sms").then_some(TextWay { lifetime, pin }),
        voice: has("voice").then_some(CallWay { lifetime, pin, fraud }),
        pages: option(rest, "pages").iter().filter_map(|name| Label::new(name).ok()).collect(),
    })))
}

/// Whether `said` is `expected`, in which `{number}` stands for two digits; they are put into `shown`.
pub fn matches(expected: &[u8], said: Option<&[u8]>, shown: &mut Option<u32>) -> bool {
    let (Ok(expected), Some(Ok(said))) = (std::str::from_utf8(expected), said.map(std::str::from_utf8))
    else {
        return said == Some(expected);
    };
    let Some((before, after)) = expected.split_once("{number}") else { return said == expected };
    let number = said.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
    *shown = number.filter(|digits| digits.len() == 2).and_then(|digits| digits.parse().ok());
    shown.is_some()
}

/// Whether `said` is `expected`, in which `{enrol}` stands for a code to set up a factor by; it is put into `lead`.
pub fn leads(expected: &[u8], said: Option<&[u8]>, lead: &mut Option<String>) -> bool {
    let (Ok(expected), Some(Ok(said))) = (std::str::from_utf8(expected), said.map(std::str::from_utf8))
    else {
        return said == Some(expected);
    };
    let Some((before, after)) = expected.split_once("{enrol}") else { return said == expected };
    let code = said.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
    *lead = code.filter(|code| code.len() == 9 && EnrolCode::parse(code).is_some()).map(str::to_owned);
    lead.is_some()
}

/// `enrol alice shown`, or another code in quotes, and with `is=wrong` what is not taken.
pub fn enrol(world: &World, rest: &[Word], shown: Option<&str>) -> Result<(), String> {
    let user = UserName::canonical(rest[0].text().as_bytes()).map_err(|fault| fault.to_string())?;
    let code = match rest[1].text().as_str() {
        "shown" => shown.ok_or("no code was shown")?.to_owned(),
        other => other.to_owned(),
    };
    let code = EnrolCode::parse(&code).ok_or("that is no code")?;
    let taken = world.node.take_lead(&user, &code, world.time.mono());
    let expected = option(rest, "is").as_deref() != Some("wrong");
    if taken == expected {
        Ok(())
    } else {
        Err(format!("the code was {}taken", if taken { "" } else { "not " }))
    }
}

/// The code that is to be sent back, if any; or what is wrong with the question.
pub fn code_of(question: &Question, shown: Option<u32>) -> Result<Option<String>, String> {
    match &question.asks {
        Asks::CodeBack { code, .. } => Ok(Some(String::from_utf8_lossy(code.expose()).into_owned())),
        Asks::Approval { matching: Matching::Choose, choices: Some(choices) } if shown.is_none() => {
            let different = choices[0] != choices[1] && choices[1] != choices[2] && choices[0] != choices[2];
            if different { Ok(None) } else { Err(format!("the choices are {choices:?}")) }
        }
        Asks::Approval { matching: Matching::Choose, choices: None } => Err("no choices".to_owned()),
        Asks::Approval { .. } | Asks::Key { .. } => Ok(None),
    }
}

/// What is made where a signature is checked: `owner` has shown their first passkey.
fn assertion(world: &World, owner: &str, made_for: Reference) -> Result<Assertion, String> {
    let user = UserName::canonical(owner.as_bytes()).map_err(|fault| fault.to_string())?;
    let query = UserQuery { user, seeds: false, look_alikes: false };
    let Pending::Ready(UserAnswer::Found(account)) = world.store.find(&query) else {
        return Err(format!("{owner} is nobody"));
    };
    // One that was taken away is shown all the same.
    let passkey = account.passkeys().next().map_or(1, |passkey| passkey.id);
    Ok(Assertion::by_signature(account.id, passkey, Some(made_for)))
}

/// `phone q1 asserts shown of=alice`, with a passkey of hers (`for=another`: made for another question), `phone q1 approve shown`, `approve wrong`, `approve`, `deny`, `fraud`, `types "123456"`, and what becomes of it where it is not
/// taken: `late`, `late unrecorded`, `unknown`.
pub fn answer(
    world: &mut World,
    reference: Reference,
    shown: Option<u32>,
    rest: &[Word],
    typed: &[u8],
) -> Result<(), String> {
    let number = match rest.get(1).map(Word::text).as_deref() {
        Some("shown") => Some(shown.ok_or("no number was shown")?),
        Some("wrong") => Some(shown.ok_or("no number was shown")? ^ 1),
        _ => None,
    };
    let answer = match rest[0].text().as_str() {
        "approve" => Answer::Approved(number),
        "asserts" => {
            // Whose passkey, and for which question it was made.
            let owner = option(rest, "of").ok_or("of=")?;
            let made_for = if option(rest, "for").is_some() { Reference([0; 16]) } else { reference };
            Answer::Asserted(number, assertion(world, &owner, made_for)?)
        }
        "deny" => Answer::Denied,
        "fraud" => Answer::Fraud,
        "types" => Answer::Typed(Secret::new(typed)),
        other => return Err(format!("nobody answers `{other}`")),
    };
    let heard = match world.hear(reference, answer) {
        Heard::Taken => "taken",
        Heard::Late(Some(_)) => "late",
        Heard::Late(None) => "late-unrecorded",
        Heard::Unknown => "unknown",
    };
    let expected = option(rest, "is").unwrap_or_else(|| "taken".to_owned());
    if heard == expected { Ok(()) } else { Err(format!("the answer was {heard}")) }
}
