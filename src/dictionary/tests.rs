//! The grammar, values and descriptions, driven by `fixtures/*.txt`.

use proptest::prelude::*;

use super::*;

const VALUES: &str = include_str!("fixtures/values.txt");
const FAULTS: &str = include_str!("fixtures/faults.txt");
const DESCRIPTIONS: &str = include_str!("fixtures/descriptions.txt");

fn octets(hex: &str) -> Vec<u8> {
    let digits: String = hex.chars().filter(|character| !character.is_whitespace()).collect();
    assert!(digits.len().is_multiple_of(2), "{hex}");
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

/// The attribute of a line of `values.txt`: `1 integer has_tag : Name=number`.
fn attribute_of(definition: &str) -> Attribute {
    let (attribute, values) = definition.split_once(':').unwrap_or((definition, ""));
    let mut text = format!("ATTRIBUTE X {attribute}\n");
    for (name, number) in values.split_whitespace().map(|value| value.split_once('=').unwrap()) {
        text.extend(["VALUE X ", name, " ", number, "\n"]);
    }
    Dictionary::parse("x", &text).unwrap().by_name("X").unwrap().clone()
}

#[test]
fn values_read_and_print_as_the_fixture_says() {
    let mut count = 0;
    for line in VALUES.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let columns: Vec<&str> = line.split('|').map(str::trim).collect();
        let [definition, text, hex, printed] = columns[..] else { panic!("four columns: {line}") };
        let attribute = attribute_of(definition);
        let read = attribute.parse_text(text);
        if hex == "-" {
            assert!(read.is_err(), "{line}: {read:?}");
        } else if text != "-" {
            assert_eq!(read, Ok(octets(hex)), "{line}");
        }
        if hex != "-" {
            assert_eq!(
                attribute.print(&octets(hex)),
                if printed.is_empty() { text } else { printed },
                "{line}"
            );
        }
        count += 1;
    }
    assert!(count > 80);
}

#[test]
fn a_fault_says_where_what_and_how_to_go_on() {
    let mut count = 0;
    for case in FAULTS.split("\n--- ").skip(1) {
        let (title, body) = case.split_once('\n').unwrap();
        let (expected, text): (Vec<&str>, Vec<&str>) = body.lines().partition(|line| line.starts_with("=>"));
        let expected: Vec<&str> = expected.iter().map(|line| &line[3..]).collect();
        let fault = Dictionary::parse("x", &text.join("\n")).expect_err(title);
        assert_eq!(fault.to_string(), expected.join("\n"), "{title}");
        count += 1;
    }
    assert!(count > 25);
}

#[test]
fn packets_are_described_as_the_fixture_says() {
    let dictionary = Dictionary::embedded().unwrap();
    let mut count = 0;
    for case in DESCRIPTIONS.split("\n--- ").skip(1) {
        let (title, body) = case.split_once('\n').unwrap();
        let (expected, hex): (Vec<&str>, Vec<&str>) = body.lines().partition(|line| line.starts_with("=>"));
        let expected: Vec<&str> = expected.iter().map(|line| &line[3..]).collect();
        assert_eq!(dictionary.describe(&octets(&hex.concat())), expected, "{title}");
        count += 1;
    }
    assert!(count > 10);
}

#[test]
fn the_last_name_of_a_number_is_the_one_it_prints_with() {
    let text = "ATTRIBUTE Old 1 integer\nVALUE Old Yes 1\nATTRIBUTE New 1 integer";
    let dictionary = Dictionary::parse("x", text).unwrap();
    assert_eq!(&*dictionary.standard(1).unwrap().name, "New");
    assert_eq!(dictionary.standard(1).unwrap().value_name(1), Some("Yes"));
    assert_eq!(dictionary.by_name("old").unwrap().oid, Oid::standard(1));
}

#[test]
fn a_later_definition_corrects_an_earlier_one_and_keeps_its_values() {
    let text = "ATTRIBUTE A 1 integer\nVALUE A Yes 1\nATTRIBUTE A 1 integer encrypt=2";
    let dictionary = Dictionary::parse("x", text).unwrap();
    let attribute = dictionary.standard(1).unwrap();
    assert_eq!((attribute.encryption, attribute.value_name(1)), (Encryption::TunnelPassword, Some("Yes")));
    assert_eq!(dictionary.attributes().count(), 1);
}

#[test]
fn what_gives_a_password_away_stays_hidden_under_any_later_name() {
    let text = "ATTRIBUTE A 3 octets secret\nATTRIBUTE A 3 octets\nATTRIBUTE B 3 octets";
    let dictionary = Dictionary::parse("x", text).unwrap();
    assert!(dictionary.by_name("A").unwrap().is_hidden());
    assert_eq!(dictionary.describe(&[3, 3, 0xff]), ["B = <hidden>"]);
}

#[test]
fn named_octets_are_passed_over_as_freeradius_does() {
    let dictionary = Dictionary::parse("x", "ATTRIBUTE A 1 octets\nVALUE A Yes 1").unwrap();
    assert!(dictionary.standard(1).unwrap().values.is_empty());
}

#[test]
fn a_value_may_stand_before_its_attribute() {
    let dictionary = Dictionary::parse("x", "VALUE A Yes 1\nATTRIBUTE A 1 integer").unwrap();
    assert_eq!(dictionary.standard(1).unwrap().value_name(1), Some("Yes"));
}

#[test]
fn blocks_place_attributes_in_the_tree() {
    let text = "
        VENDOR Wide 429 format=4,0
        VENDOR Deep 24757 format=1,1,c
        ATTRIBUTE Ext 241 extended
        ATTRIBUTE Evs 241.26 evs
        BEGIN-VENDOR Wide
        ATTRIBUTE W 0x9001 integer
        END-VENDOR Wide
        BEGIN-VENDOR Deep
        ATTRIBUTE D 1 tlv
        BEGIN-TLV D
        ATTRIBUTE D1 2 tlv
        ATTRIBUTE D2 2.3 byte
        END-TLV D
        END-VENDOR Deep
        BEGIN-VENDOR Deep parent=Evs
        ATTRIBUTE E 7 string
        END-VENDOR Deep
        FLAGS internal
        $INCLUDE- nothing.here";
    let dictionary = Dictionary::parse("x", text).unwrap();
    let oid = |name: &str| dictionary.by_name(name).unwrap().oid.to_string();
    assert_eq!(
        [oid("W"), oid("D2"), oid("E")],
        ["26.429.36865", "26.24757.1.2.3", "241.26.24757.7"].map(str::to_owned)
    );
    assert_eq!(&*dictionary.vendor(429, 0x9001).unwrap().name, "W");
    assert!(dictionary.vendor_info(24757).unwrap().format.continuation);
    for attribute in dictionary.attributes() {
        assert_eq!(dictionary.attribute(&attribute.oid).unwrap().name, attribute.name);
    }
}

#[test]
fn files_of_the_admin_add_to_ours_and_include_what_lies_beside_them() {
    let folder = std::env::temp_dir().join(format!("radmfa-dictionary-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let main = folder.join("dictionary.main");
    std::fs::write(&main, "$INCLUDE dictionary.beside\nVALUE Service-Type Own-Type 7001\n").unwrap();
    std::fs::write(
        folder.join("dictionary.beside"),
        "VENDOR Own 65000\nBEGIN-VENDOR Own\nATTRIBUTE Own-Key 1 octets encrypt=2\nEND-VENDOR Own\n",
    )
    .unwrap();
    let itself = folder.join("dictionary.itself");
    std::fs::write(&itself, "\n$INCLUDE dictionary.itself\n").unwrap();

    let dictionary = Dictionary::embedded().unwrap().with_files(&[main]).unwrap();
    assert_eq!(dictionary.vendor(65000, 1).unwrap().encryption, Encryption::TunnelPassword);
    assert_eq!(dictionary.by_name("Service-Type").unwrap().values.number("own-type"), Some(7001));

    let fault = Dictionary::default().with_files(std::slice::from_ref(&itself)).unwrap_err();
    assert_eq!((fault.line, fault.what.contains("includes itself")), (2, true), "{fault}");

    let missing = folder.join("none");
    let fault = Dictionary::default().with_files(std::slice::from_ref(&missing)).unwrap_err();
    assert!(fault.to_string().starts_with(&format!("{}: cannot be read", missing.display())), "{fault}");
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_tag_is_kept_apart_from_the_value() {
    let attribute = attribute_of("64 integer has_tag : VLAN=13");
    let value = attribute.parse_tagged(Some(3), "VLAN").unwrap();
    assert_eq!(value, [3, 0, 0, 13]);
    assert_eq!(attribute.split_tag(&value).0, Some(3));
    assert_eq!(attribute.print(&value), "VLAN");
    assert!(attribute.parse_tagged(Some(32), "VLAN").is_err());
    assert!(attribute_of("1 integer").parse_tagged(Some(1), "1").is_err());
}

#[test]
fn a_value_that_no_attribute_can_carry_is_refused_and_told_so() {
    let attribute = attribute_of("1 string");
    assert_eq!(attribute.parse_text(&"a".repeat(253)).unwrap().len(), 253);
    let fault = attribute.parse_text(&"a".repeat(254)).unwrap_err();
    assert_eq!(fault.to_string(), "X: 254 octets do not fit; at most 253 do");
    let fault = attribute_of("1 integer : Login=1 Framed=2").parse_text("Framd").unwrap_err();
    assert_eq!(fault.to_string(), "X: `Framd` is no value that it has; did you mean `Framed`?");
}

mod embedded_set {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn parses_and_is_found_by_every_key() {
        let dictionary = Dictionary::embedded().unwrap_or_else(|fault| panic!("{fault}"));
        for attribute in dictionary.attributes() {
            let by_number = dictionary.attribute(&attribute.oid).unwrap();
            assert_eq!(by_number.oid, attribute.oid);
            assert_eq!(dictionary.by_name(&attribute.name).unwrap().oid, attribute.oid);
            if let Some(vendor) = attribute.oid.vendor() {
                assert!(dictionary.vendor_info(vendor).is_some(), "{}", attribute.name);
            }
        }
    }

    #[test]
    fn holds_every_file_of_its_folder_and_the_root_includes_them_all() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/dictionaries");
        let on_disk: BTreeSet<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let carried: BTreeSet<String> = embedded::names().map(str::to_owned).collect();
        assert_eq!(carried, on_disk);
        let (_, root) = embedded::find(embedded::ROOT).unwrap();
        for name in carried.iter().filter(|name| *name != embedded::ROOT) {
            assert!(root.lines().any(|line| line.split_whitespace().eq(["$INCLUDE", name])), "{name}");
        }
    }

    #[test]
    fn every_named_value_prints_its_name_and_reads_back() {
        for attribute in Dictionary::embedded().unwrap().attributes() {
            for value in attribute.values.iter() {
                assert!(attribute.data_type.largest().is_some(), "{}", attribute.name);
                let octets = attribute.parse_text(&value.name).unwrap();
                let printed = attribute.print(&octets);
                assert_eq!(
                    attribute.values.number(&printed),
                    Some(value.number),
                    "{} {printed}",
                    attribute.name
                );
            }
        }
    }

    #[test]
    fn knows_what_is_encrypted_and_how() {
        let dictionary = Dictionary::embedded().unwrap();
        let encrypted = |encryption| -> BTreeSet<&str> {
            dictionary
                .attributes()
                .filter(|attribute| attribute.encryption == encryption)
                .map(|attribute| &*attribute.name)
                .collect()
        };
        assert_eq!(encrypted(Encryption::UserPassword), BTreeSet::from(USER_PASSWORD));
        assert_eq!(encrypted(Encryption::TunnelPassword), BTreeSet::from(TUNNEL_PASSWORD));
        assert!(encrypted(Encryption::Ascend).is_empty());
        let tunnel_password = dictionary.standard(69).unwrap();
        assert_eq!((&*tunnel_password.name, tunnel_password.has_tag), ("Tunnel-Password", true));
    }

    const USER_PASSWORD: [&str; 2] = ["MS-CHAP-MPPE-Keys", "User-Password"];
    const TUNNEL_PASSWORD: [&str; 4] =
        ["Aruba-MPSK-Passphrase", "MS-MPPE-Recv-Key", "MS-MPPE-Send-Key", "Tunnel-Password"];
}

/// Dictionaries that are nearly right, which reach further than random text.
fn nearly_a_dictionary() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        "(ATTRIBUTE|VALUE|VENDOR|BEGIN-VENDOR|END-VENDOR|BEGIN-TLV|END-TLV|\\$INCLUDE|FLAGS|#)",
        "(A|B|C|D)",
        "(0|1|26|241|241.1|241.26|26.9.1|0xffffffff|4294967296|1.1.1.1.1.1.1.1.1.1)",
        "(string|octets|integer|tlv|evs|extended|octets\\[3\\]|byte)",
        "(has_tag|encrypt=2|array|concat|format=1,1|format=4,0|format=A|dictionary|dictionary.rfc2865)",
        "\\PC{0,6}",
    ];
    prop::collection::vec(prop::collection::vec(word, 0..6).prop_map(|words| words.join(" ")), 0..20)
        .prop_map(|lines| lines.join("\n"))
}

fn any_definition() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "1 integer",
        "1 integer : A=1 B=2 7=300",
        "1 integer has_tag : A=1",
        "1 string",
        "1 string has_tag",
        "1 octets",
        "1 octets concat",
        "1 date",
        "1 byte",
        "1 short",
        "1 short array",
        "1 signed",
        "1 integer64",
        "1 ipaddr",
        "1 ipaddr array",
        "1 ipv6addr",
        "1 ipv4prefix",
        "1 ipv6prefix",
        "1 ifid",
        "1 ether",
        "1 combo-ip",
        "1 tlv",
    ])
}

proptest! {
    #[test]
    fn any_text_is_a_dictionary_or_a_fault(text in prop_oneof![any::<String>(), nearly_a_dictionary()]) {
        match Dictionary::parse("x", &text) {
            Ok(dictionary) => {
                for attribute in dictionary.attributes() {
                    prop_assert!(dictionary.attribute(&attribute.oid).is_some());
                }
            }
            Err(fault) => prop_assert!(!fault.to_string().chars().any(|c| c.is_control() && c != '\n')),
        }
    }

    /// Octets print as something; what that text reads as prints the same again, and a value that was
    /// well-formed comes back as it was.
    #[test]
    fn a_value_survives_its_text(definition in any_definition(), octets in prop::collection::vec(any::<u8>(), 1..40)) {
        let attribute = attribute_of(definition);
        let (tag, _) = attribute.split_tag(&octets);
        let text = attribute.print(&octets);
        prop_assert!(!text.chars().any(char::is_control));
        let is_number = attribute.data_type.largest().is_some();
        match attribute.parse_tagged(tag, &text) {
            // A number of the wrong length prints as octets, which read as a number.
            Ok(_) if is_number && text.starts_with("0x") => {}
            Ok(read) => {
                prop_assert_eq!(attribute.print(&read), text);
                let is_prefix = matches!(attribute.data_type, DataType::Ipv4Prefix | DataType::Ipv6Prefix);
                let lost_tag = attribute.has_tag && is_number && tag.is_none();
                prop_assert!(is_prefix || lost_tag || read == octets, "{:?} {:?}", read, octets);
            }
            Err(_) => prop_assert!(text.starts_with("0x") || octets.len() == 1, "{}", text),
        }
    }

    #[test]
    fn any_text_is_a_value_or_a_fault(definition in any_definition(), text: String) {
        let attribute = attribute_of(definition);
        if let Ok(octets) = attribute.parse_text(&text) {
            prop_assert!(octets.len() <= 4096);
            let printed = attribute.print(&octets);
            prop_assert_eq!(attribute.parse_text(&printed), Ok(octets));
        }
    }
}

/// Attributes whose types reach the deep ends of the tree more often than chance would.
fn nearly_attributes() -> impl Strategy<Value = Vec<u8>> {
    let number = prop_oneof![any::<u8>(), prop::sample::select(vec![1, 2, 26, 64, 69, 79, 241, 245, 246])];
    let body = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        (prop::sample::select(vec![9_u32, 311, 429, 24757, 14122]), prop::collection::vec(0_u8..12, 0..30))
            .prop_map(|(vendor, rest)| [vendor.to_be_bytes().to_vec(), rest].concat()),
        prop::collection::vec(prop::sample::select(vec![0_u8, 1, 2, 3, 4, 26, 128]), 0..30),
    ];
    let attribute = (number, body).prop_map(|(number, body)| {
        let length = u8::try_from(body.len() + 2).unwrap();
        [vec![number, length], body].concat()
    });
    prop::collection::vec(attribute, 0..20).prop_map(|attributes| attributes.concat())
}

#[test]
fn any_octets_are_described_without_control_characters() {
    let dictionary = Dictionary::embedded().unwrap();
    let octets = prop_oneof![prop::collection::vec(any::<u8>(), 0..300), nearly_attributes()];
    proptest!(|(octets in octets)| {
        for line in dictionary.describe(&octets) {
            prop_assert!(line.contains(" = "), "{}", line);
            prop_assert!(!line.chars().any(char::is_control), "{}", line);
        }
    });
}
