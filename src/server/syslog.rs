//! Syslog: rows and checkpoints as RFC 5424 messages, a datagram each (RFC 5426 over UDP, or a local socket).

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;

use super::line::Line;
use crate::base::name::Label;
use crate::base::time::UnixTime;
use crate::store::admin::AuditRow;

/// Where messages go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A collector.
    Udp(SocketAddr),
    /// A local socket, such as `/dev/log`.
    Unix(PathBuf),
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Udp(address) => write!(formatter, "udp:{address}"),
            Target::Unix(path) => write!(formatter, "unix:{}", path.display()),
        }
    }
}

/// The facility `authpriv` (RFC 5424 §6.2.1), and severities.
const FACILITY: u8 = 10;
const WARNING: u8 = 4;
const NOTICE: u8 = 5;
const INFORMATIONAL: u8 = 6;
/// A local socket that takes nothing for so long has failed.
const PATIENCE: Duration = Duration::from_secs(1);

/// Sends messages of one server.
pub struct Sender {
    target: Target,
    server: Label,
    socket: Option<Socket>,
    text: Vec<u8>,
}

enum Socket {
    Udp(UdpSocket),
    Unix(UnixDatagram),
}

impl Sender {
    /// Opens nothing yet: a collector that is not there is tried again with each message.
    #[must_use]
    pub fn new(target: Target, server: Label) -> Sender {
        Sender { target, server, socket: None, text: Vec::new() }
    }

    /// Sends a row, as the JSON object that an export has.
    pub fn row(&mut self, row: &AuditRow) -> io::Result<()> {
        let severity = match row.verdict.as_str() {
            "accepted" => INFORMATIONAL,
            "noted" => NOTICE,
            _ => WARNING,
        };
        self.head(severity, row.time, "audit");
        Line::of(row).write_json(&mut self.text)?;
        self.send()
    }

    /// Sends a checkpoint.
    pub fn checkpoint(&mut self, checkpoint: &crate::store::trail::Checkpoint) -> io::Result<()> {
        self.head(NOTICE, checkpoint.time, "checkpoint");
        self.text.extend_from_slice(checkpoint.to_string().as_bytes());
        self.send()
    }

    fn head(&mut self, severity: u8, time: UnixTime, id: &str) {
        let priority = FACILITY * 8 + severity;
        let (server, process) = (&self.server, std::process::id());
        self.text.clear();
        let head = format!("<{priority}>1 {time} {server} radmfa {process} {id} - ");
        self.text.extend_from_slice(head.as_bytes());
    }

    fn send(&mut self) -> io::Result<()> {
        let socket = match &mut self.socket {
            Some(socket) => socket,
            none => none.insert(open(&self.target)?),
        };
        let sent = match socket {
            Socket::Udp(socket) => socket.send(&self.text),
            Socket::Unix(socket) => socket.send(&self.text),
        };
        if sent.is_err() {
            self.socket = None;
        }
        sent.map(drop)
    }
}

fn open(target: &Target) -> io::Result<Socket> {
    match target {
        Target::Udp(address) => {
            let any: SocketAddr = if address.is_ipv4() {
                (Ipv4Addr::UNSPECIFIED, 0).into()
            } else {
                (Ipv6Addr::UNSPECIFIED, 0).into()
            };
            let socket = UdpSocket::bind(any)?;
            socket.connect(address)?;
            Ok(Socket::Udp(socket))
        }
        Target::Unix(path) => {
            let socket = UnixDatagram::unbound()?;
            socket.connect(path)?;
            socket.set_write_timeout(Some(PATIENCE))?;
            Ok(Socket::Unix(socket))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_arrives_as_an_rfc_5424_message_with_the_export_s_object() {
        let collector = UdpSocket::bind("127.0.0.1:0").unwrap();
        collector.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let target = Target::Udp(collector.local_addr().unwrap());
        let mut sender = Sender::new(target, Label::new("mfa-a").unwrap());
        let row = AuditRow {
            sequence: 7,
            time: UnixTime(1_767_225_600_042),
            verdict: "rejected".to_owned(),
            user: Some("a\nb\"c".to_owned()),
            ..AuditRow::default()
        };
        sender.row(&row).unwrap();
        let mut buffer = [0; 4096];
        let length = collector.recv(&mut buffer).unwrap();
        let text = std::str::from_utf8(&buffer[..length]).unwrap();
        let head = format!("<84>1 2026-01-01T00:00:00.042Z mfa-a radmfa {} audit - ", std::process::id());
        let body = text.strip_prefix(&head).unwrap_or_else(|| panic!("{text}"));
        let object: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!((&object["row"], &object["user"]), (&7.into(), &"a\nb\"c".into()));
        assert!(!text.contains('\n'));
    }

    #[test]
    fn a_local_socket_that_is_not_there_is_tried_again() {
        let path = std::env::temp_dir().join(format!("radmfa-syslog-{}", std::process::id()));
        let mut sender = Sender::new(Target::Unix(path.clone()), Label::new("mfa-a").unwrap());
        assert!(sender.row(&AuditRow::default()).is_err());
        let collector = UnixDatagram::bind(&path).unwrap();
        collector.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        sender.row(&AuditRow::default()).unwrap();
        std::fs::remove_file(&path).unwrap();
        let mut buffer = [0; 4096];
        assert!(collector.recv(&mut buffer).unwrap() > 50);
    }
}
