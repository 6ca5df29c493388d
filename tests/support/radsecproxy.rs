//! radsecproxy 1.9 as a plain UDP proxy: measured beside radmfa, and a second hop in front of it.
//!
//! It adds no Message-Authenticator, and sends a request again under a new identifier and authenticator. It logs
//! warnings only: a line for every login would be measured too.

use super::process::{START, poll, program};
use super::{Process, Scratch, Server, free_port};
use std::net::UdpSocket;
use std::process::Command;

pub struct Radsecproxy {
    pub process: Process,
    server: Server,
}

impl Radsecproxy {
    /// Relays every request to `home`, over UDP on both sides.
    pub fn udp(scratch: &Scratch, home: Server) -> Radsecproxy {
        Radsecproxy::with(scratch, home, "", "")
    }

    /// The same for a gateway that is more stubborn than the proxy: a second after a request the same datagram is
    /// another request to it, and goes on under a new identifier and authenticator (by default some 20 s after); it sends
    /// nothing again by itself.
    pub fn forgetful(scratch: &Scratch, home: Server) -> Radsecproxy {
        Radsecproxy::with(scratch, home, "duplicateInterval 1", "retryCount 0\n    retryInterval 1")
    }

    fn with(scratch: &Scratch, home: Server, gateway: &str, upstream: &str) -> Radsecproxy {
        let server = Server { port: free_port(), secret: "testing123" };
        let configuration = scratch.write(
            "radsecproxy.conf",
            &format!(
                "ListenUDP 127.0.0.1:{}\nLogLevel 4\n\
                 client gateway {{\n    host 127.0.0.1\n    type udp\n    secret {}\n    {gateway}\n}}\n\
                 server home {{\n    host 127.0.0.1\n    port {}\n    type udp\n    secret {}\n    {upstream}\n}}\n\
                 realm * {{\n    server home\n}}\n",
                server.port, server.secret, home.port, home.secret
            ),
        );
        let mut command = Command::new(program("radsecproxy"));
        command.arg("-f").arg("-c").arg(configuration);
        let process = Process::spawn("radsecproxy", command, scratch);
        // It prints nothing at this level when it is ready: then its port is taken.
        poll("radsecproxy's port", START, || UdpSocket::bind(server.address()).is_err().then_some(()));
        Radsecproxy { process, server }
    }

    pub fn server(&self) -> Server {
        self.server
    }
}
