//! From the container's elements to what protects it and to its keys.

use std::sync::Arc;

use super::crypto;
use super::key::{ALGORITHMS, RawKey, base64, sealed};
use super::parts::{date, text, user};
use super::xml::{self, Element};
use super::{Derivation, ITERATIONS_MAX, MacMethod, NAMESPACE, Note, PBKDF2, Package, Protection, Pskc};
use crate::base::name::UserName;
use crate::base::table::Fault;
use crate::base::text::escape;
use crate::base::time::UnixTime;
use crate::factor::oath::Algorithm;

/// Reads a document.
pub(super) fn container(document: &str) -> Result<Pskc, Fault> {
    let mut pskc = Pskc {
        protection: Protection::None,
        derivation: None,
        mac: None,
        keys: Vec::new(),
        faults: Vec::new(),
        notes: Vec::new(),
        packages: Vec::new(),
        head: 0,
        tail: String::new(),
    };
    let mut checked = false;
    let root = xml::read(document, &mut |root, element| {
        if !checked {
            check_root(root)?;
            checked = true;
        }
        take(&mut pskc, &element)
    })?;
    check_root(&root)?;
    if pskc.packages.is_empty() {
        return Err(root.fault("there is no <KeyPackage> in it"));
    }
    let opening = document.get(root.span.clone()).unwrap_or_default();
    let name = opening.trim_start_matches('<').split(|c: char| c.is_whitespace() || c == '>').next();
    pskc.tail = format!("\n</{}>\n", name.unwrap_or_default());
    if pskc.protection == Protection::None && pskc.keys.iter().any(RawKey::is_sealed) {
        pskc.protection = Protection::Key { name: None };
    }
    Ok(pskc)
}

fn check_root(root: &Element) -> Result<(), Fault> {
    match root.attribute("Version") {
        Some("1.0" | "1") | None => {}
        Some(version) => {
            return Err(root.fault(format!("version {} is not known; 1.0 is", escape(version.as_bytes()))));
        }
    }
    // Drafts before RFC 6030 have other elements under the same name.
    if root.is_bound_to(NAMESPACE) {
        Ok(())
    } else {
        Err(root.fault(format!("is not of {NAMESPACE} (RFC 6030)")))
    }
}

fn take(pskc: &mut Pskc, element: &Element) -> Result<(), Fault> {
    let late = |what: &str| element.fault(format!("stands after {what}"));
    match element.one_of(&["EncryptionKey", "MACMethod", "KeyPackage", "Signature"]) {
        "EncryptionKey" if pskc.protection != Protection::None => {
            return Err(element.fault("stands here twice"));
        }
        "MACMethod" if pskc.mac.is_some() => return Err(element.fault("stands here twice")),
        "EncryptionKey" | "MACMethod" if !pskc.packages.is_empty() => {
            return Err(late("the first <KeyPackage>"));
        }
        "EncryptionKey" => (pskc.protection, pskc.derivation) = protection(element)?,
        "MACMethod" => pskc.mac = Some(mac_method(element)?),
        "KeyPackage" => {
            if pskc.packages.is_empty() {
                pskc.head = element.span.start;
            }
            let lines = element.line..=element.last;
            pskc.packages.push(Package { span: element.span.clone(), lines });
            package(pskc, element);
        }
        "Signature" => {
            pskc.notes.push(Note { line: element.line, what: "the file's signature is not checked".into() });
        }
        // A later version's extensions, which RFC 6030 §5 has readers skip.
        _ => {}
    }
    Ok(())
}

fn protection(element: &Element) -> Result<(Protection, Option<Derivation>), Fault> {
    let name = |text: &str| Some(escape(text.as_bytes())).filter(|name| !name.is_empty());
    if let Some(derived) = element.child("DerivedKey")? {
        let method = derived.needed("KeyDerivationMethod")?;
        let algorithm = method.attribute("Algorithm").unwrap_or_default();
        if !PBKDF2.contains(&algorithm) {
            return Err(method
                .fault(format!("the algorithm {} is not known; PBKDF2 is", escape(algorithm.as_bytes()))));
        }
        let protection = Protection::Passphrase { name: name(derived.text_of("MasterKeyName")?) };
        return Ok((protection, Some(derivation(method.needed("PBKDF2-params")?)?)));
    }
    if let Some(certificate) =
        element.children.iter().find(|child| !child.one_of(&["X509Data", "KeyValue"]).is_empty())
    {
        return Err(certificate.fault(
            "values sealed for a certificate are not supported; ask for a file with a pre-shared key or a passphrase",
        ));
    }
    Ok((Protection::Key { name: name(element.text_of("KeyName")?) }, None))
}

fn derivation(element: &Element) -> Result<Derivation, Fault> {
    let salt = element.needed("Salt")?.needed("Specified")?;
    let octets = base64(salt)?;
    if octets.is_empty() {
        return Err(salt.fault("is empty"));
    }
    let rounds = element.needed("IterationCount")?;
    let iterations = rounds.text().parse::<u32>().ok().filter(|count| (1..=ITERATIONS_MAX).contains(count));
    let iterations = iterations.ok_or_else(|| rounds.fault(format!("takes 1 to {ITERATIONS_MAX} rounds")))?;
    let length = match element.child("KeyLength")? {
        None => None,
        Some(length) => Some(
            length
                .text()
                .parse()
                .ok()
                .filter(|octets| [16, 24, 32].contains(octets))
                .ok_or_else(|| length.fault("takes 16, 24 or 32 octets"))?,
        ),
    };
    let hash = match element.child("PRF")? {
        None => Algorithm::Sha1,
        // As an attribute by the schema; as text by python-pskc.
        Some(prf) => match prf.attribute("Algorithm").unwrap_or_else(|| prf.text()) {
            "" => Algorithm::Sha1,
            uri => crypto::hash(uri).ok_or_else(|| {
                prf.fault("the algorithm is not known; HMAC-SHA1, HMAC-SHA256 and HMAC-SHA512 are")
            })?,
        },
    };
    Ok(Derivation { hash, salt: octets.to_vec(), iterations, length })
}

fn mac_method(element: &Element) -> Result<MacMethod, Fault> {
    let uri = element.attribute("Algorithm").unwrap_or_default();
    let hash = crypto::hash(uri).ok_or_else(|| {
        element.fault(format!(
            "the algorithm {} is not known; HMAC-SHA1, HMAC-SHA256 and HMAC-SHA512 are",
            escape(uri.as_bytes())
        ))
    })?;
    let key = element.child("MACKey")?.map(sealed).transpose()?;
    Ok(MacMethod { line: element.line, hash, key })
}

fn package(pskc: &mut Pskc, element: &Element) {
    let device = match Device::read(element) {
        Ok(device) => device,
        Err(fault) => return pskc.faults.push(fault),
    };
    for key in element.named("Key") {
        let algorithm = key.attribute("Algorithm").unwrap_or_default();
        if ALGORITHMS.iter().any(|prefix| algorithm.strip_prefix(prefix) == Some("pin")) {
            let id = escape(key.attribute("Id").unwrap_or_default().as_bytes());
            pskc.notes
                .push(Note { line: key.line, what: format!("the PIN {id} is left out: a PIN is no token") });
            continue;
        }
        match RawKey::read(key, &device, &mut pskc.notes) {
            Ok(raw) => pskc.keys.push(raw),
            Err(fault) => pskc.faults.push(fault),
        }
    }
}

/// What the device says of all its keys.
pub(super) struct Device {
    pub(super) serial: String,
    pub(super) manufacturer: Option<Arc<str>>,
    pub(super) model: Option<Arc<str>>,
    pub(super) user: Option<UserName>,
    pub(super) start: Option<UnixTime>,
    pub(super) expires: Option<UnixTime>,
}

impl Device {
    fn read(package: &Element) -> Result<Device, Fault> {
        let Some(info) = package.child("DeviceInfo")? else {
            return Ok(Device {
                serial: String::new(),
                manufacturer: None,
                model: None,
                user: None,
                start: None,
                expires: None,
            });
        };
        Ok(Device {
            serial: info.text_of("SerialNo")?.to_owned(),
            manufacturer: text(info, "Manufacturer")?,
            model: text(info, "Model")?,
            user: user(info)?,
            start: date(info, "StartDate")?,
            expires: date(info, "ExpiryDate")?,
        })
    }
}
