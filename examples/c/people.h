/* The history, whom to trust, and contacts: what /history, /verify, /block, /unblock and /contacts do. */
#ifndef PEOPLE_H
#define PEOPLE_H

#include <stdbool.h>
#include <stddef.h>

#include "conversation.h"

/* Each gets what stands behind the command's word. */
void people_history(struct chat *chat, const char *rest, size_t len);
void people_contacts(struct chat *chat, const char *rest, size_t len);

enum judgement { VERIFY, BLOCK, UNBLOCK };

void people_judge(struct chat *chat, enum judgement judgement, const char *rest, size_t len);

/* Warns of a nickname that has come with another key, so that nobody overlooks it. */
void people_handle_impostor(struct chat *chat, const meshchat_event *event);

/* Adds ", verified" or ", blocked" for an entry of a list of nodes. */
void people_add_trust(struct buffer *out, const meshchat_node_list *list, size_t index);

#endif
