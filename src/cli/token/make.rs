//! `radmfa token add`: a new seed for a user's authenticator app, shown as a QR code and in letters.

use std::sync::Arc;

use anyhow::Context;
use clap::builder::PossibleValuesParser;
use clap::builder::TypedValueParser;
use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};

use super::known::Known;
use crate::base::name::UserName;
use crate::base::secret::Secret;
use crate::base::system::{Entropy, random};
use crate::cli::failure::Failure;
use crate::cli::output::{printable, say};
use crate::cli::store::{Missing, entropy, open};
use crate::cli::value::user_name;
use crate::config::flags::StoreFlags;
use crate::engine::record::LoginId;
use crate::factor::oath::{Algorithm, COUNTER_MAX, Digits, Moving, Parameters};
use crate::factor::{otpauth, seed};
use crate::store::admin::{AdminFault, NewToken};

/// Make a token for a user's authenticator app, and show its QR code
#[derive(Debug, clap::Args)]
pub(crate) struct Add {
    /// The user
    #[arg(value_parser = user_name)]
    user: UserName,
    /// The serial number; a random one where it is missing
    #[arg(long)]
    serial: Option<String>,
    /// The hash; many apps know SHA1 alone
    #[arg(long, default_value = "SHA1", value_parser = algorithm())]
    algorithm: Algorithm,
    /// Digits of a code, 6 to 8
    #[arg(long, default_value = "6", value_parser = digits)]
    digits: Digits,
    /// What moves it on: time (totp) or a counter (hotp)
    #[arg(long = "type", value_name = "TYPE", default_value = "totp", value_parser = ["totp", "hotp"])]
    kind: String,
    /// Seconds that a code of a totp token is shown
    #[arg(long, default_value = "30", value_parser = interval())]
    interval: u16,
    /// The next counter of a hotp token (0)
    #[arg(long, value_parser = clap::value_parser!(u64).range(0..=COUNTER_MAX))]
    counter: Option<u64>,
    #[command(flatten)]
    known: Known,
    /// What the app shows beside the user's name
    #[arg(long, default_value = "radmfa")]
    issuer: String,
    #[command(flatten)]
    store: StoreFlags,
}

fn algorithm() -> impl TypedValueParser<Value = Algorithm> {
    PossibleValuesParser::new(["SHA1", "SHA256", "SHA512"])
        .map(|name| Algorithm::parse(&name).unwrap_or_default())
}

fn interval() -> impl TypedValueParser<Value = u16> {
    PossibleValuesParser::new(["30", "60"]).map(|text| if text == "60" { 60 } else { 30 })
}

fn digits(text: &str) -> Result<Digits, String> {
    text.parse().ok().and_then(Digits::new).ok_or_else(|| "takes 6, 7 or 8".into())
}

impl Add {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let mut random = entropy()?;
        let parameters = Parameters {
            algorithm: self.algorithm,
            digits: self.digits,
            moving: match self.kind.as_str() {
                "hotp" => Moving::Counter,
                _ => Moving::Time { interval: self.interval },
            },
        };
        if self.counter.is_some() && parameters.moving != Moving::Counter {
            return Err(Failure::usage("--counter is for counter tokens alone")
                .hint("add --type hotp")
                .into());
        }
        let serial = self.serial.map_or_else(|| new_serial(&mut random), Into::into);
        let token = NewToken::new(serial, Some(self.user), new_seed(&mut random), parameters);
        let mut token = NewToken { counter: self.counter.unwrap_or(0), ..token };
        self.known.edit(&mut token.fields);
        let mut admin = open(&self.store, Missing::Create)?;
        admin.add_token(&token).map_err(|fault| match (&fault, &token.user) {
            (AdminFault::Missing(_), Some(user)) => {
                Failure::from(fault).hint(format!("radmfa user add {user}"))
            }
            _ => fault.into(),
        })?;
        let account = token.user.as_ref().map_or("", UserName::as_str);
        say(format!("added token {} for {account}", printable(&token.serial)))?;
        show(&otpauth::uri(&self.issuer, account, &token.seed, &token.parameters, token.counter))
    }
}

/// A seed as RFC 4226 §4 wants it.
pub(crate) fn new_seed(entropy: &mut dyn Entropy) -> Secret {
    let octets = zeroize::Zeroizing::new(random::<{ seed::SEED_NEW }>(entropy));
    Secret::new(*octets)
}

/// A serial number that nobody has printed on a token: 50 random bits, `app-K7Q2M-X9TR4`.
pub(crate) fn new_serial(entropy: &mut dyn Entropy) -> Arc<str> {
    format!("app-{}", LoginId::from_round(random(entropy))).into()
}

/// Prints a token's QR code with the URI beneath.
pub(crate) fn show(uri: &str) -> anyhow::Result<()> {
    let code = QrCode::with_error_correction_level(uri, EcLevel::L).context("the QR code cannot be made")?;
    // Most terminals are dark: what a camera takes for paper has to be the lit part.
    let drawn = code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build();
    say(format!("\n{drawn}\n\n{uri}"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::system::Fixed;
    use crate::base::time::{Tick, UnixTime};

    #[test]
    fn new_seeds_and_serials_are_long_and_differ() {
        let mut entropy = Fixed { mono: Tick(0), unix: UnixTime(0), seed: 1 };
        let (first, second) = (new_seed(&mut entropy), new_seed(&mut entropy));
        assert_eq!(first.len(), 20);
        assert_ne!(first, second);
        let serial = new_serial(&mut entropy);
        assert_eq!(serial.len(), "app-K7Q2M-X9TR4".len());
        assert_ne!(serial, new_serial(&mut entropy));
    }
}
