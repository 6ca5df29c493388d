//! `radmfa` with no server: help, completions, man pages, dictionaries.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and asks the real clock for the codes of this moment"
)]

mod cli_support;
mod support;

use std::fs;

use cli_support::Desk;

#[test]
fn help_names_every_command_and_no_command_is_a_mistake() {
    let desk = Desk::new("cli-help");
    let help = desk.ok("--help");
    for command in [
        "serve",
        "quickstart",
        "check",
        "user",
        "channel",
        "token",
        "store",
        "login",
        "dictionary",
        "completions",
        "man",
    ] {
        assert!(help.contains(&format!("\n  {command} ")), "{command} is missing:\n{help}");
    }
    assert!(desk.fails("", 2).contains("Usage: radmfa <COMMAND>"));
    assert!(desk.fails("serv", 2).contains("serve"));
    assert!(desk.ok("--version").starts_with("radmfa "));
}

#[test]
fn completions_and_man_pages_follow_the_commands() {
    let desk = Desk::new("cli-generated");
    for shell in ["bash", "zsh", "fish"] {
        let script = desk.ok(&format!("completions {shell}"));
        assert!(script.contains("quickstart") && script.contains("totp-secret-file"), "{shell}");
    }
    assert!(desk.fails("completions tcsh", 2).contains("possible values"));
    assert!(desk.ok("man pages/new").contains("pages written to pages/new"));
    let mut pages: Vec<String> = fs::read_dir(desk.scratch.join("pages/new"))
        .unwrap()
        .map(|page| page.unwrap().file_name().into_string().unwrap())
        .collect();
    pages.sort();
    for page in ["radmfa.1", "radmfa-serve.1", "radmfa-token-import.1", "radmfa-user-unlock.1"] {
        assert!(pages.iter().any(|found| found == page), "{page} is missing among {pages:?}");
    }
    assert!(desk.read("pages/new/radmfa-login.1").contains("totp\\-secret\\-file"));
    desk.write("file", "");
    assert!(desk.fails("man file", 1).contains("file cannot be made"));
}

#[test]
fn an_attribute_is_found_by_name_number_and_vendor() {
    let desk = Desk::new("cli-dictionary");
    for wanted in ["Cisco-AVPair", "cisco-avpair", "26.9.1", "9.1", "Cisco.1"] {
        let shown = desk.ok(&format!("dictionary show {wanted}"));
        assert!(shown.starts_with("Cisco-AVPair\n  number     26.9.1\n  vendor     Cisco (9)\n"), "{shown}");
    }
    let prompt = desk.ok("dictionary show 76");
    assert!(prompt.contains("No-Echo") && prompt.contains("Echo"), "{prompt}");
    assert!(desk.ok("dictionary show Tunnel-Password").contains("encrypted  as tunnel-password"));
    assert_eq!(
        desk.fails("dictionary show Filtr-Id", 1),
        "error: there is no attribute Filtr-Id\n  hint: did you mean `Filter-Id`?\n"
    );
    assert!(desk.fails("dictionary show 9999999.1", 1).contains("there is no attribute"));
}

#[test]
fn attributes_are_listed_for_people_and_programs() {
    let desk = Desk::new("cli-dictionary-list");
    let all = desk.ok("dictionary list");
    assert!(all.starts_with("NUMBER ") && all.contains("User-Name"));
    let cisco: serde_json::Value =
        serde_json::from_str(&desk.ok("dictionary list --vendor cisco --format json")).unwrap();
    assert!(cisco.as_array().unwrap().iter().all(|row| row["vendor"] == "Cisco"));
    assert!(desk.ok("dictionary list --format csv").contains("\n1,User-Name,text,,\n"));
    assert!(desk.fails("dictionary list --vendor nobody", 1).contains("there are "));
}

#[test]
fn a_dictionary_of_the_admins_own_is_added_or_its_fault_named_by_line() {
    let desk = Desk::new("cli-dictionary-file");
    desk.write(
        "ours",
        "VENDOR Ours 64999\nBEGIN-VENDOR Ours\nATTRIBUTE Ours-Realm 7 string\nEND-VENDOR Ours\n",
    );
    assert!(desk.ok("dictionary show Ours-Realm --dictionary ours").contains("26.64999.7"));
    desk.write("broken", "VENDOR Ours 64999\nATTRIBUTE Ours-Realm 7 strng\n");
    let fault = desk.fails("dictionary show User-Name --dictionary broken", 2);
    assert!(
        fault.starts_with("error: broken:2: ") && fault.contains("hint: did you mean `string`?"),
        "{fault}"
    );
    assert!(desk.fails("dictionary list --dictionary missing", 2).contains("missing"));
}
