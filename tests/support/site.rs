//! One place with everything behind the gateway: a FreeRADIUS that knows the passwords, a store with the users'
//! tokens, and radmfa between.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;

use super::process::poll;
use super::radclient::{Radclient, Reply, Signing};
use super::{FreeRadius, Radmfa, Scratch, Server, User};

/// What is there before radmfa is started: the directory, and a store for commands to fill.
pub struct Ground {
    pub primary: FreeRadius,
    pub store: String,
    pub scratch: Scratch,
}

impl Ground {
    /// Where the directory knows `users`.
    pub fn new(scratch: Scratch, users: &[User]) -> Ground {
        let primary = FreeRadius::primary(&scratch, users);
        let store = format!("sqlite:{}", scratch.join("radmfa.db").display());
        Ground { primary, store, scratch }
    }

    /// Runs a command on the store that has to succeed; what it printed.
    pub fn command(&self, arguments: &[&str]) -> String {
        command(&self.scratch, &self.store, arguments)
    }

    /// Starts radmfa, which has the directory check passwords.
    pub fn serve(self, more: &[&str]) -> Site {
        let upstream = self.primary.server();
        let upstream =
            format!("name=up,type=radius,server={},secret={}", upstream.address(), upstream.secret);
        let arguments = ["--server-name", "mfa-a", "--store", &self.store, "--primary", &upstream];
        let radmfa = Radmfa::serve(&self.scratch, &[&arguments, more].concat());
        self.site(radmfa)
    }

    /// With a radmfa that was started otherwise.
    pub fn site(self, radmfa: Radmfa) -> Site {
        let Ground { primary, store, scratch } = self;
        Site { radmfa, primary, store, scratch }
    }
}

pub struct Site {
    // Dropped in this order: radmfa first, the directory last.
    pub radmfa: Radmfa,
    pub primary: FreeRadius,
    pub store: String,
    pub scratch: Scratch,
}

/// An RD Gateway at 127.0.0.2, as a `--client`: it checks passwords itself, and shows no challenge.
pub const RD_GATEWAY: &str = "name=rdg,address=127.0.0.2,secret=testing123,profile=rd-gateway,primary=none";

impl Site {
    /// `enrolled` have a password and a token, `passwords_only` a password.
    pub fn start(name: &str, enrolled: &[User], passwords_only: &[User]) -> Site {
        let ground = Ground::new(Scratch::new(name), &[enrolled, passwords_only].concat());
        import_tokens(&ground.scratch, &ground.store, enrolled);
        ground.serve(&[])
    }

    pub fn server(&self) -> Server {
        self.radmfa.server()
    }

    /// A gateway that signs.
    pub fn gateway(&self) -> Radclient<'_> {
        Radclient::new(&self.scratch, self.server(), Signing::Signed)
    }

    /// What [`RD_GATEWAY`] sends for `u1`: no credential, and the station where there is one.
    pub fn remote_desktop(&self, station: &str, patience: u32) -> Option<Reply> {
        let mut attributes = vec![
            "User-Name = \"u1\"".to_owned(),
            "Packet-Src-IP-Address = 127.0.0.2".to_owned(),
            "NAS-Port-Type = Virtual".to_owned(),
        ];
        if !station.is_empty() {
            attributes.push(format!("Calling-Station-Id = \"{station}\""));
        }
        self.gateway().try_send("auth", &attributes, patience)
    }

    /// Runs a command on the store that has to succeed; what it printed.
    pub fn command(&self, arguments: &[&str]) -> String {
        command(&self.scratch, &self.store, arguments)
    }

    /// The rows of logins in the trail, newest first, waited for until one of them has this reason.
    pub fn rows(&self, reason: &str) -> Vec<Value> {
        poll(reason, Duration::from_secs(20), || {
            let printed = self.command(&["report", "auth", "--format", "json"]);
            let rows: Vec<Value> = serde_json::from_str(&printed).unwrap();
            rows.iter().any(|row| row["reason"] == reason).then_some(rows)
        })
    }

    /// The reasons of those rows.
    pub fn reasons(&self, reason: &str) -> Vec<String> {
        self.rows(reason).iter().map(|row| row["reason"].as_str().unwrap().to_owned()).collect()
    }
}

fn command(scratch: &Scratch, store: &str, arguments: &[&str]) -> String {
    let arguments = [arguments, &["--store", store]].concat();
    Radmfa::run(scratch, &arguments).expect_success(&arguments.join(" ")).stdout
}

/// Puts a TOTP token for each user into the store, as an admin would: from a CSV file.
pub fn import_tokens(scratch: &Scratch, store: &str, users: &[User]) {
    import_mixed_tokens(scratch, store, users, |_| false);
}

/// The same, where the users of whose numbers `counted` says so get tokens that a counter moves.
pub fn import_mixed_tokens(scratch: &Scratch, store: &str, users: &[User], counted: fn(usize) -> bool) {
    let mut csv = String::from("user,serial,secret,interval,type\n");
    for (number, User { name, seed, .. }) in users.iter().enumerate() {
        let moved = if counted(number) { ",hotp" } else { "30,totp" };
        writeln!(csv, "{name},T{number:06},{seed},{moved}").unwrap();
    }
    let file = scratch.write("users.csv", &csv);
    Radmfa::run(scratch, &["token", "import", &file.to_string_lossy(), "--store", store])
        .expect_success("radmfa token import");
}
