//! The admins' pages and the interface for programs.

use serde_json::Value;

use super::browser::{ADMINS, Browser};
use super::{SEED, house};
use crate::cli_support::Desk;
use crate::support::http::{Answer, request};
use crate::support::{Process, code, free_port};

/// `alice`, who has a telephone, `olga`, an admin, and `ned` of the help desk, each with a password and a token.
pub fn staff(desk: &Desk) {
    desk.write("password", &format!("{}\n", house::PASSWORD));
    desk.write("secret", "a long shared secret");
    desk.write(
        "tokens.csv",
        &format!("user,serial,secret\nalice,T-1,{SEED}\nolga,T-2,{SEED}\nned,T-3,{SEED}\n"),
    );
    desk.ok("token import tokens.csv");
    desk.ok("user set alice --password-file password --phone +36301234567");
    desk.ok("admin add olga --role admin --password-file password");
    desk.ok("admin add ned --role helpdesk --password-file password");
}

/// A server with users, and a token of each role.
pub struct Office {
    pub desk: Desk,
    /// Where the admins' pages and the interface are.
    pub host: String,
    _server: Process,
}

impl Office {
    pub fn open(name: &str) -> Office {
        let desk = Desk::new(name);
        staff(&desk);
        for role in ["admin", "helpdesk", "auditor"] {
            let secret = desk.ok(&format!("admin token add {role} --role {role}"));
            desk.write(role, secret.trim());
        }
        let (port, admin, portal) = (free_port(), free_port(), free_port());
        desk.write("take", &format!("cat >> {}\n", desk.scratch.path().join("sent").display()));
        let take = desk.scratch.path().join("take").display().to_string();
        let server = desk.serve(&format!(
            "serve --server-name test --listen 127.0.0.1:{port} --client name=nas,address=127.0.0.1,secret=file:secret \
             --primary name=here,type=local --admin {admin} --portal 127.0.0.1:{portal} \
             --channel name=mail,kind=email,type=command,argv=/bin/sh,argv={take}"
        ));
        Office { desk, host: format!("127.0.0.1:{admin}"), _server: server }
    }

    /// A browser that says where its forms come from.
    pub fn browser(&self) -> Browser {
        Browser { origin: Some(format!("http://{}", self.host)), ..Browser::new(&self.host) }
    }

    /// Asks the interface with the token of `role`.
    pub fn ask(&self, role: &str, method: &str, path: &str, body: &str) -> Answer {
        let bearer = format!("Bearer {}", self.desk.read(role));
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
        let answer = request(&self.host, method, &format!("/api/v1{path}"), &headers, body);
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        answer
    }

    /// What is at `path`, where `role` may read it.
    pub fn read(&self, role: &str, path: &str) -> Value {
        let answer = self.ask(role, "GET", path, "");
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.json()
    }

    /// The status of what `role` does.
    pub fn act(&self, role: &str, path: &str, body: &Value) -> u16 {
        self.ask(role, "POST", path, &body.to_string()).status
    }
}

/// Logs in at the admins' pages; the front page, or what is said instead.
pub fn log_in(browser: &mut Browser, user: &str) -> Answer {
    let asked = browser.knock(ADMINS, user, house::PASSWORD);
    if !asked.body.contains("name=\"state\"") {
        return asked;
    }
    let answer = browser.answer(ADMINS, &asked, user, &code::now(SEED));
    if answer.status == 303 { browser.get("/") } else { answer }
}
