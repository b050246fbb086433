/* Files that are sent and offered: their numbers, and what is said of them. */
#ifndef FILES_H
#define FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <meshchat.h>

#include "conversation.h"

/* Offers the file at a path, `len` bytes, to the partner of the conversation. */
void files_send(struct chat *chat, const char *path, size_t len);

/* Accepts, or refuses or gives up, the file with the number in `text`, or the only one that is offered when it is empty. */
void files_decide(struct chat *chat, bool accept, const char *text, size_t len);

/* A line for each file. */
void files_list(struct chat *chat);

/* Shows an event of one of the types MESHCHAT_EVENT_FILE_... */
void files_handle_event(struct chat *chat, const meshchat_event *event, int32_t type);

#endif
