//! Configuration of a node.

use std::ffi::c_char;
use std::mem;
use std::time::Duration;

use meshcore::{Builder, KeepHistory, MailboxConfig, Nickname, Node};

/// How a node is to run: made by `meshchat_config_new`, filled by setters, used by `meshchat_node_start` (any number of
/// times), freed by `meshchat_config_free`. One thread at a time may use it.
pub struct Config {
    pub(crate) builder: Builder,
}

impl Config {
    pub(crate) fn change(&mut self, change: impl FnOnce(Builder) -> Builder) {
        self.builder = change(mem::take(&mut self.builder));
    }
}

/// A configuration with the defaults: the default home, the nickname of last time, the link `udp`.
/// NULL only after a defect of MeshChat.
#[unsafe(no_mangle)]
pub extern "C" fn meshchat_config_new() -> *mut Config {
    guard!(std::ptr::null_mut() => { Box::into_raw(Box::new(Config { builder: Node::builder() })) })
}

/// Frees a configuration. NULL does nothing. Nodes that were started with it are not affected.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_config_free(config: *mut Config) {
    guard!(() => { free!(config) })
}

/// The folder of key, outbox and history. Default: `meshchat_default_home`. It is made when it does not exist. Its database is
/// the node's own: another process may read it meanwhile, but by another SQLite in the process of the node even reading
/// damages it, as neither sees the other's locks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_config_set_home(config: *mut Config, home: *const c_char) -> i32 {
    guard! {
        let config = borrow_mut!(config);
        let home = path!(home);
        config.change(|builder| builder.home(home));
    }
}

/// A home that is made for one run and removed at its end: a temporary identity. It goes before
/// `meshchat_config_set_home`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_config_set_temporary(config: *mut Config) -> i32 {
    guard! {
        let config = borrow_mut!(config);
        config.change(Builder::temporary);
    }
}

/// The name shown to others: 1 to 32 characters without white space, control and invisible characters, not starting with '@' or
/// '/'. It identifies nobody: two nodes may choose the same.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_config_set_nickname(config: *mut Config, nickname: *const c_char) -> i32 {
    guard! {
        let config = borrow_mut!(config);
        let nickname: Nickname = text!(nickname).parse().map_err(meshcore::Error::from)?;
        config.change(|builder| builder.nickname(nickname.as_str()));
    }
}

/// The passphrase of the key file; it also protects a key that is made by the start.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_config_set_passphrase(
    config: *mut Config,
    passphrase: *const c_char,
) -> i32 {
    guard! {
        let config = borrow_mut!(config);
        let passphrase = text!(passphrase);
        config.change(|builder| builder.passphrase(passphrase));
    }
}

/// Size of the RSA key in bits, should the start make one: 2048 to 4096 in steps of 8, default 3072. The start checks it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_config_set_key_bits(config: *mut Config, bits: u32) -> i32 {
    guard! {
        let config = borrow_mut!(config);
        config.change(|builder| builder.key_bits(crate::identity::key_bits(bits)));
    }
}

/// Offers a mailbox: the node keeps sealed messages for nodes that are away, and hands them over when they come into reach. It
/// cannot read them; it learns who sends to whom, when, and about how much. `quota` and `sender_quota` are bytes, of all
/// messages and of those of one sender, `keep` is how many seconds a message is kept at most; 0 means the default: 1 GiB,
/// 64 MiB, 30 days.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_config_set_mailbox(
    config: *mut Config,
    quota: u64,
    sender_quota: u64,
    keep: u64,
) -> i32 {
    guard! {
        let config = borrow_mut!(config);
        let mut mailbox = MailboxConfig::default();
        if quota > 0 {
            mailbox.quota = quota;
        }
        if sender_quota > 0 {
            mailbox.sender_quota = sender_quota;
        }
        if keep > 0 {
            mailbox.keep = Duration::from_secs(keep);
        }
        config.change(|builder| builder.mailbox(mailbox));
    }
}

/// Makes the node part of a private mesh: `file` holds the network key that all its nodes share, made by
/// `meshchat_network_key_create`. Frames of others are dropped, and a listener sees neither names nor routes. The start
/// reads it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_config_set_network_key_file(
    config: *mut Config,
    file: *const c_char,
) -> i32 {
    guard! {
        let config = borrow_mut!(config);
        let file = path!(file);
        config.change(|builder| builder.network_key_file(file));
    }
}

/// Keeps messages in the history for so many seconds after they were written or received. Default: for good. Messages that
/// are still to be delivered, and received ones that the program has not confirmed, stay in any case.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_config_keep_history_for(config: *mut Config, seconds: u64) -> i32 {
    guard! {
        let config = borrow_mut!(config);
        config.change(|builder| builder.keep_history(KeepHistory::For(Duration::from_secs(seconds))));
    }
}

/// Keeps the newest so many messages in the history, in place of an earlier setting; otherwise as
/// `meshchat_config_keep_history_for`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_config_keep_messages(config: *mut Config, messages: u64) -> i32 {
    guard! {
        let config = borrow_mut!(config);
        config.change(|builder| builder.keep_history(KeepHistory::Messages(messages)));
    }
}

/// Makes a network key for a private mesh, in a new file of mode 0600 that is to be copied to all of its nodes. A file
/// that exists is not overwritten: `MESHCHAT_KEY_EXISTS`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_network_key_create(file: *const c_char) -> i32 {
    guard! {
        meshcore::create_network_key(path!(file))?;
    }
}

/// Adds a link: "udp", "udp:HOST:PORT" (with a peer to contact) or "ethernet:IFACE". Several may be added; all UDP links
/// become one. Without any, "udp" is used. The start checks it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_config_add_link(config: *mut Config, link: *const c_char) -> i32 {
    guard! {
        let config = borrow_mut!(config);
        let link = text!(link);
        config.change(|builder| builder.link(link));
    }
}
