//! What an admin does for a user, as a scenario's line says it.

use radmfa::base::name::{Label, UserName};
use radmfa::base::secret::Secret;
use radmfa::engine::arming::ArmedBy;
use radmfa::engine::record::Method;
use radmfa::factor::recovery::RecoveryCode;
use radmfa::store::admin::Admin as _;
use radmfa::store::memory::MemoryStore;
use radmfa::store::user_act::UserAct;
use radmfa::store::user_act::passkeys::PasskeyAct;

use super::script::option;
use super::words::{Word, span};

/// `block alice 2h`, `unblock alice`, `recovery alice CODE CODE`, `bypass alice 300s client=nas station=NET`,
/// `cancel-bypasses alice`, `pin alice 2580`, `no-pin alice`, `end-sessions alice`, `device alice phone`, which is found at
/// `alice-phone`, `revoke alice phone`,
/// `hold-phone alice 24h`, `passkey alice key`, `no-passkey alice key`, `require-passkey alice phone`.
pub fn act(store: &mut MemoryStore, verb: &str, user: &UserName, rest: &[Word]) -> Result<(), String> {
    let first = || rest.first().map(Word::text).ok_or("a word is missing");
    let codes: Vec<_> = rest.iter().filter_map(|word| RecoveryCode::parse(&word.value)).collect();
    let pin = Secret::new(rest.first().map(|word| word.value.clone()).unwrap_or_default());
    let first_word = rest.first().map(Word::text).unwrap_or_default();
    let address = format!("{user}-{first_word}");
    let act = match verb {
        "block" => UserAct::Block { span: span(&first()?)?, why: "test" },
        "unblock" => UserAct::Unblock { why: None },
        "recovery" if codes.len() == rest.len() => UserAct::Recovery { codes: &codes, why: None },
        "bypass" => UserAct::Bypass {
            client: Label::new(&option(rest, "client").ok_or("client=")?)
                .map_err(|fault| fault.to_string())?,
            station: option(rest, "station").map(|net| net.parse().map_err(|_| "no network")).transpose()?,
            span: span(&first()?)?,
            why: "test",
        },
        "arm" => UserAct::Arm {
            client: Label::new(&option(rest, "client").ok_or("client=")?)
                .map_err(|fault| fault.to_string())?,
            span: span(&first()?)?,
            by: armed_by(rest)?,
        },
        "device" => UserAct::AddDevice {
            name: &first_word,
            channel: Label::new("hook").unwrap(),
            address: &address,
            key: None,
        },
        "passkey" => UserAct::Passkey(PasskeyAct::Add {
            name: &first_word,
            credential: first_word.as_bytes(),
            key: "{}",
            counter: 0,
            synced: false,
        }),
        "no-passkey" => UserAct::Passkey(PasskeyAct::Remove { passkey: &first_word }),
        "require-passkey" => UserAct::Passkey(PasskeyAct::Demand { device: &first_word, passkey: true }),
        "revoke" => UserAct::RevokeDevice { device: &first_word },
        "hold-phone" => UserAct::HoldPhone { span: span(&first()?)? },
        "cancel-bypasses" => UserAct::CancelBypasses,
        "pin" => UserAct::SetPin(&pin),
        "no-pin" => UserAct::RemovePin,
        "end-sessions" => UserAct::EndSessions { which: None, why: None },
        other => return Err(format!("an admin cannot `{other}`")),
    };
    store.act_for(user, &act).map_err(|fault| fault.to_string())
}

/// `by=totp from=198.51.100.7` by its user, the help desk otherwise.
fn armed_by(rest: &[Word]) -> Result<ArmedBy, String> {
    let Some(method) = option(rest, "by") else { return Ok(ArmedBy::Desk) };
    let method = Method::parse(&method).ok_or("no such method")?;
    let from = option(rest, "from").map(|from| from.parse().map_err(|_| "no address")).transpose()?;
    Ok(ArmedBy::User { method, from })
}
