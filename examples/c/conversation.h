/* What the chat does: lines of the user and events of the node become lines on the screen. */
#ifndef CONVERSATION_H
#define CONVERSATION_H

#include <stdbool.h>
#include <stddef.h>

#include <meshchat.h>

struct chat {
    meshchat_node *node;
    /* NODE_ID of the open conversation's partner; empty when none is open. */
    char partner[MESHCHAT_ID_TEXT_SIZE];
    /* Ids of the messages of this run, in their order. */
    char (*own)[MESHCHAT_MESSAGE_ID_TEXT_SIZE];
    size_t own_count;
    /* Who was hinted at since a conversation changed. */
    char (*hinted)[MESHCHAT_ID_TEXT_SIZE];
    size_t hinted_count;
    /* Standard output takes no more. */
    bool output_failed;
};

/* A line like `NODE_ID: ...`: prefix, text made safe, newline. */
void chat_say(struct chat *chat, const char *prefix, const char *text);

/* Sets the terminal's prompt; a change of the conversation does it, too. */
void chat_prompt(struct chat *chat);

/* A line of the user, NULL for one longer than MAX_LINE. False: the end was asked for, or nothing can be shown any more. */
bool chat_handle_line(struct chat *chat, const char *line, size_t len);

/* Events that wait; call again while the descriptor is readable. False: the node has stopped, or nothing can be shown
 * any more. */
bool chat_handle_events(struct chat *chat);

/* Says on standard error why the program ends. */
void chat_fail(const char *text);

/* Frees what the chat holds besides the node. */
void chat_free(struct chat *chat);

#endif
