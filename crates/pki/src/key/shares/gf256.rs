//! Arithmetic in GF(2^8) over x^8 + x^4 + x^3 + x + 1 (FIPS 197 4), without branches or tables that depend on secrets.
//!
//! Why our own: the crates that do this look products up in tables indexed by secret bytes, or bring a family of
//! curves along. What is here is eight shifts, checked against FIPS 197's example, against every inverse, and
//! against shares that another implementation made.

/// The product. Both factors may be secret.
pub(super) fn multiply(a: u8, b: u8) -> u8 {
    let (mut a, mut product) = (a, 0u8);
    for bit in 0..8 {
        // All ones when this bit of b is set, else zero.
        product ^= a & 0u8.wrapping_sub((b >> bit) & 1);
        let carry = 0u8.wrapping_sub(a >> 7);
        a = (a << 1) ^ (carry & 0x1b);
    }
    product
}

/// 1/a as a^254; of 0 it is 0, and no caller asks for that.
fn inverse(a: u8) -> u8 {
    // 254 is 0b1111_1110.
    let mut power = a;
    let mut result = 1;
    for _ in 1..8 {
        power = multiply(power, power);
        result = multiply(result, power);
    }
    result
}

/// The value at `x` of the polynomial whose coefficients come highest first (Horner).
pub(super) fn evaluate(highest_first: impl Iterator<Item = u8>, x: u8) -> u8 {
    highest_first.fold(0, |value, coefficient| multiply(value, x) ^ coefficient)
}

/// The weight of the point at `own` for the value at `at` (Lagrange), with the other points at `others`. The
/// places are share numbers, which are no secret; they differ from each other.
pub(super) fn weight(at: u8, own: u8, others: impl Iterator<Item = u8>) -> u8 {
    others.fold(1, |weight, other| multiply(weight, multiply(at ^ other, inverse(own ^ other))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_those_of_fips_197() {
        // FIPS 197 4.2 and 4.2.1
        assert_eq!(multiply(0x57, 0x83), 0xc1);
        assert_eq!(multiply(0x57, 0x13), 0xfe);
        for (power, product) in [(0x02, 0xae), (0x04, 0x47), (0x08, 0x8e), (0x10, 0x07)] {
            assert_eq!(multiply(0x57, power), product);
        }
    }

    #[test]
    fn it_is_a_field() {
        for a in 0..=255u8 {
            assert_eq!(multiply(a, 1), a);
            assert_eq!(multiply(a, 0), 0);
            if a != 0 {
                assert_eq!(multiply(a, inverse(a)), 1, "{a}");
            }
            for b in 0..=255 {
                assert_eq!(multiply(a, b), multiply(b, a));
                assert_eq!(multiply(a, b ^ 0x35), multiply(a, b) ^ multiply(a, 0x35));
            }
        }
    }
}
