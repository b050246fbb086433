/* What a line of the user means. */
#ifndef COMMANDS_H
#define COMMANDS_H

#include <stdbool.h>
#include <stddef.h>

#include "conversation.h"

/* A line of the user, NULL for one longer than MAX_LINE. False: the end was asked for, or nothing can be shown any more. */
bool chat_handle_line(struct chat *chat, const char *line, size_t len);

#endif
