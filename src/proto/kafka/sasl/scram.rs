//! SCRAM-SHA-256 and SCRAM-SHA-512, the client's side (RFC 5802, RFC 7677), without channel binding.
//!
//! As Kafka does, names and passwords are taken as UTF-8 without SASLprep. Invariants: the server's
//! signature is checked before the exchange counts as done; the salted password is wiped.

use std::num::NonZeroU32;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest;
use ring::hmac;
use ring::pbkdf2;
use zeroize::Zeroizing;

use crate::proto::kafka::sasl::NONCE_BYTES;
use crate::proto::kafka::sasl::SaslError;
use crate::proto::kafka::sasl::Secret;
use crate::proto::kafka::sasl::Step;
use crate::proto::kafka::sasl::exchange::joined;

/// Fewer are too easily guessed from a recorded exchange (RFC 7677); Kafka allows no fewer either.
const ITERATIONS_MIN: u32 = 4_096;
/// More would hold up the sender's thread for more than about 50 ms; Kafka allows 16,384.
const ITERATIONS_MAX: u32 = 65_536;
/// A server's message is some hundred bytes.
const MESSAGE_BYTES_MAX: usize = 4 << 10;
/// `n,,` in base 64: no channel binding.
const NO_BINDING: &str = "biws";

/// Which hash function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

impl Hash {
    /// The mechanism, as Kafka spells it.
    pub const fn mechanism(self) -> &'static str {
        match self {
            Hash::Sha256 => "SCRAM-SHA-256",
            Hash::Sha512 => "SCRAM-SHA-512",
        }
    }

    fn hmac(self) -> hmac::Algorithm {
        match self {
            Hash::Sha256 => hmac::HMAC_SHA256,
            Hash::Sha512 => hmac::HMAC_SHA512,
        }
    }

    fn pbkdf2(self) -> pbkdf2::Algorithm {
        match self {
            Hash::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
            Hash::Sha512 => pbkdf2::PBKDF2_HMAC_SHA512,
        }
    }

    fn digest(self) -> &'static digest::Algorithm {
        match self {
            Hash::Sha256 => &digest::SHA256,
            Hash::Sha512 => &digest::SHA512,
        }
    }
}

/// See the module's head.
pub(super) struct Scram {
    hash: Hash,
    password: Secret,
    nonce: String,
    first_bare: String,
    state: State,
}

enum State {
    WaitsForChallenge,
    WaitsForSignature { key: hmac::Key, message: String },
    Over,
}

impl Scram {
    pub(super) fn start(
        hash: Hash,
        username: &str,
        password: Secret,
        nonce: &[u8; NONCE_BYTES],
    ) -> (Self, Zeroizing<Vec<u8>>) {
        let nonce = STANDARD.encode(nonce);
        let username = username.replace('=', "=3D").replace(',', "=2C");
        let first_bare = format!("n={username},r={nonce}");
        let first = joined(&[b"n,,", first_bare.as_bytes()]);
        (Self { hash, password, nonce, first_bare, state: State::WaitsForChallenge }, first)
    }

    pub(super) fn answer(&mut self, message: &[u8]) -> Result<Step, SaslError> {
        if message.len() > MESSAGE_BYTES_MAX {
            return Err(SaslError::Malformed("it is longer than 4 KiB"));
        }
        let text =
            std::str::from_utf8(message).map_err(|_| SaslError::Malformed("it is not UTF-8"))?;
        match std::mem::replace(&mut self.state, State::Over) {
            State::WaitsForChallenge => self.prove(text).map(Step::Send),
            State::WaitsForSignature { key, message } => {
                if text.starts_with("e=") {
                    return Err(SaslError::Refused);
                }
                let signature = attribute(text, "v=").and_then(decoded)?;
                hmac::verify(&key, message.as_bytes(), &signature)
                    .map_err(|_| SaslError::ServerProof)?;
                Ok(Step::Done)
            }
            State::Over => Err(SaslError::Malformed("it comes after the end")),
        }
    }

    fn prove(&mut self, challenge: &str) -> Result<Zeroizing<Vec<u8>>, SaslError> {
        let mut attributes = challenge.split(',');
        let mut next = |name| attribute(attributes.next().unwrap_or_default(), name);
        let nonce = next("r=")?;
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err(SaslError::Malformed("its nonce does not extend ours"));
        }
        let salt = next("s=").and_then(decoded)?;
        let iterations: u32 = next("i=")?
            .parse()
            .map_err(|_| SaslError::Malformed("its number of iterations is none"))?;
        let Some(rounds) = NonZeroU32::new(iterations)
            .filter(|_| (ITERATIONS_MIN..=ITERATIONS_MAX).contains(&iterations))
        else {
            return Err(SaslError::Iterations(iterations));
        };
        let final_bare = format!("c={NO_BINDING},r={nonce}");
        let message = format!("{},{challenge},{final_bare}", self.first_bare);

        let mut salted = Zeroizing::new(vec![0; self.hash.digest().output_len()]);
        pbkdf2::derive(self.hash.pbkdf2(), rounds, &salt, self.password.expose(), &mut salted);
        let salted = hmac::Key::new(self.hash.hmac(), &salted);
        let client_key = hmac::sign(&salted, b"Client Key");
        let stored_key = digest::digest(self.hash.digest(), client_key.as_ref());
        let stored_key = hmac::Key::new(self.hash.hmac(), stored_key.as_ref());
        let signature = hmac::sign(&stored_key, message.as_bytes());
        let proof: Zeroizing<Vec<u8>> = Zeroizing::new(
            client_key.as_ref().iter().zip(signature.as_ref()).map(|(a, b)| a ^ b).collect(),
        );
        let server_key = hmac::sign(&salted, b"Server Key");
        let key = hmac::Key::new(self.hash.hmac(), server_key.as_ref());
        self.state = State::WaitsForSignature { key, message };
        let proof = STANDARD.encode(&*proof);
        Ok(joined(&[final_bare.as_bytes(), b",p=", proof.as_bytes()]))
    }
}

fn attribute<'a>(text: &'a str, name: &str) -> Result<&'a str, SaslError> {
    text.strip_prefix(name).ok_or(SaslError::Malformed("an attribute is missing"))
}

fn decoded(text: &str) -> Result<Vec<u8>, SaslError> {
    // The server's last message may have extensions behind a comma.
    let text = text.split(',').next().unwrap_or_default();
    STANDARD.decode(text).map_err(|_| SaslError::Malformed("it is not in base 64"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(Zeroizing::new(text.as_bytes().to_vec()))
    }

    /// RFC 7677, section 3. Its nonce is not base 64 of ours, so it is put in.
    fn exchange_of_the_rfc() -> Scram {
        let (mut scram, _) =
            Scram::start(Hash::Sha256, "user", secret("pencil"), &[0; NONCE_BYTES]);
        scram.nonce = "rOprNGfwEbeRWgbNEkqO".to_owned();
        scram.first_bare = format!("n=user,r={}", scram.nonce);
        scram
    }

    const CHALLENGE: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                             s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

    #[test]
    fn the_example_of_rfc_7677_is_reproduced() {
        let mut scram = exchange_of_the_rfc();
        let Ok(Step::Send(proof)) = scram.answer(CHALLENGE.as_bytes()) else { panic!("a proof") };
        assert_eq!(
            std::str::from_utf8(&proof).unwrap(),
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        let signature = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
        assert!(scram.answer(signature) == Ok(Step::Done));
    }

    #[test]
    fn a_server_that_does_not_know_the_password_is_found_out() {
        let mut scram = exchange_of_the_rfc();
        scram.answer(CHALLENGE.as_bytes()).map(drop).unwrap();
        let wrong = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5=";
        assert_eq!(scram.answer(wrong).err(), Some(SaslError::Malformed("it is not in base 64")));
        let mut scram = exchange_of_the_rfc();
        scram.answer(CHALLENGE.as_bytes()).map(drop).unwrap();
        let wrong = b"v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
        assert_eq!(scram.answer(wrong).err(), Some(SaslError::ServerProof));
        let mut scram = exchange_of_the_rfc();
        scram.answer(CHALLENGE.as_bytes()).map(drop).unwrap();
        assert_eq!(scram.answer(b"e=invalid-proof").err(), Some(SaslError::Refused));
    }

    #[test]
    fn hostile_challenges_are_refused_before_any_work() {
        for (challenge, expected) in [
            ("r=other,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", "nonce"),
            ("r=rOprNGfwEbeRWgbNEkqO,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", "nonce"),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=1", "1 iterations"),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4294967295", "4294967295"),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=!!,i=4096", "base 64"),
            ("r=rOprNGfwEbeRWgbNEkqOx,i=4096", "missing"),
            ("", "missing"),
        ] {
            let error = exchange_of_the_rfc().answer(challenge.as_bytes()).map(drop).unwrap_err();
            assert!(error.to_string().contains(expected), "{challenge}: {error}");
        }
        assert!(exchange_of_the_rfc().answer(&vec![b'r'; 1 << 20]).is_err());
    }

    #[test]
    fn names_are_escaped() {
        let (_, first) = Scram::start(Hash::Sha512, "a=b,c", secret("x"), &[0; NONCE_BYTES]);
        assert!(first.starts_with(b"n,,n=a=3Db=2Cc,r="));
    }
}
