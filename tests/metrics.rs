//! What whoever watches a server is told: metrics, health, readiness.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and polls by the real clock"
)]

mod cli_support;
mod support;

use std::net::UdpSocket;
use std::time::Duration;

use cli_support::Desk;
use support::free_port;
use support::http::{get, request};
use support::process::poll;

const SEED: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

fn desk(name: &str) -> Desk {
    let desk = Desk::new(name);
    desk.write("password", "correct horse\n");
    desk.write("wrong", "battery staple\n");
    desk.write("secret", "a long shared secret");
    desk.write("seed", SEED);
    desk.write("tokens.csv", &format!("user,serial,secret\nalice,T-1,{SEED}\n"));
    desk.ok("token import tokens.csv");
    desk.ok("user set alice --password-file password");
    desk
}

#[test]
fn what_a_server_did_is_counted_and_no_user_is_named() {
    let desk = desk("metrics");
    let (port, metrics) = (free_port(), free_port());
    let server = desk.serve(&format!(
        "serve --server-name test --listen 127.0.0.1:{port} --client name=nas,address=127.0.0.1,secret=file:secret \
         --primary name=here,type=local --metrics {metrics}"
    ));
    let host = format!("127.0.0.1:{metrics}");
    assert!(server.says(&format!("metrics on {host}")), "{}", server.log());
    let login = format!("login alice --server 127.0.0.1:{port} --secret file:secret --timeout 20s");
    desk.ok(&format!("{login} --password-file password --totp-secret-file seed"));
    desk.fails(&format!("{login} --password-file wrong --totp-secret-file seed"), 1);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(b"nonsense", ("127.0.0.1", port)).unwrap();
    let wanted = [
        r#"radmfa_logins_total{client="nas",method="totp",result="accepted",reason="code-accepted"} 1"#,
        r#"radmfa_logins_total{client="nas",method="none",result="rejected",reason="primary-rejected"} 1"#,
        r#"radmfa_dropped_datagrams_total{reason="too-short"} 1"#,
        r#"radmfa_login_seconds_count{step="own"} 2"#,
        r#"radmfa_login_seconds_count{step="user"} 1"#,
        r#"radmfa_logins_under_way{state="parked"} 0"#,
        "radmfa_store_away 0",
    ];
    let page = poll("the metrics", Duration::from_secs(20), || {
        let page = get(&host, "/metrics");
        wanted.iter().all(|line| page.body.lines().any(|found| found == *line)).then_some(page)
    });
    assert_eq!(page.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    assert!(!page.body.contains("alice") && !page.body.contains("127.0.0.1"), "{}", page.body);
    assert_eq!(get(&host, "/healthz").body, "ok\n");
    let ready = get(&host, "/readyz");
    assert_eq!((ready.status, &*ready.body), (200, "store ok\nlisteners ok\nprimaries ok\n"));
    for (method, path, status) in [("POST", "/metrics", 405), ("GET", "/", 404), ("GET", "/users", 404)] {
        assert_eq!(request(&host, method, path, &[], "").status, status, "{method} {path}");
    }
}

#[test]
fn a_server_whose_password_servers_are_all_silent_is_not_ready() {
    let desk = desk("metrics-ready");
    let (port, metrics) = (free_port(), free_port());
    // Bound, and never answered.
    let upstream = UdpSocket::bind("127.0.0.1:0").unwrap();
    let _server = desk.serve(&format!(
        "serve --server-name test --listen 127.0.0.1:{port} --client name=nas,address=127.0.0.1,secret=file:secret \
         --primary name=up,type=radius,server={},secret=file:secret --metrics {metrics}",
        upstream.local_addr().unwrap()
    ));
    let host = format!("127.0.0.1:{metrics}");
    assert_eq!(get(&host, "/readyz").status, 200, "nobody was asked yet");
    let login = format!("login alice --server 127.0.0.1:{port} --secret file:secret --timeout 20s");
    let ready = poll("the primary to be given up", Duration::from_mins(2), || {
        desk.run(&format!("{login} --password-file password --totp-secret-file seed"));
        Some(get(&host, "/readyz")).filter(|ready| ready.status != 200)
    });
    assert_eq!((ready.status, &*ready.body), (503, "store ok\nlisteners ok\nprimaries down\n"));
    let page = get(&host, "/metrics").body;
    assert!(page.contains("radmfa_primary_up{primary=\"up\",server=\"127.0.0.1:"), "{page}");
    assert_eq!(get(&host, "/healthz").status, 200);
}
