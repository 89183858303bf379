//! Who may write to our receiver, and the check of SASL PLAIN.
//!
//! Keeps no password: only a keyed digest of each, whose key is made at random when the users are read. Invariant: the
//! time that a check takes does not depend on the password, nor on whether there is such a user.

use std::collections::HashMap;
use std::fmt;

use ring::hmac;
use thiserror::Error;

const LINE_BYTES_MAX: usize = 1 << 10;

/// Why a file of users was refused; never repeats a line of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum UsersError {
    /// A line is not `name:password`.
    #[error("line {0} of the users is not NAME:PASSWORD, each of at least one byte, 1024 in all")]
    Line(usize),
    /// A user stands there twice.
    #[error("line {0} of the users names a user that an earlier one does")]
    Twice(usize),
    /// There is none.
    #[error("there is no user, so nobody could write: give one as NAME:PASSWORD")]
    None,
    /// The system has no random bytes.
    #[error("the system gives no random bytes")]
    NoRandom,
}

/// See the module's head.
pub struct Users {
    key: hmac::Key,
    digests: HashMap<Vec<u8>, hmac::Tag>,
    nobody: hmac::Tag,
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Users").field("count", &self.digests.len()).finish_non_exhaustive()
    }
}

impl Users {
    /// Reads lines of `name:password`; the password may hold colons. Empty lines and those that
    /// begin with `#` are left out.
    ///
    /// # Errors
    /// [`UsersError`] with the line's number.
    pub fn parse(text: &[u8]) -> Result<Self, UsersError> {
        let random = ring::rand::SystemRandom::new();
        let key =
            hmac::Key::generate(hmac::HMAC_SHA256, &random).map_err(|_| UsersError::NoRandom)?;
        let mut digests = HashMap::new();
        for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() || line[0] == b'#' {
                continue;
            }
            let colon = line.iter().position(|byte| *byte == b':');
            let (name, password) = match colon {
                Some(at) if at > 0 && at + 1 < line.len() && line.len() <= LINE_BYTES_MAX => {
                    (&line[..at], &line[at + 1..])
                }
                Some(_) | None => return Err(UsersError::Line(index + 1)),
            };
            if digests.insert(name.to_vec(), hmac::sign(&key, password)).is_some() {
                return Err(UsersError::Twice(index + 1));
            }
        }
        if digests.is_empty() {
            return Err(UsersError::None);
        }
        // What no password can be: an empty one is never accepted.
        let nobody = hmac::sign(&key, b"");
        Ok(Self { key, digests, nobody })
    }

    /// Checks a message of SASL PLAIN: an identity to act as (empty, or the name again), a name and a
    /// password, with NULs between them.
    pub fn check_plain(&self, message: &[u8]) -> bool {
        let mut parts = message.splitn(3, |byte| *byte == 0);
        let (Some(acts_as), Some(name), Some(password)) =
            (parts.next(), parts.next(), parts.next())
        else {
            return false;
        };
        let known = self.digests.get(name);
        let expected = known.unwrap_or(&self.nobody);
        let is_right = hmac::verify(&self.key, password, expected.as_ref()).is_ok();
        is_right && known.is_some() && (acts_as.is_empty() || acts_as == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_password_of_a_known_user_passes() {
        let users = Users::parse(b"# writers\nalice:won:der\r\n\nbob:b\n").unwrap();
        for message in [&b"\0alice\0won:der"[..], b"alice\0alice\0won:der", b"\0bob\0b"] {
            assert!(users.check_plain(message));
        }
        for message in [
            &b""[..],
            b"\0\0",
            b"\0alice\0",
            b"\0alice\0won",
            b"\0alice\0won:derr",
            b"\0nobody\0",
            b"\0bob\0won:der",
            b"bob\0alice\0won:der",
            b"alice\0won:der",
            b"\0alice\0won:der\0",
            b"\0# writers\0x",
        ] {
            assert!(!users.check_plain(message), "{message:?}");
        }
        assert_eq!(format!("{users:?}"), "Users { count: 2, .. }");
    }

    #[test]
    fn bad_files_are_refused_by_line_and_not_repeated() {
        for (text, error) in [
            (&b"alice"[..], UsersError::Line(1)),
            (b"alice:\n", UsersError::Line(1)),
            (b"\n:secret", UsersError::Line(2)),
            (b"a:b\na:c", UsersError::Twice(2)),
            (b"# none\n", UsersError::None),
        ] {
            let refused = Users::parse(text).map(drop).unwrap_err();
            assert_eq!(refused, error);
            assert!(!refused.to_string().contains("secret"));
        }
    }
}
