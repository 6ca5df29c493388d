//! A provider of text messages that takes everything and remembers it: the far side of an HTTP channel.

use super::process::poll;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// The bodies that came, oldest first.
#[derive(Clone, Default)]
pub struct Sink {
    taken: Arc<Mutex<Vec<String>>>,
    /// Whether answers wait.
    held: Arc<(Mutex<bool>, Condvar)>,
    address: Option<SocketAddr>,
}

impl Sink {
    /// Listens until the test's process ends.
    pub fn start() -> Sink {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let sink = Sink { address: listener.local_addr().ok(), ..Sink::default() };
        let listening = sink.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let sink = listening.clone();
                std::thread::spawn(move || sink.take(&stream));
            }
        });
        sink
    }

    /// What to give `--channel`: text messages to this sink, as `number|text`.
    pub fn channel(&self) -> String {
        let address = self.address.unwrap();
        format!("name=sink,kind=sms,type=http,method=POST,url=http://{address}/send,body={{to}}|{{text}}")
    }

    /// The same as a table of a file.
    pub fn table(&self) -> String {
        let address = self.address.unwrap();
        format!(
            "[[channel]]\nname = \"sink\"\nkind = \"sms\"\ntype = \"http\"\nmethod = \"POST\"\n\
             url = \"http://{address}/send\"\nbody = \"{{to}}|{{text}}\"\n"
        )
    }

    /// From now on messages are taken and not answered, until [`Sink::release`].
    pub fn hold(&self) {
        *self.held.0.lock().unwrap() = true;
    }

    /// Every message that waits for its answer gets it, and so do later ones.
    pub fn release(&self) {
        *self.held.0.lock().unwrap() = false;
        self.held.1.notify_all();
    }

    /// How many messages came so far.
    pub fn count(&self) -> usize {
        self.taken.lock().unwrap().len()
    }

    /// The number and the code of message `place`, counted from 0, waited for.
    pub fn code(&self, place: usize) -> (String, String) {
        let body = poll("a text message", Duration::from_secs(10), || {
            self.taken.lock().unwrap().get(place).cloned()
        });
        let (to, text) = body.split_once('|').expect("number|text");
        let code = text.split(|c: char| !c.is_ascii_digit()).find(|run| run.len() == 6);
        (to.to_owned(), code.expect("six digits").to_owned())
    }

    fn take(&self, stream: &TcpStream) {
        let mut reader = BufReader::new(stream);
        let mut length = 0;
        let mut line = String::new();
        while reader.read_line(&mut line).unwrap_or(0) > 2 {
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap();
            }
            line.clear();
        }
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_ok() {
            self.taken.lock().unwrap().push(String::from_utf8(body).unwrap());
            let (held, changed) = &*self.held;
            drop(changed.wait_while(held.lock().unwrap(), |held| *held).unwrap());
            let mut stream = stream;
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok").unwrap();
        }
    }
}
