//! What holds for every page that a person sees, in a real browser: fit for a phone, for keys alone, for a screen reader, in light and
//! dark, and without scripts. Which pages there are comes from the table that the program serves by (`portal/ways.rs`).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and asks the real clock for the codes of this moment"
)]

mod browser_support;
mod cli_support;
mod pages_support;
mod support;

use std::collections::BTreeSet;

use browser_support::{Browser, ENTER, Scheme, TAB};
use pages_support::estate::{PASSWORD, sample};
use pages_support::{Estate, SEED, by_name};
use radmfa::portal::ways::{ADMIN, PORTAL, Way};
use serde_json::Value;
use support::code;

/// What GETs answer with something else than a page.
const NO_PAGES: &[&str] = &[
    "/sms/{channel}",
    "/voice/{channel}",
    "/device/sw.js",
    "/device/manifest.webmanifest",
    "/device/api/about",
    "/setup/qr.svg",
    "/api/{*rest}",
];

/// Looks at the page that is there as somebody would who cannot see it, or has nothing but keys; what is wrong with it.
const CHECKS: &str = r"
const wrong = [];
const say = (what, element) => wrong.push(what + (element ? ': ' + element.outerHTML.slice(0, 160) : ''));
const shown = (element) => element.checkVisibility() && element.getBoundingClientRect().width > 0;
if (!document.documentElement.lang) say('no language');
if (!document.title.trim()) say('no title');
if (document.querySelectorAll('h1').length !== 1) say('not one h1 but ' + document.querySelectorAll('h1').length);
if (document.querySelectorAll('main').length !== 1) say('not one main');
let level = 0;
for (const heading of document.querySelectorAll('h1, h2, h3, h4')) {
  const own = Number(heading.tagName[1]);
  if (own > level + 1) say('a heading skips a level', heading);
  level = own;
}
const ids = [...document.querySelectorAll('[id]')].map((element) => element.id);
if (new Set(ids).size !== ids.length) say('an id stands twice: ' + ids.join(' '));
for (const name of ['aria-labelledby', 'aria-describedby', 'for'])
  for (const element of document.querySelectorAll('[' + name + ']'))
    for (const id of element.getAttribute(name).split(' '))
      if (!document.getElementById(id)) say(name + ' names nothing', element);
for (const field of document.querySelectorAll('input:not([type=hidden]), select, textarea')) {
  const named = field.labels.length > 0 && [...field.labels].some((label) => label.textContent.trim());
  if (!named && !field.getAttribute('aria-label')) say('a field without a label', field);
}
for (const control of document.querySelectorAll('button, a[href], summary')) {
  if (!(control.textContent.trim() || control.getAttribute('aria-label'))) say('nothing to call it by', control);
}
for (const picture of document.querySelectorAll('img, svg[role=img]'))
  if (!(picture.getAttribute('alt') || picture.getAttribute('aria-label'))) say('a picture without words', picture);
for (const head of document.querySelectorAll('th')) if (!head.scope) say('a head of nothing', head);
for (const element of document.querySelectorAll('[tabindex]'))
  if (element.tabIndex > 0) say('an order of its own', element);
const root = document.documentElement;
if (root.scrollWidth > root.clientWidth) say('wider than the screen: ' + root.scrollWidth);
for (const element of document.querySelectorAll('main *')) {
  const box = element.getBoundingClientRect();
  if (shown(element) && box.right > root.clientWidth + 1 && !element.closest('.scroll') && !element.closest('svg')) say('beyond the edge', element);
}
for (const control of document.querySelectorAll('button, a.button, input:not([type=hidden]):not([type=checkbox]):not([type=radio]), select')) {
  const box = control.getBoundingClientRect();
  if (shown(control) && (box.height < 44 || box.width < 44)) say('too small for a thumb', control);
}
const light = (color) => {
  const parts = color.match(/[\d.]+/g).map(Number);
  const [red, green, blue] = parts.map((part) => part / 255).map((part) => part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
};
const ground = (element) => {
  for (let place = element; place; place = place.parentElement) {
    const color = getComputedStyle(place).backgroundColor;
    if (!/, 0\)$|transparent/.test(color)) return color;
  }
  return getComputedStyle(root).colorScheme === 'dark' ? 'rgb(0, 0, 0)' : 'rgb(255, 255, 255)';
};
for (const element of document.querySelectorAll('body *')) {
  const words = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
  if (!words || !shown(element) || element.closest('svg, noscript, .skip')) continue;
  const [one, other] = [light(getComputedStyle(element).color), light(ground(element))];
  const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
  if (contrast < 4.5) say('hard to read, ' + contrast.toFixed(1), element);
}
return wrong;
";

/// Where the focus is, in a word, and whether it is seen.
const FOCUS: &str = r"
const one = document.activeElement;
if (!one || one === document.body || one === document.documentElement) return null;
const style = getComputedStyle(one), box = one.getBoundingClientRect();
const ring = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;
const all = [...document.querySelectorAll('*')];
return [all.indexOf(one), ring && box.width > 0, one.outerHTML.slice(0, 120)];
";

/// What is wrong with the page that is there, in light and dark.
fn check(browser: &Browser, path: &str) {
    for scheme in [Scheme::Light, Scheme::Dark] {
        browser.scheme(scheme);
        let wrong = browser.run(CHECKS);
        let none = wrong.as_array().is_some_and(Vec::is_empty);
        assert!(none, "{path} in {scheme:?}: {wrong:#}\n{}", browser.source());
    }
    browser.scheme(Scheme::Light);
    // Tab goes through all that can be used, once each and in the order of the page, and is seen where it is.
    let can = browser.run(
        "const all = [...document.querySelectorAll('*')];
         const one = (element) => element.matches('a[href], button:not(:disabled), input:not([type=hidden]):not(:disabled), select, textarea, summary, [tabindex=\"0\"]');
         return all.map((element, at) => [element, at]).filter(([element]) => one(element) && element.checkVisibility()).map(([, at]) => at);",
    );
    let can: Vec<u64> = can.as_array().unwrap().iter().map(|place| place.as_u64().unwrap()).collect();
    browser.run("document.activeElement.blur(); getSelection().removeAllRanges(); window.scrollTo(0, 0);");
    let mut seen = Vec::new();
    // From wherever the focus was, to the end and around.
    for _ in 0..can.len() + 3 {
        browser.press(&[TAB]);
        let focus: Value = browser.run(FOCUS);
        let Some(place) = focus[0].as_u64() else { continue };
        if seen.contains(&place) {
            break;
        }
        assert_eq!(focus[1], true, "{path}: the focus is not seen at {}", focus[2]);
        seen.push(place);
    }
    let (reached, all) = (seen.iter().collect::<BTreeSet<_>>(), can.iter().collect::<BTreeSet<_>>());
    let missed: Vec<_> = all.difference(&reached).collect();
    assert!(missed.is_empty(), "{path}: Tab does not come to {missed:?} of {can:?}, but to {seen:?}");
    // It goes down the page, and around at most once.
    let turns = seen.windows(2).filter(|pair| pair[1] < pair[0]).count();
    assert!(turns <= 1, "{path}: {seen:?}");
}

/// The pages of `ways`, by their paths.
fn pages<'a>(ways: &'static [Way], estate: &'a Estate) -> impl Iterator<Item = (&'static Way, String)> + 'a {
    let pages = ways.iter().filter(|way| way.get.is_some() && !NO_PAGES.contains(&way.path));
    pages.map(|way| (way, sample(way, estate)))
}

/// Goes to each page and looks at it; how many there were.
fn walk(browser: &Browser, estate: &Estate, ways: &'static [Way], base: &str, more: &[&str]) -> usize {
    let mut paths: Vec<String> = pages(ways, estate).map(|(_, path)| path).collect();
    paths.extend(more.iter().map(|path| (*path).to_owned()));
    for path in &paths {
        browser.go(&format!("{base}{path}"));
        check(browser, path);
        let name = path.trim_matches('/').replace(['/', '?', '='], "-");
        let short = name.get(..24).unwrap_or(&name);
        browser.picture(&format!("page-{}", if short.is_empty() { "front" } else { short }));
    }
    paths.len()
}

fn log_in(browser: &Browser, base: &str, path: &str, user: &str) {
    browser.go(&format!("{base}{path}"));
    browser.fill("#user", user);
    browser.fill("#password", PASSWORD);
    browser.press(&[ENTER]);
    browser.fill("#code", &code::now(SEED));
    browser.press(&[ENTER]);
    browser.find("form[action$='/logout']");
}

#[test]
fn every_page_of_the_portal_fits_a_phone_and_whoever_cannot_see_or_has_keys_alone() {
    let estate = Estate::open("pages-portal");
    let base = by_name(&estate.portal);
    let browser = Browser::open(&estate.desk.scratch);
    // Nobody is known yet.
    let strange = walk(&browser, &estate, PORTAL, &base, &["/nowhere", "/enrol/AAAAAAAAAAAAAAAAAAAAAHUx"]);
    // By an invitation.
    browser.go(&format!("{base}{}", estate.invitation("ivy")));
    browser.click("main form button");
    browser.find("a[href='/setup/totp']");
    for path in ["/setup", "/setup/totp", "/setup/phone"] {
        browser.go(&format!("{base}{path}"));
        check(&browser, path);
    }
    // Logged in.
    log_in(&browser, &base, "/me", "alice");
    let known = walk(&browser, &estate, PORTAL, &base, &[]);
    assert!(strange > known && known >= 8, "{strange} {known}");
}

#[test]
fn every_page_of_the_admins_fits_a_phone_and_whoever_cannot_see_or_has_keys_alone() {
    let estate = Estate::open("pages-admin");
    let base = by_name(&estate.admin);
    let browser = Browser::open(&estate.desk.scratch);
    browser.go(&base);
    check(&browser, "/ before a login");
    log_in(&browser, &base, "/", "olga");
    estate.desk.ok(
        "user block carol --for 1h --reason a-long-reason-that-does-not-fit-into-one-line-of-a-telephone",
    );
    let more = ["/user?name=alice", "/user?name=carol", "/user?name=petra", "/users?q=a", "/nowhere"];
    let known = walk(&browser, &estate, ADMIN, &base, &more);
    assert!(known >= 10, "{known}");
}

#[test]
fn nothing_but_an_answer_by_a_device_needs_a_script() {
    let estate = Estate::open("pages-plain");
    let (portal, admin) = (by_name(&estate.portal), by_name(&estate.admin));
    let browser = Browser::open(&estate.desk.scratch);
    browser.scripts(false);
    // The page that a notification opens.
    browser.go(&format!("{portal}{}", estate.notification().0));
    browser.click("button[value=deny]");
    browser.wait_for_text("Denied");
    browser.go(&format!("{portal}/device"));
    browser.wait_for_text("needs JavaScript");
    // A user's own page, in another language from there on.
    log_in(&browser, &portal, "/me", "alice");
    browser.click("#language option[value=hu]");
    browser.click("form[action='/me/settings'] button");
    browser.wait_for_text("Legutóbbi belépések");
    browser.click("form[action='/me/codes'] button");
    browser.find("ul.codes");
    browser.go(&format!("{portal}/me"));
    browser.click("form[action='/me/logout'] button");
    browser.find("#password");
    // What an admin does.
    log_in(&browser, &admin, "/", "olga");
    browser.fill("#q", "caro");
    browser.press(&[ENTER]);
    browser.click("tbody a");
    browser.click("#act option[value=disable]");
    browser.fill("#reason", "no script");
    browser.press(&[ENTER]);
    browser.wait_for_text("Done.");
    assert!(estate.desk.ok("user show carol").contains("disabled"), "it is done");
    browser.click("form[action='/logout'] button");
    browser.find("#password");
}
