//! A wire between a server and its database that can be cut where it hurts.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// The next COMMIT passes, and its answer does not.
pub(super) const AFTER: u8 = 1;
/// The next COMMIT does not pass.
pub(super) const BEFORE: u8 = 2;
/// The next COMMIT passes when whoever missed its answer has already asked over another connection what became of it.
pub(super) const LATE: u8 = 3;
/// How they ask.
const ASKING: &[u8] = b"SELECT head, mac FROM chain";

/// Passes everything on to a database, until told to cut.
pub(super) struct Wire {
    pub(super) port: u16,
    cut: Arc<Cut>,
}

/// What is to be done to the next COMMIT, and who has asked after it.
#[derive(Default)]
struct Cut {
    how: AtomicU8,
    asked: Mutex<bool>,
    told: Condvar,
}

impl Wire {
    /// To the database at `port`. It lasts as long as the process does.
    pub(super) fn to(port: u16) -> Wire {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let wire = Wire { port: listener.local_addr().unwrap().port(), cut: Arc::default() };
        let cut = Arc::clone(&wire.cut);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let database = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
                let (back_from, back_to) = (database.try_clone().unwrap(), client.try_clone().unwrap());
                let cut = Arc::clone(&cut);
                std::thread::spawn(move || pass(client, database, &cut));
                std::thread::spawn(move || pass(back_from, back_to, &Cut::default()));
            }
        });
        wire
    }

    /// Cuts the connection that commits next.
    pub(super) fn cut(&self, how: u8) {
        *self.cut.asked.lock().unwrap() = false;
        self.cut.how.store(how, Ordering::SeqCst);
    }

    /// Whether a cut is still to come.
    pub(super) fn is_whole(&self) -> bool {
        self.cut.how.load(Ordering::SeqCst) != 0
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, cut: &Cut) {
    let mut buffer = vec![0; 1 << 16];
    let mut asking = false;
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let octets = &buffer[..count];
        let commits = octets.windows(7).any(|window| window == b"COMMIT\0");
        // Taken before anything is cut, so that neither a commit over the next connection nor the test finds it still to come.
        let how = if commits { cut.how.swap(0, Ordering::SeqCst) } else { 0 };
        if matches!(how, AFTER | LATE) {
            // The way back first, so that no answer slips through.
            let _gone = from.shutdown(Shutdown::Write);
        }
        if how == LATE {
            let asked = cut.asked.lock().unwrap();
            let waited = cut.told.wait_timeout_while(asked, Duration::from_secs(20), |asked| !*asked);
            assert!(!waited.unwrap().1.timed_out(), "nobody asked what became of a commit");
        }
        if how == BEFORE || to.write_all(octets).is_err() || how != 0 {
            break;
        }
        // What follows the statement itself has it carried out.
        if std::mem::take(&mut asking) {
            *cut.asked.lock().unwrap() = true;
            cut.told.notify_all();
        }
        asking = octets.windows(ASKING.len()).any(|window| window == ASKING);
    }
    let _gone = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
