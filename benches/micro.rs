//! The small costs of a login, one by one: a packet on its way in and out, State, code, one way through the engine, and
//! what is looked up in dictionaries.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "a benchmark stops where it is wrong"
)]

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};

use radmfa::base::messages::Language;
use radmfa::base::name::{Label, UserName};
use radmfa::base::secret::Secret;
use radmfa::base::system::Fixed;
use radmfa::base::time::{Tick, UnixTime};
use radmfa::dictionary::Dictionary;
use radmfa::engine::account::{Account, Token, TokenId, UserId};
use radmfa::engine::login::{Facts, FirstRequest, begin};
use radmfa::engine::policy::{Lockout, Policy};
use radmfa::engine::question::{PrimaryAnswer, UserAnswer};
use radmfa::engine::record::{Durations, LoginId};
use radmfa::engine::step::{Entered, Env, Step};
use radmfa::factor::oath::{self, Parameters};
use radmfa::server::affinity::{Mint, RoundId};
use radmfa::wire::{
    AccessRequest, AttributeId, AttributeList, Code, Credential, Forward, HideKind, Integrity, MaRule,
    Parsed, ReplyTo, RequestBuilder, SharedSecret, UpstreamReply, number,
};

/// A PAP request of some 160 octets and ten attributes, as a VPN gateway sends it.
fn gateway_request(secret: &SharedSecret, entropy: &mut Fixed) -> Box<[u8]> {
    let mut attributes = AttributeList::new();
    attributes.push_text(number::USER_NAME, "alice@corp.example").unwrap();
    let id = AttributeId::Standard(number::USER_PASSWORD);
    attributes.push_held(id, HideKind::UserPassword, &Secret::from("correct horse")).unwrap();
    attributes.push_u32(number::NAS_IP_ADDRESS, 0x0A01_0004).unwrap();
    attributes.push_u32(number::NAS_PORT, 4096).unwrap();
    attributes.push_u32(number::SERVICE_TYPE, 2).unwrap();
    attributes.push_text(number::CALLED_STATION_ID, "198.51.100.4").unwrap();
    attributes.push_text(number::CALLING_STATION_ID, "203.0.113.77").unwrap();
    attributes.push_text(number::NAS_IDENTIFIER, "vpn-hq-1").unwrap();
    attributes.push_vendor(3076, 146, b"Employees").unwrap();
    RequestBuilder { code: Code::ACCESS_REQUEST, attributes: &attributes, proxy_state: None, secret }
        .build(7, [0xA5; 16], entropy)
        .unwrap()
        .bytes
}

fn wire(criterion: &mut Criterion) {
    let mut entropy = Fixed { mono: Tick(0), unix: UnixTime(0), seed: 1 };
    let secret = Arc::new(SharedSecret::new(Secret::from("a shared secret of 32 octets ...")));
    let datagram = gateway_request(&secret, &mut entropy);
    let verified = Parsed::parse(&datagram).unwrap().verify(&secret).unwrap();
    let view = AccessRequest::view(&verified).unwrap();
    let Credential::Pap(hidden) = view.credential() else { panic!("the request is PAP") };
    let password = hidden.reveal(&secret);

    criterion.bench_function("parse", |bench| bench.iter(|| Parsed::parse(black_box(&datagram)).unwrap()));
    criterion.bench_function("parse, verify, view", |bench| {
        bench.iter(|| {
            let verified = Parsed::parse(black_box(&datagram)).unwrap().verify(&secret).unwrap();
            AccessRequest::view(&verified).unwrap().user_name().map(<[u8]>::len)
        });
    });
    criterion.bench_function("reveal a password", |bench| bench.iter(|| black_box(&hidden).reveal(&secret)));
    criterion.bench_function("forward upstream", |bench| {
        bench.iter(|| {
            let changes = Forward { password: Some(&password), ..Forward::default() };
            let attributes = AttributeList::forward(black_box(&view), changes).unwrap();
            let builder = RequestBuilder {
                code: Code::ACCESS_REQUEST,
                attributes: &attributes,
                proxy_state: None,
                secret: &secret,
            };
            builder.build(9, [0x5A; 16], &mut entropy).unwrap()
        });
    });

    let mut challenge = AttributeList::new();
    challenge.push(number::STATE, &[b'x'; 64]).unwrap();
    challenge.push_text(number::REPLY_MESSAGE, "Enter the code from your authenticator app:").unwrap();
    challenge.push_u32(number::PROMPT, 0).unwrap();
    challenge.push_u32(number::SESSION_TIMEOUT, 60).unwrap();
    criterion.bench_function("seal a challenge", |bench| {
        bench.iter(|| {
            let to = ReplyTo::new(black_box(&verified), Arc::clone(&secret), true);
            to.seal(Code::ACCESS_CHALLENGE, &challenge, &mut entropy).unwrap()
        });
    });

    let answer = ReplyTo::new(&verified, Arc::clone(&secret), true)
        .seal(Code::ACCESS_ACCEPT, &challenge, &mut entropy)
        .unwrap();
    criterion.bench_function("authenticate a reply and hold it", |bench| {
        bench.iter(|| {
            let asked = verified.authenticator();
            let reply =
                UpstreamReply::authenticate(black_box(&answer), 7, asked, &secret, MaRule::Required).unwrap();
            AttributeList::hold(&reply, |_| None)
        });
    });
}

fn codes(criterion: &mut Criterion) {
    let seed = Secret::from("12345678901234567890");
    let parameters = Parameters::default();
    let window = oath::window(&parameters, NOW.secs(), oath::Drift::default(), 1);
    criterion.bench_function("find a code in three steps", |bench| {
        bench.iter(|| oath::find_step(seed.expose(), &parameters, black_box(window.clone()), 755_224));
    });
    let name = UserName::canonical(b"alice@corp.example").unwrap();
    criterion.bench_function("canonical user name", |bench| {
        bench.iter(|| UserName::canonical(black_box(b"alice@corp.example")).unwrap());
    });
    let (client, mint) = (label("asa-hq"), Mint::new(&label("mfa-a"), &Secret::new([7; 32])));
    let round = RoundId([9; 16]);
    criterion.bench_function("make a State", |bench| {
        bench.iter(|| mint.state(black_box(round), NOW, &client, &name));
    });
    let state = mint.state(round, NOW, &client, &name);
    criterion.bench_function("open a State", |bench| {
        bench.iter(|| mint.open(black_box(state.as_bytes()), &client, &name).unwrap());
    });
}

fn dictionary(criterion: &mut Criterion) {
    criterion.bench_function("parse the embedded dictionaries", |bench| {
        bench.iter(|| Dictionary::embedded().unwrap());
    });
    let dictionary = Dictionary::embedded().unwrap();
    criterion.bench_function("look an attribute up by number", |bench| {
        bench.iter(|| dictionary.vendor(black_box(9), 1).unwrap());
    });
    criterion.bench_function("look an attribute up by name", |bench| {
        bench.iter(|| dictionary.by_name(black_box("Cisco-AVPair")).unwrap());
    });
}

/// From the password to the challenge, without any store or primary: three steps of the engine.
fn engine(criterion: &mut Criterion) {
    let mut entropy = Fixed { mono: Tick(0), unix: NOW, seed: 1 };
    let secret = SharedSecret::new(Secret::from("a shared secret of 32 octets ..."));
    let datagram = gateway_request(&secret, &mut entropy);
    let packet = Arc::new(Parsed::parse(&datagram).unwrap().verify(&secret).unwrap().detach());
    let user = UserName::canonical(b"alice@corp.example").unwrap();
    let policy = Arc::new(Policy::resolve(label("nps"), Lockout::default(), &[]));
    let token = Token {
        id: TokenId(1),
        serial: "T1".into(),
        enabled: true,
        parameters: Parameters::default(),
        last_step: None,
        drift: None,
        expires: None,
        starts: None,
        seed: None,
    };
    let account = Account {
        id: UserId(1),
        name: user.clone(),
        disabled: false,
        password_hash: None,
        contact: None,
        failures: 0,
        last_failure: UnixTime(0),
        groups: None,
        special: None,
        keys: None,
        resembles_another: false,
        clock_suspect: false,
        tokens: vec![token],
    };
    let (client, source) = (label("asa-hq"), SocketAddr::from(([10, 1, 0, 4], 1645)));
    criterion.bench_function("engine, from password to challenge", |bench| {
        bench.iter(|| {
            let mut env = Env { mono: Tick(0), unix: NOW, entropy: &mut entropy };
            let facts = Box::new(Facts {
                id: LoginId::from_round([9; 16]),
                server: client.clone(),
                local: source,
                client: client.clone(),
                source,
                user: Some(user.clone()),
                station: None,
                protocol: "pap",
                integrity: Integrity::Signed,
                policy: Arc::clone(&policy),
                ruling: None,
                began: Tick(0),
                answer_by: Tick(0),
                durations: Durations::default(),
                kept: None,
                language: Language::ENGLISH,
                own_language: None,
            });
            let entered = Entered::Password(Secret::from("correct horse"));
            let answer_by = Tick(10_000_000_000);
            let first = FirstRequest { facts, entered, packet: Arc::clone(&packet), answer_by };
            let Step::CheckPrimary(_, awaiting) = begin(first, &mut env) else { panic!("no password check") };
            let accepted = PrimaryAnswer::Accepted { attributes: AttributeList::new() };
            let Step::FindUser(_, awaiting) = awaiting.resume(accepted, &mut env) else {
                panic!("the user is not looked for")
            };
            let step = awaiting.resume(UserAnswer::Found(account.clone()), &mut env);
            assert!(matches!(step, Step::Wait(..)), "no challenge");
            step
        });
    });
}

const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

fn label(text: &str) -> Label {
    Label::new(text).unwrap()
}

criterion_group!(micro, wire, codes, dictionary, engine);
criterion_main!(micro);
