//! Rolls the trail up for reports while logins go on, over a connection of its own.

use std::time::Duration;

use tokio_postgres::Client;

use crate::store::postgres::link::{ATTEMPT, Door};
use crate::store::postgres::rollup::{self, Progress};
use crate::store::postgres::rows::Odd;

/// How often it looks whether there is something to roll up.
const ROUND: Duration = Duration::from_secs(10);
/// Steps in a round while the trail grows; as far as it goes while it stands still.
const STEPS: usize = 4;

/// Works until it is ended. What goes wrong is left for the next round, or for a report, which takes the rest of the way.
pub(super) async fn run(door: Door) {
    let mut client: Option<Client> = None;
    loop {
        tokio::time::sleep(ROUND).await;
        if client.as_ref().is_none_or(Client::is_closed) {
            client = door.connect().await.ok();
        }
        let Some(connected) = &client else { continue };
        if let Err(odd) = roll(connected).await {
            tracing::debug!(error = %odd, "the trail was not rolled up");
            // Whatever it was in the middle of ends with the connection.
            client = None;
        }
    }
}

async fn roll(client: &Client) -> Result<(), Odd> {
    let mut before = None;
    for step in 0.. {
        let Progress { done, total } =
            tokio::time::timeout(ATTEMPT, rollup::step(client)).await.map_err(|_| Odd::Late)??;
        let grows = before.replace(total).is_some_and(|before| before != total);
        if done >= total || (grows && step >= STEPS) {
            break;
        }
    }
    Ok(())
}
