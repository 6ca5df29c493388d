//! What a code step costs that reaches the server which did not ask for it: it is handed to its owner and back.

use std::time::{Duration, Instant};

use super::bench::Bench;
use super::meter::median;
use super::subject::{PASSWORD, micros};
use super::table::{Beside, Line, Table};
use crate::support::gateway::Gateway;
use crate::support::{Server, free_port};
use radmfa::wire::Code;

/// Two servers, each the other's peer; one login after the other, in turn answered at the server that asked and at the other.
pub fn relay(bench: &Bench, table: &mut Table) {
    eprintln!("\n-- code steps that are relayed");
    let servers = [0; 2].map(|_| Server { port: free_port(), secret: "testing123" });
    let names = ["mfa-a", "mfa-b"];
    let started: Vec<_> = (0..2)
        .map(|own| {
            let peer = format!(
                "name={},address={},secret=between-the-two-servers",
                names[1 - own],
                servers[1 - own].address()
            );
            let store = bench.store(names[own]);
            bench.serve(&store, names[own], servers[own], "", &["--affinity", "relay", "--peer", &peer])
        })
        .collect();
    let patience = Duration::from_secs(10);
    let mut gateways = servers.map(|server| Gateway::new(server, patience));
    // By whether it was relayed.
    let mut took = [Vec::new(), Vec::new()];
    for number in 0..bench.sizes.relayed * 2 {
        let user = bench.users.nth(number);
        // The owner changes every second time, so that both servers are both.
        let (owner, relayed) = ((number / 2) % 2, number % 2);
        let challenge = gateways[owner].ask(user.name, PASSWORD, None).expect("an answer to a password");
        let state = challenge.state.expect("a State in the challenge");
        let code = user.code(0);
        let began = Instant::now();
        let verdict = gateways[(owner + relayed) % 2].ask(user.name, &code, Some(&state));
        let elapsed = began.elapsed();
        assert_eq!(verdict.expect("a verdict").code, Code::ACCESS_ACCEPT, "{}", user.name);
        took[relayed].push(micros(elapsed));
    }
    drop(started);
    let [own, relayed] = took;
    for (share, word) in [(0.5, "p50"), (0.99, "p99")] {
        let (own, relayed) = (percentile(&own, share), percentile(&relayed, share));
        eprintln!("code step {word}: {own:.0} µs at its owner, {relayed:.0} µs relayed");
        table.add(Line {
            what: format!("latency of a code step that is relayed, {word}"),
            radmfa: relayed,
            unit: "µs",
            beside: Some(Beside::plain("at its owner", relayed, own)),
            must: None,
            aims: None,
        });
    }
    table.add(Line {
        what: "added by the relay, median".to_owned(),
        radmfa: median(relayed) - median(own),
        unit: "µs",
        beside: None,
        must: None,
        aims: None,
    });
}

fn percentile(figures: &[f64], share: f64) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[((sorted.len() - 1) as f64 * share).round() as usize]
}
