//! What each layout says, what is refused with line and column, and what is written read back.

use std::io;

use proptest::prelude::*;

use super::*;

const SECRET: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

fn rows(text: &str) -> Vec<Result<Described, String>> {
    match TokenCsv::new(text.as_bytes()) {
        Ok(reader) => reader.map(|row| row.map_err(|fault| fault.to_string())).collect(),
        Err(fault) => vec![Err(fault.to_string())],
    }
}

fn one(text: &str) -> Described {
    let [row] = <[_; 1]>::try_from(rows(text)).unwrap();
    row.unwrap()
}

fn fault(text: &str) -> String {
    rows(text).into_iter().find_map(Result::err).unwrap()
}

#[test]
fn our_own_layout_says_everything() {
    let row = one(&format!(
        "user,serial,secret,interval,digits,algorithm,type,counter,manufacturer,model\n\
         Alice,T-1,{SECRET},60,8,HMAC-SHA256,TOTP,,Feitian,c200\n"
    ));
    assert_eq!((row.line, &*row.serial), (2, "T-1"));
    assert_eq!(row.user.unwrap().as_str(), "alice");
    assert_eq!(row.seed.expose(), b"12345678901234567890");
    assert_eq!(
        row.parameters,
        Parameters {
            algorithm: Algorithm::Sha256,
            digits: Digits::new(8).unwrap(),
            moving: Moving::Time { interval: 60 },
        }
    );
    assert_eq!((row.manufacturer.as_deref(), row.model.as_deref()), (Some("Feitian"), Some("c200")));
}

#[test]
fn a_counter_token_has_its_next_counter_and_no_interval() {
    let row = one(&format!("serial,secret,type,counter\nT-1,{SECRET},hotp,7\n"));
    assert_eq!((row.parameters.moving, row.counter), (Moving::Counter, 7));
    // A column of intervals may be filled for all tokens alike.
    let row = one(&format!("serial,secret,interval,type,counter\nT-1,{SECRET},30,HOTP,\n"));
    assert_eq!((row.parameters.moving, row.counter), (Moving::Counter, 0));
    let text = format!(
        "serial,secret,type,counter\n\
         T-1,{SECRET},hotp,-1\n\
         T-2,{SECRET},hotp,99999999999999999999\n\
         T-3,{SECRET},totp,5\n\
         T-4,{SECRET},totp,0\n\
         T-5,{SECRET},motp,\n"
    );
    let faults: Vec<_> = rows(&text).into_iter().filter_map(Result::err).collect();
    assert_eq!(
        faults,
        [
            format!("line 2: counter: takes 0 to {COUNTER_MAX}"),
            format!("line 3: counter: takes 0 to {COUNTER_MAX}"),
            "line 4: counter: is for hotp tokens alone".to_owned(),
            "line 6: type: takes totp or hotp".to_owned(),
        ]
    );
}

#[test]
fn columns_come_in_any_order_and_case_and_most_may_be_missing() {
    let row = one(&format!("Secret , SERIAL\n{SECRET},T-1\n"));
    assert_eq!(row.user, None);
    assert_eq!(row.parameters, Parameters::default());
}

#[test]
fn the_mfa_server_and_its_cloud_are_understood() {
    let named = one(&format!("serial number, secret key, time interval\n1234567,{SECRET},30\n"));
    let bare = one(&format!("1234567,{SECRET},30\n"));
    assert_eq!((named.line, bare.line), (2, 1));
    assert_eq!(named.serial, bare.serial);
    let cloud = one(&format!(
        "upn,serial number,secret key,time interval,manufacturer,model\n\
         Helga@contoso.com,1234567,{SECRET},60,Contoso,HardwareKey\n"
    ));
    assert_eq!(cloud.user.unwrap().as_str(), "helga@contoso.com");
    assert_eq!(cloud.parameters.moving, Moving::Time { interval: 60 });
}

#[test]
fn privacyideas_rows_have_no_first_line_and_their_secrets_in_hexadecimal() {
    let key = "3132333435363738393031323334353637383930";
    let taken = rows(&format!("T-1, {key}, totp, 6, 60\nT-2,{key},HOTP,8,7\nT-3,{key},totp\nT-4,zz,totp\n"));
    let one = taken[0].as_ref().unwrap();
    assert_eq!(
        (one.seed.expose(), one.parameters.moving),
        (&b"12345678901234567890"[..], Moving::Time { interval: 60 })
    );
    let two = taken[1].as_ref().unwrap();
    assert_eq!((two.parameters.moving, two.counter, two.parameters.digits.count()), (Moving::Counter, 7, 8));
    assert_eq!(taken[2].as_ref().unwrap().parameters, Parameters::default());
    assert!(taken[3].as_ref().unwrap_err().starts_with("line 4: secret: "));
    let exported = rows(&format!("Bob@realm, T-1, {key}, totp, 6, 30\nn/a, T-2, {SECRET}, hotp, 6\n"));
    assert_eq!(exported[0].as_ref().unwrap().user.as_ref().unwrap().as_str(), "bob@realm");
    let two = exported[1].as_ref().unwrap();
    assert_eq!((two.user.as_ref(), two.seed.expose()), (None, &b"12345678901234567890"[..]));
}

#[test]
fn rows_that_were_refused_read_again_in_every_layout() {
    for (text, first) in [
        (format!("T-1,{SECRET},45\n"), format!("T-1,{SECRET},30\n")),
        (
            "T-1,3132333435363738393031323334353637383930,totp,6,45\n".into(),
            "T-0,3132333435363738393031323334353637383930,totp,6,60\n".into(),
        ),
        (format!("user,serial,secret,interval\n,T-1,{SECRET},45\n"), String::new()),
    ] {
        let text = format!("{first}{text}");
        let mut reader = TokenCsv::new(text.as_bytes()).unwrap();
        let mut refused = reader.refused();
        while let Some(row) = reader.next() {
            if let Err(fault) = row {
                refused.add(reader.record(), &fault);
            }
        }
        let text = String::from_utf8(refused.into_octets()).unwrap();
        let [again] = <[_; 1]>::try_from(rows(&text)).unwrap();
        assert!(again.unwrap_err().ends_with("interval: takes 30 or 60"), "{text}");
        let [mended] = <[_; 1]>::try_from(rows(&text.replace(",45", ",60"))).unwrap();
        assert_eq!(&*mended.unwrap().serial, "T-1", "{text}");
    }
}

#[test]
fn spreadsheets_habits_are_taken() {
    let row = one(&format!("\u{feff}user;serial;secret;;\r\nalice;\"T-1\";{SECRET};;\r\n"));
    assert_eq!(&*row.serial, "T-1");
    assert_eq!(one(&format!("serial\tsecret\nT-1\t{SECRET}")).line, 2);
    assert!(fault("\u{0}").contains("names no columns"));
    let utf16 = TokenCsv::new(&b"\xff\xfeu\0s\0"[..]).unwrap_err();
    assert!(utf16.what.contains("UTF-16"));
}

#[test]
fn each_bad_row_is_named_by_line_and_column_and_the_rest_is_read() {
    let text = format!(
        "user,serial,secret,interval,digits,algorithm,type\n\
         ,T-1,{SECRET},45,,,\n\
         \n\
         ,T-2,{SECRET},,9,,\n\
         ,T-3,{SECRET},,,MD5,\n\
         ,T-4,{SECRET},,,,motp\n\
         ,T-5,not base32!,,,,\n\
         ,,{SECRET},,,,\n\
         ,T-7,,,,,\n\
         a\u{202e}b,T-8,{SECRET},,,,\n\
         ,T-9,{SECRET},,,,\n\
         ,T-10,{SECRET},,,,,surplus\n"
    );
    let rows = rows(&text);
    let faults: Vec<&str> = rows.iter().filter_map(|row| row.as_ref().err()).map(String::as_str).collect();
    assert_eq!(
        faults,
        [
            "line 2: interval: takes 30 or 60",
            "line 4: digits: takes 6, 7 or 8",
            "line 5: algorithm: takes SHA1, SHA256 or SHA512",
            "line 6: type: takes totp or hotp",
            "line 7: secret: the secret is not Base32 (letters A to Z and digits 2 to 7), or part of it is missing",
            "line 8: serial: is missing",
            "line 9: secret: is missing",
            "line 10: user: the user name holds control or invisible characters",
            "line 12: has 8 cells where the first line names 7",
        ]
    );
    assert_eq!(rows.iter().filter_map(|row| row.as_ref().ok()).map(|row| row.line).collect::<Vec<_>>(), [11]);
}

#[test]
fn lines_are_counted_through_crlf_and_empty_lines() {
    let text = format!("serial,secret\r\n\r\n\r\nT-1,{SECRET}\r\nT-2,{SECRET}\r\n\r\nT-3,{SECRET}");
    let lines: Vec<u64> = rows(&text).into_iter().map(|row| row.unwrap().line).collect();
    assert_eq!(lines, [4, 5, 7]);
    let text = format!("serial,secret\n\"T\n1\",{SECRET}\nT-2,{SECRET}\n");
    let lines: Vec<u64> = rows(&text).into_iter().filter_map(Result::ok).map(|row| row.line).collect();
    assert_eq!(lines, [4]);
}

#[test]
fn a_first_line_that_misses_or_misspells_a_column_is_refused() {
    assert_eq!(fault("user,serial\n"), "line 1: secret: the first line does not name this column");
    assert!(fault("user,serial,secret,intervall\n").starts_with("line 1: `intervall` is no column"));
    assert_eq!(fault("serial,secret,Serial Number\n"), "line 1: serial: is named twice");
    assert_eq!(fault(""), "line 1: the file is empty; its first line names the columns");
    assert!(fault("alice,T-1,x\n").contains("names no columns"));
}

#[test]
fn a_quote_that_is_never_closed_ends_the_file_and_not_the_memory() {
    let mut text = format!("serial,secret\nT-1,{SECRET}\n\"T-2,{SECRET}\n");
    text.push_str(&"T-3,x\n".repeat(50_000));
    let rows = rows(&text);
    assert_eq!(rows.len(), 2);
    assert!(rows[1].as_ref().unwrap_err().contains("never closed"), "{:?}", rows[1]);
}

#[test]
fn a_long_file_is_read_without_being_held() {
    struct Endless(u32, Vec<u8>);
    impl Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.1.is_empty() && self.0 < 100_000 {
                self.0 += 1;
                self.1 = format!("T-{},{SECRET}\n", self.0).into_bytes();
            }
            let taken = self.1.len().min(buffer.len());
            buffer[..taken].copy_from_slice(&self.1[..taken]);
            self.1.drain(..taken);
            Ok(taken)
        }
    }
    let file = io::BufReader::new(Endless(0, b"serial,secret\n".to_vec()));
    let last = TokenCsv::new(file).unwrap().map(Result::unwrap).last().unwrap();
    assert_eq!((last.line, &*last.serial), (100_001, "T-100000"));
}

/// A row of our own layout, cell by cell in the order of its columns.
fn cells(token: &Described, looks: u8) -> [String; 10] {
    let mut secret = seed::print(&token.seed);
    if looks & 1 > 0 {
        secret.extend(std::iter::repeat_n('=', (8 - secret.len() % 8) % 8));
    }
    if looks & 2 > 0 {
        secret = secret.to_lowercase();
    }
    if looks & 4 > 0 {
        secret = secret.as_bytes().chunks(4).map(String::from_utf8_lossy).collect::<Vec<_>>().join(" ");
    }
    let (kind, interval, counter) = match token.parameters.moving {
        Moving::Time { interval } => ("TOTP", interval.to_string(), String::new()),
        Moving::Counter => ("hotp", String::new(), token.counter.to_string()),
    };
    let text = |text: &Option<Arc<str>>| text.as_deref().unwrap_or_default().to_owned();
    [
        token.user.as_ref().map(ToString::to_string).unwrap_or_default(),
        token.serial.to_string(),
        secret,
        interval,
        token.parameters.digits.count().to_string(),
        token.parameters.algorithm.name().to_owned(),
        kind.to_owned(),
        counter,
        text(&token.manufacturer),
        text(&token.model),
    ]
}

fn described() -> impl Strategy<Value = Described> {
    let words = || proptest::option::of("[a-zA-Zäß&,;\"'][a-zA-Z0-9äß&,;\"' -]{0,12}[a-z,\"]");
    let texts = (proptest::option::of("[a-z,;\"é]{1,12}"), "[a-zA-Z0-9,;\"é-]{1,20}", words(), words());
    let numbers = (0..3_u8, 0..3_u8, 0..COUNTER_MAX);
    (proptest::collection::vec(any::<u8>(), 10..=64), texts, numbers).prop_map(|(seed, texts, numbers)| {
        let (kind, algorithm, counter) = numbers;
        Described {
            line: 0,
            user: texts.0.map(|user| UserName::canonical(user.as_bytes()).unwrap()),
            serial: texts.1.into(),
            seed: Secret::new(seed),
            parameters: Parameters {
                algorithm: [Algorithm::Sha1, Algorithm::Sha256, Algorithm::Sha512][usize::from(algorithm)],
                digits: Digits::new(6 + algorithm).unwrap(),
                moving: [Moving::Counter, Moving::Time { interval: 30 }, Moving::Time { interval: 60 }]
                    [usize::from(kind)],
            },
            counter: if kind == 0 { counter } else { 0 },
            drift: 0,
            label: None,
            expires: None,
            starts: None,
            manufacturer: texts.2.map(Into::into),
            model: texts.3.map(Into::into),
        }
    })
}

proptest! {
    #[test]
    fn what_is_written_reads_back_the_same_however_it_looks(
        tokens in proptest::collection::vec(described(), 1..5),
        order in Just((0..10_usize).collect::<Vec<_>>()).prop_shuffle(),
        delimiter in proptest::sample::select(b",;\t".to_vec()),
        looks in any::<u8>(),
    ) {
        let terminator = if looks & 8 > 0 { csv::Terminator::CRLF } else { csv::Terminator::Any(b'\n') };
        let mut writer =
            csv::WriterBuilder::new().delimiter(delimiter).terminator(terminator).from_writer(Vec::new());
        let name = |column: &usize| {
            let name = COLUMNS[*column].name;
            if looks & 16 > 0 { name.to_uppercase() } else { format!(" {name} ") }
        };
        writer.write_record(order.iter().map(name)).unwrap();
        for token in &tokens {
            let cells = cells(token, looks);
            writer.write_record(order.iter().map(|column| &cells[*column])).unwrap();
        }
        let mut file = if looks & 32 > 0 { b"\xef\xbb\xbf".to_vec() } else { Vec::new() };
        file.extend(writer.into_inner().unwrap());
        let rows: Result<Vec<Described>, _> = TokenCsv::new(&*file).unwrap().collect();
        let rows: Vec<Described> = rows.unwrap().into_iter().map(|row| Described { line: 0, ..row }).collect();
        prop_assert_eq!(rows, tokens);
    }

    #[test]
    fn no_file_panics(octets in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _rows = TokenCsv::new(&*octets).map(Iterator::count);
    }

    #[test]
    fn no_row_panics_or_shows_its_secret(cells in "[a-zA-Z0-9,;\"\r\n\t \u{feff}é=-]{0,120}") {
        let text = format!("user,serial,secret,interval,digits,algorithm,type\nu,s,HUNTER2HUNTER1{cells}");
        for fault in rows(&text).into_iter().filter_map(Result::err) {
            prop_assert!(!fault.contains("HUNTER2"), "{fault}");
        }
    }
}
