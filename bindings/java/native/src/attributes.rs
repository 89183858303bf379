//! Attributes as Java packs them in front of a text, as the core's names and values.
//!
//! ```text
//! { u16 name length, u32 value length, name, value } ... little-endian, as often as there are attributes
//! ```
//!
//! `io.logdrive.Payload` writes it. What it wrote is not trusted: every length is checked.

use logdrive::Code;

/// The most attributes that one record takes; `io.logdrive.Payload` stops there.
const ATTRIBUTES_MAX: usize = 64;
/// Records with few attributes pay for few.
const FEW: usize = 8;
const HEAD_BYTES: usize = 6;

type Pair<'a> = (&'a str, &'a [u8]);

/// Runs `body` with the names and values in `packed`. Nothing is allocated.
#[inline(always)]
pub(crate) fn with<T>(
    packed: &[u8],
    body: impl FnOnce(&[Pair<'_>]) -> Result<T, Code>,
) -> Result<T, Code> {
    let mut few: [Pair<'_>; FEW] = [("", &[]); FEW];
    match fill(packed, &mut few)? {
        (count, true) => body(&few[..count]),
        (_, false) => with_many(packed, body),
    }
}

#[cold]
fn with_many<T>(
    packed: &[u8],
    body: impl FnOnce(&[Pair<'_>]) -> Result<T, Code>,
) -> Result<T, Code> {
    let mut many: [Pair<'_>; ATTRIBUTES_MAX] = [("", &[]); ATTRIBUTES_MAX];
    match fill(packed, &mut many)? {
        (count, true) => body(&many[..count]),
        (_, false) => Err(Code::InvalidArgument),
    }
}

/// How many were found, and whether that is all of them.
#[inline(always)]
fn fill<'a>(mut packed: &'a [u8], pairs: &mut [Pair<'a>]) -> Result<(usize, bool), Code> {
    let mut count = 0;
    while !packed.is_empty() {
        let Some(pair) = pairs.get_mut(count) else { return Ok((count, false)) };
        (*pair, packed) = first(packed).ok_or(Code::InvalidArgument)?;
        count += 1;
    }
    Ok((count, true))
}

/// The first attribute, and what follows it; none where a length or a name is wrong.
#[inline(always)]
fn first(packed: &[u8]) -> Option<(Pair<'_>, &[u8])> {
    let (head, rest) = packed.split_first_chunk::<HEAD_BYTES>()?;
    let name_length = u16::from_le_bytes([head[0], head[1]]);
    let value_length = u32::from_le_bytes([head[2], head[3], head[4], head[5]]);
    let (name, rest) = rest.split_at_checked(usize::from(name_length))?;
    let (value, rest) = rest.split_at_checked(value_length as usize)?;
    let name = std::str::from_utf8(name).ok().filter(|name| !name.is_empty())?;
    Some(((name, value), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(pairs: &[(&[u8], &[u8])]) -> Vec<u8> {
        let mut packed = Vec::new();
        for (name, value) in pairs {
            packed.extend_from_slice(&(name.len() as u16).to_le_bytes());
            packed.extend_from_slice(&(value.len() as u32).to_le_bytes());
            packed.extend_from_slice(name);
            packed.extend_from_slice(value);
        }
        packed
    }

    fn read(packed: &[u8]) -> Result<Vec<(String, Vec<u8>)>, Code> {
        with(packed, |pairs| {
            Ok(pairs.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect())
        })
    }

    #[test]
    fn few_and_many_are_read_and_too_many_are_refused() {
        for count in [0, 1, FEW, FEW + 1, ATTRIBUTES_MAX] {
            let names: Vec<String> = (0..count).map(|at| format!("n{at}")).collect();
            let pairs: Vec<_> = names.iter().map(|name| (name.as_bytes(), &b"v"[..])).collect();
            let found = read(&packed(&pairs)).unwrap();
            assert!(found.iter().map(|(name, _)| name).eq(&names), "{count}");
        }
        let pairs = vec![(&b"n"[..], &b""[..]); ATTRIBUTES_MAX + 1];
        assert_eq!(read(&packed(&pairs)), Err(Code::InvalidArgument));
    }

    #[test]
    fn every_cut_and_every_wrong_name_is_refused() {
        let whole = packed(&[(b"name", b"value")]);
        for length in 1..whole.len() {
            assert_eq!(read(&whole[..length]), Err(Code::InvalidArgument), "{length} bytes");
        }
        assert_eq!(read(&packed(&[(b"", b"value")])), Err(Code::InvalidArgument));
        assert_eq!(read(&packed(&[(b"\xff", b"value")])), Err(Code::InvalidArgument));
        assert_eq!(read(&[0xff; 64]), Err(Code::InvalidArgument));
    }
}
