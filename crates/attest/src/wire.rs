//! Bounded reading and writing of the two byte orders that evidence uses: TPM structures are big-endian,
//! TCG event logs little-endian.
//!
//! Every read names the field it is for, so that a refusal says which field of which structure was wrong.
//! Out of scope: what the values mean.

/// Why foreign bytes are not the structure they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The bytes end inside a field.
    #[error("`{field}` needs {needed} bytes but only {left} are left: send the structure whole")]
    Truncated {
        /// Which field.
        field: &'static str,
        /// How many bytes the field needs.
        needed: usize,
        /// How many bytes were left.
        left: usize,
    },
    /// A length exceeds the limit of its field.
    #[error("`{field}` has length {found}, the limit is {limit}")]
    TooLong {
        /// Which field.
        field: &'static str,
        /// The length found.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// A number names something that is not supported.
    #[error("`{field}` has the unsupported value {found:#x}")]
    Unsupported {
        /// Which field.
        field: &'static str,
        /// The value found.
        found: u64,
    },
    /// A value breaks a rule of its structure.
    #[error("`{field}` breaks a rule: {rule}")]
    Invalid {
        /// Which field.
        field: &'static str,
        /// The rule, in words.
        rule: &'static str,
    },
    /// Bytes are left after the structure.
    #[error("{left} bytes are left after `{field}`: one structure only is expected")]
    Trailing {
        /// Which structure.
        field: &'static str,
        /// How many bytes are left.
        left: usize,
    },
}

/// A cursor over foreign bytes that never reads past the end.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A cursor at the start of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// How many bytes are left.
    pub const fn left(&self) -> usize {
        self.rest.len()
    }

    /// The bytes that are left, not consumed.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Exactly `n` bytes.
    pub fn take(&mut self, field: &'static str, n: usize) -> Result<&'a [u8], Malformed> {
        let (head, rest) = self.rest.split_at_checked(n).ok_or(Malformed::Truncated {
            field,
            needed: n,
            left: self.rest.len(),
        })?;
        self.rest = rest;
        Ok(head)
    }

    /// Exactly `N` bytes as an array.
    pub fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], Malformed> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(Malformed::Truncated {
            field,
            needed: N,
            left: self.rest.len(),
        })?;
        self.rest = rest;
        Ok(*head)
    }

    /// One byte.
    pub fn u8(&mut self, field: &'static str) -> Result<u8, Malformed> {
        self.array::<1>(field).map(|[b]| b)
    }

    /// A big-endian u16.
    pub fn u16(&mut self, field: &'static str) -> Result<u16, Malformed> {
        self.array(field).map(u16::from_be_bytes)
    }

    /// A big-endian u32.
    pub fn u32(&mut self, field: &'static str) -> Result<u32, Malformed> {
        self.array(field).map(u32::from_be_bytes)
    }

    /// A big-endian u64.
    pub fn u64(&mut self, field: &'static str) -> Result<u64, Malformed> {
        self.array(field).map(u64::from_be_bytes)
    }

    /// A little-endian u16.
    pub fn u16_le(&mut self, field: &'static str) -> Result<u16, Malformed> {
        self.array(field).map(u16::from_le_bytes)
    }

    /// A little-endian u32.
    pub fn u32_le(&mut self, field: &'static str) -> Result<u32, Malformed> {
        self.array(field).map(u32::from_le_bytes)
    }

    /// A TPM2B: a big-endian u16 length, then that many bytes, at most `limit`.
    pub fn tpm2b(&mut self, field: &'static str, limit: usize) -> Result<&'a [u8], Malformed> {
        let found = usize::from(self.u16(field)?);
        within(field, found, limit)?;
        self.take(field, found)
    }

    /// A big-endian u32 length, then that many bytes, at most `limit`.
    pub fn long(&mut self, field: &'static str, limit: usize) -> Result<&'a [u8], Malformed> {
        let found = usize::try_from(self.u32(field)?).unwrap_or(usize::MAX);
        within(field, found, limit)?;
        self.take(field, found)
    }

    /// Refuses bytes after the end of the structure.
    pub const fn finish(&self, field: &'static str) -> Result<(), Malformed> {
        if self.rest.is_empty() { Ok(()) } else { Err(Malformed::Trailing { field, left: self.rest.len() }) }
    }
}

/// Refuses a length above its limit.
pub const fn within(field: &'static str, found: usize, limit: usize) -> Result<(), Malformed> {
    if found > limit { Err(Malformed::TooLong { field, found, limit }) } else { Ok(()) }
}

/// Appends a TPM2B. Callers hold values that their parser or maker already bounded below 64 KiB; a longer
/// one would be cut to what the length field can say, and no parser would accept it.
pub fn put_tpm2b(out: &mut Vec<u8>, bytes: &[u8]) {
    let len = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&len.to_be_bytes());
    out.extend(bytes.iter().take(usize::from(len)));
}

/// Appends a u32 length and the bytes.
pub fn put_long(out: &mut Vec<u8>, bytes: &[u8]) {
    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(bytes);
}
