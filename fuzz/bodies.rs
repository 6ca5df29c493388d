//! What is fuzzed: one function for each target, taking any octets, panicking where something is wrong.
//!
//! The fuzz targets run them under libFuzzer; `tests/fuzz_bodies.rs` runs them over mutated seeds with the toolchain at
//! hand, so that they are held everywhere.

use std::sync::{Arc, LazyLock};

use axum::http::{HeaderMap, HeaderValue};
use radmfa::base::name::{Label, UserName};
use radmfa::base::secret::Secret;
use radmfa::base::system::Fixed;
use radmfa::base::text::{is_unprintable, unhex};
use radmfa::base::time::{Tick, UnixTime};
use radmfa::delivery::actions::{Act, Actions};
use radmfa::delivery::answer::{self, Condition, Pointer};
use radmfa::delivery::web_push::subscription::Subscription;
use radmfa::delivery::webhook::{self, Direction};
use radmfa::dictionary::Dictionary;
use radmfa::engine::asking::Reference;
use radmfa::factor::apps;
use radmfa::factor::described::Described;
use radmfa::factor::enrol_code::EnrolCode;
use radmfa::factor::invite::Invitation;
use radmfa::factor::pskc::{Pskc, Strength, Writer};
use radmfa::factor::recovery::RecoveryCode;
use radmfa::factor::token_csv::TokenCsv;
use radmfa::portal::hostile::{self, Ceremony};
use radmfa::portal::web::form::is_foreign;
use radmfa::portal::web::{Visitor, Web, Words};
use radmfa::server::affinity::{Mint, RoundId};
use radmfa::store::api_tokens;
use radmfa::wire::{
    AccessRequest, AttributeId, AttributeList, Attributes, Code, Credential, Forward, Hidden, MAX_ATTRIBUTES,
    MAX_PACKET, MaRule, Parsed, ReplyTo, RequestBuilder, SharedSecret, UpstreamReply, number,
};

#[path = "engine_script.rs"]
pub mod engine_script;
#[path = "../tests/scenarios/world.rs"]
pub mod world;

/// A body and octets to start from.
pub struct Target {
    pub name: &'static str,
    pub body: fn(&[u8]),
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "packet", body: packet, seeds: packets },
    Target { name: "state", body: state, seeds: states },
    Target { name: "upstream_reply", body: upstream_reply, seeds: packets },
    Target { name: "dictionary", body: dictionary, seeds: dictionaries },
    Target { name: "pskc", body: pskc, seeds: containers },
    Target { name: "token_csv", body: token_csv, seeds: token_files },
    Target { name: "pages", body: pages, seeds: sent_to_pages },
    Target { name: "webauthn", body: webauthn, seeds: signed_by_passkeys },
    Target { name: "engine_script", body: engine_script::run, seeds: scripts },
];

fn entropy() -> Fixed {
    Fixed { mono: Tick(0), unix: UnixTime::default(), seed: 4 }
}

fn secret(text: &str) -> Arc<SharedSecret> {
    Arc::new(SharedSecret::new(Secret::from(text)))
}

/// A datagram from anybody; and the same attributes in a packet that is signed, so that what lies behind the check is
/// reached too.
pub fn packet(octets: &[u8]) {
    let secret = secret("secret");
    if let Ok(parsed) = Parsed::parse(octets) {
        read_request(parsed, &secret);
    }
    let Some(attributes) = octets.get(20..).and_then(Attributes::parse) else { return };
    let list = AttributeList::verbatim(attributes);
    let builder =
        RequestBuilder { code: Code::ACCESS_REQUEST, attributes: &list, proxy_state: None, secret: &secret };
    let Ok(request) = builder.build(octets[1], [9; 16], &mut entropy()) else { return };
    let Ok(parsed) = Parsed::parse(&request.bytes) else { return };
    assert!(parsed.verify(&secret).is_ok(), "a packet of our own making was refused");
    read_request(parsed, &secret);
}

fn read_request(parsed: Parsed<'_>, secret: &Arc<SharedSecret>) {
    let length: usize = parsed.attributes().map(|attribute| attribute.value().len() + 2).sum();
    assert_eq!(length, parsed.attributes().as_bytes().len(), "the walk missed octets");
    let Ok(verified) = parsed.verify(secret) else { return };
    let detached = verified.detach();
    assert_eq!(detached.attributes().as_bytes(), parsed.attributes().as_bytes());
    let reply_to = ReplyTo::new(&detached, Arc::clone(secret), true);
    // The largest requests leave no room beside their Proxy-States for a Message-Authenticator.
    let sealed = reply_to.seal(Code::ACCESS_REJECT, &AttributeList::new(), &mut entropy());
    if let Ok(datagram) = sealed
        && verified.proxy_states().count() < MAX_ATTRIBUTES
    {
        let reply = UpstreamReply::authenticate(
            &datagram,
            verified.identifier(),
            verified.authenticator(),
            secret,
            MaRule::Required,
        )
        .expect("our own reply authenticates");
        assert!(reply.attributes().all(number::PROXY_STATE).eq(verified.proxy_states()));
    }
    let Ok(request) = AccessRequest::view(&detached) else { return };
    if let Credential::Pap(password) = request.credential() {
        let revealed = password.reveal(secret);
        assert!(revealed.len() <= 128 && revealed.expose().last() != Some(&0));
    }
    if let Some(name) = request.user_name()
        && let Ok(user) = UserName::canonical(name)
    {
        assert_eq!(UserName::canonical(user.as_str().as_bytes()), Ok(user.clone()), "not canonical");
        assert!(!user.as_str().chars().any(radmfa::base::text::is_unprintable));
        let _skeleton = user.skeleton();
    }
    let password = Secret::from("pin");
    let changes = Forward { password: Some(&password), user_name: None, state: Some(b"upstream") };
    let Ok(list) = AttributeList::forward(&request, changes) else { return };
    assert_eq!(AttributeList::from_bytes(&list.to_bytes()).as_ref(), Ok(&list));
    let states: Vec<_> =
        list.plain_attributes().filter(|attribute| attribute.number() == number::STATE).collect();
    assert!(states.len() == 1 && states[0].value() == b"upstream", "the gateway's State went upstream");
}

/// A State from anybody: what opens is, octet for octet, what was made.
pub fn state(octets: &[u8]) {
    let mint = mint();
    let (client, user) = owner();
    if let Ok(issued) = mint.open(octets, &client, &user) {
        assert_eq!(
            mint.state(issued.round, issued.at, &client, &user).as_bytes(),
            octets,
            "two forms of one State"
        );
        let other = UserName::canonical(b"bob").unwrap();
        assert!(mint.open(octets, &client, &other).is_err());
        assert!(states().iter().any(|made| made == octets), "a State that nobody made");
    }
}

fn mint() -> Mint {
    Mint::new(&Label::new("mfa-a").unwrap(), &Secret::new([7; 32]))
}

fn owner() -> (Label, UserName) {
    (Label::new("nas").unwrap(), UserName::canonical(b"alice").unwrap())
}

/// A datagram from an upstream or somebody who poses as one; and the same attributes in a reply that is genuine.
pub fn upstream_reply(octets: &[u8]) {
    let secret = secret("upstream");
    let authenticator = [9; 16];
    for rule in [MaRule::Required, MaRule::IfPresent] {
        if let Ok(reply) = UpstreamReply::authenticate(octets, 1, &authenticator, &secret, rule) {
            hold(&reply);
        }
    }
    let Some(attributes) = octets.get(20..).and_then(Attributes::parse) else { return };
    let asked = RequestBuilder {
        code: Code::ACCESS_REQUEST,
        attributes: &AttributeList::new(),
        proxy_state: None,
        secret: &secret,
    };
    let asked = asked.build(1, authenticator, &mut entropy()).unwrap();
    let verified = Parsed::parse(&asked.bytes).unwrap().verify(&secret).unwrap();
    let reply_to = ReplyTo::new(&verified, Arc::clone(&secret), true);
    let code = [Code::ACCESS_ACCEPT, Code::ACCESS_REJECT, Code::ACCESS_CHALLENGE][usize::from(octets[0]) % 3];
    let list = AttributeList::verbatim(attributes);
    let Ok(datagram) = reply_to.seal(code, &list, &mut entropy()) else { return };
    // Two States in it are a packet that nobody takes.
    if let Ok(reply) = UpstreamReply::authenticate(&datagram, 1, &authenticator, &secret, MaRule::Required) {
        assert_eq!(reply.code(), code);
        hold(&reply);
        let mut forged = datagram.clone();
        let place = usize::from(octets[1]) % forged.len();
        forged[place] ^= 1;
        let taken = UpstreamReply::authenticate(&forged, 1, &authenticator, &secret, MaRule::Required);
        assert!(taken.is_err(), "octet {place} was changed on the way");
    }
}

/// Holds a reply's attributes, parks them, and sends them on under another secret.
fn hold(reply: &UpstreamReply<'_>) {
    let kinds = |id| match id {
        AttributeId::Standard(number::TUNNEL_PASSWORD) => Some(Hidden::Salted { tagged: true }),
        AttributeId::Standard(number::USER_PASSWORD) => Some(Hidden::UserPassword),
        AttributeId::Vendor(311, 16 | 17) => Some(Hidden::Salted { tagged: false }),
        AttributeId::Vendor(9, 1) => Some(Hidden::Unsupported),
        _ => None,
    };
    let (list, _dropped) = AttributeList::hold(reply, kinds);
    assert_eq!(AttributeList::from_bytes(&list.to_bytes()).as_ref(), Ok(&list));
    assert!(list.plain_attributes().all(|attribute| {
        !matches!(attribute.number(), number::STATE | number::PROXY_STATE | number::MESSAGE_AUTHENTICATOR)
    }));
    let secret = secret("gateway");
    let builder =
        RequestBuilder { code: Code::ACCESS_REQUEST, attributes: &list, proxy_state: None, secret: &secret };
    if let Ok(sent) = builder.build(2, [8; 16], &mut entropy()) {
        assert!(sent.bytes.len() <= MAX_PACKET && Parsed::parse(&sent.bytes).is_ok());
    }
}

/// A dictionary from anybody, and the octets as values of what it defines.
pub fn dictionary(octets: &[u8]) {
    static EMBEDDED: LazyLock<Dictionary> = LazyLock::new(|| Dictionary::embedded().unwrap());
    let clean = |text: &str| assert!(!text.chars().any(is_unprintable), "unprintable: {text:?}");
    EMBEDDED.describe(octets).iter().for_each(|line| clean(line));
    let text = String::from_utf8_lossy(octets);
    let dictionary = match Dictionary::parse("fuzzed", &text) {
        Ok(dictionary) => dictionary,
        Err(fault) => {
            clean(&fault.what);
            fault.hint.iter().for_each(|hint| clean(hint));
            let lines = text.lines().count().max(1);
            let within = usize::try_from(fault.line).unwrap() <= lines;
            assert!(fault.file != "fuzzed" || within, "line {} of {lines}", fault.line);
            return;
        }
    };
    for attribute in dictionary.attributes().take(64) {
        clean(&attribute.name);
        assert!(dictionary.by_name(&attribute.name).is_some(), "{} is not found", attribute.name);
        for length in [0, 1, 2, 3, 4, 6, 8, 16, 18, 253] {
            let value = octets.get(..length).unwrap_or(octets);
            let printed = attribute.print(value);
            clean(&printed);
            if let Ok(read) = attribute.parse_text(&printed) {
                assert!(read.len() <= 253 * 17, "{} octets in {}", read.len(), attribute.name);
            }
        }
    }
}

fn dictionaries() -> Vec<Vec<u8>> {
    [
        "ATTRIBUTE User-Name 1 string\nATTRIBUTE User-Password 2 string encrypt=1\n# a comment\n",
        "ATTRIBUTE Service-Type 6 integer\nVALUE Service-Type Login-User 1\nVALUE Service-Type Framed-User 0x02\n",
        "VENDOR Acme 12345 format=1,1\nBEGIN-VENDOR Acme\nATTRIBUTE Acme-Role 1 string has_tag\nEND-VENDOR Acme\n",
        "ATTRIBUTE Extended 241 extended\nATTRIBUTE Inner 241.1 tlv\nBEGIN-TLV Inner\nATTRIBUTE Leaf 1 ipaddr\nEND-TLV Inner\n",
        "VENDOR Wide 429 format=4,0\nBEGIN-VENDOR Wide\nATTRIBUTE Wide-Key 65537 octets[16] array\nEND-VENDOR Wide\n",
        "$INCLUDE dictionary.rfc2865\n$INCLUDE dictionary.microsoft\n",
        "ATTRIBUTE Tunnel-Password 69 string encrypt=2,has_tag\nATTRIBUTE Prefix 97 ipv6prefix\nATTRIBUTE When 55 date\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}

/// The key of figure 6 of RFC 6030, and the passphrase of figure 7.
const KEYS: [&[u8]; 2] = [
    &[0x12, 0x34, 0x56, 0x78, 0x90, 0x12, 0x34, 0x56, 0x78, 0x90, 0x12, 0x34, 0x56, 0x78, 0x90, 0x12],
    b"qwerty",
];

/// A key container from anybody: what is taken can be written and read again, and what was sealed is what was sealed.
pub fn pskc(octets: &[u8]) {
    let Ok(container) = Pskc::parse(octets) else { return };
    // Rounds are taken up to ten million, for which there is no time here.
    if octets.windows(16).any(|window| window.starts_with(b"IterationCount>") && window[15] > b'1') {
        return;
    }
    for key in KEYS.map(Secret::new) {
        let Ok(opened) = container.open(Some(&key)) else { continue };
        let lines = u64::try_from(octets.split(|octet| *octet == b'\n').count()).unwrap();
        for fault in &opened.faults {
            assert!((1..=lines).contains(&fault.line), "line {} of {lines}", fault.line);
            assert!(!fault.to_string().chars().any(is_unprintable), "unprintable: {fault}");
        }
        rewritten(&opened.tokens);
        let _mended = Pskc::parse(&container.refused(octets, &opened.faults));
    }
}

/// What reads back the same from a container of our own.
fn rewritten(tokens: &[Described]) {
    let mut entropy = entropy();
    let passphrase = Secret::from("correct horse");
    let (writer, mut text) = Writer::new(&passphrase, Strength::Aes128, 1, &mut entropy);
    let tokens: Vec<Described> = tokens
        .iter()
        .enumerate()
        .map(|(place, token)| Described { line: 0, serial: format!("T-{place}").into(), ..token.clone() })
        .collect();
    for token in &tokens {
        text.push_str(&writer.package(token, &mut entropy));
    }
    text.push_str(Writer::END);
    if tokens.is_empty() {
        return;
    }
    let read = Pskc::parse(text.as_bytes()).unwrap().open(Some(&passphrase)).unwrap();
    assert!(read.faults.is_empty(), "{:?}", read.faults);
    let read: Vec<Described> = read.tokens.into_iter().map(|token| Described { line: 0, ..token }).collect();
    assert_eq!(read, tokens);
}

fn containers() -> Vec<Vec<u8>> {
    ["3", "5", "6", "7", "10"]
        .map(|figure| {
            let path = format!(
                "{}/tests/pskc/figure-{figure}.xml",
                env!("CARGO_MANIFEST_DIR").trim_end_matches("/fuzz")
            );
            std::fs::read(path).unwrap()
        })
        .into()
}

/// A token file from anybody, and the octets as what authenticator apps keep.
pub fn token_csv(octets: &[u8]) {
    if let Ok(mut rows) = TokenCsv::new(octets) {
        let mut refused = rows.refused();
        let (mut tokens, mut wrong) = (Vec::new(), 0);
        while let Some(row) = rows.next() {
            match row {
                Ok(token) => tokens.push(token),
                Err(fault) => {
                    assert!(!fault.to_string().chars().any(is_unprintable), "unprintable: {fault}");
                    wrong += 1;
                    refused.add(rows.record(), &fault);
                }
            }
        }
        rewritten(&tokens);
        let refused = refused.into_octets();
        if wrong > 0 && !rows.has_ended() {
            assert!(!refused.is_empty());
        }
    }
    let text = String::from_utf8_lossy(octets);
    rewritten(&apps::uris(&text, None).tokens);
    let user = UserName::canonical(b"alice").unwrap();
    if let Ok(contents) = apps::pam_file(&text, &user) {
        rewritten(&contents.tokens);
    }
}

fn token_files() -> Vec<Vec<u8>> {
    let seed = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
    [
        format!("user,serial,secret,interval,digits,algorithm,type,counter,manufacturer,model\nalice,T-1,{seed},60,8,SHA256,totp,,A,B\n"),
        format!("\u{feff}Serial Number;Secret Key;Time Interval\r\n1;{seed};30\r\n2;\"{seed}\";45\r\n"),
        format!("1,{seed},30\n2,{seed},60\n"),
        "T-1,3132333435363738393031323334353637383930,hotp,6,7\n".to_owned(),
        format!("otpauth://totp/Example:alice?secret={seed}&issuer=Example&period=60\n# x\notpauth://hotp/b?secret={seed}&counter=7\n"),
        "otpauth-migration://offline?data=ChoKFDEyMzQ1Njc4OTAxMjM0NTY3ODkwEgJhYhAB\n".to_owned(),
        format!("{seed}\n\" RATE_LIMIT 3 30\n\" TOTP_AUTH\n12345678\n"),
    ]
    .map(String::into_bytes)
    .into()
}

/// What anybody sends to pages and for channels: forms, links, codes, cookies, JSON, signatures, a provider's answer.
pub fn pages(octets: &[u8]) {
    let text = String::from_utf8_lossy(octets);
    let pairs = hostile::form(octets);
    assert!(pairs.len() <= 64, "{} pairs", pairs.len());
    assert!(pairs.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() <= 3 * octets.len());
    let _taken = hostile::is_body(octets);
    // Secrets: what reads as one is printed as one, in one form alone, and none of ours is among them.
    if let Some(invitation) = Invitation::parse(&text) {
        let path = invitation.path();
        let again = Invitation::parse(path.rsplit('/').next().unwrap()).expect("our own link reads back");
        assert!(invitation.is(&again.hash()));
    }
    if let Some(code) = EnrolCode::parse(&text) {
        assert!(code.is(&EnrolCode::parse(&code.to_string()).expect("our own code reads back")));
    }
    if let Some(code) = RecoveryCode::parse(octets) {
        let again = RecoveryCode::parse(code.to_string().as_bytes()).expect("our own code reads back");
        assert_eq!(code.to_string(), again.to_string());
    }
    assert!(!api_tokens::is_shaped(&Secret::from(&*text)) || text.len() == 59);
    assert!(Actions::new([7; 32]).read(&text).is_none(), "a token that nobody made");
    let key = [4; 65];
    assert!(!hostile::is_signed(&key, &[&text], &text), "no point of the curve signs anything");
    let lines: Vec<&str> = text.lines().take(3).collect();
    let secret = Secret::from("hook-secret");
    let [timestamp, signature] = [0, 1].map(|place| lines.get(place).copied().unwrap_or_default());
    assert!(!webhook::is_signed(&secret, Direction::In, timestamp, octets, signature));
    if let [endpoint, key, auth] = lines[..]
        && let Some(subscription) = Subscription::new(endpoint, key, auth)
    {
        assert!(Subscription::parse(&subscription.print()).is_some(), "{endpoint}");
    }
    // A provider's answer, and where the reference in it is.
    if let Some(pointer) = Pointer::parse(lines.first().copied().unwrap_or_default()) {
        let _reference = answer::reference(&pointer, &text);
    }
    if let Some(condition) = Condition::parse(lines.first().copied().unwrap_or_default()) {
        let _holds = condition.holds(&text);
    }
    visit(octets);
}

/// A browser that says `octets` in each header that is read.
fn visit(octets: &[u8]) {
    static WEB: LazyLock<Web> = LazyLock::new(|| {
        Web::new("portal", "https://localhost", Arc::new(entropy())).expect("the system's randomness")
    });
    let Ok(value) = HeaderValue::from_bytes(octets) else { return };
    let mut headers = HeaderMap::new();
    for name in ["cookie", "accept-language", "origin", "sec-fetch-site"] {
        headers.insert(name, value.clone());
    }
    let words = Words::of(&headers);
    let visitor = Visitor { address: [127, 0, 0, 1].into(), words, headers };
    let slip = visitor.slip(&WEB);
    assert!(!slip.token.chars().any(is_unprintable));
    let cookie = slip.cookie.as_ref().map(|cookie| cookie.to_str().expect("plain").to_owned());
    assert!(cookie.is_none_or(|cookie| cookie.starts_with("radmfa") || cookie.starts_with("__Host-")));
    let _foreign = is_foreign(&WEB, &visitor.headers);
}

fn sent_to_pages() -> Vec<Vec<u8>> {
    let reference = "0123456789abcdef".repeat(2);
    let device = format!(
        r#"{{"user":"u1","device":"9","id":"{reference}","verdict":"approve","number":"47","time":"1800000000","signature":"{}"}}"#,
        "A".repeat(86)
    );
    let made = Invitation::generate(UserName::canonical(b"u1").unwrap(), &mut entropy());
    vec![
        b"form-token=00ff&user=alice&password=correct+horse%21&x=%zz%".to_vec(),
        device.into_bytes(),
        format!(r#"{{"id":"{reference}","verdict":"deny","number":47}}"#).into_bytes(),
        made.path().rsplit('/').next().unwrap().as_bytes().to_vec(),
        EnrolCode::generate(&mut entropy()).to_string().into_bytes(),
        RecoveryCode::generate(&mut entropy()).to_string().into_bytes(),
        format!("radmfa_{}a", "b".repeat(51)).into_bytes(),
        Actions::new([8; 32]).token(Reference([1; 16]), Act::Approve).into_bytes(),
        format!("https://push.example/a\n{}\n{}", "B".repeat(87), "A".repeat(22)).into_bytes(),
        format!("1800000000\nsha256={}\n{{}}", "0".repeat(64)).into_bytes(),
        b"/messages/0/status\n{\"messages\":[{\"status\":\"0\"}]}".to_vec(),
        b"radmfa-portal-visit=0123456789abcdef0123456789abcdef; a=b; hu-HU,en;q=0.5".to_vec(),
        b"https://localhost".to_vec(),
    ]
}

/// What a browser sends of a passkey: octets of an authenticator, or the field of the form as it is.
pub fn webauthn(octets: &[u8]) {
    static CEREMONY: LazyLock<Ceremony> = LazyLock::new(|| Ceremony::begin().expect("a ceremony"));
    let _made = CEREMONY.makes(&CREDENTIAL, octets);
    let (data, signature) = octets.split_at(octets.len().min(37));
    assert!(
        !CEREMONY.shows(data, signature) && !CEREMONY.shows(octets, signature),
        "nobody's key has signed"
    );
    if let Ok(text) = std::str::from_utf8(octets) {
        assert!(!CEREMONY.takes(text), "our challenge is nowhere in it");
    }
}

/// What an authenticator calls the passkey in [`attested`].
const CREDENTIAL: [u8; 16] = [7; 16];

/// An attestation object that makes a passkey (WebAuthn §6.5.4): no attestation, the base point of P-256 for a key.
pub fn attested() -> Vec<u8> {
    let mut data = authenticator_data(0x45);
    data.extend([0; 16]);
    data.extend([0, 16]);
    data.extend(CREDENTIAL);
    data.extend([0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20]);
    data.extend(unhex("6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296").unwrap());
    data.extend([0x22, 0x58, 0x20]);
    data.extend(unhex("4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5").unwrap());
    let length = u16::try_from(data.len()).unwrap().to_be_bytes();
    [&b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x59"[..], &length, &data].concat()
}

/// SHA-256 of `localhost`, flags, a count (WebAuthn §6.1).
fn authenticator_data(flags: u8) -> Vec<u8> {
    let mut data = unhex("49960de5880e8c687434170f6476605b8fe4aeb9a28632c7995cf3ba831d9763").unwrap();
    data.extend([flags, 0, 0, 0, 1]);
    data
}

fn signed_by_passkeys() -> Vec<Vec<u8>> {
    let der = [&[0x30, 0x44, 0x02, 0x20][..], &[1; 32], &[0x02, 0x20], &[2; 32]].concat();
    let field = r#"{"id":"BwcH","rawId":"BwcH","type":"public-key","response":{"clientDataJSON":"e30","authenticatorData":"AA","signature":"AA","userHandle":null}}"#;
    vec![
        attested(),
        [&authenticator_data(0x05)[..], &der].concat(),
        [&authenticator_data(0x1d)[..], &der].concat(),
        field.as_bytes().to_vec(),
    ]
}

/// For the test that the mutations begin at something that is taken.
pub fn makes_a_passkey(object: &[u8]) -> bool {
    Ceremony::begin().expect("a ceremony").makes(&CREDENTIAL, object)
}

fn packets() -> Vec<Vec<u8>> {
    let attribute = |number: u8, value: &[u8]| {
        let length = u8::try_from(value.len() + 2).unwrap();
        [&[number, length], value].concat()
    };
    let packet = |code: u8, attributes: &[Vec<u8>]| {
        let body = attributes.concat();
        let length = u16::try_from(20 + body.len()).unwrap().to_be_bytes();
        [&[code, 1], &length[..], &[9; 16], &body].concat()
    };
    let microsoft = |number: u8, value: &[u8]| {
        attribute(26, &[&311_u32.to_be_bytes(), attribute(number, value).as_slice()].concat())
    };
    let user = attribute(1, b"alice");
    vec![
        packet(1, &[user.clone(), attribute(2, &[5; 16]), attribute(31, b"02-00"), attribute(33, b"hop")]),
        packet(1, &[user.clone(), attribute(24, b"state"), attribute(2, &[5; 128]), attribute(80, &[0; 16])]),
        packet(1, &[user.clone(), attribute(3, &[5; 17]), attribute(60, &[6; 16])]),
        packet(1, &[user.clone(), microsoft(11, &[1; 16]), microsoft(25, &[2; 50])]),
        packet(1, &[user.clone(), attribute(79, &[2, 1, 0, 10]), attribute(79, &[7; 200])]),
        packet(2, &[attribute(25, &[1]), attribute(69, &[1; 19]), microsoft(16, &[0x80; 34])]),
        packet(11, &[attribute(24, b"up"), attribute(18, "Zoë?".as_bytes()), attribute(27, &[0, 0, 0, 60])]),
        packet(2, &vec![attribute(25, &[3; 250]); 16]),
        packet(1, &vec![attribute(33, &[4]); 200]),
        packet(4, &[user]),
        packet(12, &[]),
    ]
}

fn states() -> Vec<Vec<u8>> {
    let (client, user) = owner();
    (0..4_u8)
        .map(|number| mint().state(RoundId([number; 16]), UnixTime::from_secs(1_800_000_000), &client, &user))
        .map(String::into_bytes)
        .collect()
}

/// Scripts that get somewhere: a login, a wrong code then a right one, a race, a dialog, an expiry.
fn scripts() -> Vec<Vec<u8>> {
    let login = [0, 0, 0, 0];
    let code = |back: u8| [7, back, 99, 0, 0, 0];
    let wrong = [7, 0, 99, 160, 0];
    vec![
        [&login[..], &code(0)].concat(),
        [&login[..], &wrong, &code(0)].concat(),
        [&login[..], &login, &[21, 4], &code(0), &code(1), &[23, 1, 26]].concat(),
        [&[0, 1, 0, 200][..], &[7, 0, 99, 160, 0], &code(0)].concat(),
        [&login[..], &[19, 4, 20], &code(0)].concat(),
        [&login[..], &code(0), &login, &code(0), &[18, 120], &code(0)].concat(),
        [&[21, 1][..], &login, &login, &[30, 0, 23, 0], &code(0)].concat(),
        [&[0, 2, 1, 0][..], &[0, 3, 1, 0], &[28, 2], &login, &code(0)].concat(),
    ]
}
