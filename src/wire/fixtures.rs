//! Reads `fixtures/*.txt` (see `fixtures/README.txt`) and holds the code to them.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::sync::Arc;

use crate::base::secret::Secret;
use crate::base::system::Fixed;
use crate::base::text::{hex, unhex};
use crate::base::time::{Tick, UnixTime};

use super::*;

/// A block of a fixture: `kind name`, then `key value` lines.
struct Block {
    kind: String,
    name: String,
    lines: Vec<(String, String)>,
}

impl Block {
    fn all(&self, key: &str) -> impl Iterator<Item = &str> {
        self.lines.iter().filter(move |(found, _)| found == key).map(|(_, value)| value.as_str())
    }

    fn first(&self, key: &str) -> Option<&str> {
        self.all(key).next()
    }

    fn one(&self, key: &str) -> &str {
        self.first(key).unwrap_or_else(|| panic!("{}: no line {key}", self.name))
    }

    fn secret(&self) -> SharedSecret {
        SharedSecret::new(Secret::from(self.one("secret")))
    }

    fn check(&self, key: &str, found: &str) {
        if let Some(expected) = self.first(key) {
            assert_eq!(found, expected, "{}: {key}", self.name);
        }
    }

    /// Compares attributes with the `attribute` lines, when there are any.
    fn check_attributes(&self, attributes: Attributes<'_>) {
        let expected: Vec<_> = self.all("attribute").collect();
        let found: Vec<_> = attributes
            .map(|attribute| format!("{} {}", attribute.number(), hex(attribute.value())))
            .collect();
        assert!(expected.is_empty() || found == expected, "{}: {found:#?}", self.name);
    }
}

/// `"text"`, or hexadecimal digits with or without spaces.
fn value(written: &str) -> Vec<u8> {
    match written.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
        Some(text) => text.as_bytes().to_vec(),
        None => unhex(&written.replace(' ', "")).unwrap_or_else(|| panic!("no hexadecimal: {written}")),
    }
}

fn quoted(octets: Option<&[u8]>) -> String {
    octets.map_or(String::new(), |octets| format!("\"{}\"", str::from_utf8(octets).unwrap()))
}

fn blocks() -> Vec<Block> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/src/wire/fixtures");
    let mut files: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut blocks: Vec<Block> = Vec::new();
    for file in files.iter().filter(|file| !file.ends_with("README.txt")) {
        let mut open = false;
        for line in std::fs::read_to_string(file).unwrap().lines() {
            let (key, rest) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
            let indent = line.len() - line.trim_start().len();
            match indent {
                _ if line.starts_with('#') => {}
                _ if key.is_empty() => open = false,
                0 => {
                    assert!(!open, "an empty line is missing before {line}");
                    blocks.push(Block { kind: key.into(), name: rest.into(), lines: Vec::new() });
                    open = true;
                }
                1..=3 => blocks.last_mut().unwrap().lines.push((key.into(), rest.trim().into())),
                _ => write!(blocks.last_mut().unwrap().lines.last_mut().unwrap().1, " {}", line.trim())
                    .unwrap(),
            }
        }
    }
    let names: HashSet<_> = blocks.iter().map(|block| &block.name).collect();
    assert_eq!(names.len(), blocks.len(), "two fixtures of one name");
    blocks
}

/// The way of a request up to the view of it.
fn receive<'a>(packet: &'a [u8], secret: &SharedSecret) -> Result<Verified<&'a [u8]>, DropReason> {
    let verified = Parsed::parse(packet)?.verify(secret)?;
    if verified.code() == Code::ACCESS_REQUEST {
        AccessRequest::view(&verified)?;
    }
    Ok(verified)
}

fn request(block: &Block) {
    let (secret, packet) = (block.secret(), value(block.one("packet")));
    let verified = match receive(&packet, &secret) {
        Ok(verified) => verified,
        Err(reason) => return assert_eq!(Some(reason.code()), block.first("dropped"), "{}", block.name),
    };
    assert_eq!(block.first("dropped"), None, "{}", block.name);
    block.check("code", &verified.code().to_string());
    block.check("identifier", &verified.identifier().to_string());
    block.check("integrity", &format!("{:?}", verified.integrity()).to_lowercase());
    block.check_attributes(verified.attributes());
    if verified.code() != Code::ACCESS_REQUEST {
        return;
    }
    let view = AccessRequest::view(&verified).unwrap();
    block.check("user-name", &quoted(view.user_name()));
    block.check("state", &hex(view.state().unwrap_or_default()));
    match view.credential() {
        Credential::Pap(password) => {
            let revealed = password.reveal(&secret);
            assert_eq!(hex(revealed.expose()), hex(&value(block.one("password"))), "{}", block.name);
            assert_eq!(password.decodes_cleanly(&secret), !revealed.expose().contains(&0), "{}", block.name);
        }
        Credential::Chap { identifier, response, challenge } => {
            block.check("chap", &format!("{identifier:02x} {} {}", hex(response), hex(challenge)));
        }
        other => panic!("{}: {other:?} is not written about", block.name),
    }
}

fn reply(block: &Block, requests: &HashMap<&str, &Block>) {
    let asked = requests[block.one("to")];
    let (secret, question, answer) = (asked.secret(), value(asked.one("packet")), value(block.one("packet")));
    let request = receive(&question, &secret).unwrap();
    let reply = UpstreamReply::authenticate(
        &answer,
        request.identifier(),
        request.authenticator(),
        &secret,
        MaRule::IfPresent,
    )
    .unwrap_or_else(|fault| panic!("{}: {fault}", block.name));
    block.check("code", &reply.code().to_string());
    block.check_attributes(reply.attributes());

    for line in block.all("plain") {
        let (id, expected) = line.split_once(' ').unwrap();
        let plain: Vec<_> =
            reply.attributes().filter_map(|attribute| plain(attribute, id, &request, &secret)).collect();
        assert_eq!(plain, [expected], "{}: {id}", block.name);
    }

    let mut entropy = Fixed { mono: Tick(0), unix: UnixTime(0), seed: 1 };
    let list = AttributeList::verbatim(reply.attributes());
    let to = ReplyTo::new(&request, Arc::new(secret.clone()), reply.has_message_authenticator());
    let sealed = to.seal(reply.code(), &list, &mut entropy).unwrap();
    if !reply.has_message_authenticator() {
        assert_eq!(hex(&sealed), hex(&answer), "{}", block.name);
    }
}

/// What `attribute` hides when it is the one called `id`.
fn plain(
    attribute: Attribute<'_>,
    id: &str,
    request: &Verified<&[u8]>,
    secret: &SharedSecret,
) -> Option<String> {
    let (name, value) = match attribute.vendor() {
        Some(inner) => {
            let name = inner.ids().next().unwrap().to_string();
            (name, inner.attributes.clone().next().unwrap().value())
        }
        None => (AttributeId::Standard(attribute.number()).to_string(), attribute.value()),
    };
    let authenticator = request.authenticator();
    (name == id).then(|| match id {
        "26.311.12" => hex(reveal_user_password(value, authenticator, secret).expose()),
        "69" => hex(reveal_salted(&value[1..], authenticator, secret).unwrap().expose()),
        _ => hex(reveal_salted(value, authenticator, secret).unwrap().expose()),
    })
}

fn salted(block: &Block) {
    let secret = block.secret();
    let authenticator = value(block.one("authenticator")).try_into().unwrap();
    let salt = u16::from_be_bytes(value(block.one("salt")).try_into().unwrap());
    let (plain, octets) = (value(block.one("plain")), value(block.one("octets")));
    let mut hidden = Vec::new();
    hide_salted(&plain, salt, &authenticator, &secret, &mut hidden).unwrap();
    assert_eq!(hex(&hidden), hex(&octets), "{}", block.name);
    let revealed = reveal_salted(&octets, &authenticator, &secret).unwrap();
    assert_eq!(hex(revealed.expose()), hex(&plain), "{}", block.name);
}

#[test]
fn fixtures_mean_what_they_say() {
    let blocks = blocks();
    let requests: HashMap<_, _> = blocks
        .iter()
        .filter(|block| block.kind == "request")
        .map(|block| (block.name.as_str(), block))
        .collect();
    for block in &blocks {
        match block.kind.as_str() {
            "request" => request(block),
            "reply" => reply(block, &requests),
            "salted" => salted(block),
            other => panic!("a fixture of unknown kind: {other}"),
        }
    }
    assert!(blocks.len() >= 50, "some fixtures were not found");
}

#[test]
fn a_status_server_of_ours_is_the_published_one() {
    let mut entropy = Fixed { mono: Tick(0), unix: UnixTime(0), seed: 1 };
    for block in blocks().iter().filter(|block| block.name.starts_with("status-m") && block.kind == "request")
    {
        let (secret, packet) = (block.secret(), value(block.one("packet")));
        let parsed = Parsed::parse(&packet).unwrap();
        let attributes = AttributeList::new();
        let builder = RequestBuilder {
            code: Code::STATUS_SERVER,
            attributes: &attributes,
            proxy_state: None,
            secret: &secret,
        };
        let built = builder.build(parsed.identifier(), *parsed.authenticator(), &mut entropy).unwrap();
        assert_eq!(hex(&built.bytes), hex(&packet));
    }
}
