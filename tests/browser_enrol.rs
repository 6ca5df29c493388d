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

use browser_support::{Browser, ENTER, TAB};
use cli_support::Desk;
use qrcode::{Color, EcLevel, QrCode};
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

/// Whether the picture on the screen, as the browser has drawn it, is the code of `uri`, dot by dot.
fn shows(browser: &Browser, uri: &str) -> bool {
    /// What stands around a code, in dots, and how large a dot is drawn here.
    const QUIET: usize = 4;
    const DOT: usize = 8;
    let code = QrCode::with_error_correction_level(uri, EcLevel::M).unwrap();
    let across = code.width() + 2 * QUIET;
    let size = across * DOT;
    let drawn = browser.run(&format!(
        "const picture = document.querySelector('img.qr'), canvas = document.createElement('canvas');
         canvas.width = canvas.height = {size};
         const context = canvas.getContext('2d');
         context.fillStyle = 'white'; context.fillRect(0, 0, {size}, {size});
         context.drawImage(picture, 0, 0, {size}, {size});
         const dots = context.getImageData(0, 0, {size}, {size}).data;
         let text = '';
         for (let y = {DOT} / 2; y < {size}; y += {DOT})
           for (let x = {DOT} / 2; x < {size}; x += {DOT}) text += dots[4 * (y * {size} + x)] < 128 ? '1' : '0';
         return text;"
    ));
    let drawn = drawn.as_str().unwrap().as_bytes().to_vec();
    assert_eq!(drawn.len(), across * across);
    let inside = |place: usize| (QUIET..QUIET + code.width()).contains(&place);
    (0..across * across).all(|at| {
        let (x, y) = (at % across, at / across);
        let dark = inside(x) && inside(y) && code[(x - QUIET, y - QUIET)] == Color::Dark;
        (drawn[at] == b'1') == dark
    })
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
    let seed = browser.read("#letters").replace(' ', "");
    let uri = |seed: &str| {
        let rest = "issuer=localhost&algorithm=SHA1&digits=6&period=30";
        format!("otpauth://totp/localhost:u1?secret={seed}&{rest}")
    };
    assert!(shows(&browser, &uri(&seed)), "the picture says what the letters say");
    let other: String = seed.chars().rev().collect();
    assert!(!shows(&browser, &uri(&other)), "and nothing else");
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
