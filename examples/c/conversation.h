/* What the chat shows: events of the node become lines on the screen. */
#ifndef CONVERSATION_H
#define CONVERSATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <meshchat.h>

#include "buffer.h"

#define NO_CONVERSATION "no conversation is open: start one with @<name or id> text"

/* A stream with a node of AlexMesh v1, open or being opened. */
struct stream {
    char peer[MESHCHAT_INSECURE_ADDRESS_TEXT_SIZE];
    uint64_t number;
};

/* A file that was told of. Its number is its place in the list, from 1. */
struct known_file {
    char id[MESHCHAT_FILE_ID_TEXT_SIZE];
    /* Quarters that had passed when it was told of last. */
    uint64_t quarter;
};

/* A message of this run. */
struct own_message {
    char id[MESHCHAT_MESSAGE_ID_TEXT_SIZE];
    /* Each of its members gets a copy. */
    bool to_room;
};

/* A room whose name is known, with a NUL. */
struct known_room {
    char id[MESHCHAT_ROOM_ID_TEXT_SIZE];
    struct buffer name;
};

struct chat {
    meshchat_node *node;
    /* NODE_ID or insecure address of the open conversation's partner, or id of the open room; empty when none is open. */
    char partner[MESHCHAT_ID_TEXT_SIZE];
    /* What the user calls the partner, with a NUL. */
    struct buffer called;
    /* The messages of this run, in their order. */
    struct own_message *own;
    size_t own_count;
    /* Who was hinted at since a conversation changed. */
    char (*hinted)[MESHCHAT_ID_TEXT_SIZE];
    size_t hinted_count;
    /* Insecure streams, of each node the newest. */
    struct stream *streams;
    size_t stream_count;
    /* Files of this run, in the order in which they came up. */
    struct known_file *files;
    size_t file_count;
    /* Rooms that came up, also those that are no more: the history shows their names. */
    struct known_room *rooms;
    size_t room_count;
    /* Standard output takes no more. */
    bool output_failed;
};

/* A line like `NODE_ID: ...`: prefix, text made safe, newline. */
void chat_say(struct chat *chat, const char *prefix, const char *text);

/* The same for a text that may hold NUL. */
void chat_say_bytes(struct chat *chat, const char *prefix, const char *text, size_t len);

/* A line with the text of the last error. */
void chat_say_error(struct chat *chat);

/* An error of two or three parts. */
void chat_say_pair(struct chat *chat, const char *first, const char *second);
void chat_say_three(struct chat *chat, const char *first, const char *second, const char *third);

/* Adds a nickname, made safe, or the short name for want of one. */
void chat_add_name(struct buffer *out, const char *nickname, const char *id);

/* Adds the nickname of a known node, else its short name; a node of AlexMesh v1 is marked. */
void chat_add_name_of(struct chat *chat, struct buffer *out, const char *id);

/* The same from a list of nodes. */
void chat_add_name_from(const meshchat_node_list *list, struct buffer *out, const char *id);

/* Adds what `@` needs to mean exactly this node. */
void chat_add_unique_name(struct chat *chat, struct buffer *out, const char *id);

/* Shows the lines and empties the buffer. */
void chat_show(struct chat *chat, struct buffer *lines);

/* Opens a conversation, if it is not the one that is open; ends the one that is. */
void chat_open(struct chat *chat, const char *id);
void chat_close(struct chat *chat);

/* Tells how to answer, once for each sender or room until a conversation changes. */
void chat_hint(struct chat *chat, const char *from);

/* The number of a new message of this run. */
size_t chat_number(struct chat *chat, const char *id);

/* How far the message with this number, or this id, has come. */
void chat_say_state(struct chat *chat, size_t number, const char *state);
void chat_say_fate(struct chat *chat, const char *id, const char *state);

/* Sets the terminal's prompt; a change of the conversation does it, too. */
void chat_prompt(struct chat *chat);

/* Events that wait; call again while the descriptor is readable. False: the node has stopped, or nothing can be shown
 * any more. */
bool chat_handle_events(struct chat *chat);

/* Says on standard error why the program ends. */
void chat_fail(const char *text);

/* Frees what the chat holds besides the node. */
void chat_free(struct chat *chat);

#endif
