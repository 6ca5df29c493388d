//! What became of a login after its phone has spoken: pages say it to whoever answered, as soon as it is known.

use std::time::Duration;

use crate::engine::asking::Reference;
use crate::engine::reason::Reason;
use crate::server::answers::Answers;

/// How long a page waits for it.
const WITHIN: Duration = Duration::from_secs(15);
const EVERY: Duration = Duration::from_millis(25);

/// How the login of a question ended; `None` where it is not known in time.
pub(super) async fn of(answers: &Answers, reference: Reference) -> Option<Reason> {
    let clock = answers.clock();
    let until = clock.mono() + WITHIN;
    loop {
        let fate = answers.show(reference).and_then(|shown| shown.fate);
        if fate.is_some() || clock.mono() >= until {
            return fate;
        }
        tokio::time::sleep(EVERY).await;
    }
}
