//! Every figure of RFC 6030, each refusal, and what is written read back.

use proptest::prelude::*;

use super::*;
use crate::base::name::UserName;
use crate::base::system::Fixed;
use crate::base::text::unhex;
use crate::base::time::{Tick, UnixTime};
use crate::factor::oath::{Digits, Moving, Parameters};

macro_rules! figure {
    ($number:literal) => {
        include_str!(concat!("../../../tests/pskc/figure-", $number, ".xml"))
    };
}

fn open(document: &str, secret: Option<&Secret>) -> Result<Opened, Fault> {
    Pskc::parse(document.as_bytes())?.open(secret)
}

fn plain(document: &str) -> Opened {
    open(document, None).unwrap()
}

/// The one fault of a document, of a key or of the whole.
fn fault(document: &str, secret: Option<&Secret>) -> String {
    match open(document, secret) {
        Err(fault) => fault.to_string(),
        Ok(opened) => {
            let [fault] = <[Fault; 1]>::try_from(opened.faults).unwrap();
            fault.to_string()
        }
    }
}

fn key() -> Secret {
    Secret::new(unhex("12345678901234567890123456789012").unwrap())
}

#[test]
fn figure_2_has_a_seed_that_is_too_short() {
    assert_eq!(fault(figure!("2"), None), "line 11: <Secret>: the seed has 4 octets; 10 to 64 are taken");
}

#[test]
fn figure_3_has_a_counter_token_of_a_device_with_its_user() {
    let [token] = <[Described; 1]>::try_from(plain(figure!("3")).tokens).unwrap();
    assert_eq!(&*token.serial, "987654321");
    assert_eq!(token.seed.expose(), b"12345678901234567890");
    assert_eq!((token.parameters.moving, token.parameters.digits.count()), (Moving::Counter, 8));
    assert_eq!((token.counter, token.user.unwrap().as_str()), (0, "jsmith"));
    assert_eq!(token.manufacturer.as_deref(), Some("Manufacturer"));
}

#[test]
fn figure_4_refers_to_a_master_key_and_has_no_seed() {
    let said = fault(figure!("4"), None);
    assert_eq!(said, "line 23: <Data>: <Secret> is missing in it; a reference to a master key is no seed");
}

#[test]
fn figure_5_has_a_token_with_a_pin_policy_and_the_pin_is_left_out() {
    let opened = plain(figure!("5"));
    assert_eq!((opened.tokens.len(), opened.faults.len()), (1, 0));
    let notes: Vec<&str> = opened.notes.iter().map(|note| &*note.what).collect();
    assert_eq!(
        notes,
        [
            "PIN policy, not kept: Local use, 4 to 4 characters, DECIMAL",
            "the PIN 123456781 is left out: a PIN is no token"
        ]
    );
}

#[test]
fn figure_6_opens_with_the_pre_shared_key_alone() {
    let pskc = Pskc::parse(figure!("6").as_bytes()).unwrap();
    assert_eq!(pskc.protection(), &Protection::Key { name: Some("Pre-shared-key".into()) });
    let opened = pskc.open(Some(&key())).unwrap();
    assert_eq!(opened.tokens[0].seed.expose(), b"12345678901234567890");
    assert_eq!(&*opened.tokens[0].serial, "987654321");

    assert!(pskc.open(None).unwrap_err().what.contains("a key is needed"));
    let other = Secret::new([7; 16]);
    let said = pskc.open(Some(&other)).unwrap_err().to_string();
    assert!(said.contains("the key is wrong, or the file was changed"), "{said}");
    let short = pskc.open(Some(&Secret::new([7; 24]))).unwrap_err().what;
    assert_eq!(short, "the key has 24 octets, and the file's cipher takes 16");
}

#[test]
fn figure_7_opens_with_the_passphrase_alone() {
    let pskc = Pskc::parse(figure!("7").as_bytes()).unwrap();
    assert_eq!(pskc.protection(), &Protection::Passphrase { name: Some("My Password 1".into()) });
    let opened = pskc.open(Some(&Secret::from("qwerty"))).unwrap();
    assert_eq!(opened.tokens[0].seed.expose(), b"12345678901234567890");
    assert!(pskc.open(Some(&Secret::from("qwertz"))).unwrap_err().what.contains("the passphrase is wrong"));
}

#[test]
fn figure_8_is_sealed_for_a_certificate() {
    assert!(
        fault(figure!("8"), None).contains("<X509Data>: values sealed for a certificate are not supported")
    );
}

#[test]
fn figure_9_has_a_signature_that_is_said_not_to_be_checked() {
    let opened = plain(figure!("9"));
    assert_eq!(opened.tokens.len(), 1);
    assert_eq!(opened.notes[0].what, "the file's signature is not checked");
}

#[test]
fn figure_10_has_four_keys_of_which_two_share_a_device() {
    let opened = plain(figure!("10"));
    let serials: Vec<&str> = opened.tokens.iter().map(|token| &*token.serial).collect();
    assert_eq!(serials, ["654321", "123456", "9999999", "9999999/4"]);
    assert_eq!(opened.tokens[0].expires.unwrap().to_string(), "2006-05-31T00:00:00.000Z");
    assert_eq!(opened.tokens[3].expires.unwrap().to_string(), "2006-04-30T00:00:00.000Z");
}

/// A document with one key, of which each part can be said.
fn document(algorithm: &str, parameters: &str, data: &str, rest: &str) -> String {
    format!(
        "<KeyContainer Version=\"1.0\" xmlns=\"urn:ietf:params:xml:ns:keyprov:pskc\">\n<KeyPackage>\n\
         <DeviceInfo><SerialNo>S-1</SerialNo></DeviceInfo>\n<Key Id=\"1\" Algorithm=\"{algorithm}\">\n\
         <AlgorithmParameters>{parameters}</AlgorithmParameters>\n<Data><Secret><PlainValue>\
         MTIzNDU2Nzg5MDEyMzQ1Njc4OTA=</PlainValue></Secret>\n{data}</Data>\n{rest}</Key>\n</KeyPackage>\n</KeyContainer>"
    )
}

const TOTP: &str = "urn:ietf:params:xml:ns:keyprov:pskc:totp";

#[test]
fn a_time_token_says_its_interval_its_drift_and_its_hash() {
    let data = "<Time><PlainValue>0</PlainValue></Time><TimeInterval><PlainValue>60</PlainValue></TimeInterval>\
                <TimeDrift><PlainValue>-3</PlainValue></TimeDrift>";
    let parameters = "<Suite>HMAC-SHA256</Suite><ResponseFormat Length=\"8\" Encoding=\"DECIMAL\"/>";
    let opened =
        plain(&document(TOTP, parameters, data, "<FriendlyName>Tom &amp; &#x4a;erry</FriendlyName>"));
    // An element that is no part of Key's head is looked at wherever it stands.
    let token = &opened.tokens[0];
    assert_eq!(token.parameters.moving, Moving::Time { interval: 60 });
    assert_eq!((token.parameters.algorithm, token.parameters.digits.count()), (Algorithm::Sha256, 8));
    assert_eq!((token.drift, token.counter), (-3, 0));
    assert_eq!(token.label.as_deref(), Some("Tom & Jerry"));
    for (uri, hash) in
        [("-sha512", Algorithm::Sha512), (":SHA256", Algorithm::Sha256), ("#sha1", Algorithm::Sha1)]
    {
        let opened = plain(&document(&format!("{TOTP}{uri}"), "", "", ""));
        assert_eq!(opened.tokens[0].parameters.algorithm, hash, "{uri}");
    }
}

#[test]
fn what_is_not_understood_is_refused_with_its_element_and_line() {
    let cases = [
        (document("urn:ietf:params:xml:ns:keyprov:pskc:ocra", "", "", ""), "line 4: <Key>: the algorithm"),
        (document(&format!("{TOTP}-md5"), "", "", ""), "line 4: <Key>: the algorithm"),
        (
            document(&format!("{TOTP}-sha1"), "<Suite>HMAC-SHA256</Suite>", "", ""),
            "line 5: <Suite>: says another hash",
        ),
        (document(TOTP, "<Suite>OCRA-1</Suite>", "", ""), "line 5: <Suite>: is not known"),
        (
            document(TOTP, "<ResponseFormat Length=\"9\"/>", "", ""),
            "line 5: <ResponseFormat>: the length takes",
        ),
        (
            document(TOTP, "<ResponseFormat Length=\"6\" Encoding=\"BASE64\"/>", "", ""),
            "line 5: <ResponseFormat>: the encoding BASE64",
        ),
        (
            document(TOTP, "<ResponseFormat Length=\"6\" CheckDigits=\"true\"/>", "", ""),
            "line 5: <ResponseFormat>: check digits",
        ),
        (
            document(TOTP, "", "<TimeInterval><PlainValue>45</PlainValue></TimeInterval>", ""),
            "line 7: <TimeInterval>: takes 30 or 60 seconds",
        ),
        (document(TOTP, "", "<Time><PlainValue>x</PlainValue></Time>", ""), "line 7: <Time>: is no number"),
        (
            document(TOTP, "", "<Counter/>", ""),
            "line 7: <Counter>: takes one of <PlainValue> and <EncryptedValue>",
        ),
        (document(TOTP, "", "<Secret/>", ""), "line 7: <Secret>: stands here twice"),
        (document(TOTP, "", "", "<Policy><Once/></Policy>"), "line 8: <Once>: is no policy that is known"),
        (
            document(TOTP, "", "", "<Policy><KeyUsage>Encrypt</KeyUsage></Policy>"),
            "line 8: <KeyUsage>: the key is not meant for one-time passwords",
        ),
        (
            document(TOTP, "", "", "<Policy><PINPolicy PINUsageMode=\"Algorithmic\"/></Policy>"),
            "line 8: <PINPolicy>: codes that are made from a PIN",
        ),
        (
            document(TOTP, "", "", "<Policy><ExpiryDate>soon</ExpiryDate></Policy>"),
            "line 8: <ExpiryDate>: is no date",
        ),
        (document(TOTP, "", "", "<UserId>UID=a&#x202e;b</UserId>"), "line 8: <UserId>: the user name holds"),
        (document(TOTP, "", "", "<Issuer>&xxe;</Issuer>"), "line 8: &xxe;: entities are not taken"),
        (document(TOTP, "", "", "<Issuer a=\"&xxe;\"/>"), "line 8: <Issuer>: entities are not taken"),
        (document(TOTP, "", "", "<Issuer></Isuer>"), "line 8: the file is no well-formed XML"),
        (
            document(TOTP, "", "", "").replace("Version=\"1.0\"", "Version=\"2.0\""),
            "line 1: <KeyContainer>: version 2.0",
        ),
        (
            document(TOTP, "", "", "").replace("keyprov:pskc\">", "keyprov:container:1.0\">"),
            "line 1: <KeyContainer>: is not of",
        ),
        (document(TOTP, "", "", "").replace("</KeyContainer>", ""), "line 1: <KeyContainer>: is not closed"),
        (document(TOTP, "", "", "") + "<More/>", "line 10: <More>: stands after the end"),
        (document(TOTP, "", "", "").replace("MTIz", "****"), "line 6: <PlainValue>: is not Base64"),
        ("<html/>".into(), "line 1: <html>: this is no PSKC file"),
        ("\n\n".into(), "line 1: there is no <KeyContainer> in the file"),
    ];
    for (document, expected) in cases {
        let said = fault(&document, None);
        assert!(said.starts_with(expected), "{said}\nwanted: {expected}");
    }
    let billion = "<?xml version=\"1.0\"?>\n<!DOCTYPE KeyContainer [<!ENTITY a \"aaaa\">]>\n<KeyContainer/>";
    assert_eq!(fault(billion, None), "line 2: <!DOCTYPE>: document types and entities are not taken");
    let latin = "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><KeyContainer/>";
    assert_eq!(fault(latin, None), "line 1: <?xml>: the encoding has to be UTF-8");
    assert_eq!(Pskc::parse(b"\xff\xfe<\0").unwrap_err().what, "the file is UTF-16; save it in UTF-8");
    assert_eq!(Pskc::parse(b"<a>\n\xff").unwrap_err().to_string(), "line 2: the file is not UTF-8");
    assert!(Pskc::parse(&vec![b' '; FILE_MAX + 1]).unwrap_err().what.contains("64 MiB"));
}

#[test]
fn hostile_shapes_are_refused_before_they_cost_anything() {
    let container = |inner: &str| format!("<KeyContainer xmlns=\"{NAMESPACE}\">{inner}</KeyContainer>");
    for inner in ["<a>".repeat(100_000), format!("<KeyPackage>{}</KeyPackage>", "<a/>".repeat(20_000))] {
        assert!(fault(&container(&inner), None).contains("one element too many"));
    }
    let attributes = (0..100).map(|number| format!("a{number}=\"\"")).collect::<Vec<_>>().join(" ");
    assert!(
        fault(&container(&format!("<KeyPackage {attributes}/>")), None).contains("more than 64 attributes")
    );
}

#[test]
fn rounds_ciphers_macs_and_their_absence_are_refused_by_line() {
    let passphrase = Secret::from("qwerty");
    let seven = figure!("7");
    let cases = [
        (
            "<IterationCount>1000<",
            "<IterationCount>10000001<",
            "<IterationCount>: takes 1 to 10000000 rounds",
        ),
        ("<IterationCount>1000<", "<IterationCount>0<", "<IterationCount>: takes 1 to 10000000 rounds"),
        ("<KeyLength>16<", "<KeyLength>17<", "<KeyLength>: takes 16, 24 or 32 octets"),
        ("<KeyLength>16<", "<KeyLength>32<", "the key has 32 octets, and the file's cipher takes 16"),
        ("<PRF/>", "<PRF Algorithm=\"#hmac-md5\"/>", "<PRF>: the algorithm is not known"),
        ("pkcs-5v2-0#pbkdf2", "pkcs-5v2-0#scrypt", "<KeyDerivationMethod>: the algorithm"),
        ("xmldsig#hmac-sha1", "xmldsig#hmac-md5", "<MACMethod>: the algorithm"),
        ("#aes128-cbc", "#tripledes-cbc", "<EncryptionMethod>: the algorithm"),
        ("LP6xMvjtypbf", "LP6xMvjtypbg", "no MAC is right"),
        ("oTvo+S22", "oTvp+S22", "no MAC is right"),
        ("pskc:ValueMAC", "pskc:ValueSum", "<EncryptedValue>: has no <ValueMAC> beside it"),
        ("Ej7/PEpyEpw=", "", "<Specified>: is empty"),
    ];
    for (from, to, expected) in cases {
        assert!(seven.contains(from), "{from}");
        let said = fault(&seven.replace(from, to), Some(&passphrase));
        assert!(said.contains(expected) && said.starts_with("line "), "{said}\nwanted: {expected}");
    }
    // Nothing is decrypted where nothing says that it is genuine.
    let start = seven.find("<pskc:MACMethod").unwrap();
    let end = seven.find("</pskc:MACMethod>").unwrap() + "</pskc:MACMethod>".len();
    let without = [&seven[..start], &seven[end..]].concat();
    assert!(fault(&without, Some(&passphrase)).contains("no <MACMethod> to check it with"));
}

#[test]
fn one_changed_value_is_told_from_a_wrong_key_and_the_rest_opens() {
    let (first, second) = (token("A", 0), token("B", 1));
    let document = written(&[first.clone(), second], &Secret::from("pass"));
    let place = document.rfind("<pskc:ValueMAC>").unwrap() + "<pskc:ValueMAC>".len();
    let mut changed = document.into_bytes();
    changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
    let pskc = Pskc::parse(&changed).unwrap();
    let opened = pskc.open(Some(&Secret::from("pass"))).unwrap();
    assert_eq!((opened.tokens.len(), opened.faults.len()), (1, 1));
    assert!(opened.faults[0].what.starts_with("the MAC is wrong"), "{}", opened.faults[0]);

    // What was refused can be read again: the one package, and why.
    let refused = pskc.refused(&changed, &opened.faults);
    let text = String::from_utf8(refused).unwrap();
    assert!(text.contains("the MAC is wrong") && text.matches("<pskc:KeyPackage>").count() == 1, "{text}");
    let again = Pskc::parse(text.as_bytes()).unwrap();
    assert!(again.open(Some(&Secret::from("pass"))).unwrap_err().what.contains("no MAC is right"));
}

#[test]
fn what_is_refused_is_kept_where_the_whole_file_is_one_line() {
    let line = figure!("10").replace('\n', " ");
    let place = line.rfind("pskc:hotp").unwrap();
    let spoilt = format!("{}pskc:ocra{}", &line[..place], &line[place + "pskc:hotp".len()..]);
    let pskc = Pskc::parse(spoilt.as_bytes()).unwrap();
    let opened = pskc.open(None).unwrap();
    assert_eq!((opened.tokens.len(), opened.faults.len()), (3, 1));
    let refused = String::from_utf8(pskc.refused(spoilt.as_bytes(), &opened.faults)).unwrap();
    assert!(refused.contains("pskc:ocra"), "{refused}");
    let mended = refused.replace("pskc:ocra\"", "pskc:hotp\"");
    assert_eq!(plain(&mended).tokens.len(), 4);
}

#[test]
fn encrypted_numbers_are_digits_or_octets() {
    let cipher = Cipher::Aes128;
    let key = [5; 16];
    let mut counters = Vec::new();
    for octets in [&b"298507"[..], &[0, 0, 0, 0, 0, 14, 171, 112], &[0, 6, 49, 74], &[41]] {
        let sealed = cipher.seal(&key, [1; 16], octets).unwrap();
        let mac = crypto::mac(Algorithm::Sha1, &key, &sealed);
        let encoded =
            |octets: &[u8]| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, octets);
        let data = format!(
            "<Counter><EncryptedValue><EncryptionMethod Algorithm=\"{}\"/><CipherData><CipherValue>{}</CipherValue>\
             </CipherData></EncryptedValue><ValueMAC>{}</ValueMAC></Counter>",
            cipher.uri(),
            encoded(&sealed),
            encoded(&mac)
        );
        // No MACKey: the MACs are made under the key itself.
        let document = document("urn:ietf:params:xml:ns:keyprov:pskc:hotp", "", &data, "").replace(
            "<KeyPackage>",
            "<MACMethod Algorithm=\"http://www.w3.org/2000/09/xmldsig#hmac-sha1\"/><KeyPackage>",
        );
        let opened = open(&document, Some(&Secret::new(key))).unwrap();
        counters.push(opened.tokens[0].counter);
    }
    assert_eq!(counters, [298_507, 961_392, 405_834, 41]);
}

fn token(serial: &str, kind: u8) -> Described {
    Described {
        line: 0,
        user: None,
        serial: serial.into(),
        seed: Secret::new([kind; 20]),
        parameters: Parameters::default(),
        counter: 0,
        drift: 0,
        label: None,
        starts: None,
        expires: None,
        manufacturer: None,
        model: None,
    }
}

fn written(tokens: &[Described], passphrase: &Secret) -> String {
    let mut entropy = Fixed { mono: Tick(0), unix: UnixTime(0), seed: 1 };
    let (writer, mut text) = Writer::new(passphrase, Strength::Aes256, 2, &mut entropy);
    for token in tokens {
        text.push_str(&writer.package(token, &mut entropy));
    }
    text.push_str(Writer::END);
    text
}

fn described() -> impl Strategy<Value = Described> {
    let words = proptest::option::of("[a-zA-Z0-9&<>\"' äß_-]{0,18}[a-z]");
    let user = proptest::option::of("[a-z,=+\\\\\"#;<>&é]{1,12}");
    let texts = (words.clone(), words.clone(), words);
    let numbers =
        (0..3_u8, 0..3_u8, 0..1_000_000_u64, -50..50_i16, proptest::option::of(0..4_000_000_000_u64));
    (proptest::collection::vec(any::<u8>(), 10..=64), user, texts, numbers).prop_map(
        |(seed, user, texts, numbers)| {
            let (kind, algorithm, counter, drift, expires) = numbers;
            let moving = [Moving::Counter, Moving::Time { interval: 30 }, Moving::Time { interval: 60 }]
                [usize::from(kind)];
            let some = |text: Option<String>| text.map(|text| text.trim().into());
            Described {
                user: user.map(|user| UserName::canonical(user.as_bytes()).unwrap()),
                seed: Secret::new(seed),
                parameters: Parameters {
                    algorithm: [Algorithm::Sha1, Algorithm::Sha256, Algorithm::Sha512]
                        [usize::from(algorithm)],
                    digits: Digits::new(6 + algorithm).unwrap(),
                    moving,
                },
                counter: if kind == 0 { counter } else { 0 },
                drift: if kind == 0 { 0 } else { drift },
                label: some(texts.0),
                manufacturer: some(texts.1),
                model: some(texts.2),
                starts: expires.map(|expires| UnixTime::from_secs(expires / 2)),
                expires: expires.map(UnixTime::from_secs),
                ..token("", 0)
            }
        },
    )
}

#[test]
fn a_seed_in_the_place_of_a_name_is_not_shown() {
    let document = figure!("10");
    for (from, to) in
        [("</AlgorithmParameters>", "</AlgorithmPa"), ("<PlainValue>", "<Plain"), ("<PlainValue>", "</")]
    {
        let place = document.find("MTIzNDU2").unwrap();
        let before = document[..place].rfind(from).unwrap();
        let torn = [&document[..before], to, &document[place..]].concat();
        let fault = open(&torn, None).err().unwrap().to_string();
        assert!(!fault.contains("MTIzNDU2"), "{fault}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_reads_back_the_same(tokens in proptest::collection::vec(described(), 1..4)) {
        let tokens: Vec<Described> = tokens
            .into_iter()
            .enumerate()
            .map(|(place, token)| Described { serial: format!("S&<{place}>").into(), ..token })
            .collect();
        let passphrase = Secret::from("correct horse");
        let text = written(&tokens, &passphrase);
        for token in &tokens {
            let seed = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, token.seed.expose());
            prop_assert!(!text.contains(&seed));
        }
        let opened = open(&text, Some(&passphrase)).unwrap();
        prop_assert!(opened.faults.is_empty() && opened.notes.is_empty(), "{opened:?}");
        let read: Vec<Described> = opened.tokens.into_iter().map(|token| Described { line: 0, ..token }).collect();
        prop_assert_eq!(read, tokens);
    }

    #[test]
    fn no_octets_panic(octets in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _read = Pskc::parse(&octets).map(|pskc| pskc.open(None));
    }

    #[test]
    fn a_figure_with_a_piece_torn_out_is_refused_or_read_and_shows_no_seed(
        number in 0..4_usize, start in 0..3_000_usize, length in 0..200_usize
    ) {
        let document = [figure!("3"), figure!("6"), figure!("7"), figure!("10")][number];
        let start = start.min(document.len());
        let end = (start + length).min(document.len());
        let torn = [&document[..start], &document[end..]].concat();
        let secret = if number == 1 { key() } else { Secret::from("qwerty") };
        match open(&torn, Some(&secret)) {
            Err(fault) => prop_assert!(!fault.to_string().contains("MTIzNDU2")),
            Ok(opened) => {
                for fault in opened.faults {
                    prop_assert!(!fault.to_string().contains("MTIzNDU2"));
                }
                // What was sealed is what was sealed, or nothing.
                for token in opened.tokens.iter().filter(|_| number == 1 || number == 2) {
                    prop_assert_eq!(token.seed.expose(), b"12345678901234567890");
                }
            }
        }
    }
}
