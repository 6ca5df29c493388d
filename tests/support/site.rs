//! One place with everything behind the gateway: a FreeRADIUS that knows the passwords, a store with the users'
//! tokens, and radmfa between.

use super::{FreeRadius, Radmfa, Scratch, Server, User};
use std::fmt::Write as _;

pub struct Site {
    // Dropped in this order: radmfa first, the directory last.
    pub radmfa: Radmfa,
    pub primary: FreeRadius,
    pub scratch: Scratch,
}

impl Site {
    /// `enrolled` have a password and a token, `passwords_only` a password.
    pub fn start(name: &str, enrolled: &[User], passwords_only: &[User]) -> Site {
        let scratch = Scratch::new(name);
        let primary = FreeRadius::primary(&scratch, &[enrolled, passwords_only].concat());
        let store = format!("sqlite:{}", scratch.join("radmfa.db").display());
        import_tokens(&scratch, &store, enrolled);
        let upstream = format!(
            "name=up,type=radius,server={},secret={}",
            primary.server().address(),
            primary.server().secret
        );
        let radmfa =
            Radmfa::serve(&scratch, &["--server-name", "mfa-a", "--store", &store, "--primary", &upstream]);
        Site { radmfa, primary, scratch }
    }

    pub fn server(&self) -> Server {
        self.radmfa.server()
    }
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
