//! `type = "command"`: a program of the admin's that takes the text on standard input.
//!
//! Invariants: no shell; the address stands in an argument of its own or nowhere, and code and text in none; the
//! environment is cleared; when the time is up the whole process group is killed.

use std::borrow::Cow;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::order::{Handed, Order, Refusal};
use super::template::Slot;
use crate::engine::delivery::Kind;

/// How much of what the program prints is kept, in octets; the rest is read and thrown away.
const KEPT: usize = 8 * 1024;
/// How long is waited for the rest of its output after it ended, since a child of its own may hold that open.
const AFTERWARDS: Duration = Duration::from_millis(200);

/// A program and its arguments.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The path of the program.
    pub program: String,
    /// What follows it.
    pub arguments: Vec<Argument>,
}

/// One argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Argument {
    /// As it is.
    Literal(String),
    /// What stands at this place.
    Slot(Slot),
}

/// The places that an argument can be: nothing that a list of processes must not show.
pub const IN_ARGUMENTS: &[(&str, Slot)] = &[
    ("{to}", Slot::To),
    ("{to-digits}", Slot::ToDigits),
    ("{extension}", Slot::Extension),
    ("{from}", Slot::From),
    ("{language}", Slot::Language),
    ("{id}", Slot::Id),
    ("{callback}", Slot::Callback),
];

impl Argument {
    /// Reads one; `None` where braces stand for something else than one of [`IN_ARGUMENTS`].
    pub fn parse(text: &str) -> Option<Argument> {
        if let Some((_, slot)) = IN_ARGUMENTS.iter().find(|(word, _)| *word == text) {
            return Some(Argument::Slot(*slot));
        }
        let place = text.split_once('{').is_some_and(|(_, after)| {
            after.split_once('}').is_some_and(|(word, _)| {
                !word.is_empty() && word.bytes().all(|octet| octet.is_ascii_lowercase() || octet == b'-')
            })
        });
        (!place && !text.contains('\0')).then(|| Argument::Literal(text.to_owned()))
    }
}

/// Kills the group of a program that is not waited for any more.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            // An error is a group that has ended.
            let _ended = killpg(leader, Signal::SIGKILL);
        }
    }
}

/// Runs the program; it has sent the message when it exits with 0.
pub(super) async fn send(settings: &Settings, order: &Order<'_>) -> Result<Handed, Refusal> {
    let mut command = prepare(settings);
    for argument in &settings.arguments {
        match argument {
            Argument::Literal(text) => command.arg(text),
            Argument::Slot(slot) => {
                let value: Cow<'_, str> = order.value(*slot);
                command.arg(&*value)
            }
        };
    }
    command.env("RADMFA_KIND", order.delivery.kind.word()).env("RADMFA_LANGUAGE", &*order.rendered.language);
    let (mut child, mut group) = spawn(command, &settings.program)?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let question = if order.delivery.kind == Kind::Push { Some(super::webhook::body(order)?) } else { None };
    let text = question.as_deref().unwrap_or(order.rendered.text.as_str()).as_bytes();
    let write = async move {
        if let Some(mut stdin) = stdin {
            // A program that does not read its input may still send.
            let _unread = stdin.write_all(text).await;
        }
    };
    let read = async { tokio::join!(keep(stdout), keep(stderr)) };
    tokio::pin!(read);
    let mut printed = None;
    let end = async { tokio::join!(write, child.wait()).1 };
    tokio::pin!(end);
    let status = loop {
        tokio::select! {
            status = &mut end => break status,
            both = &mut read, if printed.is_none() => printed = Some(both),
        }
    };
    let status =
        status.map_err(|error| Refusal(format!("{} cannot be waited for: {error}", settings.program)))?;
    group.0 = None;
    if printed.is_none() {
        printed = timeout(AFTERWARDS, read).await.ok();
    }
    let (out, err) = printed.unwrap_or_default();
    let shown =
        order.scrub(&format!("{} {}", String::from_utf8_lossy(&out), String::from_utf8_lossy(&err)), &[]);
    if status.success() {
        Ok(Handed { reference: None, answer: shown })
    } else {
        Err(Refusal(format!("{} ended with {status}: {shown}", settings.program)))
    }
}

/// Whether the program is there and may be run.
pub(super) fn probe(settings: &Settings) -> Result<String, Refusal> {
    use std::os::unix::fs::PermissionsExt;
    let found = std::fs::metadata(&settings.program)
        .map_err(|error| Refusal(format!("{} cannot be found: {error}", settings.program)))?;
    if !found.is_file() || found.permissions().mode() & 0o111 == 0 {
        return Err(Refusal(format!("{} is no program that can be run", settings.program)));
    }
    Ok(format!("{} is there", settings.program))
}

fn prepare(settings: &Settings) -> Command {
    let mut command = Command::new(&settings.program);
    command
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C.UTF-8")
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    command
}

fn spawn(mut command: Command, program: &str) -> Result<(Child, Group), Refusal> {
    let child = command.spawn().map_err(|error| Refusal(format!("{program} cannot be run: {error}")))?;
    let leader = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
    Ok((child, Group(leader)))
}

/// The first octets of what comes, all of it read.
async fn keep(source: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut kept = Vec::new();
    let Some(mut source) = source else { return kept };
    let mut buffer = [0; 1024];
    while let Ok(count @ 1..) = source.read(&mut buffer).await {
        let room = KEPT.saturating_sub(kept.len()).min(count);
        kept.extend_from_slice(buffer.get(..room).unwrap_or_default());
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_whole_argument_and_never_the_code() {
        assert_eq!(Argument::parse("{to}"), Some(Argument::Slot(Slot::To)));
        assert_eq!(Argument::parse("-x"), Some(Argument::Literal("-x".into())));
        assert_eq!(Argument::parse("{}"), Some(Argument::Literal("{}".into())));
        for text in ["--to={to}", "{code}", "{text}", "{password}", "{txet}", "a\0b"] {
            assert_eq!(Argument::parse(text), None, "{text}");
        }
    }
}
