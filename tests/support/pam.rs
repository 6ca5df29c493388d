//! `pam_radius`, the PAM module of SSH gateways and the like, driven by `pamtester`.
//!
//! PAM reads services from `/etc/pam.d` alone. Who may write there gets a file of a unique name, removed again
//! when the guard is dropped; anybody else gets a mount namespace of their own with the scratch directory in
//! that place.

use super::ocserv::Login;
use super::process::{LOGIN, program, run};
use super::{Scratch, Server};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

const SERVICES: &str = "/etc/pam.d";

pub struct Pam<'a> {
    service: String,
    file: PathBuf,
    scratch: &'a Scratch,
}

impl<'a> Pam<'a> {
    /// A PAM service that asks `server`. As the module is set up by default it waits 5 s, and tries once.
    pub fn new(scratch: &'a Scratch, server: Server) -> Pam<'a> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let service = format!("radmfa-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let servers =
            scratch.write("pam_radius.conf", &format!("{} {} 5\n", server.address(), server.secret));
        fs::set_permissions(&servers, fs::Permissions::from_mode(0o600)).unwrap();
        let content = format!(
            "auth required pam_radius_auth.so conf={} retry=1\naccount required pam_permit.so\n",
            servers.display()
        );
        let shared = Path::new(SERVICES).join(&service);
        let file = if fs::write(&shared, &content).is_ok() {
            shared
        } else {
            scratch.directory("pam.d");
            scratch.write(&format!("pam.d/{service}"), &content)
        };
        Pam { service, file, scratch }
    }

    /// Logs in as `user`, who types `entries`, one at each prompt, and then nothing more.
    pub fn login(&self, user: &str, entries: &[&str]) -> Login {
        let pamtester = program("pamtester");
        let mut command = if self.file.starts_with(SERVICES) {
            Command::new(pamtester)
        } else {
            let mut command = Command::new(program("unshare"));
            command
                .args(["--map-root-user", "--mount", "sh", "-c"])
                .arg(format!("mount --bind \"$0\" {SERVICES} && exec \"$@\""))
                .arg(self.file.parent().unwrap())
                .arg(pamtester);
            command
        };
        command.args([&self.service, user, "authenticate"]);
        let finished = run(command, &(entries.join("\n") + "\n"), self.scratch, LOGIN);
        Login { admitted: finished.success(), transcript: finished.transcript() }
    }
}

impl Drop for Pam<'_> {
    fn drop(&mut self) {
        // Should it stay behind, it is a service that no program uses.
        let _ = fs::remove_file(&self.file);
    }
}
