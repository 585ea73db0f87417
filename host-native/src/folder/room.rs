//! One environment of a folder, and its tables.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use heed::types::Bytes;
use heed::{Database, Env, EnvFlags, EnvOpenOptions, MdbError, RoTxn, RwTxn, WithoutTls};

use super::error::FolderError;
use super::number::Number;
use super::waking::{Mutex, Waking};

/// A table of bytes.
pub(crate) type Table = Database<Bytes, Bytes>;
/// A read transaction.
pub(crate) type Reading<'a> = RoTxn<'a, WithoutTls>;

/// Sizes of a map, the first that the system grants counts. It is address space, not memory and not disk: large,
/// because a map cannot grow while hits read from it.
const MAP_BYTES: [u64; 5] = [1 << 40, 1 << 36, 1 << 32, 1 << 30, 1 << 27];
/// With a smaller map no tables could be made, and nothing be evicted from them.
pub(crate) const LEAST_MAP_PAGES: u64 = 128;
/// Bytes of a file of locks beside the readers, and for each of them: not less than LMDB needs.
pub(super) const LOCK_BYTES: usize = 4_096;
pub(super) const READER_BYTES: usize = 64;
/// Tables per environment.
const MAX_TABLES: u32 = 8;
/// No machine has more addresses.
const MOST_MAP_BYTES: u64 = 1 << 56;

/// One environment and its tables.
pub(crate) struct Room {
    env: Env<WithoutTls>,
    pub(super) waking: Waking,
    tables: Vec<Table>,
    pub(super) path: PathBuf,
}

impl Room {
    pub(super) fn open(
        path: &Path,
        tables: &[&str],
        max_readers: u32,
        map_bytes: Option<u64>,
    ) -> heed::Result<Self> {
        fs::create_dir_all(path)?;
        let env = Self::map(path, max_readers, map_bytes)?;
        let mut room = Self { env, waking: Waking::of(path), tables: Vec::new(), path: path.to_owned() };
        room.waking.during(Mutex::Readers, || room.env.clear_stale_readers())?;
        let mut txn = room.waking.during(Mutex::Writer, || room.env.write_txn())?;
        for name in tables {
            room.tables.push(room.env.create_database(&mut txn, Some(name))?);
        }
        txn.commit()?;
        Ok(room)
    }

    /// Maps the file, in `map_bytes` or the most that the system grants.
    fn map(path: &Path, max_readers: u32, map_bytes: Option<u64>) -> heed::Result<Env<WithoutTls>> {
        let page_bytes = rustix::param::page_size() as u64;
        let mut options = EnvOpenOptions::new().read_txn_without_tls();
        options.max_dbs(MAX_TABLES).max_readers(max_readers);
        let sizes = MAP_BYTES.iter().copied().filter(|size| map_bytes.is_none_or(|most| *size < most));
        let mut sizes = map_bytes.into_iter().chain(sizes).peekable();
        loop {
            let bytes = sizes.next().unwrap_or_default().min(MOST_MAP_BYTES);
            let pages = bytes.div_ceil(page_bytes).max(LEAST_MAP_PAGES);
            options.map_size(usize::try_from(pages * page_bytes).unwrap_or(1 << 30));
            #[expect(
                unsafe_code,
                reason = "LMDB maps a file that others could change, and is told not to sync"
            )]
            // SAFETY: the files are changed by LMDB alone, under its locks; that others leave them alone is said
            // in the documentation of the folder, and what they did before it was opened is found by `check`.
            // Without syncs an OS crash may lose commits and pages: after one the files are removed.
            let opened = unsafe { options.flags(EnvFlags::NO_SYNC).open(path) };
            match opened {
                Err(heed::Error::Io(error))
                    if error.kind() == io::ErrorKind::OutOfMemory && sizes.peek().is_some() => {}
                result => return result,
            }
        }
    }

    /// How large the file may become.
    pub(crate) fn map_bytes(&self) -> u64 {
        self.env.info().map_size as u64
    }

    /// Places for readers that are taken, and how many there are.
    pub(super) fn readers(&self) -> (u64, u64) {
        let info = self.env.info();
        (u64::from(info.number_of_readers), u64::from(info.maximum_number_of_readers))
    }

    /// Bytes of a page.
    pub(crate) fn page_bytes(&self) -> u64 {
        u64::from(self.env.stat().page_size)
    }

    /// How many pages the file may come to have: by the map, and by what is left of the disk.
    pub(crate) fn most_pages(&self) -> u64 {
        let (info, page_bytes) = (self.env.info(), self.page_bytes());
        let left = rustix::fs::statvfs(&self.path)
            .map_or(u64::MAX, |disk| disk.f_bavail.saturating_mul(disk.f_frsize) / page_bytes);
        (info.map_size as u64 / page_bytes).min(left.saturating_add(info.last_page_number as u64 + 1))
    }

    /// Pages that are used by the tables.
    pub(crate) fn used_pages(&self, txn: &Reading<'_>) -> heed::Result<u64> {
        self.tables.iter().try_fold(0, |pages, table| {
            let stat = table.stat(txn)?;
            Ok(pages + (stat.branch_pages + stat.leaf_pages + stat.overflow_pages) as u64)
        })
    }

    /// The tables, as named at open.
    pub(crate) fn table(&self, index: usize) -> Table {
        self.tables[index]
    }

    /// The number of the latest commit. Its contents may not be readable yet, for a moment.
    #[inline]
    pub(crate) fn number(&self) -> u64 {
        self.env.info().last_txn_id as u64
    }

    /// The pages that the number can be read from without the environment.
    pub(super) fn meta_pages(&self) -> Result<Number, FolderError> {
        let failed = |cause: String| FolderError::Failed { path: self.path.display().to_string(), cause };
        let page_bytes = self.env.stat().page_size as usize;
        let number = Number::of(&self.path.join("data.mdb"), page_bytes);
        let number = number.map_err(|error| FolderError::of_io(&self.path, &error))?;
        // Others may commit meanwhile.
        let (before, read, after) = (self.number(), number.read(), self.number());
        if before <= read && read <= after {
            Ok(number)
        } else {
            Err(failed(format!("the number of the latest commit is {after} and was read as {read}")))
        }
    }

    /// Runs `read` on a snapshot.
    pub(crate) fn read<R>(
        &self,
        mut read: impl FnMut(&Reading<'_>) -> heed::Result<R>,
    ) -> Result<R, FolderError> {
        let mut result = self.begin_reading().and_then(|txn| read(&txn));
        if matches!(result, Err(heed::Error::Mdb(MdbError::ReadersFull))) {
            self.forget_the_dead();
            result = self.begin_reading().and_then(|txn| read(&txn));
        }
        result.map_err(|error| FolderError::of(&self.path, &error))
    }

    /// Runs `write` in the one write transaction and commits it.
    pub(crate) fn write<R>(
        &self,
        write: impl FnOnce(&mut RwTxn<'_>) -> heed::Result<R>,
    ) -> Result<R, FolderError> {
        self.try_write(write).map_err(|error| self.error(&error))
    }

    /// As [`Self::write`], with LMDB's error.
    pub(crate) fn try_write<R>(
        &self,
        write: impl FnOnce(&mut RwTxn<'_>) -> heed::Result<R>,
    ) -> heed::Result<R> {
        let mut txn = self.begin_writing()?;
        let result = write(&mut txn)?;
        txn.commit()?;
        Ok(result)
    }

    fn begin_reading(&self) -> heed::Result<Reading<'_>> {
        self.waking.during(Mutex::Readers, || self.env.read_txn())
    }

    fn begin_writing(&self) -> heed::Result<RwTxn<'_>> {
        self.waking.during(Mutex::Writer, || self.env.write_txn())
    }

    /// An error of LMDB, of this environment.
    pub(crate) fn error(&self, error: &heed::Error) -> FolderError {
        FolderError::of(&self.path, error)
    }

    /// Frees the reader slots of processes that were killed: what they were reading keeps pages from being used
    /// again, and the file grows. Who still waits because of them is woken.
    pub(crate) fn forget_the_dead(&self) {
        self.waking.wake();
        // What cannot be freed now can be freed later.
        let _ = self.waking.during(Mutex::Readers, || self.env.clear_stale_readers());
    }

    /// Lets the next snapshot be the latest commit, whose writer died before it could say so.
    pub(crate) fn heal(&self) -> Result<(), FolderError> {
        let begun = self.begin_writing().map(RwTxn::abort);
        begun.map_err(|error| FolderError::of(&self.path, &error))
    }
}
