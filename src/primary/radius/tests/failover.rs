//! Servers that are silent, dead, probed and alive again.

use super::*;

#[tokio::test]
async fn a_lost_packet_is_sent_again_octet_for_octet_from_the_same_port() {
    let server = Server::new().await;
    let bench = Bench::new(&[&server]);
    let check = bench.check(None);
    let first = server.receive().await;
    bench.pass(Duration::from_millis(1700));
    server.nothing_came();
    bench.pass(Duration::from_millis(600));
    let second = server.receive().await;
    assert_eq!(second, first);
    server.reply(&second, Code::ACCESS_ACCEPT, "welcome").await;
    assert_eq!(accepted(check).await, "welcome");
}

#[tokio::test]
async fn silence_ends_at_the_time_that_was_given() {
    let server = Server::new().await;
    let bench = Bench::new(&[&server]);
    let check = bench.check(None);
    let _ = server.receive().await;
    bench.pass(THIRD * 2);
    let _ = server.receive().await;
    assert!(!check.is_finished());
    bench.pass(THIRD);
    unavailable(check).await;
    server.nothing_came();
    assert_eq!(bench.busy(), 0);
}

#[tokio::test]
async fn the_next_server_is_asked_at_a_third_of_the_time_and_either_may_answer() {
    for late in [false, true] {
        let (first, second) = (Server::new().await, Server::new().await);
        let bench = Bench::new(&[&first, &second]);
        let check = bench.check(None);
        let to_first = first.receive().await;
        bench.pass(SOON);
        assert_eq!(first.receive().await, to_first);
        second.nothing_came();
        bench.pass(THEN);
        let to_second = second.receive().await;
        assert_ne!(to_first.octets[4..20], to_second.octets[4..20], "another authenticator");
        bench.pass(SOON);
        assert_eq!(second.receive().await, to_second);
        first.nothing_came();
        let (server, came) = if late { (&first, &to_first) } else { (&second, &to_second) };
        server.reply(came, Code::ACCESS_ACCEPT, "welcome").await;
        assert_eq!(accepted(check).await, "welcome");
        assert_eq!(bench.busy(), 0);
    }
}

/// Three logins that the first server does not answer, and the second one does.
async fn kill_first(bench: &Bench, first: &Server, second: &Server) {
    for _ in 0..3 {
        let check = bench.check(None);
        let _ = first.receive().await;
        bench.pass(SOON);
        let _ = first.receive().await;
        bench.pass(THEN);
        second.reply(&second.receive().await, Code::ACCESS_ACCEPT, "second").await;
        assert_eq!(accepted(check).await, "second");
    }
    assert!(!bench.status(0).alive);
}

#[tokio::test]
async fn a_silent_server_is_passed_over_for_the_dead_time_and_then_tried_by_one_login() {
    let (first, second) = (Server::new().await, Server::new().await);
    let bench = Bench::new(&[&first, &second]);
    kill_first(&bench, &first, &second).await;
    let check = bench.check(None);
    second.reply(&second.receive().await, Code::ACCESS_ACCEPT, "at once").await;
    assert_eq!(accepted(check).await, "at once");
    first.nothing_came();

    bench.pass(Duration::from_secs(30));
    let tries = bench.check(None);
    let came = first.receive().await;
    let passes_by = bench.check(None);
    second.reply(&second.receive().await, Code::ACCESS_ACCEPT, "second").await;
    assert_eq!(accepted(passes_by).await, "second");
    first.nothing_came();
    first.reply(&came, Code::ACCESS_REJECT, "I am back").await;
    assert!(matches!(answer(tries).await, PrimaryAnswer::Rejected { .. }));
    assert!(bench.status(0).alive);
}

#[tokio::test]
async fn dead_servers_are_asked_when_all_are_dead() {
    let server = Server::new().await;
    let bench = Bench::new(&[&server]);
    for _ in 0..3 {
        let check = bench.check(None);
        let _ = server.receive().await;
        bench.pass(SOON);
        let _ = server.receive().await;
        bench.pass(PATIENCE);
        unavailable(check).await;
    }
    assert!(!bench.status(0).alive);
    let check = bench.check(None);
    server.reply(&server.receive().await, Code::ACCESS_ACCEPT, "welcome").await;
    assert_eq!(accepted(check).await, "welcome");
    assert!(bench.status(0).alive);
}

#[tokio::test]
async fn a_probe_leaves_at_the_start_and_its_answer_revives_a_dead_server() {
    let (first, second) = (Server::new().await, Server::new().await);
    let bench = Bench::with(&[&first, &second], |settings| settings.status_server = true);
    bench.pass(Duration::ZERO);
    for server in [&first, &second] {
        let probe = server.receive().await;
        assert_eq!(probe.request().code(), Code::STATUS_SERVER);
        assert_eq!(probe.octets[20], number::MESSAGE_AUTHENTICATOR);
        server.reply(&probe, Code::ACCESS_ACCEPT, "alive").await;
    }
    let both = async {
        while !(bench.status(0).answers_status_server && bench.status(1).answers_status_server) {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(5), both).await.expect("the answers come in");
    assert!(!bench.status(0).shows_message_authenticator, "a probe's answer carries it in any case");
    assert_eq!(bench.busy(), 0);

    kill_first(&bench, &first, &second).await;
    bench.pass(Duration::ZERO);
    let probe = first.receive().await;
    assert_eq!(probe.request().code(), Code::STATUS_SERVER);
    first.reply(&probe, Code::ACCESS_ACCEPT, "alive").await;
    let revived = async {
        while !bench.status(0).alive {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(5), revived).await.expect("the answer comes in");
    let check = bench.check(None);
    first.reply(&first.receive().await, Code::ACCESS_ACCEPT, "first").await;
    assert_eq!(accepted(check).await, "first");
}

#[tokio::test]
async fn a_probe_that_nobody_answers_says_nothing_and_ends() {
    let server = Server::new().await;
    let bench = Bench::with(&[&server], |settings| settings.status_server = true);
    bench.pass(Duration::ZERO);
    let _ = server.receive().await;
    assert_eq!(bench.busy(), 1);
    bench.pass(PROBE_PATIENCE);
    assert_eq!(bench.busy(), 0);
    assert!(bench.status(0).alive, "NPS answers none");
}

#[tokio::test]
async fn a_closed_port_at_the_other_end_is_silence_like_any_other() {
    let (first, second) = (Server::new().await, Server::new().await);
    let bench = Bench::new(&[&first, &second]);
    drop(first);
    let check = bench.check(None);
    tokio::task::yield_now().await;
    bench.pass(SOON);
    second.nothing_came();
    bench.pass(THEN);
    second.reply(&second.receive().await, Code::ACCESS_ACCEPT, "second").await;
    assert_eq!(accepted(check).await, "second");
}
