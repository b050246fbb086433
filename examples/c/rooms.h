/* Rooms: what /room, /invite, /remove, /join and /leave do, and what is shown of rooms. */
#ifndef ROOMS_H
#define ROOMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <meshchat.h>

#include "buffer.h"
#include "conversation.h"

/* Whether an id is that of a room; those of nodes have another length. */
bool rooms_is_meant(const char *id);

/* Takes note of the names of all rooms; or only if that of one of them is not known yet. */
void rooms_learn(struct chat *chat);
void rooms_meet(struct chat *chat, const char *id);

/* Adds the name of a room, or the beginning of its id. */
void rooms_add_name(struct chat *chat, struct buffer *out, const char *id);

/* Adds what stands before a line that is said in a room, like `[name] `. */
void rooms_add_label(struct chat *chat, struct buffer *out, const char *id);

/* A command and what stands behind its word. False: it is not about rooms. */
bool rooms_command(struct chat *chat, const char *word, const char *rest, size_t len);

/* Sends a line to the room that is open. */
void rooms_send(struct chat *chat, const char *text, size_t len);

/* How far the message with this number has come to one of the room's members. */
void rooms_say_fate(struct chat *chat, size_t number, const char *to, int32_t status);

/* Shows an event of the type MESHCHAT_EVENT_ROOM. */
void rooms_handle_event(struct chat *chat, const meshchat_event *event);

#endif
