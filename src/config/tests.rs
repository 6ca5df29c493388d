//! The whole way from text to settings, by text fixtures (`fixtures/*.txt`, explained in the first of them).

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use clap::{Args, Command, FromArgMatches};

use super::*;
use crate::base::messages::Language;
use crate::base::time::UnixTime;

/// A machine called `mfa-a` with 16 cores, on 2026-01-01, whose name server knows `nps.example` alone.
struct Imagined {
    variables: HashMap<String, String>,
    host_name: Option<String>,
}

impl Default for Imagined {
    fn default() -> Imagined {
        Imagined { variables: HashMap::new(), host_name: Some("mfa-a".into()) }
    }
}

impl Surroundings for Imagined {
    fn variable(&self, name: &str) -> Option<String> {
        self.variables.get(name).cloned()
    }

    fn host_name(&self) -> Option<String> {
        self.host_name.clone()
    }

    fn look_up(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        match host {
            "nps.example" => Ok(["192.0.2.7", "192.0.2.8", "2001:db8::7"]
                .iter()
                .map(|address| SocketAddr::new(address.parse().unwrap(), port))
                .collect()),
            _ => Err(io::Error::other("no such name")),
        }
    }

    fn now(&self) -> UnixTime {
        UnixTime::from_secs(1_767_225_600)
    }

    fn cores(&self) -> usize {
        16
    }
}

/// A directory of its own, removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Scratch {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("radmfa-config-{}-{count}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }

    fn write(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    /// `text` as it would read with this directory as the working directory.
    fn relative(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.0.display()), "")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _left_behind = std::fs::remove_dir_all(&self.0);
    }
}

/// What stands under one `==` of a fixture.
#[derive(Default)]
struct Case<'a> {
    title: &'a str,
    sections: Vec<(&'a str, String)>,
}

impl Case<'_> {
    fn section(&self, name: &str) -> Option<&str> {
        self.sections.iter().find(|(known, _)| *known == name).map(|(_, text)| text.as_str())
    }
}

fn cases(text: &str) -> Vec<Case<'_>> {
    let mut cases: Vec<Case<'_>> = Vec::new();
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("== ") {
            cases.push(Case { title, sections: Vec::new() });
        } else if let (Some(case), Some(name)) = (cases.last_mut(), line.strip_prefix("-- ")) {
            case.sections.push((name, String::new()));
        } else if let Some((_, text)) = cases.last_mut().and_then(|case| case.sections.last_mut()) {
            writeln!(text, "{line}").unwrap();
        }
    }
    cases
}

fn flags(arguments: &[&str]) -> ServeFlags {
    let command = ServeFlags::augment_args(Command::new("serve").no_binary_name(true));
    ServeFlags::from_arg_matches(&command.try_get_matches_from(arguments).unwrap()).unwrap()
}

fn load_text(file: &str) -> Result<(Effective, Vec<Warning>), ConfigErrors> {
    let scratch = Scratch::new();
    load(&ServeFlags::file(scratch.write("radmfa.toml", file, 0o600)), &Imagined::default())
}

fn lines_of(text: &str) -> Vec<&str> {
    text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect()
}

fn words_of(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

/// What is not as the case says, as it is.
fn check(case: &Case<'_>) -> String {
    let mut report = String::new();
    let scratch = Scratch::new();
    let mut around = Imagined::default();
    for line in case.section("environment").unwrap_or_default().lines().filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once('=').unwrap();
        around.variables.insert(name.into(), value.into());
    }
    for (name, text) in &case.sections {
        if let ["beside", name, mode] = words_of(name)[..] {
            scratch.write(name, text, u32::from_str_radix(mode, 8).unwrap());
        }
    }
    let file = case.section("file").map(|text| scratch.write("radmfa.toml", text, 0o600));
    let file = file.or(case.section("file 644").map(|text| scratch.write("radmfa.toml", text, 0o644)));
    let mut arguments: Vec<String> = Vec::new();
    if let Some(path) = &file {
        arguments.extend(["--config".into(), path.display().to_string()]);
    }
    for line in case.section("flags").unwrap_or_default().lines().filter(|line| !line.is_empty()) {
        let (flag, value) = line.split_once(' ').unwrap();
        arguments.extend([flag.to_owned(), value.to_owned()]);
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();

    let (errors, warnings, shown, saved) = match load(&flags(&arguments), &around) {
        Ok((effective, warnings)) => {
            let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
            (String::new(), warnings.join("\n"), effective.show(), effective.toml())
        }
        Err(errors) => (errors.to_string(), String::new(), String::new(), String::new()),
    };
    let mut compare = |name: &str, text: &str| {
        let text = scratch.relative(text);
        if lines_of(&text) != lines_of(case.section(name).unwrap_or_default()) {
            write!(report, "\n== {}\n-- {name}\n{text}\n", case.title).unwrap();
        }
    };
    compare("errors", &errors);
    compare("warnings", &warnings);
    if case.section("saved").is_some() {
        compare("saved", &saved);
    }
    let shown = scratch.relative(&shown);
    for line in lines_of(case.section("shows").unwrap_or_default()) {
        if !shown.lines().any(|other| words_of(other) == words_of(line)) {
            write!(report, "\n== {}\n(no line `{line}`)\n{shown}", case.title).unwrap();
        }
    }
    report
}

fn check_file(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config/fixtures").join(name);
    let text = std::fs::read_to_string(path).unwrap();
    let cases = cases(&text);
    assert!(!cases.is_empty(), "{name} holds no case");
    let report: String = cases.iter().map(check).collect();
    assert!(report.is_empty(), "{name} says something else than what is:\n{report}");
}

#[test]
fn good_configurations_come_to_what_they_say() {
    check_file("good.txt");
}

#[test]
fn bad_configurations_are_refused_with_place_and_hint() {
    check_file("bad.txt");
}

#[test]
fn bad_flags_are_refused_with_place_and_hint() {
    check_file("bad-flags.txt");
}

#[test]
fn channels_are_read_with_their_presets_and_refused_with_their_reasons() {
    check_file("channels.txt");
}

#[test]
fn what_is_asked_on_the_phone_is_read_from_files_and_flags() {
    check_file("asking.txt");
}

#[test]
fn doubtful_configurations_draw_warnings() {
    check_file("warnings.txt");
}

const GOOD: &str = "
    listen = \"127.0.0.1:1812\"
    [[client]]
    name = \"nas\"
    address = \"127.0.0.1\"
    secret = \"testing123testing123\"
    [[primary]]
    name = \"up\"
    type = \"local\"
";

#[test]
fn what_is_saved_comes_to_the_same_again() {
    let scratch = Scratch::new();
    scratch.write("nas.secret", "0123456789abcdef\n", 0o600);
    let written = flags(&[
        "--listen",
        "127.0.0.1:1812,[::1]:1812",
        "--client",
        &format!(
            "nas,address=10.0.0.0/24,address=::1,secret=file:{0}/nas.secret,previous-secret=file:{0}/nas.secret,\
             previous-secret-until=2026-08-31,profile=cisco-asa,prompt=\"Code, \\\"please\\\":\",tries=2,challenge=true",
            scratch.0.display()
        ),
        "--primary",
        &format!(
            "up,type=radius,server=nps.example,secret=file:{}/nas.secret,dead-time=90s",
            scratch.0.display()
        ),
        "--lockout",
        "free=3,wait-max=2h",
    ]);
    let (effective, _) = load(&written, &Imagined::default()).unwrap();
    let (again, _) = load_text(&effective.toml()).unwrap();
    let without_origins = |effective: &Effective| -> Vec<String> {
        effective
            .show()
            .lines()
            .map(|line| line.split("  #").next().unwrap_or_default().trim().to_owned())
            .collect()
    };
    assert_eq!(without_origins(&again), without_origins(&effective));
    assert_eq!(again.toml(), effective.toml());
    assert_eq!(again.server.clients[0].policy, effective.server.clients[0].policy);
    assert_eq!(again.server.clients[0].policy.login.question(Language::ENGLISH), "Code, \"please\":");
}

#[test]
fn what_check_shows_is_toml_without_secrets() {
    let (effective, _) = load_text(GOOD).unwrap();
    let shown = effective.show();
    assert!(shown.parse::<toml::Table>().is_ok(), "{shown}");
    assert!(!shown.contains("testing123"), "{shown}");
    assert!(!effective.toml().contains("testing123"));
    assert!(!format!("{effective:?}").contains("testing123"));
}

#[test]
fn no_error_shows_a_secret() {
    let places = ["secret", "sercet", "previous-secret", "seal-key", "password"];
    for key in places {
        for line in [
            format!("{key} = \"hunter2hunter2\""),
            format!("{key} = [\"hunter2hunter2\"]"),
            format!("{key} = {{ x = \"hunter2hunter2\" }}"),
        ] {
            let errors =
                load_text(&format!("{line}\n[[client]]\n{line}\n[[primary]]\n{line}\n")).unwrap_err();
            assert!(!errors.to_string().contains("hunter2"), "{errors}");
        }
        for text in [
            format!("{key}=hunter2"),
            format!("name=x,{key}=hunter2,{key}=hunter2"),
            format!("x,{key}='hunter2"),
            "x,hunter2".into(),
        ] {
            let errors = load(&flags(&["--client", &text]), &Imagined::default()).unwrap_err();
            assert!(!errors.to_string().contains("hunter2"), "{errors}");
        }
    }
}

#[test]
fn a_server_that_runs_keeps_its_sockets_store_and_name() {
    let (old, _) = load_text(GOOD).unwrap();
    let changed = |file: &str| {
        let (new, _) = load_text(file).unwrap();
        refuses_reload(&old, &new).map(|fault| fault.what)
    };
    assert_eq!(changed(&GOOD.replace("\"nas\"", "\"gateway\"")), None);
    assert_eq!(
        changed(&GOOD.replace("1812", "1645")).as_deref(),
        Some("cannot change from [\"127.0.0.1:1812\"] to [\"127.0.0.1:1645\"] while radmfa runs")
    );
    assert_eq!(
        changed(&format!("store = \"memory:\"\n{GOOD}")).as_deref(),
        Some("cannot change from \"sqlite:/var/lib/radmfa/radmfa.db\" to \"memory:\" while radmfa runs")
    );
    assert_eq!(
        changed(&format!("server-name = \"b\"\n{GOOD}")).as_deref(),
        Some("cannot change from \"mfa-a\" to \"b\" while radmfa runs")
    );
}

#[test]
fn commands_find_the_store_in_the_servers_file_whatever_else_it_says() {
    let scratch = Scratch::new();
    let path = scratch.write("radmfa.toml", "store = \"sqlite:state/radmfa.db\"\nadress = 1\n", 0o600);
    let store = |arguments: &[&str]| {
        let command = StoreFlags::augment_args(Command::new("user").no_binary_name(true));
        let matches = command.try_get_matches_from(arguments).unwrap();
        load_store(&StoreFlags::from_arg_matches(&matches).unwrap(), &Imagined::default()).unwrap().0.store
    };
    let path = path.to_str().unwrap();
    assert_eq!(store(&["--config", path]), format!("sqlite:{}/state/radmfa.db", scratch.0.display()));
    assert_eq!(store(&["--config", path, "--store", "sqlite:/x.db"]), "sqlite:/x.db");
    assert_eq!(store(&[]), "sqlite:/var/lib/radmfa/radmfa.db");
}

#[test]
fn a_machine_without_a_usable_name_is_asked_for_one() {
    let name = |host: Option<&str>| {
        let around = Imagined { host_name: host.map(str::to_owned), ..Imagined::default() };
        let scratch = Scratch::new();
        match load(&ServeFlags::file(scratch.write("radmfa.toml", GOOD, 0o600)), &around) {
            Ok((effective, warnings)) => {
                format!(
                    "{} {}",
                    effective.server.server_name,
                    warnings.iter().any(|w| w.key == "server-name")
                )
            }
            Err(errors) => errors.to_string(),
        }
    };
    assert_eq!(name(Some("mfa-a.example")), "mfa-a.example false");
    assert_eq!(name(Some("localhost")), "localhost true");
    let hint = "\n  hint: say it yourself: --server-name NAME, server-name = \"NAME\" in the file";
    assert_eq!(name(None), format!("server-name: the machine has no host name to take it from{hint}"));
    assert_eq!(name(Some("a b")), format!("server-name: the host name \"a b\" cannot serve as one{hint}"));
}

#[test]
fn a_missing_file_is_named() {
    let errors = load(&ServeFlags::file("/nonexistent/radmfa.toml"), &Imagined::default()).unwrap_err();
    let text = errors.to_string();
    assert!(text.starts_with("--config: /nonexistent/radmfa.toml cannot be read: No such file"), "{text}");
}

#[test]
fn help_lists_every_key_of_a_table() {
    let mut command = ServeFlags::augment_args(Command::new("serve"));
    let help = command.render_long_help().to_string();
    for top in schema::TOP {
        assert!(help.contains(&format!("--{}", top.key.name)), "{}", top.key.name);
        for key in top.keys.iter().flat_map(|keys| keys.iter()) {
            assert!(help.contains(&format!("  {} ", key.name)), "{}", key.name);
        }
    }
}

proptest::proptest! {
    #[test]
    fn no_file_makes_the_decoder_panic(
        lines in proptest::collection::vec(
            "(\\[\\[?(client|primary|rule|channel|sms|text|lockout|limits)\\]?\\]|(name|address|secret|type|tries|listen|patience|x) = (1|true|\"[a-z0-9.:/]{0,8}\"|\\[\\]|\\[1, \"a\"\\]|\\{ a = 1 \\}|2026-01-01)|\\PC{0,10})",
            0..12,
        )
    ) {
        let scratch = Scratch::new();
        let path = scratch.write("radmfa.toml", &lines.join("\n"), 0o600);
        match load(&ServeFlags::file(path), &Imagined::default()) {
            Ok((effective, _)) => proptest::prop_assert!(!effective.server.clients.is_empty()),
            Err(ConfigErrors(faults)) => proptest::prop_assert!(!faults.is_empty()),
        }
    }
}
