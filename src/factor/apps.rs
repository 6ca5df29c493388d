//! What authenticator apps and Google's PAM module keep: `otpauth://` URIs, the app's export
//! (`otpauth-migration://offline?data=…`, a small protocol buffer in Base64), and `~/.google_authenticator`.
//!
//! None of them has serial numbers, so one is made from user and secret: the same file read twice gives the same ones.
//! Faults name the line and quote nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::{alphabet, engine::DecodePaddingMode};
use sha2::{Digest, Sha256};

use super::described::{self, Described};
use super::oath::{Algorithm, COUNTER_MAX, Digits, Moving, Parameters};
use super::otpauth::{self, Uri, strip, unpercent};
use super::seed;
use crate::base::name::UserName;
use crate::base::secret::Secret;
use crate::base::table::Fault;

/// The longest file taken, in octets.
pub const FILE_MAX: usize = 64 << 20;

const MIGRATION: &str = "otpauth-migration://offline?data=";
const URI: &str = "otpauth://";

/// Base64 with or without its padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a file holds.
#[derive(Debug, Default)]
pub struct Contents {
    /// The tokens, in the file's order.
    pub tokens: Vec<Described>,
    /// What cannot be taken, by line.
    pub faults: Vec<Fault>,
    /// What there is to know beside them: lines and words.
    pub notes: Vec<(u64, String)>,
}

/// Whether `line` is a URI of either kind.
#[must_use]
pub fn is_uri(line: &str) -> bool {
    strip(line, MIGRATION).or_else(|| strip(line, URI)).is_some()
}

/// Reads a URI a line; empty lines and those that begin with `#` are skipped. The tokens are `user`'s, where one is
/// given, or else those of the accounts that the URIs name.
#[must_use]
pub fn uris(text: &str, user: Option<&UserName>) -> Contents {
    let mut contents = Contents::default();
    let mut exports: BTreeMap<u64, (u64, u64, Vec<u64>)> = BTreeMap::new();
    for (number, line) in (1_u64..).zip(text.lines()) {
        let line = line.trim().trim_start_matches('\u{feff}');
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let read = match strip(line, MIGRATION) {
            Some(data) => migration(data).map(|part| {
                let export = exports.entry(part.export).or_insert_with(|| (number, part.parts, Vec::new()));
                export.2.push(part.index);
                part.tokens
            }),
            None => otpauth::parse(line).map(|uri| vec![Ok(uri)]),
        };
        match read {
            Err(what) => contents.faults.push(Fault::whole(number, what)),
            Ok(tokens) => {
                for token in tokens {
                    match token
                        .map_err(|what| Fault::whole(number, what))
                        .and_then(|uri| describe(number, uri, user))
                    {
                        Ok(token) => contents.tokens.push(token),
                        Err(fault) => contents.faults.push(fault),
                    }
                }
            }
        }
    }
    for (line, parts, mut found) in exports.into_values() {
        found.sort_unstable();
        found.dedup();
        let found = u64::try_from(found.len()).unwrap_or(u64::MAX);
        if found < parts {
            contents
                .notes
                .push((line, format!("the export has {parts} parts, and {found} of them are in the file")));
        }
    }
    contents
}

fn describe(line: u64, uri: Uri, user: Option<&UserName>) -> Result<Described, Fault> {
    let user = match user {
        Some(user) => user.clone(),
        None => UserName::canonical(uri.account.as_bytes())
            .map_err(|fault| Fault::of(line, "account", format!("{fault}; --user says whose it is")))?,
    };
    let label = described::text(&uri.issuer).map_err(|what| Fault::of(line, "issuer", what))?;
    Ok(Described {
        line,
        serial: serial(&user, &uri.seed),
        user: Some(user),
        seed: uri.seed,
        parameters: uri.parameters,
        counter: uri.counter,
        drift: 0,
        label,
        expires: None,
        starts: None,
        manufacturer: None,
        model: None,
    })
}

/// A serial number for a token that has none: 50 bits of a hash, written as radmfa's own are, so that nobody learns
/// anything of the seed from it.
fn serial(user: &UserName, seed: &Secret) -> Arc<str> {
    let hash = Sha256::new()
        .chain_update(b"radmfa: the serial number of a token without one\0")
        .chain_update(user.as_str())
        .chain_update(b"\0")
        .chain_update(seed.expose())
        .finalize();
    let letters = base32::encode(base32::Alphabet::Crockford, &hash);
    let (first, rest) = letters.split_at(5);
    format!("app-{first}-{}", rest.get(..5).unwrap_or_default()).into()
}

/// One part of an app's export.
struct Part {
    tokens: Vec<Result<Uri, String>>,
    export: u64,
    parts: u64,
    index: u64,
}

fn migration(data: &str) -> Result<Part, String> {
    let data = data.split('&').next().unwrap_or_default();
    // A plus is a digit of Base64 here; some write it without encoding it.
    let octets = BASE64.decode(unpercent(data, false)?).map_err(|_| "the data is not Base64")?;
    let octets = zeroize::Zeroizing::new(octets);
    let mut part = Part { tokens: Vec::new(), export: 0, parts: 0, index: 0 };
    let mut message = Message(&octets);
    while let Some((number, field)) = message.field()? {
        match (number, field) {
            (1, Field::Octets(token)) => part.tokens.push(exported(token)),
            (3, Field::Number(parts)) => part.parts = parts,
            (4, Field::Number(index)) => part.index = index,
            (5, Field::Number(export)) => part.export = export,
            _ => {}
        }
    }
    if part.tokens.is_empty() { Err("there is no token in it".into()) } else { Ok(part) }
}

/// One token of an export. It has no period: the app knows 30 seconds alone.
fn exported(octets: &[u8]) -> Result<Uri, String> {
    let (mut secret, mut name, mut issuer) = (&[][..], "", "");
    let (mut algorithm, mut digits, mut kind, mut counter) = (0, 0, 0, 0);
    let mut message = Message(octets);
    let text = |octets| std::str::from_utf8(octets).map_err(|_| "a name is not UTF-8".to_owned());
    while let Some((number, field)) = message.field()? {
        match (number, field) {
            (1, Field::Octets(octets)) => secret = octets,
            (2, Field::Octets(octets)) => name = text(octets)?,
            (3, Field::Octets(octets)) => issuer = text(octets)?,
            (4, Field::Number(number)) => algorithm = number,
            (5, Field::Number(number)) => digits = number,
            (6, Field::Number(number)) => kind = number,
            (7, Field::Number(number)) => counter = number,
            _ => {}
        }
    }
    let seed = seed::check(Secret::new(secret)).map_err(|fault| fault.to_string())?;
    let algorithm = match algorithm {
        0 | 1 => Algorithm::Sha1,
        2 => Algorithm::Sha256,
        3 => Algorithm::Sha512,
        _ => return Err("a token's algorithm is not known; SHA1, SHA256 and SHA512 are".into()),
    };
    let digits = match digits {
        0 | 1 => Some(Digits::SIX),
        2 => Digits::new(8),
        _ => None,
    };
    let digits = digits.ok_or("a token's number of digits is not known")?;
    let (moving, counter) = match kind {
        1 if counter <= COUNTER_MAX => (Moving::Counter, counter),
        1 => return Err(format!("a token's counter is beyond {COUNTER_MAX}")),
        0 | 2 => (Moving::Time { interval: 30 }, 0),
        _ => return Err("a token's type is not known; TOTP and HOTP are".into()),
    };
    let (before, account) = name.split_once(':').unwrap_or(("", name));
    let issuer = if issuer.is_empty() { before } else { issuer };
    Ok(Uri {
        issuer: issuer.trim().to_owned(),
        account: account.trim().to_owned(),
        seed,
        parameters: Parameters { algorithm, digits, moving },
        counter,
    })
}

/// A protocol buffer that is read field by field.
struct Message<'a>(&'a [u8]);

enum Field<'a> {
    Number(u64),
    Octets(&'a [u8]),
}

impl<'a> Message<'a> {
    /// The next field with its number; `None` at the end.
    fn field(&mut self) -> Result<Option<(u64, Field<'a>)>, String> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = self.number()?;
        let field = match tag & 7 {
            0 => Field::Number(self.number()?),
            1 => Field::Octets(self.take(8)?),
            2 => {
                let length = self.number()?;
                Field::Octets(self.take(length)?)
            }
            5 => Field::Octets(self.take(4)?),
            _ => return Err(CUT.into()),
        };
        Ok(Some((tag >> 3, field)))
    }

    fn number(&mut self) -> Result<u64, String> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let Some((octet, rest)) = self.0.split_first() else { break };
            self.0 = rest;
            // Bits beyond the 64th are dropped, as protocol buffers have it.
            number |= u64::from(octet & 0x7f) << shift;
            if octet & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(CUT.into())
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], String> {
        let (taken, rest) =
            usize::try_from(length).ok().and_then(|length| self.0.split_at_checked(length)).ok_or(CUT)?;
        self.0 = rest;
        Ok(taken)
    }
}

const CUT: &str = "the data is cut short or no export of the app";

/// Whether a file looks like one of the PAM module: options in lines that begin with a quotation mark.
#[must_use]
pub fn is_pam_file(text: &str) -> bool {
    let mut lines = text.lines();
    lines.next().is_some_and(|secret| seed::parse(secret.trim()).is_ok()) && lines.all(is_pam_line)
}

fn is_pam_line(line: &str) -> bool {
    let scratch = line.trim();
    line.starts_with("\" ") || scratch.is_empty() || scratch.bytes().all(|octet| octet.is_ascii_digit())
}

/// Reads the file that `google-authenticator` leaves in a user's home, which does not say whose it is.
pub fn pam_file(text: &str, user: &UserName) -> Result<Contents, Fault> {
    let mut lines = (1_u64..).zip(text.lines());
    let (_, secret) = lines.next().ok_or_else(|| Fault::whole(1, "the file is empty"))?;
    let seed = seed::parse(secret.trim().trim_start_matches('\u{feff}'));
    let seed = seed.map_err(|fault| Fault::whole(1, fault.to_string()))?;
    let mut contents = Contents::default();
    let mut interval = 30;
    let mut counter = 0;
    let mut time = false;
    let mut scratch = 0_usize;
    for (number, line) in lines {
        let Some(option) = line.strip_prefix("\" ") else {
            if !is_pam_line(line) {
                return Err(Fault::whole(number, "is neither an option nor a scratch code"));
            }
            scratch += usize::from(!line.trim().is_empty());
            continue;
        };
        let (name, value) = option.trim().split_once(' ').unwrap_or((option.trim(), ""));
        match (name, value.trim()) {
            ("TOTP_AUTH", _) => time = true,
            ("STEP_SIZE", "30") => interval = 30,
            ("STEP_SIZE", "60") => interval = 60,
            ("STEP_SIZE", _) => return Err(Fault::of(number, "STEP_SIZE", "takes 30 or 60")),
            ("HOTP_COUNTER", value) => {
                let next = value.parse().ok().filter(|next| *next <= COUNTER_MAX);
                counter = next
                    .ok_or_else(|| Fault::of(number, "HOTP_COUNTER", format!("takes 0 to {COUNTER_MAX}")))?;
            }
            _ => {}
        }
    }
    if scratch > 0 {
        let what =
            format!("{scratch} scratch codes are left out: radmfa user recovery {user} makes new ones");
        contents.notes.push((1, what));
    }
    let moving = if time { Moving::Time { interval } } else { Moving::Counter };
    contents.tokens.push(Described {
        line: 1,
        serial: serial(user, &seed),
        user: Some(user.clone()),
        seed,
        parameters: Parameters { moving, ..Parameters::default() },
        counter: if time { 0 } else { counter },
        drift: 0,
        label: None,
        expires: None,
        starts: None,
        manufacturer: None,
        model: None,
    });
    Ok(contents)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A field of a protocol buffer.
    fn field(number: u8, octets: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, u8::try_from(octets.len()).unwrap()], octets].concat()
    }

    fn export(tokens: &[Vec<u8>], parts: u8, index: u8) -> String {
        let mut message: Vec<u8> = tokens.iter().flat_map(|token| field(1, token)).collect();
        message.extend([2 << 3, 1, 3 << 3, parts, 4 << 3, index, 5 << 3, 0xff, 0xff, 0xff, 0xff, 0x7]);
        format!("{MIGRATION}{}", BASE64.encode(message).replace('+', "%2B").replace('=', "%3D"))
    }

    fn token(name: &str, enums: [u8; 3], counter: u8) -> Vec<u8> {
        let [algorithm, digits, kind] = enums;
        let numbers = [4 << 3, algorithm, 5 << 3, digits, 6 << 3, kind, 7 << 3, counter];
        [field(1, b"12345678901234567890"), field(2, name.as_bytes()), field(3, b"Example"), numbers.to_vec()]
            .concat()
    }

    fn alice() -> UserName {
        UserName::canonical(b"alice").unwrap()
    }

    #[test]
    fn an_apps_export_gives_its_tokens_to_the_accounts_that_it_names() {
        let text = format!(
            "\u{feff}{}\r\n",
            export(&[token("Example:Alice", [1, 1, 2], 0), token("bob", [3, 2, 1], 9)], 1, 0)
        );
        let contents = uris(&text, None);
        assert!(contents.faults.is_empty() && contents.notes.is_empty(), "{contents:?}");
        let [first, second] = <[Described; 2]>::try_from(contents.tokens).unwrap();
        assert_eq!(first.user.as_ref(), Some(&alice()));
        assert_eq!((first.parameters, first.label.as_deref()), (Parameters::default(), Some("Example")));
        assert_eq!((second.parameters.algorithm, second.parameters.digits.count()), (Algorithm::Sha512, 8));
        assert_eq!((second.parameters.moving, second.counter), (Moving::Counter, 9));
        assert_ne!(first.serial, second.serial);
        assert_eq!(uris(&text, None).tokens[0].serial, first.serial, "the same file gives the same serial");
    }

    #[test]
    fn a_part_of_an_export_that_is_missing_is_named() {
        let text = export(&[token("a", [1, 1, 2], 0)], 3, 1);
        assert_eq!(
            uris(&text, None).notes,
            [(1, "the export has 3 parts, and 1 of them are in the file".to_owned())]
        );
    }

    #[test]
    fn each_bad_line_is_named_and_the_rest_is_read() {
        let good = "otpauth://totp/alice?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
        let lines = [
            "# kept by hand".to_owned(),
            good.to_owned(),
            String::new(),
            "otpauth://totp/?secret=GEZDGNBVGY3TQOJQ".to_owned(),
            "hello".to_owned(),
            format!("{MIGRATION}!"),
            format!("{MIGRATION}{}", BASE64.encode([10, 200])),
            format!("{MIGRATION}{}", BASE64.encode([16, 1])),
            export(&[token("a", [4, 1, 2], 0)], 1, 0),
            export(&[token("a", [1, 3, 2], 0)], 1, 0),
            export(&[token("a", [1, 1, 3], 0), token("b", [1, 1, 2], 0)], 1, 0),
        ];
        let contents = uris(&lines.join("\n"), None);
        let faults: Vec<String> = contents.faults.iter().map(ToString::to_string).collect();
        assert_eq!(
            faults,
            [
                "line 4: account: the user name is empty; --user says whose it is",
                "line 5: is no otpauth URI",
                "line 6: the data is not Base64",
                "line 7: the data is cut short or no export of the app",
                "line 8: there is no token in it",
                "line 9: a token's algorithm is not known; SHA1, SHA256 and SHA512 are",
                "line 10: a token's number of digits is not known",
                "line 11: a token's type is not known; TOTP and HOTP are",
            ]
        );
        assert_eq!(contents.tokens.iter().map(|token| token.line).collect::<Vec<_>>(), [2, 11]);
    }

    #[test]
    fn the_pam_modules_file_is_a_time_or_a_counter_token() {
        let time = "GEZDGNBVGY3TQOJQGEZDGNBVGY\n\" RATE_LIMIT 3 30\n\" WINDOW_SIZE 17\n\" DISALLOW_REUSE\n\" STEP_SIZE 60\n\" TOTP_AUTH\n12345678\n87654321\n";
        assert!(is_pam_file(time) && !is_pam_file("serial,secret\n") && !is_pam_file(""));
        let contents = pam_file(time, &alice()).unwrap();
        assert_eq!(contents.tokens[0].parameters.moving, Moving::Time { interval: 60 });
        assert_eq!(contents.tokens[0].seed.len(), 16);
        assert!(contents.notes[0].1.starts_with("2 scratch codes are left out"), "{:?}", contents.notes);
        let counter = "GEZDGNBVGY3TQOJQ\n\" HOTP_COUNTER 12\n";
        let token = &pam_file(counter, &alice()).unwrap().tokens[0];
        assert_eq!((token.parameters.moving, token.counter), (Moving::Counter, 12));
        for (text, fault) in [
            ("", "line 1: the file is empty"),
            (
                "hunter2\n",
                "line 1: the secret is not Base32 (letters A to Z and digits 2 to 7), or part of it is missing",
            ),
            ("GEZDGNBVGY3TQOJQ\n\" STEP_SIZE 45\n", "line 2: STEP_SIZE: takes 30 or 60"),
            ("GEZDGNBVGY3TQOJQ\nabc\n", "line 2: is neither an option nor a scratch code"),
        ] {
            assert_eq!(pam_file(text, &alice()).unwrap_err().to_string(), fault);
        }
    }

    proptest! {
        #[test]
        fn no_octets_panic(octets in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _read = uris(&format!("{MIGRATION}{}", BASE64.encode(&octets)), None);
            let text = String::from_utf8_lossy(&octets);
            let _read = uris(&text, None);
            let _read = pam_file(&text, &alice());
            let _read = uris(&format!("otpauth://{text}"), Some(&alice()));
        }
    }
}
