//! The interfaces that need no engine: tags, and headers as bytes.

use alloc::string::String;
use alloc::vec::Vec;

use super::Component;
use super::bindings::exports::zoocache::engine::headers::{self, DecodeError, Decoded, EncodeError};
use super::bindings::exports::zoocache::engine::tags;
use super::bindings::exports::zoocache::engine::types::TagError;
use super::convert::{header_error, header_in, header_out};
use super::words::parse;

impl tags::Guest for Component {
    fn check_tag(tag: String) -> Result<(), TagError> {
        parse(&tag, 0).map(drop)
    }
}

impl headers::Guest for Component {
    fn encode_header(header: headers::Header) -> Result<Vec<u8>, EncodeError> {
        header_in(&header).map(|header| header.encode())
    }

    fn decode_header(bytes: Vec<u8>) -> Result<Decoded, DecodeError> {
        let (header, length) = crate::Header::decode(&bytes).map_err(header_error)?;
        Ok(Decoded { header: header_out(&header), length: u32::try_from(length).unwrap_or(u32::MAX) })
    }
}
