//! The client's side: what to say first, and what to say to each answer.

use zeroize::Zeroizing;

use crate::proto::kafka::sasl::NONCE_BYTES;
use crate::proto::kafka::sasl::PLAIN;
use crate::proto::kafka::sasl::SaslError;
use crate::proto::kafka::sasl::Secret;
#[cfg(feature = "tls")]
use crate::proto::kafka::sasl::scram::Hash;
#[cfg(feature = "tls")]
use crate::proto::kafka::sasl::scram::Scram;

/// Who we are, and how we prove it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// RFC 4616: the password itself. Only safe where the connection is encrypted.
    Plain {
        /// The user.
        username: String,
        /// The password.
        password: Secret,
    },
    /// RFC 5802 and 7677: a proof that we know the password, for which the server must know it too.
    #[cfg(feature = "tls")]
    Scram {
        /// Which hash.
        hash: Hash,
        /// The user.
        username: String,
        /// The password.
        password: Secret,
    },
    /// RFC 7628: a token that somebody else issued. Only safe where the connection is encrypted.
    OauthBearer {
        /// The token.
        token: Secret,
    },
}

impl Credentials {
    /// The mechanism, as Kafka spells it.
    pub fn mechanism(&self) -> &'static str {
        match self {
            Credentials::Plain { .. } => PLAIN,
            #[cfg(feature = "tls")]
            Credentials::Scram { hash, .. } => hash.mechanism(),
            Credentials::OauthBearer { .. } => "OAUTHBEARER",
        }
    }
}

/// What to do next.
#[derive(PartialEq, Eq)]
pub enum Step {
    /// Send this.
    Send(Zeroizing<Vec<u8>>),
    /// Nothing: both sides are content.
    Done,
}

/// One authentication. Has no `Debug` that shows anything.
pub struct Exchange(State);

enum State {
    /// Whatever comes with success is the end.
    LastWord,
    /// A message behind the token is the server's reason for refusing it.
    Token,
    #[cfg(feature = "tls")]
    Scram(Box<Scram>),
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Exchange(..)")
    }
}

impl Exchange {
    /// Begins with the first message. `nonce` is fresh random bytes.
    pub fn start(
        credentials: &Credentials,
        nonce: &[u8; NONCE_BYTES],
    ) -> (Self, Zeroizing<Vec<u8>>) {
        match credentials {
            Credentials::Plain { username, password } => {
                let message = joined(&[b"\0", username.as_bytes(), b"\0", password.expose()]);
                (Self(State::LastWord), message)
            }
            #[cfg(feature = "tls")]
            Credentials::Scram { hash, username, password } => {
                let (scram, message) = Scram::start(*hash, username, password.clone(), nonce);
                (Self(State::Scram(Box::new(scram))), message)
            }
            Credentials::OauthBearer { token } => {
                let message = joined(&[b"n,,\x01auth=Bearer ", token.expose(), b"\x01\x01"]);
                #[cfg(not(feature = "tls"))]
                let _unused = nonce;
                (Self(State::Token), message)
            }
        }
    }

    /// Goes on with what the server said.
    pub fn answer(&mut self, message: &[u8]) -> Result<Step, SaslError> {
        match &mut self.0 {
            State::LastWord => Ok(Step::Done),
            State::Token if message.is_empty() => Ok(Step::Done),
            State::Token => {
                // RFC 7628 3.2.3: to be acknowledged, then the server fails the authentication.
                self.0 = State::LastWord;
                Ok(Step::Send(joined(&[b"\x01"])))
            }
            #[cfg(feature = "tls")]
            State::Scram(scram) => scram.answer(message),
        }
    }
}

/// In one allocation: a vector that grows leaves copies behind.
pub(super) fn joined(pieces: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let bytes = pieces.iter().map(|piece| piece.len()).sum();
    let mut message = Zeroizing::new(Vec::with_capacity(bytes));
    pieces.iter().for_each(|piece| message.extend_from_slice(piece));
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(Zeroizing::new(text.as_bytes().to_vec()))
    }

    #[test]
    fn plain_is_one_message() {
        let credentials =
            Credentials::Plain { username: "alice".to_owned(), password: secret("wonder") };
        let (mut exchange, first) = Exchange::start(&credentials, &[0; NONCE_BYTES]);
        assert_eq!(&first[..], b"\0alice\0wonder");
        assert!(exchange.answer(b"") == Ok(Step::Done));
        assert!(!format!("{credentials:?} {exchange:?}").contains("wonder"));
    }

    #[test]
    fn a_refused_token_is_acknowledged_once() {
        let credentials = Credentials::OauthBearer { token: secret("ey.J") };
        let (mut exchange, first) = Exchange::start(&credentials, &[0; NONCE_BYTES]);
        assert_eq!(&first[..], b"n,,\x01auth=Bearer ey.J\x01\x01");
        let Ok(Step::Send(reply)) = exchange.answer(b"{\"status\":\"invalid_token\"}") else {
            panic!("the reason is to be acknowledged")
        };
        assert_eq!(&reply[..], b"\x01");
        let (mut exchange, _) = Exchange::start(&credentials, &[0; NONCE_BYTES]);
        assert!(exchange.answer(b"") == Ok(Step::Done));
    }
}
