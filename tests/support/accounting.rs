//! Somebody who answers every Accounting-Request (RFC 2866), for gateways that let nobody in without.

use super::Server;
use md5::{Digest as _, Md5};
use std::net::UdpSocket;

/// Accounting-Request and Accounting-Response (RFC 2866 §4).
const REQUEST: u8 = 4;
const RESPONSE: u8 = 5;

/// Answers on this port until the test's process ends.
pub fn answer(server: Server) {
    let socket = UdpSocket::bind(server.address()).unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok((length, gateway)) = socket.recv_from(&mut buffer) {
            let request = &buffer[..length];
            if request.len() < 20 || request[0] != REQUEST {
                continue;
            }
            let mut reply = vec![RESPONSE, request[1], 0, 20];
            let digest = Md5::new().chain_update(&reply).chain_update(&request[4..20]);
            reply.extend(digest.chain_update(server.secret).finalize());
            let _gone = socket.send_to(&reply, gateway);
        }
    });
}
