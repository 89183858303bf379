//! A session and our own receiver's side of SASL, byte by byte; and what a hostile broker may say.

#![cfg(feature = "cli")]

use super::*;
use crate::proto::kafka::broker::Broker;
use crate::proto::kafka::broker::BrokerError;
use crate::proto::kafka::broker::Handled;
use crate::proto::kafka::client::Acks;
use crate::proto::kafka::client::SessionOptions;
use crate::proto::kafka::sasl::Secret;
use crate::proto::kafka::sasl::Users;
use crate::proto::kafka::server;
use crate::proto::kafka::wire::Writer;
use crate::proto::kafka::wire::header;

const START: Moment = Moment(1_000_000_000);

fn session(password: &str) -> Session {
    let password = Secret::new(Zeroizing::new(password.as_bytes().to_vec()));
    let credentials = Arc::new(Credentials::Plain { username: "alice".to_owned(), password });
    let authentication =
        Some(Authentication { credentials, nonce: [1; NONCE_BYTES], renew_percent: 90 });
    let options = SessionOptions {
        client_id: "sdk".to_owned(),
        acks: Acks::All,
        request_timeout: Duration::from_secs(30),
        frame_bytes_max: 4096,
        authentication,
    };
    Session::new(options, START).unwrap()
}

fn broker() -> Broker {
    let users = Arc::new(Users::parse(b"alice:wonder").unwrap());
    Broker::new("127.0.0.1".to_owned(), 1, |_| true).guarded(users)
}

/// Passes everything that both sides have to say.
fn talk(session: &mut Session, broker: &mut Broker) -> Result<Option<Event>, SessionError> {
    while let Some(transmit) = session.poll_transmit() {
        let mut answer = Vec::new();
        broker.handle(&transmit.head[4..], || 1, &mut answer).unwrap();
        session.handle_bytes(START, &answer)?;
    }
    Ok(session.poll_event())
}

#[test]
fn the_right_password_makes_both_sides_content() {
    let (mut session, mut broker) = (session("wonder"), broker());
    assert!(!broker.is_passed());
    assert_eq!(talk(&mut session, &mut broker), Ok(Some(Event::Ready)));
    assert!(broker.is_passed());
    assert_eq!(session.poll_timeout(), None, "it holds for ever");
}

#[test]
fn a_wrong_password_ends_the_session_with_the_brokers_words() {
    let (mut session, mut broker) = (session("wander"), broker());
    let words = "wrong user or password".to_owned();
    let failed = SessionError::AuthenticationFailed { words };
    assert_eq!(talk(&mut session, &mut broker), Err(failed));
    assert!(!broker.is_passed());
    assert!(session.poll_transmit().is_none());
}

#[test]
fn nothing_is_answered_before_the_authentication_nor_out_of_order() {
    let mut session = session("wonder");
    let versions = session.poll_transmit().unwrap();
    let mut out = Vec::new();
    let request = |api: ApiKey, version, body: &[u8]| {
        let mut frame = [api.number().to_be_bytes(), i16::to_be_bytes(version)].concat();
        frame.extend([0, 0, 0, 1, 0xff, 0xff]);
        frame.extend(body);
        frame
    };
    let metadata = request(ApiKey::Metadata, 1, &[0, 0, 0, 0]);
    let authenticate = request(ApiKey::SaslAuthenticate, 1, b"\0\0\0\x0d\0alice\0wonder");
    for (frame, expected) in
        [(&metadata, BrokerError::Unauthenticated), (&authenticate, BrokerError::UnexpectedSasl)]
    {
        assert_eq!(broker().handle(frame, || 1, &mut out), Err(expected));
    }
    let mut open = Broker::new("h".to_owned(), 1, |_| true);
    assert_eq!(open.handle(&authenticate, || 1, &mut out), Err(BrokerError::UnexpectedSasl));
    assert!(out.is_empty());
    let answered = broker().handle(&versions.head[4..], || 1, &mut out);
    assert_eq!(answered, Ok(Handled::Answered));
}

fn answer(api: ApiKey, id: i32, body: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = Writer::frame(&mut out);
    header::encode_response_header(&mut writer, api, 1, id);
    body(&mut writer);
    writer.finish(0).unwrap();
    out
}

/// A session whose mechanism was accepted.
fn challenged() -> Session {
    let mut session = session("wonder");
    session.poll_transmit().unwrap();
    let offer = server::api_versions_response(true);
    let mut bytes = Vec::new();
    let mut writer = Writer::frame(&mut bytes);
    header::encode_response_header(&mut writer, ApiKey::ApiVersions, 3, 0);
    offer.encode(3, &mut writer);
    writer.finish(0).unwrap();
    session.handle_bytes(START, &bytes).unwrap();
    session.poll_transmit().unwrap();
    session
}

#[test]
fn an_authentication_that_expires_is_announced_in_time_and_once() {
    let mut session = challenged();
    let agreed = sasl_handshake::Response { error: ErrorCode::None, mechanisms: vec!["PLAIN"] };
    let bytes = answer(ApiKey::SaslHandshake, 1, |writer| agreed.encode(writer));
    session.handle_bytes(START, &bytes).unwrap();
    let secret = session.poll_transmit().unwrap();
    assert!(!format!("{secret:?} {session:?}").contains("wonder"));
    let granted = sasl_authenticate::Response {
        error: ErrorCode::None,
        error_message: None,
        message: b"",
        session_lifetime_ms: 10_000,
    };
    let bytes = answer(ApiKey::SaslAuthenticate, 2, |writer| granted.encode(1, writer));
    session.handle_bytes(START, &bytes).unwrap();
    assert_eq!(session.poll_event(), Some(Event::Ready));
    let due = START.after(Duration::from_secs(9));
    assert_eq!(session.poll_timeout(), Some(due), "90 per cent of 10 s");
    session.handle_timeout(START.after(Duration::from_secs(8))).unwrap();
    assert_eq!(session.poll_event(), None);
    session.handle_timeout(due).unwrap();
    assert_eq!((session.poll_event(), session.poll_event()), (Some(Event::Expiring), None));
    assert_eq!(session.poll_timeout(), None);
}

#[test]
fn a_mechanism_that_is_not_had_is_explained_in_printable_words() {
    let mut session = challenged();
    let long = "x".repeat(1_000);
    let mechanisms = vec!["GSSAPI", "\x1b[2J", &long];
    let refused = sasl_handshake::Response { error: ErrorCode::from(33), mechanisms };
    let bytes = answer(ApiKey::SaslHandshake, 1, |writer| refused.encode(writer));
    let error = session.handle_bytes(START, &bytes).unwrap_err().to_string();
    assert!(error.contains("it takes: GSSAPI, ") && !error.contains('\x1b'), "{error}");
    assert!(error.len() < 500, "{error}");
}
