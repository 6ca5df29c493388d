//! One key: what its elements say, and the token that it is once its values are checked and decrypted.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::crypto::{self, Cipher};
use super::parts::{date, text, user};
use super::read::Device;
use super::xml::Element;
use super::{Note, Opening, Sealed};
use crate::base::name::UserName;
use crate::base::secret::Secret;
use crate::base::table::Fault;
use crate::base::text::escape;
use crate::base::time::UnixTime;
use crate::factor::described::{self, Described};
use crate::factor::oath::{Algorithm, COUNTER_MAX, Digits, Moving, Parameters};
use crate::factor::seed::{SEED_MAX, SEED_MIN};

/// The prefixes of algorithms' names, from RFC 6030 and from the drafts before it.
pub(super) const ALGORITHMS: [&str; 3] = [
    "urn:ietf:params:xml:ns:keyprov:pskc:",
    "urn:ietf:params:xml:ns:keyprov:pskc#",
    "http://www.ietf.org/keyprov/pskc#",
];

/// How a key's codes move on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Time,
    Counter,
}

/// A key whose values may still be sealed.
#[derive(Debug)]
pub(super) struct RawKey {
    line: u64,
    id: String,
    serial: Arc<str>,
    kind: Kind,
    algorithm: Algorithm,
    digits: Digits,
    secret: Value,
    counter: Option<Value>,
    time: Option<Value>,
    interval: Option<Value>,
    drift: Option<Value>,
    user: Option<UserName>,
    label: Option<Arc<str>>,
    manufacturer: Option<Arc<str>>,
    model: Option<Arc<str>>,
    starts: Option<UnixTime>,
    expires: Option<UnixTime>,
}

#[derive(Debug)]
struct Value {
    line: u64,
    name: String,
    content: Content,
}

#[derive(Debug)]
enum Content {
    /// As it stands: Base64 of a secret, a number in digits.
    Plain(Secret),
    Sealed(Sealed, Vec<u8>),
}

/// Why a key does not open.
pub(super) enum Closed {
    /// Its MAC is wrong.
    Mismatch(Fault),
    /// Something else is.
    Wrong(Fault),
}

impl From<Fault> for Closed {
    fn from(fault: Fault) -> Closed {
        Closed::Wrong(fault)
    }
}

impl RawKey {
    pub(super) fn read(key: &Element, device: &Device, notes: &mut Vec<Note>) -> Result<RawKey, Fault> {
        let id = key.attribute("Id").unwrap_or_default().to_owned();
        let (kind, mut algorithm) = kind(key)?;
        let mut digits = Digits::SIX;
        if let Some(parameters) = key.child("AlgorithmParameters")? {
            let suite = parameters.child("Suite")?.map(|suite| (suite, suite_of(suite)));
            if let Some((suite, name)) = suite.filter(|(_, name)| !name.is_empty()) {
                let named = Algorithm::parse(name)
                    .ok_or_else(|| suite.fault("is not known; HMAC-SHA1, HMAC-SHA256 and HMAC-SHA512 are"))?;
                if algorithm.is_some_and(|algorithm| algorithm != named) {
                    return Err(suite.fault("says another hash than the key's Algorithm"));
                }
                algorithm = Some(named);
            }
            if let Some(format) = parameters.child("ResponseFormat")? {
                digits = response(format)?;
            }
        }
        let serial = if device.serial.is_empty() { id.as_str() } else { device.serial.as_str() };
        let serial =
            described::serial(serial).map_err(|what| key.fault(format!("the serial number {what}")))?;
        let data = key.needed("Data")?;
        let secret = data.child("Secret")?.ok_or_else(|| {
            let other = if key.named("KeyReference").next().is_some() {
                "; a reference to a master key is no seed"
            } else {
                ""
            };
            data.fault(format!("<Secret> is missing in it{other}"))
        })?;
        let value = |name| data.child(name)?.map(Value::number).transpose();
        let mut raw = RawKey {
            line: key.line,
            id,
            serial,
            kind,
            algorithm: algorithm.unwrap_or_default(),
            digits,
            secret: Value::secret(secret)?,
            counter: value("Counter")?,
            time: value("Time")?,
            interval: value("TimeInterval")?,
            drift: if is_no_steps(data)? { None } else { value("TimeDrift")? },
            user: user(key)?.or_else(|| device.user.clone()),
            label: text(key, "FriendlyName")?,
            manufacturer: device.manufacturer.clone(),
            model: device.model.clone(),
            starts: device.start,
            expires: device.expires,
        };
        if let Some(policy) = key.child("Policy")? {
            check_policy(policy, notes)?;
            raw.starts = raw.starts.max(date(policy, "StartDate")?);
            let until = date(policy, "ExpiryDate")?;
            raw.expires = raw.expires.into_iter().chain(until).min();
        }
        Ok(raw)
    }

    /// Whether any value of it is encrypted.
    pub(super) fn is_sealed(&self) -> bool {
        self.ciphers().next().is_some()
    }

    /// The ciphers of its values.
    pub(super) fn ciphers(&self) -> impl Iterator<Item = Cipher> {
        let values = [
            Some(&self.secret),
            self.counter.as_ref(),
            self.time.as_ref(),
            self.interval.as_ref(),
            self.drift.as_ref(),
        ];
        values.into_iter().flatten().filter_map(|value| match &value.content {
            Content::Sealed(sealed, _) => Some(sealed.cipher),
            Content::Plain(_) => None,
        })
    }

    /// The serial number of a key whose device brought others: the device's, and the key's own name or place.
    pub(super) fn another_serial(&self, serial: &str, place: usize) -> Arc<str> {
        let place = place.to_string();
        let named = if self.id.is_empty() || *self.id == *serial { &place } else { &self.id };
        let full = format!("{serial}/{named}");
        described::serial(&full).unwrap_or_else(|_| format!("{serial}/{place}").into())
    }

    /// Checks the MACs, decrypts, and looks at what comes out.
    pub(super) fn open(&self, opening: Option<&Opening>) -> Result<Described, Closed> {
        let seed = self.secret.open(opening)?;
        if !(SEED_MIN..=SEED_MAX).contains(&seed.len()) {
            let what = format!("the seed has {} octets; {SEED_MIN} to {SEED_MAX} are taken", seed.len());
            return Err(self.secret.fault(what).into());
        }
        let number =
            |value: &Option<Value>| value.as_ref().map(|value| value.open_number(opening)).transpose();
        let counter = number(&self.counter)?;
        number(&self.time)?;
        let interval = number(&self.interval)?;
        let drift = number(&self.drift)?;
        let (moving, counter, drift) = match self.kind {
            Kind::Counter => {
                let counter =
                    u64::try_from(counter.unwrap_or(0)).ok().filter(|counter| *counter <= COUNTER_MAX);
                let line = self.counter.as_ref().map_or(self.line, |value| value.line);
                let wrong = || Fault::of(line, "<Counter>", format!("takes 0 to {COUNTER_MAX}"));
                (Moving::Counter, counter.ok_or_else(wrong)?, 0)
            }
            Kind::Time => {
                let interval = match interval {
                    None | Some(30) => 30,
                    Some(60) => 60,
                    Some(_) => {
                        let line = self.interval.as_ref().map_or(self.line, |value| value.line);
                        return Err(Fault::of(line, "<TimeInterval>", "takes 30 or 60 seconds").into());
                    }
                };
                let line = self.drift.as_ref().map_or(self.line, |value| value.line);
                let drift = i16::try_from(drift.unwrap_or(0));
                let drift = drift.map_err(|_| Fault::of(line, "<TimeDrift>", "is no number of steps"))?;
                (Moving::Time { interval }, 0, drift)
            }
        };
        Ok(Described {
            line: self.line,
            user: self.user.clone(),
            serial: Arc::clone(&self.serial),
            seed,
            parameters: Parameters { algorithm: self.algorithm, digits: self.digits, moving },
            counter,
            drift,
            label: self.label.clone(),
            starts: self.starts,
            expires: self.expires,
            manufacturer: self.manufacturer.clone(),
            model: self.model.clone(),
        })
    }
}

/// What a key's `Algorithm` says, and the hash where it does.
fn kind(key: &Element) -> Result<(Kind, Option<Algorithm>), Fault> {
    let uri = key.attribute("Algorithm").unwrap_or_default();
    let known = ALGORITHMS.iter().find_map(|prefix| uri.strip_prefix(prefix)).and_then(|name| {
        let (name, hash) =
            name.split_once(['-', ':', '#']).map_or((name, None), |(name, hash)| (name, Some(hash)));
        let hash = match hash {
            None => None,
            Some(hash) => Some(Algorithm::parse(hash)?),
        };
        match name.to_ascii_lowercase().as_str() {
            "totp" => Some((Kind::Time, hash)),
            "hotp" => Some((Kind::Counter, hash)),
            _ => None,
        }
    });
    known.ok_or_else(|| {
        key.fault(format!(
            "the algorithm {} is not known; …:pskc:totp and …:pskc:hotp are",
            escape(uri.as_bytes())
        ))
    })
}

/// The hash: by RFC 6030 the element's text; privacyIDEA writes it as an attribute.
fn suite_of(suite: &Element) -> &str {
    if suite.text().is_empty() { suite.attribute("hashalgo").unwrap_or_default() } else { suite.text() }
}

/// Whether the drift is one of privacyIDEA's, in seconds with a point, or none at all. It is learned anew.
fn is_no_steps(data: &Element) -> Result<bool, Fault> {
    let Some(drift) = data.child("TimeDrift")? else { return Ok(false) };
    let text = drift.text_of("PlainValue")?;
    Ok(text == "None" || (text.contains('.') && text.parse::<f64>().is_ok()))
}

fn response(format: &Element) -> Result<Digits, Fault> {
    match format.attribute("Encoding") {
        None => {}
        Some(encoding) if encoding.eq_ignore_ascii_case("DECIMAL") => {}
        Some(encoding) => {
            let encoding = escape(encoding.as_bytes());
            return Err(format.fault(format!("the encoding {encoding} is not supported; DECIMAL is")));
        }
    }
    if matches!(format.attribute("CheckDigits").or(format.attribute("CheckDigit")), Some("true" | "1")) {
        return Err(format.fault("check digits are not supported"));
    }
    let length = format.attribute("Length").unwrap_or_default();
    length.parse().ok().and_then(Digits::new).ok_or_else(|| format.fault("the length takes 6, 7 or 8 digits"))
}

/// What the key may be used for. RFC 6030 §5 has a key left alone whose policy is not understood.
fn check_policy(policy: &Element, notes: &mut Vec<Note>) -> Result<(), Fault> {
    for rule in &policy.children {
        match rule.one_of(&["StartDate", "ExpiryDate", "KeyUsage", "NumberOfTransactions", "PINPolicy"]) {
            "StartDate" | "ExpiryDate" => {}
            "KeyUsage" => {
                let allowed = policy.named("KeyUsage").any(|usage| usage.text().eq_ignore_ascii_case("OTP"));
                if !allowed {
                    return Err(rule.fault("the key is not meant for one-time passwords"));
                }
            }
            "NumberOfTransactions" => notes.push(Note {
                line: rule.line,
                what: format!("the limit of {} uses is not kept", escape(rule.text().as_bytes())),
            }),
            "PINPolicy" => {
                let said = |name: &str| escape(rule.attribute(name).unwrap_or("?").as_bytes());
                if said("PINUsageMode") == "Algorithmic" {
                    return Err(rule.fault("codes that are made from a PIN are not supported"));
                }
                notes.push(Note {
                    line: rule.line,
                    what: format!(
                        "PIN policy, not kept: {} use, {} to {} characters, {}",
                        said("PINUsageMode"),
                        said("MinLength"),
                        said("MaxLength"),
                        said("PINEncoding")
                    ),
                });
            }
            _ => {
                return Err(
                    rule.fault("is no policy that is known, so the key may not be used (RFC 6030 section 5)")
                );
            }
        }
    }
    Ok(())
}

impl Value {
    fn read(element: &Element, plain: impl Fn(&Element) -> Result<Secret, Fault>) -> Result<Value, Fault> {
        let content = match (element.child("PlainValue")?, element.child("EncryptedValue")?) {
            (Some(value), None) => Content::Plain(plain(value)?),
            (None, Some(value)) => {
                let mac = element.child("ValueMAC")?.ok_or_else(|| {
                    value.fault("has no <ValueMAC> beside it: nothing would tell whether it was changed")
                })?;
                Content::Sealed(sealed(value)?, base64(mac)?.to_vec())
            }
            _ => return Err(element.fault("takes one of <PlainValue> and <EncryptedValue>")),
        };
        Ok(Value { line: element.line, name: format!("<{}>", element.name), content })
    }

    fn secret(element: &Element) -> Result<Value, Fault> {
        Value::read(element, |value| base64(value).map(|octets| Secret::new(octets.as_slice())))
    }

    fn number(element: &Element) -> Result<Value, Fault> {
        Value::read(element, |value| Ok(Secret::from(value.text())))
    }

    fn fault(&self, what: impl Into<String>) -> Fault {
        Fault::of(self.line, self.name.as_str(), what)
    }

    /// The octets, their MAC found right before they are decrypted.
    fn open(&self, opening: Option<&Opening>) -> Result<Secret, Closed> {
        match &self.content {
            Content::Plain(octets) => Ok(octets.clone()),
            Content::Sealed(sealed, claimed) => {
                let opening = opening.ok_or_else(|| self.fault("is encrypted, and no key was given"))?;
                let (hash, key) = opening.mac.as_ref().ok_or_else(|| {
                    self.fault("is encrypted, and the file has no <MACMethod> to check it with")
                })?;
                if !crypto::mac_fits(*hash, key.expose(), &sealed.octets, claimed) {
                    return Err(Closed::Mismatch(
                        self.fault("the MAC is wrong: this value was changed, or the key is another"),
                    ));
                }
                let opened = sealed.cipher.open(opening.key.expose(), &sealed.octets);
                Ok(opened.ok_or_else(|| self.fault("cannot be decrypted: the key is another"))?)
            }
        }
    }

    /// A number: digits, or octets with the highest first (RFC 6030 §4.2.1.2).
    fn open_number(&self, opening: Option<&Opening>) -> Result<i64, Closed> {
        let octets = self.open(opening)?;
        let octets = octets.expose();
        let written = std::str::from_utf8(octets).ok().and_then(|text| text.trim().parse().ok());
        let number = written.or_else(|| match self.content {
            Content::Plain(_) => None,
            Content::Sealed(..) => {
                let short = octets.try_into().ok().map(|octets| i64::from(i32::from_be_bytes(octets)));
                let long = || octets.try_into().ok().map(i64::from_be_bytes);
                // As few octets as it takes, by python-pskc.
                let few = (1..8).contains(&octets.len());
                let fold = || octets.iter().fold(0, |number, octet| number << 8 | i64::from(*octet));
                short.or_else(long).or_else(|| few.then(fold))
            }
        });
        Ok(number.ok_or_else(|| self.fault("is no number"))?)
    }
}

/// An element with `EncryptionMethod` and `CipherData` in it.
pub(super) fn sealed(element: &Element) -> Result<Sealed, Fault> {
    let method = element.needed("EncryptionMethod")?;
    let uri = method.attribute("Algorithm").unwrap_or_default();
    let cipher = Cipher::parse(uri).ok_or_else(|| {
        method.fault(format!("the algorithm {} is not known; AES in CBC mode is", escape(uri.as_bytes())))
    })?;
    let value = element.needed("CipherData")?.needed("CipherValue")?;
    let octets = base64(value)?.to_vec();
    if octets.len() < 32 || !octets.len().is_multiple_of(16) {
        return Err(value.fault("has no length that AES-CBC gives"));
    }
    Ok(Sealed { cipher, octets })
}

pub(super) fn base64(element: &Element) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let mut plain = Zeroizing::new(Vec::with_capacity(element.text().len()));
    plain.extend(element.text().bytes().filter(|octet| !octet.is_ascii_whitespace()));
    STANDARD.decode(&*plain).map(Zeroizing::new).map_err(|_| element.fault("is not Base64"))
}
