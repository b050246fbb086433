/*
 * MeshChat: a serverless, end-to-end encrypted messenger as a library.
 *
 * Generated from ffi/src by cbindgen; do not edit.
 *
 * Use: make a meshchat_config, start a meshchat_node with it, wait with poll() on meshchat_node_fd(), take events with
 * meshchat_node_next_event() until it gives none, and confirm messages with meshchat_node_confirm().
 *
 * Rules for all functions:
 * - They return MESHCHAT_OK or another status; meshchat_last_error() then says what went wrong and what helps.
 *   Treat a status that you do not know as a failure.
 * - Outputs are written only on success.
 * - A pointer that is NULL gives MESHCHAT_NULL_ARGUMENT unless its function says what NULL means there. Other pointers
 *   must be valid. Buffers have at least the size that the function names.
 * - Text is UTF-8 and ends with NUL, unless it comes with a length. Paths are bytes that end with NUL.
 * - What a function hands over through a pointer to a pointer to an opaque type is freed by the function
 *   meshchat_<type>_free() of its type, which accepts NULL. What is const when it is handed over (texts, routes) belongs
 *   to the object that it came from and is never freed.
 * - An argument that is const is not changed.
 * - The library calls no function of the program and uses no signals.
 * - After fork() only the parent may go on to use a node.
 */


#ifndef MESHCHAT_H
#define MESHCHAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// The call succeeded.
#define MESHCHAT_OK 0

// A pointer that must not be NULL is NULL.
#define MESHCHAT_NULL_ARGUMENT 1

// An argument makes no sense.
#define MESHCHAT_INVALID_ARGUMENT 2

// A text is not UTF-8.
#define MESHCHAT_NOT_UTF8 3

// A buffer is too small for the output; the text of the error tells the size that is needed.
#define MESHCHAT_BUFFER_TOO_SMALL 4

// An event of this type has no such value.
#define MESHCHAT_WRONG_EVENT 5

// The message is empty.
#define MESHCHAT_EMPTY_MESSAGE 6

// The message is longer than 1 MiB.
#define MESHCHAT_MESSAGE_TOO_LONG 7

// Nobody of that name or id is known.
#define MESHCHAT_UNKNOWN_NODE 20

// A name or the beginning of an id fits several nodes, or a nickname is used by several keys.
#define MESHCHAT_AMBIGUOUS_NODE 21

// There is no way to the node now.
#define MESHCHAT_OUT_OF_REACH 22

// No answer came in time.
#define MESHCHAT_TIMED_OUT 23

// Too much of this is under way: try again in a moment.
#define MESHCHAT_BUSY 24

// The stream is not open, or no more.
#define MESHCHAT_STREAM_CLOSED 25

// The other side takes no connection now.
#define MESHCHAT_REFUSED 26

// The connection is over.
#define MESHCHAT_DISCONNECTED 27

// The peer has given up this direction of the stream.
#define MESHCHAT_STREAM_RESET 28

// Not now: wait with `poll` on the descriptor of the object, then try again.
#define MESHCHAT_WOULD_BLOCK 29

// No file with this id is known.
#define MESHCHAT_UNKNOWN_FILE 30

// The person has blocked the node.
#define MESHCHAT_BLOCKED 31

// No room with this id or name is known.
#define MESHCHAT_UNKNOWN_ROOM 32

// The room does not allow it: this node is not its owner or no member, or the room is full or closed.
#define MESHCHAT_ROOM_REFUSED 33

// The home is in use by another running node.
#define MESHCHAT_HOME_IN_USE 40

// There is no key in the home, or no network key in the file.
#define MESHCHAT_NO_KEY 41

// There is a key in the home, or the file of the network key, already.
#define MESHCHAT_KEY_EXISTS 42

// The key file is readable by others.
#define MESHCHAT_KEY_TOO_OPEN 43

// The key file is not a key that can be used.
#define MESHCHAT_KEY_CORRUPT 44

// The key file is protected and no passphrase was given.
#define MESHCHAT_PASSPHRASE_NEEDED 45

// The passphrase is wrong.
#define MESHCHAT_WRONG_PASSPHRASE 46

// The disk or the database refuses: full, read-only, corrupt, of a newer version.
#define MESHCHAT_STORAGE 60

// No link could be opened.
#define MESHCHAT_LINK 80

// A link needs a privilege that this process lacks.
#define MESHCHAT_PERMISSION 81

// The node has been stopped.
#define MESHCHAT_STOPPED 100

// A defect of MeshChat.
#define MESHCHAT_INTERNAL 120

// Version of the binary interface that this header describes; the number at the end of the soname.
#define MESHCHAT_ABI_VERSION 0

// Largest code that the ends of streams and connections carry: 2^62 - 1.
#define MESHCHAT_CODE_MAX 4611686018427387903

// An event that this header does not know. To be ignored.
#define MESHCHAT_EVENT_OTHER 0

// A node came into reach; its identity is verified. Has: node id, nickname, last seen, route.
#define MESHCHAT_EVENT_NODE_FOUND 1

// A node is out of reach. Messages to it wait. Has: node id, nickname, last seen, route (NULL).
#define MESHCHAT_EVENT_NODE_LOST 2

// A message for this node, safely on its disk. It is handed over again after a restart until it is confirmed by
// `meshchat_node_confirm`. Has: node id (the sender), message id, room id, text, sent at, received at.
#define MESHCHAT_EVENT_MESSAGE 3

// A message of this node has come further. Has: node id (the recipient), message id, message status.
#define MESHCHAT_EVENT_STATUS 4

// Something went wrong that a person should know of; the node goes on. Has: text.
#define MESHCHAT_EVENT_WARNING 5

// Frames to a node in reach take another way than before. Has: node id, nickname, last seen, route.
#define MESHCHAT_EVENT_ROUTE_CHANGED 6

// A few words of a node for all nodes: signed by it, readable by everybody, not stored. Has: node id (who says it),
// text.
#define MESHCHAT_EVENT_BROADCAST 7

// A node offers a file, or still does after a restart of this node: `meshchat_node_accept_file` or
// `meshchat_node_refuse_file` decides. Has: node id (the sender), file.
#define MESHCHAT_EVENT_FILE_OFFERED 8

// A file has come further: some times a second at the most. Has: node id (the other end), file.
#define MESHCHAT_EVENT_FILE_PROGRESS 9

// A file is whole at its recipient, and verified. Has: node id (the other end), file.
#define MESHCHAT_EVENT_FILE_DONE 10

// A file will not arrive: its state tells whether it was refused, cancelled or failed. Has: node id (the other end), file.
#define MESHCHAT_EVENT_FILE_FAILED 11

// A warning of its own: a known nickname has come with another key, or a verified node has taken another nickname, so that
// somebody may pose as somebody else. Show it so that nobody overlooks it. Has: text.
#define MESHCHAT_EVENT_NICKNAME_TAKEN 12

// Who belongs to a room has changed, or what this node has to do with it. Has: room id, room name, room change, node id (who
// joined, left or was removed, if somebody was).
#define MESHCHAT_EVENT_ROOM 13

// The message is safely on this node's disk.
#define MESHCHAT_MESSAGE_QUEUED 0

// The message was handed to an encrypted session with the recipient.
#define MESHCHAT_MESSAGE_SENT 10

// A sealed copy of the message is safely on the disk of a mailbox, where the recipient will find it.
#define MESHCHAT_MESSAGE_STORED 20

// The message was given up: its lifetime has passed.
#define MESHCHAT_MESSAGE_EXPIRED 25

// The message is safely on the recipient's disk, as the recipient has proven.
#define MESHCHAT_MESSAGE_DELIVERED 30

// The message was shown to a person, or processed, as the recipient says.
#define MESHCHAT_MESSAGE_READ 40

// Size of a buffer for the id of a file: 32 hexadecimal digits and NUL.
#define MESHCHAT_FILE_ID_TEXT_SIZE 33

// The file was offered, and the recipient has not decided.
#define MESHCHAT_FILE_WAITING 0

// The recipient wants the file: it is on its way whenever both are in reach of each other.
#define MESHCHAT_FILE_ACCEPTED 10

// The file is whole at the recipient, and verified.
#define MESHCHAT_FILE_DONE 20

// The recipient does not want the file.
#define MESHCHAT_FILE_REFUSED 30

// One of the two gave the file up.
#define MESHCHAT_FILE_CANCELLED 31

// The file cannot be transferred.
#define MESHCHAT_FILE_FAILED 32

// Size of a buffer for safety words, with room to spare.
#define MESHCHAT_SAFETY_WORDS_SIZE 128

// Size of a buffer for the address of a v1 node: "v1:02:00:5e:10:00:01" and NUL.
#define MESHCHAT_INSECURE_ADDRESS_TEXT_SIZE 21

// A v1 node was heard. Has: insecure address.
#define MESHCHAT_EVENT_INSECURE_NODE_FOUND 100

// A v1 node was silent for 17.5 s, newer ones took its place, or the interface went down. Has: insecure address.
#define MESHCHAT_EVENT_INSECURE_NODE_LOST 101

// A message, perhaps of a v1 node that was never found. Has: insecure address (who claims to have sent it), text,
// insecure to-all.
#define MESHCHAT_EVENT_INSECURE_MESSAGE 102

// Somebody acknowledged a message in the name of its recipient. Has: insecure address (the recipient), insecure message.
#define MESHCHAT_EVENT_INSECURE_DELIVERED 103

// No acknowledgement came within 5 s; the message may have arrived nevertheless. Has: insecure address (the recipient),
// insecure message.
#define MESHCHAT_EVENT_INSECURE_FAILED 104

// A stream is open. Has: insecure address (its other end), insecure stream, insecure by-peer.
#define MESHCHAT_EVENT_INSECURE_STREAM_OPENED 105

// Data of a stream, in the order of arrival; what was lost is missing without notice. Has: insecure address, insecure
// stream, insecure data.
#define MESHCHAT_EVENT_INSECURE_STREAM_DATA 106

// A stream has ended; one that could not be opened ends without having been open. Has: insecure address, insecure stream,
// insecure close reason, text (the reason in words).
#define MESHCHAT_EVENT_INSECURE_STREAM_CLOSED 107

// This node closed the stream, and the peer knows.
#define MESHCHAT_INSECURE_CLOSED_HERE 0

// The peer closed the stream.
#define MESHCHAT_INSECURE_CLOSED_BY_PEER 1

// The peer did not answer that the stream was opened, or closed.
#define MESHCHAT_INSECURE_CLOSED_NO_ANSWER 2

// The peer was silent for too long.
#define MESHCHAT_INSECURE_CLOSED_IDLE 3

// The peer opened newer streams in its place, or others did while it was never used.
#define MESHCHAT_INSECURE_CLOSED_REPLACED 4

// The interface went down.
#define MESHCHAT_INSECURE_CLOSED_LINK_DOWN 5

// A reason that this header does not know.
#define MESHCHAT_INSECURE_CLOSED_OTHER 99

// Size of a buffer for a NODE_ID: 64 hexadecimal digits and NUL.
#define MESHCHAT_ID_TEXT_SIZE 65

// Size of a buffer for the id of a message: 32 hexadecimal digits and NUL.
#define MESHCHAT_MESSAGE_ID_TEXT_SIZE 33

// The node's key was remembered when it was seen first; nobody has compared safety words.
#define MESHCHAT_TRUST_SEEN 0

// The person has compared safety words, and said so by `meshchat_node_verify`.
#define MESHCHAT_TRUST_VERIFIED 1

// The person wants to hear nothing of the node: `meshchat_node_block`.
#define MESHCHAT_TRUST_BLOCKED 2

// Size of a buffer for a contact, with its NUL.
#define MESHCHAT_CONTACT_TEXT_SIZE 256

// Size of a buffer for the id of a room: 32 hexadecimal digits and NUL.
#define MESHCHAT_ROOM_ID_TEXT_SIZE 33

// This node was invited and has not answered.
#define MESHCHAT_ROOM_INVITED 1

// This node has asked to be let in; the owner has not signed that yet.
#define MESHCHAT_ROOM_JOINING 2

// This node reads what the others write, and they read it.
#define MESHCHAT_ROOM_MEMBER 3

// This node left, or declined.
#define MESHCHAT_ROOM_LEFT 4

// The owner removed this node.
#define MESHCHAT_ROOM_REMOVED 5

// The owner left: the room is no more.
#define MESHCHAT_ROOM_CLOSED 6

// This node was invited.
#define MESHCHAT_ROOM_CHANGE_INVITED 1

// A node has joined, perhaps this one.
#define MESHCHAT_ROOM_CHANGE_JOINED 2

// A node has left.
#define MESHCHAT_ROOM_CHANGE_LEFT 3

// The owner has removed a node, perhaps this one.
#define MESHCHAT_ROOM_CHANGE_REMOVED 4

// The owner has left, and nobody is in the room any more.
#define MESHCHAT_ROOM_CHANGE_CLOSED 5

// Smoothed round-trip time in microseconds; 100,000 before the first measurement.
#define MESHCHAT_STATISTIC_RTT_US 0

// Latest round-trip time in microseconds.
#define MESHCHAT_STATISTIC_LATEST_RTT_US 1

// Least round-trip time in microseconds; 0 before the first measurement.
#define MESHCHAT_STATISTIC_MIN_RTT_US 2

// Mean deviation of the round-trip time in microseconds.
#define MESHCHAT_STATISTIC_RTT_VARIATION_US 3

// Congestion window in bytes.
#define MESHCHAT_STATISTIC_CONGESTION_WINDOW 20

// Where slow start ends, in bytes; `UINT64_MAX` until a loss or growing delay has shown that.
#define MESHCHAT_STATISTIC_SLOW_START_THRESHOLD 21

// How often the congestion window was reduced.
#define MESHCHAT_STATISTIC_CONGESTION_EVENTS 22

// Bytes sent that are neither acknowledged nor lost.
#define MESHCHAT_STATISTIC_BYTES_IN_FLIGHT 23

// Bytes of all packets sent.
#define MESHCHAT_STATISTIC_BYTES_SENT 40

// Bytes of all packets received and decrypted.
#define MESHCHAT_STATISTIC_BYTES_RECEIVED 41

// Bytes of streams that were sent again.
#define MESHCHAT_STATISTIC_BYTES_RETRANSMITTED 42

// Packets sent.
#define MESHCHAT_STATISTIC_PACKETS_SENT 60

// Packets received and decrypted.
#define MESHCHAT_STATISTIC_PACKETS_RECEIVED 61

// Packets declared lost.
#define MESHCHAT_STATISTIC_PACKETS_LOST 62

// Packets that were declared lost and arrived all the same.
#define MESHCHAT_STATISTIC_PACKETS_SPURIOUS 63

// Streams open now.
#define MESHCHAT_STATISTIC_STREAMS 80

// Bytes of the largest packet that the path carries.
#define MESHCHAT_STATISTIC_MTU 81

// How often the keys were changed since the handshake.
#define MESHCHAT_STATISTIC_KEY_UPDATES 82

// The least urgent priority of a stream.
#define MESHCHAT_PRIORITY_MAX 7

// How a node is to run: made by `meshchat_config_new`, filled by setters, used by `meshchat_node_start` (any number of
// times), freed by `meshchat_config_free`. One thread at a time may use it.
typedef struct meshchat_config meshchat_config;

// Numbers about a connection as they were when `meshchat_connection_statistics` was called. Freed by
// `meshchat_statistics_free`. It does not change, and several threads may read it.
typedef struct meshchat_statistics meshchat_statistics;

// Files as they were when the list was made by `meshchat_node_files`. Freed by `meshchat_file_list_free`. Entries are
// numbered from 0, the oldest first. Several threads may read one list.
typedef struct meshchat_file_list meshchat_file_list;

// Messages, the newest last. Freed by `meshchat_history_list_free`. Entries are numbered from 0. Several threads may read
// one list.
typedef struct meshchat_history_list meshchat_history_list;

// v1 nodes as they were known when the list was made by `meshchat_node_insecure_nodes`. Freed by
// `meshchat_insecure_list_free`. Entries are numbered from 0. Several threads may read one list.
typedef struct meshchat_insecure_list meshchat_insecure_list;

// Takes the connections that other nodes open: made by `meshchat_node_listen`, freed by `meshchat_listener_free`. Several
// threads may use it.
typedef struct meshchat_listener meshchat_listener;

// A connection with another node, encrypted and authenticated from end to end: any number of streams, and datagrams. It
// survives changes of the route. Given out by `meshchat_node_connect` and `meshchat_listener_accept`, freed by
// `meshchat_connection_free`. Several threads may use it.
typedef struct meshchat_connection meshchat_connection;

// Something that happened, given out by `meshchat_node_next_event` and freed by `meshchat_event_free`. It does not
// change, needs no node, and several threads may read it.
typedef struct meshchat_event meshchat_event;

// A file that a node sends or receives, as it was when the event or list came that it belongs to. It is never freed
// itself. It does not change, and several threads may read it.
typedef struct meshchat_file meshchat_file;

// Which messages are wanted: made by `meshchat_history_query_new`, filled by setters, used by `meshchat_node_history` or
// `meshchat_history_read` (any number of times), freed by `meshchat_history_query_free`. One thread at a time may use it.
typedef struct meshchat_history_query meshchat_history_query;

// The key pair of a home, made by `meshchat_identity_create` or `meshchat_identity_load`, freed by
// `meshchat_identity_free`. It does not change, and several threads may use it.
typedef struct meshchat_identity meshchat_identity;

// A running node, started by `meshchat_node_start`, stopped by `meshchat_node_stop`, freed by `meshchat_node_free`.
// Several threads may use it, but none during or after `meshchat_node_free`.
typedef struct meshchat_node meshchat_node;

// A stream of bytes in both directions, each reliable and in order. Given out by `meshchat_connection_open` and
// `meshchat_connection_accept`, freed by `meshchat_stream_free`. No call on it blocks. Several threads may use it.
typedef struct meshchat_stream meshchat_stream;

// Nodes as they were known when the list was made by `meshchat_node_nodes`. Freed by `meshchat_node_list_free`.
// Entries are numbered from 0. Several threads may read one list.
typedef struct meshchat_node_list meshchat_node_list;

// Rooms as they were when the list was made by `meshchat_node_rooms`. Freed by `meshchat_room_list_free`. Entries are
// numbered from 0. Several threads may read one list.
typedef struct meshchat_room_list meshchat_room_list;

// The way that frames to a node take. It belongs to the event or list that it came from and is never freed. It does not
// change, and several threads may read it.
typedef struct meshchat_route meshchat_route;

// The way to a node as `meshchat_node_trace` found it. Freed by `meshchat_trace_free`. Hops are numbered from 0; the last
// one is the node itself, unless it did not answer. Several threads may read one trace.
typedef struct meshchat_trace meshchat_trace;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// The name of a status, for example "MESHCHAT_HOME_IN_USE"; "unknown" for a number that is none. Never NULL, never to
// be freed.
const char *meshchat_status_name(int32_t status);

// Version of the binary interface of the library in use; a program was compiled for it when this equals
// `MESHCHAT_ABI_VERSION`.
uint32_t meshchat_abi_version(void);

// Version of the library in use, for example "0.1.0". Never NULL, never to be freed.
const char *meshchat_version(void);

// A configuration with the defaults: the default home, the nickname of last time, the link `udp`.
// NULL only after a defect of MeshChat.
meshchat_config *meshchat_config_new(void);

// Frees a configuration. NULL does nothing. Nodes that were started with it are not affected.
void meshchat_config_free(meshchat_config *config);

// The folder of key, outbox and history. Default: `meshchat_default_home`. It is made when it does not exist. Its database is
// the node's own: another process may read it meanwhile, but by another SQLite in the process of the node even reading
// damages it, as neither sees the other's locks.
int32_t meshchat_config_set_home(meshchat_config *config,
                                 const char *home);

// A home that is made for one run and removed at its end: a temporary identity. It goes before
// `meshchat_config_set_home`.
int32_t meshchat_config_set_temporary(meshchat_config *config);

// The name shown to others: 1 to 32 characters without white space, control and invisible characters, not starting with '@' or
// '/'. It identifies nobody: two nodes may choose the same.
int32_t meshchat_config_set_nickname(meshchat_config *config,
                                     const char *nickname);

// The passphrase of the key file; it also protects a key that is made by the start.
int32_t meshchat_config_set_passphrase(meshchat_config *config, const char *passphrase);

// Size of the RSA key in bits, should the start make one: 2048 to 4096 in steps of 8, default 3072. The start checks it.
int32_t meshchat_config_set_key_bits(meshchat_config *config,
                                     uint32_t bits);

// Offers a mailbox: the node keeps sealed messages for nodes that are away, and hands them over when they come into reach. It
// cannot read them; it learns who sends to whom, when, and about how much. `quota` and `sender_quota` are bytes, of all
// messages and of those of one sender, `keep` is how many seconds a message is kept at most; 0 means the default: 1 GiB,
// 64 MiB, 30 days.
int32_t meshchat_config_set_mailbox(meshchat_config *config,
                                    uint64_t quota,
                                    uint64_t sender_quota,
                                    uint64_t keep);

// Makes the node part of a private mesh: `file` holds the network key that all its nodes share, made by
// `meshchat_network_key_create`. Frames of others are dropped, and a listener sees neither names nor routes. The start
// reads it.
int32_t meshchat_config_set_network_key_file(meshchat_config *config,
                                             const char *file);

// Keeps messages in the history for so many seconds after they were written or received. Default: for good. Messages that
// are still to be delivered, and received ones that the program has not confirmed, stay in any case.
int32_t meshchat_config_keep_history_for(meshchat_config *config,
                                         uint64_t seconds);

// Keeps the newest so many messages in the history, in place of an earlier setting; otherwise as
// `meshchat_config_keep_history_for`.
int32_t meshchat_config_keep_messages(meshchat_config *config, uint64_t messages);

// Makes a network key for a private mesh, in a new file of mode 0600 that is to be copied to all of its nodes. A file
// that exists is not overwritten: `MESHCHAT_KEY_EXISTS`.
int32_t meshchat_network_key_create(const char *file);

// Adds a link: "udp", "udp:HOST:PORT" (with a peer to contact) or "ethernet:IFACE". Several may be added; all UDP links
// become one. Without any, "udp" is used. The start checks it.
int32_t meshchat_config_add_link(meshchat_config *config,
                                 const char *link);

// Connects to the node in reach with the NODE_ID `to`, and waits for the end of the handshake, ten seconds at most. The
// connection is to be freed by `meshchat_connection_free`. `MESHCHAT_REFUSED` when the other node does not listen; should the
// refusal come after the handshake, the connection is over at once and the next call on it gives `MESHCHAT_DISCONNECTED`.
// `MESHCHAT_OUT_OF_REACH` when there is no way, `MESHCHAT_TIMED_OUT` when there is no answer, `MESHCHAT_BUSY` when there are
// too many connections.
int32_t meshchat_node_connect(meshchat_node *node,
                              const char *to,
                              meshchat_connection **connection);

// NODE_ID of the node at the other end, as it has proved, into a buffer of `MESHCHAT_ID_TEXT_SIZE` bytes.
int32_t meshchat_connection_peer(const meshchat_connection *connection, char *id);

// Opens a stream. Waits while the peer allows no more of them, until one ends or the connection is over; other threads may
// close it meanwhile. The peer hears of the stream with the first bytes, or with its end. The stream is to be freed by
// `meshchat_stream_free`. `MESHCHAT_DISCONNECTED` when the connection is over.
int32_t meshchat_connection_open(meshchat_connection *connection,
                                 meshchat_stream **stream);

// The next stream that the peer has opened, without waiting: `MESHCHAT_WOULD_BLOCK` when there is none. It is to be freed
// by `meshchat_stream_free`. `MESHCHAT_DISCONNECTED` when the connection is over and all streams have been taken;
// `meshchat_last_error` then says why.
int32_t meshchat_connection_accept(meshchat_connection *connection,
                                   meshchat_stream **stream);

// A descriptor for `poll` and the like, readable (`POLLIN`) from the start until `meshchat_connection_accept` gives
// `MESHCHAT_WOULD_BLOCK`, and again as soon as it would give something else: also when the connection is over. It belongs
// to the connection: never read from it, never write to it, never close it.
int32_t meshchat_connection_fd(const meshchat_connection *connection,
                               int *fd);

// Numbers about the connection now, to be freed by `meshchat_statistics_free`. `MESHCHAT_DISCONNECTED` some time after the
// end, when the node has forgotten them.
int32_t meshchat_connection_statistics(const meshchat_connection *connection,
                                       meshchat_statistics **statistics);

// Closes the connection with all its streams, at once: what has not arrived may be lost. The peer is told the code, at most
// `MESHCHAT_CODE_MAX`, and the first 256 bytes of the reason. A second close does nothing.
int32_t meshchat_connection_close(meshchat_connection *connection,
                                  uint64_t code,
                                  const char *reason);

// Frees a connection; its descriptor is closed. When all of its streams have been freed, too, the connection is closed at
// once: `meshchat_stream_finish` tells before whether everything has arrived. Of two programs that free at once when all
// is done, one may be told `MESHCHAT_DISCONNECTED` by its last finish: let one wait for the close of the other. NULL does
// nothing.
void meshchat_connection_free(meshchat_connection *connection);

// Sends a message of `data_len` bytes that is not repeated when it is lost, and may overtake others and what is on streams.
// It may be empty. The longest one is that of a packet of the path, `MESHCHAT_STATISTIC_MTU` less 32 bytes:
// `MESHCHAT_INVALID_ARGUMENT` when it is longer (`meshchat_last_error` tells the limit), or the peer takes none. At most 1 MiB
// waits to be sent, 64 bytes counted for each beside its own; then the oldest are dropped, as are those that do not fit any
// more after a change of the route. Waits for the engine's answer alone. `MESHCHAT_DISCONNECTED` when the connection is over.
int32_t meshchat_connection_send_datagram(meshchat_connection *connection,
                                          const void *data,
                                          size_t data_len);

// Takes the next datagram of the peer, without waiting; `read_len` is its length, which may be 0. `MESHCHAT_WOULD_BLOCK` when
// there is none now. `MESHCHAT_BUFFER_TOO_SMALL` when it is longer than `size`: it stays to be taken, and `meshchat_last_error`
// tells its length; 65535 bytes are enough for any. Of those that nobody takes the latest 256 are kept.
// `MESHCHAT_DISCONNECTED` when the connection is over and all have been taken; `meshchat_last_error` then says why.
int32_t meshchat_connection_read_datagram(meshchat_connection *connection,
                                          void *buffer,
                                          size_t size,
                                          size_t *read_len);

// A descriptor for `poll` and the like, readable (`POLLIN`) from the start until `meshchat_connection_read_datagram` gives
// `MESHCHAT_WOULD_BLOCK`, and again as soon as it would give something else: also when the connection is over. It is another
// one than that of `meshchat_connection_fd`, made at the first call, and belongs to the connection: never read from it, never
// write to it, never close it. `MESHCHAT_BUSY` when the process has no descriptor left.
int32_t meshchat_connection_datagram_fd(const meshchat_connection *connection,
                                        int *fd);

// The text of the last call that failed on this thread, for people to read: what went wrong and what helps. Empty
// when none failed. Valid until the next call on this thread; never to be freed.
const char *meshchat_last_error(void);

// Frees an event and all texts in it. NULL does nothing.
void meshchat_event_free(meshchat_event *event);

// What happened: one of MESHCHAT_EVENT_... Later versions may have more types: ignore those that you do not know.
int32_t meshchat_event_type(const meshchat_event *event,
                            int32_t *event_type);

// NODE_ID of the node that was found, lost, or whose route changed, of the sender of a message or broadcast, of a
// status' recipient, of the other end of a file, of who joined or left a room, into a buffer of `MESHCHAT_ID_TEXT_SIZE` bytes.
int32_t meshchat_event_node_id(const meshchat_event *event,
                               char *id);

// The name that the node found or lost, or whose route changed, gives itself, NULL when it gives none. Valid as long as the event.
int32_t meshchat_event_nickname(const meshchat_event *event,
                                const char **nickname);

// When the node found or lost, or whose route changed, was last heard of, in milliseconds since 1970-01-01T00:00:00Z.
int32_t meshchat_event_last_seen(const meshchat_event *event,
                                 uint64_t *last_seen);

// The way that frames to the node take now, NULL when it is out of reach. Valid as long as the event.
int32_t meshchat_event_route(const meshchat_event *event, const meshchat_route **route);

// Text of a message, a broadcast or a warning, why an insecure stream ended: UTF-8, `text_len` bytes, then a NUL. A
// message may contain NUL itself, which only the length tells. Text from the network may contain any character: make it
// safe before a terminal sees it. Valid as long as the event.
int32_t meshchat_event_text(const meshchat_event *event,
                            const char **text,
                            size_t *text_len);

// Id of the message that arrived or whose status is told, into a buffer of `MESHCHAT_MESSAGE_ID_TEXT_SIZE` bytes. It is
// unique together with the sender.
int32_t meshchat_event_message_id(const meshchat_event *event,
                                  char *message_id);

// How far a message of this node has come: one of MESHCHAT_MESSAGE_... Later versions may have more steps; larger
// numbers are further on.
int32_t meshchat_event_message_status(const meshchat_event *event,
                                      int32_t *message_status);

// The name of a MESHCHAT_MESSAGE_... in lower case, for example "queued"; "unknown" for another number. Valid for ever.
const char *meshchat_message_status_text(int32_t message_status);

// When a message was written, by its sender's clock, in milliseconds since 1970-01-01T00:00:00Z.
int32_t meshchat_event_sent_at(const meshchat_event *event, uint64_t *sent_at);

// When a message arrived, by this node's clock, in milliseconds since 1970-01-01T00:00:00Z.
int32_t meshchat_event_received_at(const meshchat_event *event, uint64_t *received_at);

// The folder of files that are accepted. Default: "downloads" in the home. It is made when the first file is accepted.
int32_t meshchat_config_set_downloads(meshchat_config *config,
                                      const char *folder);

// Offers the file at `path` to the known node with the NODE_ID `to`. Reads it once, which takes as long as that takes, and
// returns when the offer is safely on this node's disk; from then on it is made whenever the recipient is in reach, also
// after a restart, until it is decided. The file must stay where it is, and as it is, until it has arrived. Its id goes
// into `file_id`, a buffer of `MESHCHAT_FILE_ID_TEXT_SIZE` bytes; events of the types `MESHCHAT_EVENT_FILE_...` tell how
// it goes on.
int32_t meshchat_node_send_file(meshchat_node *node,
                                const char *to,
                                const char *path,
                                char *file_id);

// `meshchat_node_send_file` to somebody whom the person calls `name`: refused as by `meshchat_node_send_named`.
int32_t meshchat_node_send_file_named(meshchat_node *node,
                                      const char *to,
                                      const char *name,
                                      const char *path,
                                      char *file_id);

// Accepts a file that is offered, into `folder`, which is made if need be, or into the folder of the downloads when `folder`
// is NULL. It gets its name there when it is whole and verified; a file that is there already is never overwritten.
// `MESHCHAT_STORAGE` when the folder cannot be used, or has no room for it.
int32_t meshchat_node_accept_file(meshchat_node *node,
                                  const char *file_id,
                                  const char *folder);

// Refuses a file that is offered. The sender is told when it is in reach.
int32_t meshchat_node_refuse_file(meshchat_node *node, const char *file_id);

// Gives up a file that is sent or received. The other side is told when it is in reach.
int32_t meshchat_node_cancel_file(meshchat_node *node, const char *file_id);

// The files that are sent and received, and those that were lately. The list is to be freed by `meshchat_file_list_free`.
int32_t meshchat_node_files(const meshchat_node *node,
                            meshchat_file_list **list);

// Frees a list and all files in it. NULL does nothing.
void meshchat_file_list_free(meshchat_file_list *list);

// Number of files in the list.
int32_t meshchat_file_list_count(const meshchat_file_list *list, size_t *count);

// A file of the list. Valid as long as the list.
int32_t meshchat_file_list_get(const meshchat_file_list *list, size_t index, const meshchat_file **file);

// The file that an event of one of the types `MESHCHAT_EVENT_FILE_...` is about. Valid as long as the event.
int32_t meshchat_event_file(const meshchat_event *event, const meshchat_file **file);

// Id of the file on this node, into a buffer of `MESHCHAT_FILE_ID_TEXT_SIZE` bytes.
int32_t meshchat_file_id(const meshchat_file *file, char *file_id);

// NODE_ID of the node at the other end, into a buffer of `MESHCHAT_ID_TEXT_SIZE` bytes.
int32_t meshchat_file_peer(const meshchat_file *file, char *id);

// Whether this node receives the file.
int32_t meshchat_file_incoming(const meshchat_file *file, bool *incoming);

// Its name, without any folder. Valid as long as what the file belongs to.
int32_t meshchat_file_name(const meshchat_file *file, const char **name);

// Its size in bytes, and how many of them the recipient has.
int32_t meshchat_file_size(const meshchat_file *file, uint64_t *size, uint64_t *done);

// How far it is: one of `MESHCHAT_FILE_...`. What is 20 or more is over.
int32_t meshchat_file_state(const meshchat_file *file, int32_t *state);

// Why it will not arrive, in words for people; NULL when nothing stands against it. Valid as long as what the file belongs
// to.
int32_t meshchat_file_reason(const meshchat_file *file,
                             const char **reason);

// Where it lies on this node; NULL while it has not arrived. Valid as long as what the file belongs to.
int32_t meshchat_file_path(const meshchat_file *file, const char **path);

// When it was offered, in milliseconds since 1970-01-01T00:00:00Z.
int32_t meshchat_file_offered_at(const meshchat_file *file, uint64_t *offered_at);

// A query for the newest 100 messages. NULL only after a defect of MeshChat.
meshchat_history_query *meshchat_history_query_new(void);

// Frees a query. NULL does nothing. Lists that it has brought are not affected.
void meshchat_history_query_free(meshchat_history_query *query);

// Only messages from and to the node with this NODE_ID alone, none to rooms.
int32_t meshchat_history_query_set_with(meshchat_history_query *query, const char *node);

// Only messages to the room with this id.
int32_t meshchat_history_query_set_room(meshchat_history_query *query, const char *room_id);

// Only messages that hold each of these words, or a word that begins so, in any order. Upper and lower case and accents do
// not matter. That there is no word in it is told by who reads.
int32_t meshchat_history_query_set_search(meshchat_history_query *query,
                                          const char *words);

// Only messages that were written or received at this time or later, by this node's clock, in milliseconds since
// 1970-01-01T00:00:00Z.
int32_t meshchat_history_query_set_since(meshchat_history_query *query,
                                         uint64_t since);

// Only messages that were written or received before this time, in milliseconds since 1970-01-01T00:00:00Z.
int32_t meshchat_history_query_set_until(meshchat_history_query *query, uint64_t until);

// At most so many messages in a list: 1 to 1000, default 100. Who reads checks it.
int32_t meshchat_history_query_set_limit(meshchat_history_query *query, size_t limit);

// Only messages before this position (`meshchat_history_list_position`): the list before.
int32_t meshchat_history_query_set_before(meshchat_history_query *query, uint64_t position);

// Only messages behind this position, and of these the oldest: the list behind. 0 begins with the first message.
int32_t meshchat_history_query_set_after(meshchat_history_query *query,
                                         uint64_t position);

// Reads messages of a running node. The list is to be freed by `meshchat_history_list_free`.
int32_t meshchat_node_history(const meshchat_node *node,
                              const meshchat_history_query *query,
                              meshchat_history_list **list);

// Reads messages of a home (NULL: the default home), whether a node runs there or not. The list is to be freed by
// `meshchat_history_list_free`.
int32_t meshchat_history_read(const char *home,
                              const meshchat_history_query *query,
                              meshchat_history_list **list);

// Frees a list and all texts in it. NULL does nothing.
void meshchat_history_list_free(meshchat_history_list *list);

// Number of messages in the list.
int32_t meshchat_history_list_count(const meshchat_history_list *list, size_t *count);

// Whether there are more messages that fit the query: newer ones after `meshchat_history_query_set_after`, else older ones.
int32_t meshchat_history_list_more(const meshchat_history_list *list,
                                   bool *more);

// Place of a message in the order in which the node got to know of its messages: 1 or more, growing.
int32_t meshchat_history_list_position(const meshchat_history_list *list, size_t index, uint64_t *position);

// Whether this node wrote the message.
int32_t meshchat_history_list_is_own(const meshchat_history_list *list, size_t index, bool *is_own);

// Id of the room that the message was written to, into a buffer of `MESHCHAT_ROOM_ID_TEXT_SIZE` bytes; an empty text when it
// was written to one node alone.
int32_t meshchat_history_list_room_id(const meshchat_history_list *list,
                                      size_t index,
                                      char *room_id);

// NODE_ID of the other node, recipient or sender, into a buffer of `MESHCHAT_ID_TEXT_SIZE` bytes. Of a message of this node's to a
// room it is one of its recipients.
int32_t meshchat_history_list_peer(const meshchat_history_list *list,
                                   size_t index,
                                   char *id);

// Nickname of the other node, NULL when none is known. Valid as long as the list.
int32_t meshchat_history_list_nickname(const meshchat_history_list *list,
                                       size_t index,
                                       const char **nickname);

// Id of the message, into a buffer of `MESHCHAT_MESSAGE_ID_TEXT_SIZE` bytes.
int32_t meshchat_history_list_message_id(const meshchat_history_list *list, size_t index, char *message_id);

// Text of the message: UTF-8, `text_len` bytes, then a NUL. It may contain NUL itself, and any other character: make it
// safe before a terminal sees it. Valid as long as the list.
int32_t meshchat_history_list_text(const meshchat_history_list *list,
                                   size_t index,
                                   const char **text,
                                   size_t *text_len);

// When the message was written, by the clock of who wrote it, in milliseconds since 1970-01-01T00:00:00Z.
int32_t meshchat_history_list_sent_at(const meshchat_history_list *list, size_t index, uint64_t *sent_at);

// When the message arrived, by this node's clock, in milliseconds since 1970-01-01T00:00:00Z; of a message of this node's
// own, when it was written.
int32_t meshchat_history_list_received_at(const meshchat_history_list *list,
                                          size_t index,
                                          uint64_t *received_at);

// How far a message of this node's own has come, in a room at the member that it has come least far to: one of MESHCHAT_MESSAGE_...; -1 for a message of another node.
int32_t meshchat_history_list_message_status(const meshchat_history_list *list,
                                             size_t index,
                                             int32_t *message_status);

// The home of a node that is told none: the environment variable MESHCHAT_HOME, else the folder "meshchat" in the XDG data
// directory; it need not exist yet. `home` has `home_size` bytes.
int32_t meshchat_default_home(char *home,
                              size_t home_size);

// Whether the home (NULL: the default home) holds a key file.
int32_t meshchat_identity_exists(const char *home, bool *exists);

// Makes a key of `bits` (2048 to 4096 in steps of 8; 0: the default, 3072) in the home (NULL: the default home), protected by the
// passphrase (NULL: none). This takes seconds. A key that exists already is never overwritten.
int32_t meshchat_identity_create(const char *home,
                                 uint32_t bits,
                                 const char *passphrase,
                                 meshchat_identity **identity);

// Reads the key in the home (NULL: the default home) with the passphrase (NULL: none).
int32_t meshchat_identity_load(const char *home, const char *passphrase, meshchat_identity **identity);

// Frees an identity. The key in the home stays. NULL does nothing.
void meshchat_identity_free(meshchat_identity *identity);

// NODE_ID, into a buffer of `MESHCHAT_ID_TEXT_SIZE` bytes.
int32_t meshchat_identity_id(const meshchat_identity *identity, char *id);

// The public key as PEM SubjectPublicKeyInfo. Valid as long as the identity.
int32_t meshchat_identity_public_pem(const meshchat_identity *identity, const char **public_pem);

// Eight words, separated by spaces, that two people compare by voice: the same on both sides only if each has the
// other's true key. `peer_id` is the other's NODE_ID. `words` has `words_size` bytes; `MESHCHAT_SAFETY_WORDS_SIZE` is
// enough.
int32_t meshchat_identity_safety_words(const meshchat_identity *identity,
                                       const char *peer_id,
                                       char *words,
                                       size_t words_size);

// Lets programs that speak only AlexMesh v1 find the node on an Ethernet interface, send it messages and chat with it.
// INSECURE: anybody on the segment can read and forge all of it. Several interfaces may be added. One that cannot be
// opened is told by `meshchat_node_link_status`, and used as soon as it can be. Not in a private mesh. The start checks it.
int32_t meshchat_config_add_v1(meshchat_config *config,
                               const char *interface);

// The address of a v1 node as events tell it ("v1:02:00:5e:10:00:01"), from any way to write it, into a buffer of
// `MESHCHAT_INSECURE_ADDRESS_TEXT_SIZE` bytes. `MESHCHAT_INVALID_ARGUMENT` when it is none.
int32_t meshchat_insecure_address(const char *text,
                                  char *address);

// The v1 nodes that were heard lately. The list is to be freed by `meshchat_insecure_list_free`.
int32_t meshchat_node_insecure_nodes(const meshchat_node *node, meshchat_insecure_list **list);

// Sends a text of at most 1477 bytes, on an interface with the usual MTU, to the v1 node with the address `to`. It is
// neither kept nor sent again. `message` becomes its number; an event of type `MESHCHAT_EVENT_INSECURE_DELIVERED` or
// `MESHCHAT_EVENT_INSECURE_FAILED` follows.
int32_t meshchat_node_send_insecure(meshchat_node *node,
                                    const char *to,
                                    const char *text,
                                    size_t text_len,
                                    uint64_t *message);

// Sends a text to every v1 node of each segment. Nobody acknowledges it.
int32_t meshchat_node_broadcast_insecure(meshchat_node *node, const char *text, size_t text_len);

// Opens a stream to the v1 node with the address `to`; `stream` becomes its number. An event of type
// `MESHCHAT_EVENT_INSECURE_STREAM_OPENED` follows, or `MESHCHAT_EVENT_INSECURE_STREAM_CLOSED` when nobody answers. Streams
// that others open are told by the same events.
int32_t meshchat_node_connect_insecure(meshchat_node *node,
                                       const char *to,
                                       uint64_t *stream);

// Sends data on an open stream, in as many frames as it takes. What gets lost stays lost, and zero bytes at the end of a
// frame do not arrive: v1 carries text. `MESHCHAT_STREAM_CLOSED` when the stream is not open.
int32_t meshchat_node_write_insecure(meshchat_node *node,
                                     uint64_t stream,
                                     const char *data,
                                     size_t data_len);

// Ends a stream in both directions; an event of type `MESHCHAT_EVENT_INSECURE_STREAM_CLOSED` follows.
// `MESHCHAT_STREAM_CLOSED` when the stream is not open.
int32_t meshchat_node_close_insecure(meshchat_node *node, uint64_t stream);

// Frees a list. NULL does nothing.
void meshchat_insecure_list_free(meshchat_insecure_list *list);

// Number of entries.
int32_t meshchat_insecure_list_count(const meshchat_insecure_list *list, size_t *count);

// Address of an entry, into a buffer of `MESHCHAT_INSECURE_ADDRESS_TEXT_SIZE` bytes.
int32_t meshchat_insecure_list_address(const meshchat_insecure_list *list, size_t index, char *address);

// Whether the node is heard itself, not only through other v1 nodes.
int32_t meshchat_insecure_list_direct(const meshchat_insecure_list *list, size_t index, bool *direct);

// Address of the v1 node that an insecure event is about, into a buffer of `MESHCHAT_INSECURE_ADDRESS_TEXT_SIZE` bytes.
// Anybody can use any address.
int32_t meshchat_event_insecure_address(const meshchat_event *event,
                                        char *address);

// Whether an insecure message went to everyone.
int32_t meshchat_event_insecure_to_all(const meshchat_event *event, bool *to_all);

// The message whose fate is told, as `meshchat_node_send_insecure` numbered it.
int32_t meshchat_event_insecure_message(const meshchat_event *event, uint64_t *message);

// The number of the stream.
int32_t meshchat_event_insecure_stream(const meshchat_event *event, uint64_t *stream);

// Whether the peer opened the stream.
int32_t meshchat_event_insecure_by_peer(const meshchat_event *event, bool *by_peer);

// Data that came on a stream, `data_len` bytes without a NUL behind them. Valid as long as the event.
int32_t meshchat_event_insecure_data(const meshchat_event *event, const char **data, size_t *data_len);

// Why the stream ended: one of MESHCHAT_INSECURE_CLOSED_... Later versions may have more reasons.
int32_t meshchat_event_insecure_close_reason(const meshchat_event *event, int32_t *reason);

// Frees a list and all texts in it. NULL does nothing.
void meshchat_node_list_free(meshchat_node_list *list);

// Number of nodes in the list.
int32_t meshchat_node_list_count(const meshchat_node_list *list, size_t *count);

// NODE_ID of an entry, into a buffer of `MESHCHAT_ID_TEXT_SIZE` bytes.
int32_t meshchat_node_list_id(const meshchat_node_list *list, size_t index, char *id);

// The name that the node gives itself, NULL when it gives none. Nobody vouches for it. Valid as long as the list.
int32_t meshchat_node_list_nickname(const meshchat_node_list *list,
                                    size_t index,
                                    const char **nickname);

// Whether the node is in reach.
int32_t meshchat_node_list_present(const meshchat_node_list *list, size_t index, bool *present);

// When the node was last heard of, in milliseconds since 1970-01-01T00:00:00Z.
int32_t meshchat_node_list_last_seen(const meshchat_node_list *list, size_t index, uint64_t *last_seen);

// Whether the node offers a mailbox for messages to nodes that are away.
int32_t meshchat_node_list_mailbox(const meshchat_node_list *list, size_t index, bool *mailbox);

// The way that frames to the node take, NULL when it is out of reach. Valid as long as the list.
int32_t meshchat_node_list_route(const meshchat_node_list *list, size_t index, const meshchat_route **route);

// Takes connections from now on, in the place of an earlier listener. While there is none, connections are refused, and
// those beyond 128 that wait to be accepted. The listener is to be freed by `meshchat_listener_free`.
int32_t meshchat_node_listen(meshchat_node *node,
                             meshchat_listener **listener);

// The next connection that another node has opened, without waiting: `MESHCHAT_WOULD_BLOCK` when there is none. It is to
// be freed by `meshchat_connection_free`. `MESHCHAT_STOPPED` when the node has stopped, or another listener has taken the
// place of this one.
int32_t meshchat_listener_accept(meshchat_listener *listener,
                                 meshchat_connection **connection);

// A descriptor for `poll` and the like, readable (`POLLIN`) from the start until `meshchat_listener_accept` gives
// `MESHCHAT_WOULD_BLOCK`, and again as soon as it would give something else. It belongs to the listener: never read from
// it, never write to it, never close it.
int32_t meshchat_listener_fd(const meshchat_listener *listener,
                             int *fd);

// Frees a listener and closes the connections that nobody has accepted; further ones are refused. NULL does nothing.
void meshchat_listener_free(meshchat_listener *listener);

// Starts a node on threads of its own. Makes a key when the home has none, which takes seconds. A link that cannot be
// opened is told by `meshchat_node_link_status`; only when none can be opened the start fails.
int32_t meshchat_node_start(const meshchat_config *config,
                            meshchat_node **node);

// Says goodbye to the neighbours, closes database and links, and waits for that. Events that are left can still be
// taken; calls that need the running node give `MESHCHAT_STOPPED`, also those that other threads wait for. A second stop
// does nothing.
int32_t meshchat_node_stop(meshchat_node *node);

// Stops the node if it runs, and frees it; its descriptor is closed. Events and lists that it gave out stay valid. NULL
// does nothing.
void meshchat_node_free(meshchat_node *node);

// NODE_ID of this node, into a buffer of `MESHCHAT_ID_TEXT_SIZE` bytes.
int32_t meshchat_node_id(const meshchat_node *node, char *id);

// The name that this node shows to others, NULL when it has none. Valid as long as the node.
int32_t meshchat_node_nickname(const meshchat_node *node, const char **nickname);

// The folder of key, outbox and history. Valid as long as the node.
int32_t meshchat_node_home(const meshchat_node *node, const char **home);

// Number of links that were asked for, each once; all UDP links are one. They are numbered from 0.
int32_t meshchat_node_link_count(const meshchat_node *node, size_t *count);

// A link, for example "ethernet:eth0". Valid as long as the node.
int32_t meshchat_node_link_spec(const meshchat_node *node, size_t index, const char **spec);

// How the opening of a link went: `link_status` is `MESHCHAT_OK` and `error` NULL, or `link_status` tells why it could
// not be opened and `error` says it in words. Valid as long as the node.
int32_t meshchat_node_link_status(const meshchat_node *node,
                                  size_t index,
                                  int32_t *link_status,
                                  const char **error);

// All nodes that are known, those in reach first; this node is not among them. The list is to be freed by `meshchat_node_list_free`.
int32_t meshchat_node_nodes(const meshchat_node *node,
                            meshchat_node_list **list);

// The NODE_ID that `query` means (a full id, the beginning of one, its last five or more digits, or a nickname, if that
// fits a single node), into a buffer of `MESHCHAT_ID_TEXT_SIZE` bytes.
int32_t meshchat_node_resolve(const meshchat_node *node,
                              const char *query,
                              char *id);

// Asks the node in reach with the NODE_ID `to` for an answer, and waits for it, `timeout_ms` milliseconds (at most 10,000)
// and no longer: then it gives `MESHCHAT_TIMED_OUT`. `rtt_us` is the time from request to answer in microseconds. It tells
// about the way, not about the node: anybody on the way could answer. `MESHCHAT_OUT_OF_REACH` when there is no way.
int32_t meshchat_node_ping(const meshchat_node *node,
                           const char *to,
                           uint32_t timeout_ms,
                           uint64_t *rtt_us);

// Finds the way to the node in reach with the NODE_ID `to`: every relay, then the node itself. Waits for the slowest
// answer, two seconds at most. The trace is to be freed by `meshchat_trace_free`. `MESHCHAT_OUT_OF_REACH` when there is no
// way.
int32_t meshchat_node_trace(const meshchat_node *node,
                            const char *to,
                            meshchat_trace **trace);

// Accepts a message of 1 byte to 1 MiB of UTF-8, `text_len` bytes long, for the known node with the NODE_ID `to`.
// Returns when it is safely on this node's disk; from then on it is delivered as soon as the recipient is in reach, also
// after a restart. Its id goes into `message_id`, a buffer of `MESHCHAT_MESSAGE_ID_TEXT_SIZE` bytes; events of type
// `MESHCHAT_EVENT_STATUS` tell how far it is.
int32_t meshchat_node_send(meshchat_node *node,
                           const char *to,
                           const char *text,
                           size_t text_len,
                           char *message_id);

// `meshchat_node_send` for a message that is given up (`MESHCHAT_MESSAGE_EXPIRED`) when it is not delivered within
// `lifetime` seconds. It is looked every 30 seconds.
int32_t meshchat_node_send_for(meshchat_node *node,
                               const char *to,
                               const char *text,
                               size_t text_len,
                               uint64_t lifetime,
                               char *message_id);

// Says something to every node in reach: 1 to 1000 bytes of UTF-8, `text_len` bytes long, signed by this node and *not*
// encrypted: everybody on the way can read it. It is not stored, and nobody acknowledges it. Eight at once, then one a
// second.
int32_t meshchat_node_broadcast(meshchat_node *node,
                                const char *text,
                                size_t text_len);

// A descriptor for `poll` and the like, readable while events wait and after the node has stopped. It belongs to the
// node: never read from it, never close it.
int32_t meshchat_node_fd(const meshchat_node *node,
                         int *fd);

// Takes the next event without waiting; `event` becomes NULL when none waits. The event is to be freed by
// `meshchat_event_free`. `MESHCHAT_STOPPED` when the node has stopped and every event has been taken.
int32_t meshchat_node_next_event(meshchat_node *node, meshchat_event **event);

// Tells that the program is done with the message in `event` and with all messages that arrived before it: they are not
// handed over again after a restart. Cheap, so confirm each message right after it was shown or processed. While 16,384
// messages are unconfirmed, the node accepts no more; while 4096 of one sender are, no more of that one.
// `MESHCHAT_STOPPED` when the node has stopped: the message then comes again.
int32_t meshchat_node_confirm(meshchat_node *node,
                              const meshchat_event *event);

// Tells the sender of the message in `event` that it was read, and those before it from the same sender: their status
// becomes `MESHCHAT_MESSAGE_READ` there. Without this nobody learns that.
int32_t meshchat_node_mark_read(meshchat_node *node,
                                const meshchat_event *event);

// Notes that the person has compared safety words with the node, seen or not: its nickname then means this node alone.
// `MESHCHAT_BLOCKED` when it is blocked.
int32_t meshchat_node_verify(meshchat_node *node,
                             const char *id);

// Takes `meshchat_node_verify` back.
int32_t meshchat_node_unverify(meshchat_node *node, const char *id);

// Blocks a node, seen or not: nothing of it reaches the program or the disk, connections with it end, and nothing is sent
// to it; for it, this node does not answer. Its frames are forwarded as ever. That it was verified is forgotten.
int32_t meshchat_node_block(meshchat_node *node,
                            const char *id);

// Takes `meshchat_node_block` back.
int32_t meshchat_node_unblock(meshchat_node *node, const char *id);

// Eight words, separated by spaces, that the person and that of the node `peer_id` compare by voice: the same on both
// sides only if each has the other's true key. `words` has `words_size` bytes; `MESHCHAT_SAFETY_WORDS_SIZE` is enough.
int32_t meshchat_node_safety_words(const meshchat_node *node,
                                   const char *peer_id,
                                   char *words,
                                   size_t words_size);

// This node as a contact to be passed on: a line of text, into a buffer of `MESHCHAT_CONTACT_TEXT_SIZE` bytes.
int32_t meshchat_node_contact(const meshchat_node *node,
                              char *contact);

// Whether a text is a contact that came unchanged; `MESHCHAT_INVALID_ARGUMENT` when not.
int32_t meshchat_contact_check(const char *contact);

// Keeps a contact, which need not have been seen yet: messages to it wait until it is in reach. It is no more trusted than
// a node that was seen. Its NODE_ID goes into `id`, a buffer of `MESHCHAT_ID_TEXT_SIZE` bytes. `MESHCHAT_INVALID_ARGUMENT`
// when the text is no contact or was changed on its way.
int32_t meshchat_node_import_contact(meshchat_node *node,
                                     const char *contact,
                                     char *id);

// `meshchat_node_send` to somebody whom the person calls `name`, as in a conversation that was opened by a nickname. When
// another key uses that nickname by now, and `to` is not verified, nothing is sent: `MESHCHAT_AMBIGUOUS_NODE`.
int32_t meshchat_node_send_named(meshchat_node *node,
                                 const char *to,
                                 const char *name,
                                 const char *text,
                                 size_t text_len,
                                 char *message_id);

// How far a node of the list is trusted: one of MESHCHAT_TRUST_...
int32_t meshchat_node_list_trust(const meshchat_node_list *list, size_t index, int32_t *trust);

// Whether the person keeps a node of the list as a contact: has written to it, has imported, verified or blocked it.
int32_t meshchat_node_list_is_contact(const meshchat_node_list *list,
                                      size_t index,
                                      bool *is_contact);

// A node of the list as a contact to be passed on, into a buffer of `MESHCHAT_CONTACT_TEXT_SIZE` bytes.
int32_t meshchat_node_list_contact(const meshchat_node_list *list, size_t index, char *contact);

// Makes a room with this node as its owner and only member. Its name follows the rules of nicknames; several rooms may have
// the same. The owner invites and removes; what others ask of it waits until it is in reach. The id goes into `room_id`, a
// buffer of `MESHCHAT_ROOM_ID_TEXT_SIZE` bytes.
int32_t meshchat_node_create_room(meshchat_node *node,
                                  const char *name,
                                  char *room_id);

// The room that `query` means: an id, a unique prefix of one (at least five digits), or a name. Rooms that are over count
// only when no other one fits. Its id goes into `room_id`, a buffer of `MESHCHAT_ROOM_ID_TEXT_SIZE` bytes.
// `MESHCHAT_UNKNOWN_ROOM` when there is none, `MESHCHAT_INVALID_ARGUMENT` when there are several.
int32_t meshchat_node_resolve_room(const meshchat_node *node,
                                   const char *query,
                                   char *room_id);

// Invites the known node with the NODE_ID `id` to a room that this node owns: at most 256 belong to it, those who are
// invited included. The invitation reaches it like a message. `MESHCHAT_ROOM_REFUSED` when this node is not the owner, the
// room is full, or the other one is in it already.
int32_t meshchat_node_invite_to_room(meshchat_node *node,
                                     const char *room_id,
                                     const char *id);

// Takes a node out of a room that this node owns, or withdraws its invitation. It gets nothing that this node writes from
// then on, and nothing that another member writes once that one has heard of it.
int32_t meshchat_node_remove_from_room(meshchat_node *node,
                                       const char *room_id,
                                       const char *id);

// Accepts the invitation to a room. This node is a member when the owner has signed that, which
// `MESHCHAT_EVENT_ROOM` tells.
int32_t meshchat_node_join_room(meshchat_node *node, const char *room_id);

// Leaves a room, or declines the invitation: at once here, and for the others when they hear of it. When the owner leaves,
// the room is closed. To leave a room that is over takes it off the list.
int32_t meshchat_node_leave_room(meshchat_node *node,
                                 const char *room_id);

// Writes to all members of a room: 1 byte to 64 KiB of UTF-8, `text_len` bytes long. Each gets a copy of its own, end-to-end
// encrypted and delivered like any message; what is not delivered within `lifetime` seconds is given up, 0: never. All
// copies have the same id, which goes into `message_id`, a buffer of `MESHCHAT_MESSAGE_ID_TEXT_SIZE` bytes:
// `MESHCHAT_EVENT_STATUS` comes for each.
int32_t meshchat_node_send_to_room(meshchat_node *node,
                                   const char *room_id,
                                   const char *text,
                                   size_t text_len,
                                   uint64_t lifetime,
                                   char *message_id);

// The rooms that this node owns, belongs to, was invited to, or belonged to. The list is to be freed by
// `meshchat_room_list_free`.
int32_t meshchat_node_rooms(const meshchat_node *node, meshchat_room_list **list);

// Frees a list and all texts in it. NULL does nothing.
void meshchat_room_list_free(meshchat_room_list *list);

// Number of rooms in the list.
int32_t meshchat_room_list_count(const meshchat_room_list *list, size_t *count);

// Id of a room, into a buffer of `MESHCHAT_ROOM_ID_TEXT_SIZE` bytes.
int32_t meshchat_room_list_id(const meshchat_room_list *list, size_t index, char *room_id);

// The name that the owner gave the room. Valid as long as the list.
int32_t meshchat_room_list_name(const meshchat_room_list *list, size_t index, const char **name);

// NODE_ID of the owner, into a buffer of `MESHCHAT_ID_TEXT_SIZE` bytes.
int32_t meshchat_room_list_owner(const meshchat_room_list *list, size_t index, char *id);

// How this node stands to the room: one of MESHCHAT_ROOM_INVITED, ..._JOINING, ..._MEMBER, ..._LEFT, ..._REMOVED,
// ..._CLOSED.
int32_t meshchat_room_list_standing(const meshchat_room_list *list,
                                    size_t index,
                                    int32_t *standing);

// Which of its lists the owner has signed last. Two members with the same version know the same members.
int32_t meshchat_room_list_version(const meshchat_room_list *list, size_t index, uint64_t *version);

// How many nodes belong to the room, the owner included, and how many of these were invited and have not joined.
int32_t meshchat_room_list_size(const meshchat_room_list *list,
                                size_t index,
                                size_t *members,
                                size_t *invited);

// NODE_ID of a member, numbered from 0, into a buffer of `MESHCHAT_ID_TEXT_SIZE` bytes. Behind the members come those who
// are invited.
int32_t meshchat_room_list_node(const meshchat_room_list *list,
                                size_t index,
                                size_t node_index,
                                char *id);

// Id of the room that has changed, or to which a message was written, into a buffer of `MESHCHAT_ROOM_ID_TEXT_SIZE` bytes;
// an empty text for a message to this node alone.
int32_t meshchat_event_room_id(const meshchat_event *event,
                               char *room_id);

// Name of the room that has changed. Valid as long as the event.
int32_t meshchat_event_room_name(const meshchat_event *event, const char **name);

// What has changed in a room: one of MESHCHAT_ROOM_CHANGE_... Later versions may have more: ignore those that you do not
// know.
int32_t meshchat_event_room_change(const meshchat_event *event,
                                   int32_t *change);

// NODE_ID of the neighbour that is next, which is the node itself when it is on the same wire, into a buffer of
// `MESHCHAT_ID_TEXT_SIZE` bytes.
int32_t meshchat_route_next_hop(const meshchat_route *route,
                                char *id);

// Links to cross, 1 or more.
int32_t meshchat_route_hops(const meshchat_route *route, uint32_t *hops);

// Cost of the whole way: 96 for each link that loses nothing, more for a link that loses frames.
int32_t meshchat_route_metric(const meshchat_route *route, uint32_t *metric);

// Bytes of payload that a frame can carry all the way.
int32_t meshchat_route_mtu(const meshchat_route *route, size_t *mtu);

// The link to the next hop as it was given, for example "ethernet:eth0". Valid as long as the route.
int32_t meshchat_route_link(const meshchat_route *route, const char **link);

// Frees a trace. NULL does nothing.
void meshchat_trace_free(meshchat_trace *trace);

// Number of hops.
int32_t meshchat_trace_count(const meshchat_trace *trace, size_t *count);

// Whether somebody answered from there, and the round-trip time in microseconds, 0 when nobody did.
int32_t meshchat_trace_rtt(const meshchat_trace *trace, size_t index, bool *answered, uint64_t *rtt_us);

// NODE_ID of who answered, into a buffer of `MESHCHAT_ID_TEXT_SIZE` bytes; empty when nobody did, or somebody who is not
// known here.
int32_t meshchat_trace_node_id(const meshchat_trace *trace,
                               size_t index,
                               char *id);

// One of the numbers: `statistic` is one of MESHCHAT_STATISTIC_... `MESHCHAT_INVALID_ARGUMENT` when this version of the
// library does not know it.
int32_t meshchat_statistics_value(const meshchat_statistics *statistics,
                                  int32_t statistic,
                                  uint64_t *value);

// Frees statistics. NULL does nothing.
void meshchat_statistics_free(meshchat_statistics *statistics);

// Takes bytes that have arrived, at most `size`, without waiting; `read_len` is how many, 0 at the end of the stream only.
// `MESHCHAT_WOULD_BLOCK` when there are none now. `MESHCHAT_STREAM_RESET` when the peer gave up sending,
// `MESHCHAT_DISCONNECTED` when the connection is over, `MESHCHAT_STREAM_CLOSED` after `meshchat_stream_stop_reading`.
int32_t meshchat_stream_read(meshchat_stream *stream,
                             void *buffer,
                             size_t size,
                             size_t *read_len);

// Hands over as many of the `data_len` bytes as there is room for, without waiting; `written_len` is how many. They are sent
// without further ado. `MESHCHAT_WOULD_BLOCK` when there is no room now. `MESHCHAT_STREAM_RESET` when the peer wants no more,
// `MESHCHAT_DISCONNECTED` when the connection is over, `MESHCHAT_STREAM_CLOSED` after `meshchat_stream_finish` or
// `meshchat_stream_reset`.
int32_t meshchat_stream_write(meshchat_stream *stream,
                              const void *data,
                              size_t data_len,
                              size_t *written_len);

// Ends this node's direction: the peer reads everything, then the end. Reading goes on. The first call does it, whatever it
// gives: `MESHCHAT_WOULD_BLOCK` says that not everything has arrived at the peer's node; call it again when the descriptor
// is writable. After `MESHCHAT_OK` stream and connection can be freed, the node stopped, and nothing is lost. The failures
// are those of `meshchat_stream_write`.
int32_t meshchat_stream_finish(meshchat_stream *stream);

// Gives up this node's direction: what has not arrived may never arrive, and the peer's reads fail. The peer is told the
// code, at most `MESHCHAT_CODE_MAX`. Reading goes on. A second reset does nothing.
int32_t meshchat_stream_reset(meshchat_stream *stream,
                              uint64_t code);

// Gives up reading: what has arrived is dropped, and the peer's writes fail. The peer is told the code, at most
// `MESHCHAT_CODE_MAX`. Writing goes on. A second call does nothing.
int32_t meshchat_stream_stop_reading(meshchat_stream *stream,
                                     uint64_t code);

// How urgent the stream is among those of its connection: 0 most, `MESHCHAT_PRIORITY_MAX` least, 3 by default.
int32_t meshchat_stream_set_priority(meshchat_stream *stream,
                                     uint8_t priority);

// A descriptor for `poll` and the like, to be waited on as if it were the stream's own socket:
// - Readable (`POLLIN`) from the start until `meshchat_stream_read` gives `MESHCHAT_WOULD_BLOCK`, and again as soon as it
//   would give something else: bytes, the end, or a failure.
// - Writable (`POLLOUT`) from the start until `meshchat_stream_write` or `meshchat_stream_finish` gives
//   `MESHCHAT_WOULD_BLOCK`, and again as soon as half of the buffer is empty, for a finish that everything has arrived, or
//   that the call would fail.
//
// It is made at the first call and belongs to the stream: never read from it, never write to it, never close it.
// `MESHCHAT_BUSY` when the process has no descriptor left.
int32_t meshchat_stream_fd(const meshchat_stream *stream,
                           int *fd);

// Frees a stream; its descriptor is closed. What it has not ended ends: it finishes writing, without waiting, and gives up
// reading. What was written still goes out, as long as the connection is held by somebody. NULL does nothing.
void meshchat_stream_free(meshchat_stream *stream);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* MESHCHAT_H */
