//! Files that are sent and received.

use std::ffi::{CString, c_char};
use std::os::unix::ffi::OsStrExt;

use meshcore::{FileId, FileInfo};

use crate::config::Config;
use crate::error::{Failure, c_text};
use crate::event::MeshEvent;
use crate::list::nullable;
use crate::node::{MESHCHAT_ID_TEXT_SIZE, MeshNode, node_id};

/// Size of a buffer for the id of a file: 32 hexadecimal digits and NUL.
pub const MESHCHAT_FILE_ID_TEXT_SIZE: usize = 33;

/// The file was offered, and the recipient has not decided.
pub const MESHCHAT_FILE_WAITING: i32 = 0;
/// The recipient wants the file: it is on its way whenever both are in reach of each other.
pub const MESHCHAT_FILE_ACCEPTED: i32 = 10;
/// The file is whole at the recipient, and verified.
pub const MESHCHAT_FILE_DONE: i32 = 20;
/// The recipient does not want the file.
pub const MESHCHAT_FILE_REFUSED: i32 = 30;
/// One of the two gave the file up.
pub const MESHCHAT_FILE_CANCELLED: i32 = 31;
/// The file cannot be transferred.
pub const MESHCHAT_FILE_FAILED: i32 = 32;

/// A file that a node sends or receives, as it was when the event or list came that it belongs to. It is never freed
/// itself. It does not change, and several threads may read it.
pub struct MeshFile {
    info: FileInfo,
    name: CString,
    reason: Option<CString>,
    path: Option<CString>,
}

impl MeshFile {
    pub(crate) fn new(info: FileInfo) -> Self {
        let path = info.path.as_ref().and_then(|path| CString::new(path.as_os_str().as_bytes()).ok());
        let reason = info.reason.map(|reason| c_text(reason.to_string()));
        Self { name: c_text(info.name.as_str()), reason, path, info }
    }
}

/// Files as they were when the list was made by `meshchat_node_files`. Freed by `meshchat_file_list_free`. Entries are
/// numbered from 0, the oldest first. Several threads may read one list.
pub struct FileList {
    files: Vec<MeshFile>,
}

fn file_id(text: &str) -> Result<FileId, Failure> {
    text.parse().map_err(|error| {
        Failure::invalid(format!("the argument 'file_id' is {error}; meshchat_node_files lists the files"))
    })
}

/// The folder of files that are accepted. Default: "downloads" in the home. It is made when the first file is accepted.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_config_set_downloads(config: *mut Config, folder: *const c_char) -> i32 {
    guard! {
        let config = borrow_mut!(config);
        let folder = path!(folder);
        config.change(|builder| builder.downloads(folder));
    }
}

/// Offers the file at `path` to the known node with the NODE_ID `to`. Reads it once, which takes as long as that takes, and
/// returns when the offer is safely on this node's disk; from then on it is made whenever the recipient is in reach, also
/// after a restart, until it is decided. The file must stay where it is, and as it is, until it has arrived. Its id goes
/// into `file_id`, a buffer of `MESHCHAT_FILE_ID_TEXT_SIZE` bytes; events of the types `MESHCHAT_EVENT_FILE_...` tell how
/// it goes on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_node_send_file(
    node: *mut MeshNode,
    to: *const c_char,
    path: *const c_char,
    file_id: *mut c_char,
) -> i32 {
    guard! {
        let node = borrow!(node);
        let to = node_id(text!(to), "to")?;
        let path = path!(path);
        let file_id = out_text!(file_id, MESHCHAT_FILE_ID_TEXT_SIZE);
        file_id.set(node.node.send_file(to, path).wait()?.to_string().as_bytes())?;
    }
}

/// `meshchat_node_send_file` to somebody whom the person calls `name`: refused as by `meshchat_node_send_named`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_node_send_file_named(
    node: *mut MeshNode,
    to: *const c_char,
    name: *const c_char,
    path: *const c_char,
    file_id: *mut c_char,
) -> i32 {
    guard! {
        let node = borrow!(node);
        let to = node_id(text!(to), "to")?;
        let name = text!(name);
        let path = path!(path);
        let file_id = out_text!(file_id, MESHCHAT_FILE_ID_TEXT_SIZE);
        file_id.set(node.node.send_file_named(to, name, path).wait()?.to_string().as_bytes())?;
    }
}

/// Accepts a file that is offered, into `folder`, which is made if need be, or into the folder of the downloads when `folder`
/// is NULL. It gets its name there when it is whole and verified; a file that is there already is never overwritten.
/// `MESHCHAT_STORAGE` when the folder cannot be used, or has no room for it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_node_accept_file(
    node: *mut MeshNode,
    file_id: *const c_char,
    folder: *const c_char,
) -> i32 {
    guard! {
        let node = borrow!(node);
        let id = self::file_id(text!(file_id))?;
        if folder.is_null() {
            node.node.accept_file(id).wait()?;
        } else {
            node.node.accept_file_into(id, path!(folder)).wait()?;
        }
    }
}

/// Refuses a file that is offered. The sender is told when it is in reach.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_node_refuse_file(node: *mut MeshNode, file_id: *const c_char) -> i32 {
    guard! {
        let node = borrow!(node);
        node.node.refuse_file(self::file_id(text!(file_id))?).wait()?;
    }
}

/// Gives up a file that is sent or received. The other side is told when it is in reach.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_node_cancel_file(node: *mut MeshNode, file_id: *const c_char) -> i32 {
    guard! {
        let node = borrow!(node);
        node.node.cancel_file(self::file_id(text!(file_id))?).wait()?;
    }
}

/// The files that are sent and received, and those that were lately. The list is to be freed by `meshchat_file_list_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_node_files(node: *const MeshNode, list: *mut *mut FileList) -> i32 {
    guard! {
        let node = borrow!(node);
        let list = out!(list);
        list.give(FileList { files: node.node.files().wait()?.into_iter().map(MeshFile::new).collect() });
    }
}

/// Frees a list and all files in it. NULL does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_file_list_free(list: *mut FileList) {
    guard!(() => { free!(list) })
}

/// Number of files in the list.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_file_list_count(list: *const FileList, count: *mut usize) -> i32 {
    guard! {
        let list = borrow!(list);
        out!(count).set(list.files.len());
    }
}

/// A file of the list. Valid as long as the list.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_file_list_get(
    list: *const FileList,
    index: usize,
    file: *mut *const MeshFile,
) -> i32 {
    guard! {
        let list = borrow!(list);
        let file = out!(file);
        let count = list.files.len();
        let error = || Failure::invalid(format!("the index {index} is outside of the list of {count} files"));
        file.set(std::ptr::from_ref(list.files.get(index).ok_or_else(error)?));
    }
}

/// The file that an event of one of the types `MESHCHAT_EVENT_FILE_...` is about. Valid as long as the event.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_event_file(event: *const MeshEvent, file: *mut *const MeshFile) -> i32 {
    guard! {
        let event = borrow!(event);
        let file = out!(file);
        file.set(std::ptr::from_ref(event.file()?));
    }
}

/// Id of the file on this node, into a buffer of `MESHCHAT_FILE_ID_TEXT_SIZE` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_file_id(file: *const MeshFile, file_id: *mut c_char) -> i32 {
    guard! {
        let file = borrow!(file);
        out_text!(file_id, MESHCHAT_FILE_ID_TEXT_SIZE).set(file.info.id.to_string().as_bytes())?;
    }
}

/// NODE_ID of the node at the other end, into a buffer of `MESHCHAT_ID_TEXT_SIZE` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_file_peer(file: *const MeshFile, id: *mut c_char) -> i32 {
    guard! {
        let file = borrow!(file);
        out_text!(id, MESHCHAT_ID_TEXT_SIZE).set(file.info.peer.to_string().as_bytes())?;
    }
}

/// Whether this node receives the file.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_file_incoming(file: *const MeshFile, incoming: *mut bool) -> i32 {
    guard! {
        let file = borrow!(file);
        out!(incoming).set(file.info.incoming);
    }
}

/// Its name, without any folder. Valid as long as what the file belongs to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_file_name(file: *const MeshFile, name: *mut *const c_char) -> i32 {
    guard! {
        let file = borrow!(file);
        out!(name).set(file.name.as_ptr());
    }
}

/// Its size in bytes, and how many of them the recipient has.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_file_size(file: *const MeshFile, size: *mut u64, done: *mut u64) -> i32 {
    guard! {
        let file = borrow!(file);
        let size = out!(size);
        let done = out!(done);
        size.set(file.info.size);
        done.set(file.info.done);
    }
}

/// How far it is: one of `MESHCHAT_FILE_...`. What is 20 or more is over.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_file_state(file: *const MeshFile, state: *mut i32) -> i32 {
    guard! {
        let file = borrow!(file);
        out!(state).set(file.info.state.code().into());
    }
}

/// Why it will not arrive, in words for people; NULL when nothing stands against it. Valid as long as what the file belongs
/// to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_file_reason(file: *const MeshFile, reason: *mut *const c_char) -> i32 {
    guard! {
        let file = borrow!(file);
        out!(reason).set(nullable(&file.reason));
    }
}

/// Where it lies on this node; NULL while it has not arrived. Valid as long as what the file belongs to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_file_path(file: *const MeshFile, path: *mut *const c_char) -> i32 {
    guard! {
        let file = borrow!(file);
        out!(path).set(nullable(&file.path));
    }
}

/// When it was offered, in milliseconds since 1970-01-01T00:00:00Z.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_file_offered_at(file: *const MeshFile, offered_at: *mut u64) -> i32 {
    guard! {
        let file = borrow!(file);
        out!(offered_at).set(file.info.offered_at.as_millis());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use meshcore::FileState;

    #[test]
    fn states_are_those_of_the_core() {
        let states = [
            MESHCHAT_FILE_WAITING,
            MESHCHAT_FILE_ACCEPTED,
            MESHCHAT_FILE_DONE,
            MESHCHAT_FILE_REFUSED,
            MESHCHAT_FILE_CANCELLED,
            MESHCHAT_FILE_FAILED,
        ];
        assert_eq!(states, FileState::ALL.map(|state| i32::from(state.code())));
    }
}
