//! Where the replies and messages of Redis begin and end, so that whole messages can be dropped.

/// What a server sends on one connection, cut into frames.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    /// The beginning of a frame of which the rest was not read yet.
    begun: Vec<u8>,
}

impl Frames {
    /// What of `bytes` gets through: all frames that are complete, without the messages if it `mutes`. Says how many
    /// messages that were.
    pub(crate) fn pass(&mut self, bytes: &[u8], mutes: bool) -> (Vec<u8>, u64) {
        self.begun.extend_from_slice(bytes);
        let (mut through, mut dropped, mut at) = (Vec::new(), 0, 0);
        while let Some(length) = length(&self.begun[at..]) {
            let frame = &self.begun[at..at + length];
            if mutes && is_message(frame) {
                dropped += 1;
            } else {
                through.extend_from_slice(frame);
            }
            at += length;
        }
        self.begun.drain(..at);
        (through, dropped)
    }
}

/// Is it something published, and no reply?
fn is_message(frame: &[u8]) -> bool {
    let Some(word) = frame.get(4..) else { return false };
    matches!(frame[0], b'*' | b'>')
        && [&b"$7\r\nmessage\r\n"[..], b"$8\r\npmessage\r\n", b"$8\r\nsmessage\r\n"]
            .iter()
            .any(|kind| word.starts_with(kind))
}

/// How long the first frame is. None while it is incomplete.
fn length(bytes: &[u8]) -> Option<usize> {
    let line = bytes.windows(2).position(|two| two == b"\r\n")? + 2;
    let number = || std::str::from_utf8(&bytes[1..line - 2]).ok()?.parse::<i64>().ok();
    let parts = match bytes[0] {
        b'$' | b'=' | b'!' => {
            let size = usize::try_from(number()?).map_or(0, |size| size + 2);
            return (bytes.len() >= line + size).then_some(line + size);
        }
        b'*' | b'~' | b'>' => usize::try_from(number()?).unwrap_or(0),
        b'%' | b'|' => usize::try_from(number()?).unwrap_or(0) * 2,
        _ => 0,
    };
    let mut end = line;
    for _ in 0..parts {
        end += length(&bytes[end..])?;
    }
    Some(end)
}
