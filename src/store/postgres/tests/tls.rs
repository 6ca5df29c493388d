//! The way to a database encrypted, with certificates of the test's own.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::*;
use crate::store::admin::UserFields;

/// Certificates in a directory that goes with it.
struct Authority(PathBuf);

impl Drop for Authority {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

impl Authority {
    /// One that has signed a certificate for `localhost` alone.
    fn new(name: &str) -> Authority {
        let directory = std::env::temp_dir().join(format!("radmfa-tls-{name}-{}", std::process::id()));
        std::fs::create_dir(&directory).unwrap();
        let authority = Authority(directory);
        let new = "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        authority.openssl(&format!(
            "{new} -x509 -days 2 -subj /CN={name} -addext basicConstraints=critical,CA:TRUE -keyout ca.key -out ca.crt"
        ));
        authority.openssl(&format!("{new} -subj /CN=database -keyout server.key -out server.csr"));
        std::fs::write(authority.path("names"), "subjectAltName=DNS:localhost\n").unwrap();
        authority.openssl(
            "x509 -req -in server.csr -CA ca.crt -CAkey ca.key -set_serial 1 -days 2 -extfile names -out server.crt",
        );
        authority
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.join(file)
    }

    fn openssl(&self, arguments: &str) {
        let mut command = Command::new("openssl");
        command.args(arguments.split(' ')).current_dir(&self.0);
        let done =
            command.output().unwrap_or_else(|error| panic!("openssl (tests/run installs it): {error}"));
        assert!(done.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&done.stderr));
    }
}

/// Tries to open a store in the database `name` of `server`; what is wrong.
fn refusal(server: &Server, (host, mode): (&str, &str), roots: Option<&Path>, name: &str) -> Option<String> {
    let roots = roots.map(|path| format!("&sslrootcert={}", path.display())).unwrap_or_default();
    let url = format!("postgres://postgres@{host}:{}/{name}?sslmode={mode}{roots}", server.port());
    let address = match Address::parse(&url) {
        Ok(address) => address,
        Err(fault) => return Some(fault.to_string()),
    };
    let opened = open_admin(&settings(&url, "desk"), &address, RealClock::shared(), entropy());
    let mut admin = match opened {
        Ok(admin) => admin,
        Err(fault) => return Some(fault.to_string()),
    };
    // Whoever got in is encrypted.
    let encrypted = "SELECT 1 / count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
        WHERE application_name = 'radmfa' AND ssl AND datname = current_database()";
    server.run(name, encrypted).unwrap();
    admin.user(&super::name("nobody")).unwrap_err();
    None
}

#[test]
fn a_certificate_is_demanded_that_is_trusted_and_names_the_host() {
    let (ours, others) = (Authority::new("ours"), Authority::new("others"));
    let server = Server::encrypted(&ours.0);
    let database = server.database();
    let name = database.rsplit('/').next().unwrap();
    let (ca, other) = (ours.path("ca.crt"), others.path("ca.crt"));
    for mode in ["require", "verify-full", "verify-ca"] {
        assert_eq!(refusal(&server, ("localhost", mode), Some(&ca), name), None, "{mode}");
        let refused = refusal(&server, ("localhost", mode), Some(&other), name).unwrap();
        assert!(refused.contains("certificate") && refused.contains("sslrootcert"), "{mode}: {refused}");
        // The system's certificates do not sign it.
        let refused = refusal(&server, ("localhost", mode), None, name).unwrap();
        assert!(refused.contains("certificate") || refused.contains("sslrootcert"), "{mode}: {refused}");
    }
    for mode in ["require", "verify-full"] {
        let refused = refusal(&server, ("127.0.0.1", mode), Some(&ca), name).unwrap();
        assert!(refused.contains("certificate") && refused.contains("127.0.0.1"), "{mode}: {refused}");
    }
    assert_eq!(
        refusal(&server, ("127.0.0.1", "verify-ca"), Some(&ca), name),
        None,
        "the name is not looked at"
    );
    let missing = refusal(&server, ("localhost", "require"), Some(Path::new("/nowhere.crt")), name).unwrap();
    assert!(missing.contains("/nowhere.crt"), "{missing}");

    // A running server's own connections, and its logins.
    let url = format!(
        "postgres://postgres@localhost:{}/{name}?sslmode=verify-full&sslrootcert={}",
        server.port(),
        ca.display()
    );
    let bench = InDatabase::at(url, "mfa-a");
    let alice = enrol(&bench, "alice");
    assert!(commit(&bench, spend(&alice, 1)).is_ok());
    bench.admin().add_user(&super::name("bob"), &UserFields::default()).unwrap();
    let plain = "SELECT 1 / (CASE WHEN count(*) = 0 THEN 1 ELSE 0 END) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
        WHERE application_name = 'radmfa' AND NOT ssl";
    server.run(name, plain).unwrap();
}

#[test]
fn a_database_that_encrypts_nothing_is_refused_where_that_is_demanded() {
    let server = Server::shared();
    let database = server.database();
    let name = database.rsplit('/').next().unwrap();
    let ours = Authority::new("plain");
    for (mode, roots) in [
        ("require", None),
        ("verify-ca", Some(ours.path("ca.crt"))),
        ("verify-full", Some(ours.path("ca.crt"))),
    ] {
        let refused = refusal(server, ("localhost", mode), roots.as_deref(), name).unwrap();
        assert!(refused.contains("TLS") && refused.contains("ssl = on"), "{mode}: {refused}");
    }
}
