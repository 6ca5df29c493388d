//! The portal's pages as a browser without scripts sees them: the real program, its forms sent as they stand in its pages.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    reason = "each test binary compiles this module and uses its own part of it"
)]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::cli_support::Desk;
use crate::support::{Process, User, free_port};

/// A server with a portal; `u1` has a password, `alice` a token too.
pub struct House {
    pub desk: Desk,
    pub portal: String,
    pub radius: u16,
    _server: Process,
}

impl House {
    pub fn open(name: &str, more: &str) -> House {
        House::open_with(name, "", more)
    }

    /// With `nas` said of the gateway too, each with a comma before it.
    pub fn open_with(name: &str, nas: &str, more: &str) -> House {
        House::open_as(Desk::new(name), nas, str::to_owned, |_| more.to_owned())
    }

    /// The same at a desk where something was laid out before.
    pub fn open_at(desk: Desk, nas: &str, more: &str) -> House {
        House::open_as(desk, nas, str::to_owned, |_| more.to_owned())
    }

    /// The same with `portal` said of the portal too.
    pub fn open_letting(desk: Desk, portal: &str, more: &str) -> House {
        House::open_as(desk, "", |at| format!("listen={at},{portal}"), |_| more.to_owned())
    }

    /// The same where browsers know the portal as `localhost`: passkeys are for names.
    pub fn open_at_localhost(name: &str, more: &str) -> House {
        House::open_pushing(name, "", |_| more.to_owned())
    }

    /// The same with what has to know the desk first.
    pub fn open_pushing(name: &str, nas: &str, more: impl FnOnce(&Desk) -> String) -> House {
        let at = |portal: &str| {
            let port = portal.rsplit(':').next().unwrap();
            format!("listen={portal},public-url=http://localhost:{port}")
        };
        House::open_as(Desk::new(name), nas, at, more)
    }

    fn open_as(
        desk: Desk,
        nas: &str,
        said: impl Fn(&str) -> String,
        more: impl FnOnce(&Desk) -> String,
    ) -> House {
        desk.write("password", "correct horse\n");
        desk.write("secret", "a long shared secret");
        desk.write("tokens.csv", &format!("user,serial,secret\nalice,T-1,{}\n", User::named("alice").seed));
        desk.ok("token import tokens.csv");
        desk.ok("user set alice --password-file password");
        desk.ok("user add u1 --password-file password");
        let (radius, portal) = (free_port(), format!("127.0.0.1:{}", free_port()));
        let server = desk.serve(&format!(
            "serve --server-name test --listen 127.0.0.1:{radius} --portal {} --primary name=here,type=local \
             --client name=nas,address=127.0.0.1,secret=file:secret{nas} {}",
            said(&portal),
            more(&desk)
        ));
        House { desk, portal, radius, _server: server }
    }

    pub fn browser(&self) -> Browser<'_> {
        Browser { house: self, cookies: BTreeMap::new() }
    }

    /// What `radmfa login` says at the gateway, and how it ends: 0 for let in.
    pub fn nas(&self, user: &str, more: &str) -> (i32, String) {
        let output = self.desk.run(&format!(
            "login {user} --server 127.0.0.1:{} --secret file:secret --password-file password --timeout 30s {more}",
            self.radius
        ));
        (output.status.code().unwrap(), format!("{}{}", output.stdout, output.stderr))
    }

    /// What a channel is called by that appends each text message to the file `sent`.
    pub fn texts(desk: &Desk, kind: &str) -> String {
        desk.write("take", &format!("cat >> {0}\necho >> {0}\n", desk.scratch.path().join("sent").display()));
        let take = desk.scratch.path().join("take");
        format!("--channel name=own-{kind},kind={kind},type=command,argv=/bin/sh,argv={}", take.display())
    }

    /// The path of a new invitation.
    pub fn invite(&self, user: &str, more: &str) -> String {
        let said = self.desk.ok(&format!("user invite {user} --url http://{} {more}", self.portal));
        let link = said.lines().last().unwrap().trim();
        link.strip_prefix(&format!("http://{}", self.portal)).unwrap_or_else(|| panic!("{said}")).to_owned()
    }
}

/// A browser with cookies and without scripts.
pub struct Browser<'a> {
    pub house: &'a House,
    pub cookies: BTreeMap<String, String>,
}

#[derive(Debug)]
pub struct Shown {
    pub status: u16,
    pub location: Option<String>,
    pub body: String,
}

impl Browser<'_> {
    pub fn send(&mut self, method: &str, path: &str, headers: &str, body: &str) -> Shown {
        let cookies: Vec<String> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nAccept: text/html\r\nConnection: close\r\nCookie: {}\r\n\
             Content-Length: {}\r\n{headers}\r\n{body}",
            cookies.join("; "),
            body.len(),
            host = self.house.portal,
        );
        let mut stream = TcpStream::connect(&self.house.portal).unwrap();
        stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut location = None;
        for line in head.lines().skip(1) {
            let (name, value) = line.split_once(": ").unwrap();
            match name.to_ascii_lowercase().as_str() {
                "set-cookie" => {
                    let (name, value) = value.split(';').next().unwrap().split_once('=').unwrap();
                    self.cookies.insert(name.to_owned(), value.to_owned());
                }
                "location" => location = Some(value.to_owned()),
                _ => {}
            }
        }
        Shown { status, location, body: body.to_owned() }
    }

    pub fn get(&mut self, path: &str) -> Shown {
        self.send("GET", path, "", "")
    }

    /// Sends a form with the token that stands on `page`.
    pub fn post(&mut self, page: &Shown, path: &str, fields: &[(&str, &str)]) -> Shown {
        self.post_with(&token(page), path, fields, "")
    }

    pub fn post_with(&mut self, token: &str, path: &str, fields: &[(&str, &str)], headers: &str) -> Shown {
        let mut body = format!("form-token={token}");
        for (name, value) in fields {
            body.extend(["&", name, "=", &value.replace(' ', "+")]);
        }
        let headers = format!("Content-Type: application/x-www-form-urlencoded\r\n{headers}");
        self.send("POST", path, &headers, &body)
    }

    /// Takes the seat that an invitation gives.
    pub fn accept(&mut self, path: &str) {
        let page = self.get(path);
        assert_eq!(page.status, 200, "{}", page.body);
        let begun = self.post(&page, path, &[]);
        assert_eq!((begun.status, begun.location.as_deref()), (303, Some("/setup")));
    }

    /// Logs in at /me; what is shown then.
    pub fn log_in(&mut self, user: &str, code: &str) -> Shown {
        let page = self.get("/me");
        let asked = self.post(&page, "/me/login", &[("user", user), ("password", "correct horse")]);
        assert_eq!(asked.status, 200, "{}", asked.body);
        let state = hidden(&asked, "state");
        self.post(&asked, "/me/login", &[("user", user), ("state", &state), ("code", code)])
    }
}

pub fn hidden(page: &Shown, name: &str) -> String {
    let after = page.body.split(&format!("name=\"{name}\" value=\"")).nth(1);
    after.unwrap_or_else(|| panic!("no {name} in {}", page.body)).split('"').next().unwrap().to_owned()
}

pub fn token(page: &Shown) -> String {
    hidden(page, "form-token")
}

/// The secret that the page shows in letters.
pub fn seed(page: &Shown) -> String {
    let letters = page.body.split("id=\"letters\">").nth(1).unwrap().split('<').next().unwrap();
    letters.replace(' ', "")
}

pub fn recovery_codes(page: &Shown) -> Vec<String> {
    let list = page.body.split("class=\"codes\">").nth(1).map(|rest| rest.split("</ul>").next().unwrap());
    let items = list.unwrap_or_default().split("<code>").skip(1);
    items.map(|item| item.split('<').next().unwrap().to_owned()).collect()
}
