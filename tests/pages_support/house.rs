//! A house with a portal.

use super::browser::Browser;
use super::by_name;
use crate::cli_support::Desk;
use crate::support::{Process, User, free_port};

/// Everybody's.
pub const PASSWORD: &str = "correct horse";

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
        let at = |portal: &str| format!("listen={portal},public-url={}", by_name(portal));
        House::open_as(Desk::new(name), nas, at, more)
    }

    fn open_as(
        desk: Desk,
        nas: &str,
        said: impl Fn(&str) -> String,
        more: impl FnOnce(&Desk) -> String,
    ) -> House {
        desk.write("password", &format!("{PASSWORD}\n"));
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

    pub fn browser(&self) -> Browser {
        Browser::new(&self.portal)
    }

    /// What `radmfa login` says at the gateway, and how it ends: 0 for let in.
    pub fn nas(&self, user: &str, more: &str) -> (i32, String) {
        self.nas_within("30s", user, more)
    }

    /// The same at a gateway that waits so long.
    pub fn nas_within(&self, patience: &str, user: &str, more: &str) -> (i32, String) {
        let output = self.desk.run(&format!(
            "login {user} --server 127.0.0.1:{} --secret file:secret --password-file password --timeout {patience} {more}",
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

    /// The newest code in `sent`.
    pub fn sent_code(&self) -> String {
        let sent = self.desk.read("sent");
        let digits = |word: &&str| word.len() == 6 && word.bytes().all(|octet| octet.is_ascii_digit());
        let mut words = sent.split(|letter: char| !letter.is_ascii_alphanumeric());
        words.rfind(digits).unwrap_or_else(|| panic!("{sent}")).to_owned()
    }

    /// The path of a new invitation.
    pub fn invite(&self, user: &str, more: &str) -> String {
        let said = self.desk.ok(&format!("user invite {user} --url http://{} {more}", self.portal));
        let link = said.lines().last().unwrap().trim();
        link.strip_prefix(&format!("http://{}", self.portal)).unwrap_or_else(|| panic!("{said}")).to_owned()
    }
}
