//! CRC-32C (Castagnoli): the checksum of Kafka's record batches and of our own frames.
//!
//! Owns the polynomial arithmetic of [`combine`], which joins the checksums of two neighbouring
//! byte ranges without reading them again: the sender patches a 40-byte header in front of a body
//! whose checksum was taken when it was sealed, so damage in between cannot be signed as good.

/// CRC-32C of `bytes`.
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
}

/// CRC-32C of the concatenation whose first part has checksum `crc` and whose next part is `bytes`.
pub fn extend(crc: u32, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc, bytes)
}

/// CRC-32C of `a || b` from the checksum of each and the length of `b`.
///
/// Multiplies by x^(8·len) modulo the polynomial, as zlib's `crc32_combine` does; about 18
/// carry-less multiplications of 32 bits, so its cost does not depend on the bytes.
pub fn combine(crc_a: u32, crc_b: u32, len_b: u32) -> u32 {
    multiply(power_of_x(len_b), crc_a) ^ crc_b
}

/// The Castagnoli polynomial, bit-reversed.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// x^(2^k) modulo the polynomial for every k that `8 * u32` needs; reflected: x^0 is the top bit.
const X_TO_THE_2_TO_THE: [u32; 35] = {
    let mut table = [0u32; 35];
    table[0] = 1 << 30;
    let mut k = 1;
    while k < 35 {
        table[k] = multiply(table[k - 1], table[k - 1]);
        k += 1;
    }
    table
};

/// x^(8·bytes) modulo the polynomial.
fn power_of_x(bytes: u32) -> u32 {
    let mut product = 1u32 << 31;
    let mut rest = bytes;
    let mut k = 3;
    while rest != 0 {
        if rest & 1 == 1 {
            product = multiply(X_TO_THE_2_TO_THE[k], product);
        }
        rest >>= 1;
        k += 1;
    }
    product
}

/// The product of two reflected polynomials modulo [`POLYNOMIAL`].
const fn multiply(a: u32, b: u32) -> u32 {
    let mut product = 0;
    let mut b = b;
    let mut bit = 1u32 << 31;
    while bit != 0 {
        if a & bit != 0 {
            product ^= b;
        }
        b = if b & 1 == 1 { (b >> 1) ^ POLYNOMIAL } else { b >> 1 };
        bit >>= 1;
    }
    product
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_value_of_the_catalogue() {
        // "123456789" -> e3069283: the check value of CRC-32/ISCSI in the reveng catalogue.
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(extend(crc32c(b"1234"), b"56789"), 0xe306_9283);
    }

    proptest::proptest! {
        #[test]
        fn combine_equals_the_checksum_of_the_concatenation(
            a in proptest::collection::vec(proptest::num::u8::ANY, 0..300),
            b in proptest::collection::vec(proptest::num::u8::ANY, 0..70_000),
        ) {
            let whole = [a.as_slice(), b.as_slice()].concat();
            proptest::prop_assert_eq!(
                combine(crc32c(&a), crc32c(&b), u32::try_from(b.len()).unwrap()),
                crc32c(&whole)
            );
        }
    }
}
