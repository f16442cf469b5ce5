//! Descriptor files as raw bytes.
//!
//! Decoding a file with prost drops the option extensions, and the validation rules are option
//! extensions. So files are taken out of the set and put back without being decoded; only the
//! source locations are cut off (field 9 of a file), which nothing reads at run time.

use std::{error::Error, io::ErrorKind};

use prost::encoding::{decode_varint, encode_varint};

const FILE_KEY: u64 = (1 << 3) | 2;
const SOURCE_INFO_KEY: u64 = (9 << 3) | 2;

/// The files of an encoded set, without source locations.
pub(crate) fn files(set: &[u8]) -> Result<Vec<Vec<u8>>, Box<dyn Error>> {
    let mut files = Vec::new();
    for (key, body) in fields(set)? {
        if key == FILE_KEY {
            let mut file = Vec::with_capacity(body.len());
            for (key, body) in fields(body)? {
                if key != SOURCE_INFO_KEY {
                    put(&mut file, key, body);
                }
            }
            files.push(file);
        }
    }
    Ok(files)
}

/// The encoded set of these files.
pub(crate) fn set<'a>(files: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut set = Vec::new();
    for file in files {
        put(&mut set, FILE_KEY, file);
    }
    set
}

/// A field: its key and its payload.
type Field<'a> = (u64, &'a [u8]);

/// Every field as key and payload; a file descriptor has length-delimited and varint fields only.
fn fields(mut bytes: &[u8]) -> Result<Vec<Field<'_>>, Box<dyn Error>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = decode_varint(&mut bytes)?;
        let length = match key & 7 {
            0 => {
                let mut rest = bytes;
                decode_varint(&mut rest)?;
                bytes.len() - rest.len()
            }
            2 => usize::try_from(decode_varint(&mut bytes)?)?,
            other => return Err(format!("wire type {other} in a file descriptor").into()),
        };
        let (body, rest) = bytes
            .split_at_checked(length)
            .ok_or(std::io::Error::from(ErrorKind::UnexpectedEof))?;
        fields.push((key, body));
        bytes = rest;
    }
    Ok(fields)
}

fn put(out: &mut Vec<u8>, key: u64, body: &[u8]) {
    encode_varint(key, out);
    if key & 7 == 2 {
        encode_varint(body.len() as u64, out);
    }
    out.extend_from_slice(body);
}
