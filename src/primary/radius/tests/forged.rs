//! What is no answer, and answers that have to be signed.

use super::*;

#[tokio::test]
async fn what_is_no_answer_changes_nothing() {
    let server = Server::new().await;
    let bench = Bench::new(&[&server]);
    let earlier = bench.check(None);
    let past = server.receive().await;
    server.reply(&past, Code::ACCESS_ACCEPT, "past").await;
    assert_eq!(accepted(earlier).await, "past");

    let check = bench.check(None);
    let came = server.receive().await;
    let due = bench.due();
    let status = bench.status(0);
    // Late: the answer to the request before it, once more.
    server.reply(&past, Code::ACCESS_ACCEPT, "past").await;
    // An identifier that nothing is in flight under; a datagram that is no packet, and an empty one.
    let mut octets = came.sealed(Code::ACCESS_ACCEPT, &message("no"), true);
    octets[1] ^= 0x80;
    server.send(&octets, came.from).await;
    server.send(&[2, came.octets[1]], came.from).await;
    server.send(&[], came.from).await;
    // A Reject made an Accept, a Challenge made an Accept, an Accept made a Reject.
    for (was, says) in [
        (Code::ACCESS_REJECT, Code::ACCESS_ACCEPT),
        (Code::ACCESS_CHALLENGE, Code::ACCESS_ACCEPT),
        (Code::ACCESS_ACCEPT, Code::ACCESS_REJECT),
    ] {
        let mut octets = came.sealed(was, &message("forged"), true);
        octets[0] = says.0;
        server.send(&octets, came.from).await;
    }
    // Of somebody who does not know the secret; of no code that answers.
    let mut octets = came.sealed(Code::ACCESS_ACCEPT, &message("forged"), true);
    octets[5] ^= 1;
    server.send(&octets, came.from).await;
    server.send(&came.sealed(Code::ACCOUNTING_RESPONSE, &AttributeList::new(), false), came.from).await;
    bench.until_ignored(9).await;
    // Right in every octet, from another address: the socket does not even hear it.
    let genuine = came.sealed(Code::ACCESS_ACCEPT, &message("foreign"), true);
    Foreign::bind("127.0.0.2:0").unwrap().send_to(&genuine, came.from).unwrap();
    Foreign::bind("127.0.0.1:0").unwrap().send_to(&genuine, came.from).unwrap();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!check.is_finished());
    assert_eq!(bench.due(), due, "timers unchanged");
    assert_eq!(bench.status(0), crate::primary::ServerStatus { ignored: 9, ..status });
    server.reply(&came, Code::ACCESS_REJECT, "the answer").await;
    assert!(matches!(answer(check).await, PrimaryAnswer::Rejected { .. }));
}

#[tokio::test]
async fn a_server_that_has_shown_message_authenticator_must_go_on_with_it() {
    let server = Server::new().await;
    let bench = Bench::new(&[&server]);
    let before = bench.check(None);
    let came = server.receive().await;
    server.send(&came.sealed(Code::ACCESS_ACCEPT, &message("unsigned"), false), came.from).await;
    assert_eq!(accepted(before).await, "unsigned");
    let shows = bench.check(None);
    server.reply(&server.receive().await, Code::ACCESS_ACCEPT, "signed").await;
    assert_eq!(accepted(shows).await, "signed");
    assert!(bench.status(0).shows_message_authenticator);
    let after = bench.check(None);
    let came = server.receive().await;
    server.send(&came.sealed(Code::ACCESS_ACCEPT, &message("unsigned"), false), came.from).await;
    bench.until_ignored(1).await;
    assert!(!after.is_finished());
    server.reply(&came, Code::ACCESS_ACCEPT, "signed").await;
    assert_eq!(accepted(after).await, "signed");
}

#[tokio::test]
async fn a_server_may_be_required_to_send_it_from_the_start() {
    let server = Server::new().await;
    let bench = Bench::with(&[&server], |settings| settings.message_authenticator_required = true);
    let check = bench.check(None);
    let came = server.receive().await;
    server.send(&came.sealed(Code::ACCESS_ACCEPT, &message("unsigned"), false), came.from).await;
    bench.until_ignored(1).await;
    server.reply(&came, Code::ACCESS_ACCEPT, "signed").await;
    assert_eq!(accepted(check).await, "signed");
}
