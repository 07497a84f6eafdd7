//! The C interface: SQLite's VFS over [`crate::disk`].
//!
//! SQLite calls these functions with the pointers that its documentation promises: a file that `xOpen` filled in, buffers
//! of the given length, strings that end with zero. That is the safety argument of each block below.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;
use std::sync::atomic::{Ordering, fence};
use std::sync::{Arc, Once, PoisonError};

use rusqlite::ffi::{self, sqlite3_file, sqlite3_io_methods, sqlite3_vfs};

use crate::disk::{File, Shared, State, find};

/// The name under which the VFS is registered.
pub const NAME: &str = "lossy";

const C_NAME: &CStr = c"lossy";
const MAX_PATH: c_int = 512;
const ALONE: u32 = u32::MAX;

/// What SQLite allocates for an open file.
#[repr(C)]
struct OpenFile {
    base: sqlite3_file,
    handle: *mut Handle,
}

/// An open file.
struct Handle {
    disk: Arc<State>,
    name: String,
    epoch: u64,
    level: c_int,
    shared: Option<Arc<Shared>>,
    /// Slots of the shared memory that this connection shares, and those that it holds alone.
    sharing: u8,
    alone: u8,
}

static METHODS: sqlite3_io_methods = sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

/// Registers the VFS, once.
pub(crate) fn register() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: finding the default VFS has no preconditions; it lives as long as the process. The new one is leaked,
        // as SQLite keeps the pointer.
        unsafe {
            let system = ffi::sqlite3_vfs_find(ptr::null());
            assert!(!system.is_null(), "SQLite has no VFS");
            let vfs = Box::new(sqlite3_vfs {
                iVersion: 2,
                szOsFile: c_int::try_from(size_of::<OpenFile>()).unwrap_or(c_int::MAX),
                mxPathname: MAX_PATH,
                pNext: ptr::null_mut(),
                zName: C_NAME.as_ptr(),
                pAppData: ptr::null_mut(),
                xOpen: Some(open),
                xDelete: Some(delete),
                xAccess: Some(access),
                xFullPathname: Some(full_path),
                xDlOpen: None,
                xDlError: None,
                xDlSym: None,
                xDlClose: None,
                xRandomness: (*system).xRandomness,
                xSleep: (*system).xSleep,
                xCurrentTime: (*system).xCurrentTime,
                xGetLastError: None,
                xCurrentTimeInt64: (*system).xCurrentTimeInt64,
                xSetSystemCall: None,
                xGetSystemCall: None,
                xNextSystemCall: None,
            });
            assert_eq!(ffi::sqlite3_vfs_register(Box::into_raw(vfs), 0), ffi::SQLITE_OK);
        }
    });
}

// --------------------------------------------------------------------------------------------------------- the folder

unsafe extern "C" fn open(
    _vfs: *mut sqlite3_vfs,
    path: *const c_char,
    file: *mut sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    let out = file.cast::<OpenFile>();
    // SAFETY: `file` has room for an `OpenFile`; without methods SQLite does not close it.
    unsafe { (*out).base.pMethods = ptr::null() };
    let place = if path.is_null() {
        Some((State::detached(), "temporary".to_owned()))
    } else {
        // SAFETY: a path ends with zero.
        unsafe { CStr::from_ptr(path) }.to_str().ok().and_then(find)
    };
    let Some((disk, name)) = place else { return ffi::SQLITE_CANTOPEN };
    let epoch = {
        let mut files = disk.lock();
        if files.powered().is_err() {
            return ffi::SQLITE_CANTOPEN;
        }
        if !files.present.contains_key(&name) {
            if !path.is_null() && flags & ffi::SQLITE_OPEN_CREATE == 0 {
                return ffi::SQLITE_CANTOPEN;
            }
            files.present.insert(name.clone(), File::default());
        }
        files.epoch
    };
    let handle =
        Handle { disk, name, epoch, level: ffi::SQLITE_LOCK_NONE, shared: None, sharing: 0, alone: 0 };
    // SAFETY: as above; `close` takes the box back. `out_flags` may be null.
    unsafe {
        (*out).handle = Box::into_raw(Box::new(handle));
        (*out).base.pMethods = &raw const METHODS;
        if !out_flags.is_null() {
            *out_flags = flags;
        }
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn delete(_vfs: *mut sqlite3_vfs, path: *const c_char, sync_dir: c_int) -> c_int {
    // SAFETY: a path ends with zero.
    let Some((disk, name)) = unsafe { CStr::from_ptr(path) }.to_str().ok().and_then(find) else {
        return ffi::SQLITE_IOERR_DELETE;
    };
    match disk.lock().delete(&name, sync_dir != 0) {
        Ok(true) => ffi::SQLITE_OK,
        Ok(false) => ffi::SQLITE_IOERR_DELETE_NOENT,
        Err(_) => ffi::SQLITE_IOERR_DELETE,
    }
}

unsafe extern "C" fn access(
    _vfs: *mut sqlite3_vfs,
    path: *const c_char,
    _flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: a path ends with zero, `out` is valid.
    unsafe {
        let found = CStr::from_ptr(path).to_str().ok().and_then(find);
        *out = c_int::from(found.is_some_and(|(disk, name)| disk.lock().present.contains_key(&name)));
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn full_path(
    _vfs: *mut sqlite3_vfs,
    path: *const c_char,
    room: c_int,
    out: *mut c_char,
) -> c_int {
    // SAFETY: a path ends with zero, `out` has `room` bytes.
    unsafe {
        let bytes = CStr::from_ptr(path).to_bytes_with_nul();
        if usize::try_from(room).is_ok_and(|room| bytes.len() > room) {
            return ffi::SQLITE_CANTOPEN;
        }
        ptr::copy_nonoverlapping(bytes.as_ptr().cast(), out, bytes.len());
    }
    ffi::SQLITE_OK
}

// ----------------------------------------------------------------------------------------------------------- the file

/// The handle of an open file.
///
/// # Safety
/// `file` was filled in by [`open`], and nobody else uses it: SQLite serialises calls on one file.
unsafe fn handle<'a>(file: *mut sqlite3_file) -> &'a mut Handle {
    // SAFETY: see above.
    unsafe { &mut *(*file.cast::<OpenFile>()).handle }
}

fn size(value: impl TryInto<usize>) -> usize {
    value.try_into().unwrap_or(0)
}

unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    // SAFETY: the box comes from `open`, and SQLite closes once.
    let mut handle = unsafe { Box::from_raw((*file.cast::<OpenFile>()).handle) };
    handle.unlock(ffi::SQLITE_LOCK_NONE);
    handle.leave_shared();
    ffi::SQLITE_OK
}

unsafe extern "C" fn read(file: *mut sqlite3_file, into: *mut c_void, amount: c_int, at: i64) -> c_int {
    // SAFETY: `into` has `amount` bytes.
    let (handle, into) =
        unsafe { (handle(file), std::slice::from_raw_parts_mut(into.cast::<u8>(), size(amount))) };
    match handle.disk.lock().file(&handle.name, handle.epoch) {
        Err(_) => ffi::SQLITE_IOERR_READ,
        Ok(found) if found.now.read(size(at), into) == into.len() => ffi::SQLITE_OK,
        Ok(_) => ffi::SQLITE_IOERR_SHORT_READ,
    }
}

unsafe extern "C" fn write(file: *mut sqlite3_file, from: *const c_void, amount: c_int, at: i64) -> c_int {
    // SAFETY: `from` has `amount` bytes.
    let (handle, from) =
        unsafe { (handle(file), std::slice::from_raw_parts(from.cast::<u8>(), size(amount))) };
    match handle.disk.lock().write(&handle.name, handle.epoch, size(at), from) {
        Ok(()) => ffi::SQLITE_OK,
        Err(_) => ffi::SQLITE_IOERR_WRITE,
    }
}

unsafe extern "C" fn truncate(file: *mut sqlite3_file, len: i64) -> c_int {
    // SAFETY: see `handle`.
    let handle = unsafe { handle(file) };
    match handle.disk.lock().truncate(&handle.name, handle.epoch, size(len)) {
        Ok(()) => ffi::SQLITE_OK,
        Err(_) => ffi::SQLITE_IOERR_TRUNCATE,
    }
}

unsafe extern "C" fn sync(file: *mut sqlite3_file, _flags: c_int) -> c_int {
    // SAFETY: see `handle`.
    let handle = unsafe { handle(file) };
    match handle.disk.lock().sync(&handle.name, handle.epoch) {
        Ok(()) => ffi::SQLITE_OK,
        Err(_) => ffi::SQLITE_IOERR_FSYNC,
    }
}

unsafe extern "C" fn file_size(file: *mut sqlite3_file, out: *mut i64) -> c_int {
    // SAFETY: `out` is valid.
    let (handle, out) = unsafe { (handle(file), &mut *out) };
    match handle.disk.lock().file(&handle.name, handle.epoch) {
        Err(_) => ffi::SQLITE_IOERR_FSTAT,
        Ok(found) => {
            *out = i64::try_from(found.now.len()).unwrap_or(i64::MAX);
            ffi::SQLITE_OK
        }
    }
}

unsafe extern "C" fn file_control(_file: *mut sqlite3_file, _op: c_int, _arg: *mut c_void) -> c_int {
    ffi::SQLITE_NOTFOUND
}

unsafe extern "C" fn sector_size(_file: *mut sqlite3_file) -> c_int {
    4096
}

unsafe extern "C" fn characteristics(_file: *mut sqlite3_file) -> c_int {
    // As the system's own: a cut write damages nothing beside it.
    ffi::SQLITE_IOCAP_POWERSAFE_OVERWRITE
}

// ---------------------------------------------------------------------------------------------------------- its locks

impl Handle {
    fn lock(&mut self, level: c_int) -> c_int {
        let mut files = self.disk.lock();
        // Asked first, so that a dead connection that holds a lock does not tidy up after itself.
        let Ok(file) = files.file(&self.name, self.epoch) else { return ffi::SQLITE_IOERR_LOCK };
        if self.level >= level {
            return ffi::SQLITE_OK;
        }
        let locks = &mut file.locks;
        match level {
            ffi::SQLITE_LOCK_SHARED => {
                if locks.pending || locks.exclusive {
                    return ffi::SQLITE_BUSY;
                }
                locks.sharing += 1;
            }
            ffi::SQLITE_LOCK_RESERVED => {
                if locks.reserved {
                    return ffi::SQLITE_BUSY;
                }
                locks.reserved = true;
            }
            _ => {
                let others = locks.pending && self.level < ffi::SQLITE_LOCK_PENDING
                    || locks.reserved && self.level < ffi::SQLITE_LOCK_RESERVED;
                if others {
                    return ffi::SQLITE_BUSY;
                }
                locks.pending = true;
                if locks.sharing > 1 {
                    self.level = ffi::SQLITE_LOCK_PENDING;
                    return ffi::SQLITE_BUSY;
                }
                locks.exclusive = true;
            }
        }
        self.level = level;
        ffi::SQLITE_OK
    }

    fn unlock(&mut self, level: c_int) {
        if self.level > level
            && let Ok(file) = self.disk.lock().file(&self.name, self.epoch)
        {
            let locks = &mut file.locks;
            if self.level >= ffi::SQLITE_LOCK_PENDING {
                locks.pending = false;
                locks.exclusive = false;
            }
            if self.level >= ffi::SQLITE_LOCK_RESERVED {
                locks.reserved = false;
            }
            if level == ffi::SQLITE_LOCK_NONE {
                locks.sharing = locks.sharing.saturating_sub(1);
            }
        }
        self.level = self.level.min(level);
    }

    fn leave_shared(&mut self) {
        if let Ok(file) = self.disk.lock().file(&self.name, self.epoch) {
            for (slot, users) in file.slots.iter_mut().enumerate() {
                if self.alone & (1 << slot) != 0 {
                    *users = 0;
                } else if self.sharing & (1 << slot) != 0 {
                    *users -= 1;
                }
            }
        }
        (self.sharing, self.alone, self.shared) = (0, 0, None);
    }
}

unsafe extern "C" fn lock(file: *mut sqlite3_file, level: c_int) -> c_int {
    // SAFETY: see `handle`.
    unsafe { handle(file) }.lock(level)
}

unsafe extern "C" fn unlock(file: *mut sqlite3_file, level: c_int) -> c_int {
    // SAFETY: see `handle`.
    unsafe { handle(file) }.unlock(level);
    ffi::SQLITE_OK
}

unsafe extern "C" fn check_reserved(file: *mut sqlite3_file, out: *mut c_int) -> c_int {
    // SAFETY: `out` is valid.
    let (handle, out) = unsafe { (handle(file), &mut *out) };
    match handle.disk.lock().file(&handle.name, handle.epoch) {
        Err(_) => ffi::SQLITE_IOERR_CHECKRESERVEDLOCK,
        Ok(found) => {
            *out = c_int::from(found.locks.reserved);
            ffi::SQLITE_OK
        }
    }
}

// -------------------------------------------------------------------------------------------------- its shared memory

unsafe extern "C" fn shm_map(
    file: *mut sqlite3_file,
    region: c_int,
    bytes: c_int,
    extend: c_int,
    out: *mut *mut c_void,
) -> c_int {
    // SAFETY: `out` is valid.
    let (handle, out) = unsafe { (handle(file), &mut *out) };
    *out = ptr::null_mut();
    let shared = match handle.disk.lock().file(&handle.name, handle.epoch) {
        Err(_) => return ffi::SQLITE_IOERR_SHMMAP,
        Ok(found) => handle.shared.get_or_insert_with(|| found.shared.clone()).clone(),
    };
    let mut regions = shared.0.lock().unwrap_or_else(PoisonError::into_inner);
    while regions.len() <= size(region) {
        if extend == 0 {
            return ffi::SQLITE_OK;
        }
        regions.push((0..size(bytes) / 8).map(|_| 0_u64.into()).collect());
    }
    // The region never moves, and lives as long as `shared`, which the handle keeps.
    *out = regions[size(region)].as_ptr().cast::<c_void>().cast_mut();
    ffi::SQLITE_OK
}

unsafe extern "C" fn shm_lock(file: *mut sqlite3_file, offset: c_int, n: c_int, flags: c_int) -> c_int {
    // SAFETY: see `handle`.
    let handle = unsafe { handle(file) };
    let mut files = handle.disk.lock();
    let Ok(found) = files.file(&handle.name, handle.epoch) else { return ffi::SQLITE_IOERR_SHMLOCK };
    let range = size(offset)..size(offset) + size(n);
    let alone = flags & ffi::SQLITE_SHM_EXCLUSIVE != 0;
    if flags & ffi::SQLITE_SHM_UNLOCK != 0 {
        for slot in range {
            let bit = 1 << slot;
            if alone && handle.alone & bit != 0 {
                found.slots[slot] = 0;
                handle.alone &= !bit;
            } else if !alone && handle.sharing & bit != 0 {
                found.slots[slot] -= 1;
                handle.sharing &= !bit;
            }
        }
        return ffi::SQLITE_OK;
    }
    let busy = |users: &u32| if alone { *users != 0 } else { *users == ALONE };
    if found.slots[range.clone()].iter().any(busy) {
        return ffi::SQLITE_BUSY;
    }
    for slot in range {
        let bit = 1 << slot;
        if alone {
            found.slots[slot] = ALONE;
            handle.alone |= bit;
        } else if handle.sharing & bit == 0 {
            found.slots[slot] += 1;
            handle.sharing |= bit;
        }
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn shm_barrier(_file: *mut sqlite3_file) {
    fence(Ordering::SeqCst);
}

unsafe extern "C" fn shm_unmap(file: *mut sqlite3_file, delete: c_int) -> c_int {
    // SAFETY: see `handle`.
    let handle = unsafe { handle(file) };
    handle.leave_shared();
    if delete != 0
        && let Ok(found) = handle.disk.lock().file(&handle.name, handle.epoch)
    {
        found.shared = Arc::default();
    }
    ffi::SQLITE_OK
}
