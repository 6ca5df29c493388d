//! PSKC with two implementations that share nothing with ours: Debian's pskctool (OATH Toolkit) and python-pskc.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking"
)]

mod cli_support;
mod support;

use std::path::Path;
use std::process::Command;

use cli_support::Desk;
use serde_json::Value;
use support::process::{Finished, LOGIN, program, run};

const SEED: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
const HEX: &str = "3132333435363738393031323334353637383930";

/// Runs a script with python-pskc in the directory of the test.
fn python(desk: &Desk, script: &str) -> Finished {
    let python = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("python/bin/python");
    assert!(python.is_file(), "{} is missing; tests/run makes it", python.display());
    let mut command = Command::new(python);
    command.args(["-c", script]).current_dir(desk.scratch.path());
    run(command, "", &desk.scratch, LOGIN).expect_success("python-pskc")
}

fn pskctool(desk: &Desk, arguments: &[&str]) -> Finished {
    let mut command = Command::new(program("pskctool"));
    command.args(arguments).current_dir(desk.scratch.path());
    run(command, "", &desk.scratch, LOGIN)
}

fn tokens(desk: &Desk) -> Value {
    serde_json::from_str(&desk.ok("token list --format json")).unwrap()
}

/// Two tokens as python-pskc writes them, `setup` in between.
fn written(setup: &str) -> String {
    format!(
        "from pskc import PSKC\n\
         pskc = PSKC()\n\
         key = pskc.add_key(id='1', serial='P-1', manufacturer='Acme', model='M1', algorithm='urn:ietf:params:xml:ns:keyprov:pskc:totp', response_length=8,\
         response_encoding='DECIMAL', time_interval=60, time_offset=0, algorithm_suite='HMAC-SHA256', key_userid='UID=alice,DC=x')\n\
         key.secret = bytes.fromhex('{HEX}')\n\
         key = pskc.add_key(id='2', serial='P-2', algorithm='urn:ietf:params:xml:ns:keyprov:pskc:hotp', response_length=6, response_encoding='DECIMAL', counter=41)\n\
         key.secret = bytes.fromhex('{HEX}')\n\
         {setup}\n\
         pskc.write('file.xml')\n"
    )
}

fn check(desk: &Desk) {
    let tokens = tokens(desk);
    assert_eq!(tokens.as_array().unwrap().len(), 2, "{tokens}");
    assert_eq!((&tokens[0]["serial"], &tokens[0]["user"]), (&"P-1".into(), &"alice".into()));
    assert_eq!((&tokens[0]["algorithm"], &tokens[0]["interval"]), (&"SHA256".into(), &60.into()));
    assert_eq!((&tokens[1]["type"], &tokens[1]["digits"]), (&"hotp".into(), &6.into()));
}

#[test]
fn plain_files_of_python_pskc_are_read() {
    let desk = Desk::new("pskc-python-plain");
    python(&desk, &written(""));
    desk.ok("token import file.xml");
    check(&desk);
}

#[test]
fn files_of_python_pskc_under_a_pre_shared_key_are_read_with_each_cipher_and_mac() {
    for (cipher, digits, mac) in [
        ("aes128-cbc", 32, "hmac-sha1"),
        ("aes192-cbc", 48, "hmac-sha256"),
        ("aes256-cbc", 64, "hmac-sha512"),
    ] {
        let desk = Desk::new("pskc-python-key");
        let key = "0123456789abcdef".repeat(4)[..digits].to_owned();
        let setup = format!(
            "pskc.mac.setup(algorithm='{mac}')\n\
             pskc.encryption.setup_preshared_key(key=bytes.fromhex('{key}'), algorithm='{cipher}', key_name='shared',\
             fields=['secret', 'counter'])"
        );
        python(&desk, &written(&setup));
        desk.write("key", &key);
        desk.write("other", &key.replace('0', "1"));
        let wrong = desk.fails("token import file.xml --key-file other", 1);
        assert!(wrong.contains("the key is wrong, or the file was changed"), "{cipher}: {wrong}");
        desk.ok("token import file.xml --key-file key");
        check(&desk);
    }
}

#[test]
fn files_of_python_pskc_under_a_passphrase_are_read_whatever_the_hash() {
    for prf in ["hmac-sha1", "hmac-sha256"] {
        let desk = Desk::new("pskc-python-passphrase");
        let setup = format!("pskc.encryption.setup_pbkdf2('correct horse', iterations=2000, prf='{prf}')");
        python(&desk, &written(&setup));
        desk.write("passphrase", "correct horse\n");
        desk.ok("token import file.xml --passphrase-file passphrase");
        check(&desk);
    }
}

#[test]
fn what_is_exported_is_read_by_python_pskc_and_understood_by_pskctool() {
    let desk = Desk::new("pskc-export");
    desk.write(
        "tokens.csv",
        &format!("user,serial,secret,interval,digits,type,counter\nalice,E-1,{SEED},60,8,totp,\n,E-2,{SEED},,,hotp,41\n"),
    );
    desk.ok("token import tokens.csv");
    desk.write("passphrase", "correct horse battery\n");
    for cipher in ["aes-128", "aes-256"] {
        desk.ok(&format!(
            "token export --with-secrets {cipher}.xml --passphrase-file passphrase --rounds 100000 --cipher {cipher}"
        ));
        let read = python(
            &desk,
            &format!(
                "from pskc import PSKC\n\
                 pskc = PSKC('{cipher}.xml')\n\
                 pskc.encryption.derive_key('correct horse battery')\n\
                 for key in pskc.keys:\n\
                 \x20   print(key.serial, key.secret.hex(), key.check(), key.algorithm.split(':')[-1], key.response_length,\
                 key.counter, key.time_interval, key.key_userid)\n"
            ),
        );
        assert_eq!(
            read.stdout,
            format!("E-1 {HEX} True totp 8 None 60 UID=alice\nE-2 {HEX} True hotp 6 41 None None\n"),
            "{cipher}"
        );
        let file = format!("{cipher}.xml");
        let valid = pskctool(&desk, &["--validate", &file]).expect_success("pskctool --validate");
        assert_eq!(valid.stdout, "OK\n", "by the schema of RFC 6030: {}", valid.transcript());
        // It knows nothing of encrypted values, and says so.
        let shown = pskctool(&desk, &["--info", &file]).expect_success("pskctool --info").stdout;
        for line in ["SerialNo: E-1", "Key TimeInterval: 60", "SerialNo: E-2", "Key Counter: 41"] {
            assert!(shown.contains(line), "{shown}");
        }
    }
}

#[test]
fn what_pskctool_prints_of_our_fixtures_is_what_we_import() {
    let desk = Desk::new("pskc-pskctool");
    let path = format!("{}/tests/pskc/figure-10.xml", env!("CARGO_MANIFEST_DIR"));
    // It writes the container anew when it signs: that is a file of its own making.
    run(
        {
            let mut command = Command::new("openssl");
            command.args(
                "req -x509 -newkey rsa:2048 -nodes -subj /CN=test -keyout key.pem -out crt.pem -days 2"
                    .split(' '),
            );
            command.current_dir(desk.scratch.path());
            command
        },
        "",
        &desk.scratch,
        LOGIN,
    )
    .expect_success("openssl");
    let signed = pskctool(&desk, &["--sign", "--sign-key", "key.pem", "--sign-crt", "crt.pem", &path]);
    let signed = signed.expect_success("pskctool --sign").stdout;
    desk.write("signed.xml", &signed);
    let shown = pskctool(&desk, &["--info", "signed.xml"]).expect_success("pskctool").stdout;
    let ran = desk.run("token import signed.xml").expect_success("import");
    assert!(ran.stderr.contains("the file's signature is not checked"), "{}", ran.stderr);
    let tokens = tokens(&desk);
    for serial in ["123456", "654321", "9999999"] {
        assert!(shown.contains(&format!("SerialNo: {serial}")), "{shown}");
        assert!(tokens.as_array().unwrap().iter().any(|token| token["serial"] == serial), "{tokens}");
    }
}
