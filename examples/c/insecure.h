/* Conversations with programs that speak only AlexMesh v1. Anybody on their segment can read and forge them: every line is
 * marked. */
#ifndef INSECURE_H
#define INSECURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <meshchat.h>

#include "buffer.h"
#include "conversation.h"

#define INSECURE_NEW "============ NEW: INSECURE ============"

/* Whether a query or an id is meant as the address of a v1 node. No nickname is typed like that. */
bool insecure_is_meant(const char *query);

/* The address in its usual form; false when it is none or v1 was not asked for, which is said. */
bool insecure_resolve(struct chat *chat, const char *query, char *address);

/* Sends a line to the partner: on the stream with it, else as a message. */
void insecure_send(struct chat *chat, const char *text, size_t len);

/* Opens a stream, and the conversation that it carries. */
void insecure_connect(struct chat *chat, const char *query);

/* Ends the stream with a node, if there is one. */
void insecure_end(struct chat *chat, const char *address);

/* Adds a line for each v1 node. */
void insecure_list(struct chat *chat, struct buffer *lines);

/* Shows an event of one of the insecure types; others mean nothing. */
void insecure_handle_event(struct chat *chat, const meshchat_event *event, int32_t type);

#endif
