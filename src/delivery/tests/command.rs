//! Programs of the admin's.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::super::command::{Argument, Settings as Program};
use super::*;

/// A shell script in a directory of its own, removed at the end.
struct Script(PathBuf);

impl Script {
    fn new(name: &str, text: &str) -> Script {
        let directory = std::env::temp_dir().join(format!("radmfa-command-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("send");
        std::fs::write(&path, format!("#!/bin/sh\ncd {}\n{text}", directory.display())).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        Script(directory)
    }

    fn way(&self, arguments: &[&str]) -> Way {
        let arguments = arguments.iter().map(|text| Argument::parse(text).unwrap()).collect();
        Way::Command(Program { program: self.0.join("send").display().to_string(), arguments })
    }

    fn left(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.0.join(name)).ok()
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let _left_behind = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_program_gets_the_address_as_an_argument_and_the_text_on_standard_input() {
    let script =
        Script::new("works", "cat > text; printf '%s|' \"$@\" > arguments; env > environment; echo id 17");
    let handed =
        try_one(script.way(&["--to", "{to}", "{language}"]), delivery("+36301234542", "493817")).unwrap();
    assert_eq!(handed.answer, "id 17");
    assert_eq!(script.left("arguments").unwrap(), "--to|+36301234542|en|");
    assert_eq!(
        script.left("text").unwrap(),
        "493817 is your code for vpn, good for 5 min. Tell it to nobody."
    );
    // Nothing of the environment that radmfa has, where secrets may be.
    let environment = script.left("environment").unwrap();
    assert!(environment.contains("RADMFA_KIND=sms\n"), "{environment}");
    assert!(!environment.contains("CARGO"), "{environment}");
}

#[test]
fn a_program_that_fails_says_why_without_the_text() {
    let script = Script::new("fails", "echo \"no modem for: $(cat)\" >&2; exit 3");
    let said = try_one(script.way(&[]), delivery("+36301234542", "493817")).unwrap_err();
    assert!(said.contains("exit status: 3: no modem for: …"), "{said}");
    let gone = Way::Command(Program { program: "/nonexistent/send".into(), arguments: Vec::new() });
    assert!(try_one(gone, delivery("+36301234542", "493817")).unwrap_err().contains("cannot be run"));
}

#[test]
fn a_program_that_reads_nothing_and_prints_without_end_is_no_trouble() {
    let script = Script::new("loud", "head -c 1000000 /dev/zero | tr '\\0' x");
    let handed = try_one(script.way(&[]), delivery("+36301234542", "493817")).unwrap();
    assert!(handed.answer.starts_with("xxx") && handed.answer.len() < 400, "{}", handed.answer);
}

#[test]
fn when_the_time_is_up_the_whole_group_is_killed() {
    let script = Script::new("hangs", "sleep 600 & echo $! > child; echo $$ > own; wait");
    let one = ChannelSettings { timeout: Duration::from_secs(1), ..channel("one", script.way(&[])) };
    let channels = open(vec![one]);
    let name = Label::new("one").unwrap();
    let trial = wait(channels.send_by(&name, delivery("+36301234542", "493817")).unwrap());
    assert_eq!(trial.outcome.unwrap_err().to_string(), "no answer within 1000 ms");
    for file in ["own", "child"] {
        let id = script.left(file).expect("the script began");
        // Killed, it is gone, or waits to be reaped by whoever inherits it.
        let deadline = (0..1000).find(|_| {
            let state = std::fs::read_to_string(format!("/proc/{}/stat", id.trim())).unwrap_or_default();
            std::thread::yield_now();
            let ended = state.is_empty() || state.contains(") Z ");
            if !ended {
                std::thread::park_timeout(Duration::from_millis(5));
            }
            ended
        });
        assert!(deadline.is_some(), "{file} {id} still runs");
    }
}

#[test]
fn a_probe_looks_whether_the_program_is_there() {
    let script = Script::new("there", "exit 1");
    let channels = open(vec![channel("one", script.way(&[]))]);
    let name = Label::new("one").unwrap();
    assert!(wait(channels.probe(&name).unwrap()).unwrap().ends_with("send is there"));
    let gone = Way::Command(Program { program: "/nonexistent/send".into(), arguments: Vec::new() });
    let channels = open(vec![channel("one", gone)]);
    assert!(wait(channels.probe(&name).unwrap()).unwrap_err().to_string().contains("cannot be found"));
}
