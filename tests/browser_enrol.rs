//! Setting up a second factor and looking after it in a real browser: the picture is read as a phone reads it, keys alone are enough,
//! a phone's screen is wide enough, and nothing needs a script.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod browser_support;
mod cli_support;
mod support;

use std::path::Path;
use std::process::Command;

use browser_support::{Browser, ENTER, Scheme, TAB};
use cli_support::Desk;
use support::process::program;
use support::{Process, code, free_port};

/// `u1` has a password and is invited.
fn house(name: &str) -> (Desk, Process, String, String) {
    let desk = Desk::new(name);
    desk.write("password", "correct horse\n");
    desk.write("secret", "a long shared secret");
    desk.ok("user add u1 --password-file password");
    let (radius, port) = (free_port(), free_port());
    let server = desk.serve(&format!(
        "serve --server-name test --listen 127.0.0.1:{radius} --portal listen=127.0.0.1:{port},public-url=http://localhost:{port} \
         --primary name=here,type=local --client name=nas,address=127.0.0.1,secret=file:secret"
    ));
    let url = format!("http://localhost:{port}");
    let said = desk.ok(&format!("user invite u1 --url {url}"));
    let link = said.lines().last().unwrap().trim().to_owned();
    (desk, server, url, link)
}

/// What a phone reads of the picture that is on the screen.
fn scanned(browser: &Browser) -> String {
    read(&browser.picture_of("img.qr", "enrol-qr"))
}

/// What a phone reads of a picture (Debian's `zbarimg`).
fn read(picture: &Path) -> String {
    let mut zbar = Command::new(program("zbarimg"));
    zbar.args(["--quiet", "--nodbus", "--raw", "-Sdisable", "-Sqrcode.enable"]).arg(picture);
    let ran = zbar.output().unwrap();
    assert!(ran.status.success(), "zbarimg reads nothing: {ran:?}");
    String::from_utf8(ran.stdout).unwrap().trim().to_owned()
}

#[test]
fn a_link_leads_to_a_picture_whose_codes_log_in_with_keys_alone_on_a_phone_without_scripts() {
    let (desk, _server, url, link) = house("browser-enrol");
    let browser = Browser::open(&desk.scratch);
    browser.scripts(false);
    browser.go(&link);
    assert!(browser.text().contains("u1"), "{}", browser.text());
    // Past the link that skips to the content.
    browser.press(&[TAB, TAB, ENTER]);
    browser.wait_for_text("What shall u1 log in with");
    assert!(!browser.overflows());
    browser.click("a[href='/setup/totp']");
    browser.wait_for_text("The six digits");
    assert!(!browser.overflows());
    assert!(browser.label("img.qr").contains("QR code"));
    assert!(browser.label("#code").contains("six digits"));
    browser.picture_for_guide("enrol-totp");
    let (uri, letters) = (scanned(&browser), browser.read("#letters").replace(' ', ""));
    assert!(uri.starts_with("otpauth://totp/localhost:u1?"), "{uri}");
    for said in ["issuer=localhost", "algorithm=SHA1", "digits=6", "period=30"] {
        assert!(uri.contains(said), "{said} in {uri}");
    }
    // What is scanned is what is used from here on, as an app would.
    let seed = uri.split(['?', '&']).find_map(|part| part.strip_prefix("secret=")).unwrap().to_owned();
    assert_eq!(seed, letters, "the picture says what the letters say");
    browser.scheme(Scheme::Dark);
    browser.reload();
    assert_eq!(scanned(&browser), uri, "in the dark as well, and a reload makes no other one");
    browser.scheme(Scheme::Light);
    browser.fill("#code", &code::wrong(&seed));
    browser.press(&[ENTER]);
    browser.wait_for_text("That code is not right");
    assert!(!desk.ok("user show u1").contains("app-"), "nothing is active before it is confirmed");
    browser.fill("#code", &code::now(&seed));
    browser.press(&[ENTER]);
    browser.wait_for_text("Your second factor is ready");
    let codes = browser.all("ul.codes li").len();
    assert_eq!(codes, 10);
    let recovery = browser.read("ul.codes li");
    assert!(!browser.overflows());
    assert!(desk.ok("user show u1").contains("app-"));

    browser.go(&link);
    browser.wait_for_text("This link is no good");
    browser.go(&format!("{url}/me"));
    browser.fill("#user", "u1");
    browser.press(&[TAB]);
    browser.fill("#password", "correct horse");
    browser.press(&[ENTER]);
    browser.wait_for_text("authenticator app");
    browser.fill("#code", &recovery);
    browser.press(&[ENTER]);
    let own = browser.wait_for_text("Recent logins");
    assert!(own.contains("app-") && own.contains("Recovery codes left: 9"), "{own}");
    assert!(!browser.overflows());
    browser.picture_for_guide("enrol-me");
    let foreign: Vec<String> = browser
        .requests()
        .into_iter()
        .filter(|asked| !asked.starts_with(&url) && !asked.starts_with("data:"))
        .collect();
    assert!(foreign.is_empty(), "{foreign:?}");
    let complaints = browser.complaints();
    assert!(complaints.iter().all(|line| line.contains("404") || line.contains("422")), "{complaints:?}");
}

/// What stands in a terminal with light letters on dark, as a picture: a letter is two dots, one above the other.
fn drawn(terminal: &str) -> Vec<u8> {
    /// How large a dot is drawn.
    const DOT: usize = 6;
    let lines: Vec<&str> = terminal.lines().filter(|line| line.contains(['█', '▀', '▄'])).collect();
    let across = lines.iter().map(|line| line.chars().count()).max().unwrap();
    let mut picture = format!("P5\n{} {}\n255\n", across * DOT, lines.len() * 2 * DOT).into_bytes();
    for line in lines {
        for lit in [['█', '▀'], ['█', '▄']] {
            let letters = line.chars().chain(std::iter::repeat(' ')).take(across);
            let row: Vec<u8> =
                letters.flat_map(|letter| [if lit.contains(&letter) { 255 } else { 0 }; DOT]).collect();
            (0..DOT).for_each(|_| picture.extend(&row));
        }
    }
    picture
}

#[test]
fn the_picture_in_a_terminal_is_the_link_beneath_it() {
    let desk = Desk::new("terminal-qr");
    desk.ok("user add u1");
    let said = desk.ok("user invite u1 --url https://mfa.example.com");
    let link = said.lines().last().unwrap().trim();
    assert!(link.starts_with("https://mfa.example.com/enrol/"), "{said}");
    let picture = desk.scratch.join("terminal.pgm");
    std::fs::write(&picture, drawn(&said)).unwrap();
    assert_eq!(read(&picture), link);
    let said = desk.ok("token add u1");
    std::fs::write(&picture, drawn(&said)).unwrap();
    let uri = said.lines().find(|line| line.starts_with("otpauth://")).unwrap();
    assert_eq!(read(&picture), uri);
}
