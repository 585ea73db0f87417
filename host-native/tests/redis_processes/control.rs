//! What the nodes are to do, in a file that all read before each step.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// What the nodes are to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// Everything.
    Run,
    /// Read only; what was queued is replayed meanwhile.
    Quiet,
    /// Look once at everything, and end.
    Look,
}

pub(crate) struct Control(File);

impl Control {
    pub(crate) fn make(folder: &Path) -> Self {
        fs::write(folder.join("control"), [Phase::Run as u8, 0]).expect("the folder can be written");
        Self::open(folder)
    }

    pub(crate) fn open(folder: &Path) -> Self {
        let file = File::options().read(true).write(true).open(folder.join("control"));
        Self(file.expect("it was made"))
    }

    pub(crate) fn write(&self, phase: Phase, is_calm: bool) {
        self.0.write_all_at(&[phase as u8, u8::from(is_calm)], 0).expect("it can be written");
    }

    /// The phase, and whether the weather is calm.
    pub(crate) fn read(&self) -> (Phase, bool) {
        let mut bytes = [0; 2];
        self.0.read_exact_at(&mut bytes, 0).expect("it is complete");
        let phase = match bytes[0] {
            0 => Phase::Run,
            1 => Phase::Quiet,
            _ => Phase::Look,
        };
        (phase, bytes[1] != 0)
    }
}
