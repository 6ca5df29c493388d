//! FreeRADIUS's `radclient`: sends one request, prints the reply with every attribute decoded and decrypted.
//!
//! It verifies the reply's authenticator, and its Message-Authenticator when there is one; a reply that fails is
//! no reply. Every call is a new process, so the code goes out from another port and under another identifier
//! than the password, as from many gateways.

use super::freeradius::DICTIONARIES;
use super::process::{LOGIN, program, run};
use super::{Scratch, Server, User};
use std::collections::BTreeMap;
use std::process::Command;

/// Whether requests carry a Message-Authenticator. A server raises what it demands of an address once it saw
/// one, so that one site's requests are all of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signing {
    Signed,
    Unsigned,
}

/// What a server answered: the packet's name (`Access-Accept`) and its attributes in order, each as its name
/// (with `:tag`, where there is one) and its value as radclient prints it, quotes removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub packet: String,
    pub attributes: Vec<(String, String)>,
}

impl Reply {
    /// Every value of one attribute, in order.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.attributes.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect()
    }

    /// The value of an attribute that is there exactly once.
    pub fn one(&self, name: &str) -> &str {
        let all = self.all(name);
        assert_eq!(all.len(), 1, "{name} once in {self:?}");
        all[0]
    }

    /// The attributes by name, each name's values in order: what a proxy has to keep (RFC 6929, section 5.2). The
    /// Message-Authenticator, which belongs to the hop, is left out.
    pub fn by_name(&self) -> BTreeMap<&str, Vec<&str>> {
        let mut names = BTreeMap::<&str, Vec<&str>>::new();
        for (name, value) in self.attributes.iter().filter(|(name, _)| name != "Message-Authenticator") {
            names.entry(name).or_default().push(value);
        }
        names
    }

    pub fn accepts(&self) -> bool {
        self.packet == "Access-Accept"
    }

    pub fn rejects(&self) -> bool {
        self.packet == "Access-Reject"
    }

    pub fn challenges(&self) -> bool {
        self.packet == "Access-Challenge"
    }
}

/// A gateway that is radclient.
pub struct Radclient<'a> {
    scratch: &'a Scratch,
    server: Server,
    signing: Signing,
}

impl<'a> Radclient<'a> {
    pub fn new(scratch: &'a Scratch, server: Server, signing: Signing) -> Radclient<'a> {
        Radclient { scratch, server, signing }
    }

    /// Sends a request as a gateway does that is in a hurry: the same datagram five times a second, until it is answered.
    pub fn insist(&self, kind: &str, attributes: &[String]) -> Reply {
        self.ask(kind, attributes, ["100", "0.2"]).expect("an answer to radclient")
    }

    /// Sends `attributes` (one `Name = value` each, as radclient reads them) as a request of `kind` (`auth`,
    /// `status`, …). `None` when there was no valid answer within `patience` seconds. One packet: never sent again.
    pub fn try_send(&self, kind: &str, attributes: &[String], patience: u32) -> Option<Reply> {
        self.ask(kind, attributes, ["1", &patience.to_string()])
    }

    fn ask(&self, kind: &str, attributes: &[String], [tries, wait]: [&str; 2]) -> Option<Reply> {
        let mut input = attributes.join("\n");
        if self.signing == Signing::Signed {
            // radclient computes the value.
            input.push_str("\nMessage-Authenticator = 0x00");
        }
        input.push('\n');
        let mut command = Command::new(program("radclient"));
        command.args(["-x", "-r", tries, "-t", wait, "-D", DICTIONARIES]).args([
            &self.server.address().to_string(),
            kind,
            self.server.secret,
        ]);
        let finished = run(command, &input, self.scratch, LOGIN);
        let reply = parse(&finished.stdout);
        assert!(
            reply.is_some() || finished.transcript().contains("No reply from server"),
            "radclient did not send:\n{}",
            finished.transcript()
        );
        reply
    }

    /// Sends a request and expects an answer.
    pub fn send(&self, kind: &str, attributes: &[String]) -> Reply {
        self.try_send(kind, attributes, 10).expect("an answer to radclient")
    }

    /// The first step of a login.
    pub fn password(&self, name: &str, password: &str) -> Reply {
        self.send("auth", &credentials(name, password))
    }

    /// The second step: `entry` and the State of `challenge`.
    pub fn answer(&self, name: &str, entry: &str, challenge: &Reply) -> Reply {
        let mut attributes = credentials(name, entry);
        attributes.push(format!("State = {}", challenge.one("State")));
        self.send("auth", &attributes)
    }

    /// A login to its end: the password, then `code` for as long as the server asks for one.
    pub fn login(&self, user: &User, code: &str) -> Reply {
        let mut reply = self.password(&user.name, &user.password);
        for _ in 0..10 {
            if !reply.challenges() {
                return reply;
            }
            reply = self.answer(&user.name, code, &reply);
        }
        panic!("the server never stops asking {}", user.name);
    }
}

/// User-Name and User-Password as radclient reads them.
pub fn credentials(name: &str, password: &str) -> Vec<String> {
    vec![format!("User-Name = \"{name}\""), format!("User-Password = \"{password}\"")]
}

fn parse(output: &str) -> Option<Reply> {
    let (_, received) = output.split_once("Received ")?;
    let mut lines = received.lines();
    let packet = lines.next()?.split_whitespace().next()?.to_owned();
    let attributes = lines
        .map_while(|line| line.strip_prefix('\t'))
        .map(|line| {
            let (name, value) = line.split_once(" = ").expect("an attribute in radclient's output");
            let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
            (name.to_owned(), value.to_owned())
        })
        .collect();
    Some(Reply { packet, attributes })
}
