//! Between Rust's unsigned numbers and SQLite's signed 64-bit ones, and fixed-length blobs.

use rusqlite::types::{FromSqlError, Type};
use rusqlite::{Error, Row};

/// Positions and counts stay far below 2^63; what is not is stored as the largest value and fails every comparison.
pub(crate) fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(crate) fn unsigned(row: &Row<'_>, column: usize) -> Result<u64, Error> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|_| Error::IntegralValueOutOfRange(column, value))
}

pub(crate) fn blob<const N: usize>(row: &Row<'_>, column: usize) -> Result<[u8; N], Error> {
    let bytes = row.get_ref(column)?.as_blob().map_err(|e| conversion(column, e))?;
    let wrong = FromSqlError::InvalidBlobSize { expected_size: N, blob_size: bytes.len() };
    bytes.try_into().map_err(|_| conversion(column, wrong))
}

fn conversion(column: usize, error: FromSqlError) -> Error {
    Error::FromSqlConversionFailure(column, Type::Blob, Box::new(error))
}
