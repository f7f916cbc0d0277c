//! Requests whose bytes are no message, to every method.

use bytes::Bytes;
use countersign_server::METHODS;
use http_body_util::Full;
use tonic::{Code, Status, body::Body};
use tower::Service as _;

use crate::rig::{Refused, Rig};

/// A gRPC frame: whether it is compressed, its length, its bytes.
fn frame(flag: u8, length: usize, bytes: &[u8]) -> Vec<u8> {
    [&[flag], &u32::try_from(length).unwrap().to_be_bytes()[..], bytes].concat()
}

async fn sent(rig: &Rig, method: &str, body: Vec<u8>) -> Refused {
    let request = http::Request::post(format!("http://test/{method}")).header("content-type", "application/grpc");
    let request = request.body(Body::new(Full::new(Bytes::from(body))));
    let answer = rig.in_process().call(request.unwrap()).await.unwrap();
    Refused::from(Status::from_header_map(answer.headers()).unwrap_or_else(|| panic!("{method} took it")))
}

#[tokio::test]
async fn bytes_that_are_no_message_are_malformed_at_every_method() {
    let rig = Rig::new().await;
    let garbage = [0xff; 20];
    let ours: Vec<_> = METHODS.into_iter().filter(|method| method.starts_with("countersign.")).collect();
    assert!(ours.contains(&"countersign.v1.ChallengeService/WatchChallenge"), "one that answers with a stream");
    for method in ours {
        for (what, body) in [
            ("garbage", frame(0, 20, &garbage)),
            ("a message that ends early", frame(0, 20, &garbage[..9])),
            ("no message", Vec::new()),
            ("half a head", vec![0, 0]),
            ("a compressed message", frame(1, 0, b"")),
            ("a flag that does not exist", frame(7, 0, b"")),
            ("something after it", [frame(0, 0, b""), frame(0, 20, &garbage)].concat()),
        ] {
            let refused = sent(&rig, method, body).await;
            assert_eq!(
                (refused.code, &*refused.reason),
                (Code::InvalidArgument, "REQUEST_MALFORMED"),
                "{method}: {what}"
            );
            assert_eq!(refused.fields(), ["message"], "{method}: {what}");
        }
    }
    // The token, not UTF-8.
    let refused = sent(&rig, "countersign.v1.TokenService/RevokeToken", frame(0, 3, b"\x12\x01\xff")).await;
    assert_eq!((refused.code, &*refused.reason), (Code::InvalidArgument, "REQUEST_MALFORMED"));
}

#[tokio::test]
async fn a_message_over_the_limit_is_malformed_and_the_limit_is_said() {
    let rig = Rig::new().await;
    for method in ["countersign.v1.TokenService/IssueToken", "countersign.v1.ChallengeService/WatchChallenge"] {
        let refused = sent(&rig, method, frame(0, 256 * 1024 + 1, b"")).await;
        assert_eq!((refused.code, &*refused.reason), (Code::InvalidArgument, "REQUEST_MALFORMED"));
        assert!(refused.text.contains("262144"), "{}", refused.text);
    }
}
