#include "conversation.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buffer.h"
#include "files.h"
#include "insecure.h"
#include "people.h"
#include "rooms.h"
#include "terminal.h"
#include "text.h"

#define SHORT_LEN 5
/* Digits of an id that a hint shows at the least, so that it stays unique when more nodes come. */
#define PREFIX_LEN 8
/* Events handled in one go, so that a flood of them does not keep the user from /exit. */
#define EVENTS_AT_ONCE 256
/* Senders that are remembered as hinted at: insecure ones can be made up. */
#define MAX_HINTED 1024

void chat_show(struct chat *chat, struct buffer *lines)
{
    if (!chat->output_failed && !terminal_print(lines)) {
        chat->output_failed = true;
        /* Whoever read the output knows that it has gone. */
        if (errno != EPIPE)
            chat_fail(strerror(errno));
    }
    buffer_free(lines);
}

void chat_say_bytes(struct chat *chat, const char *prefix, const char *text, size_t len)
{
    struct buffer line = {NULL, 0, 0};
    buffer_add_text(&line, prefix);
    add_safe(&line, text, len);
    buffer_add_text(&line, "\n");
    chat_show(chat, &line);
}

void chat_say(struct chat *chat, const char *prefix, const char *text)
{
    chat_say_bytes(chat, prefix, text, strlen(text));
}

void chat_say_error(struct chat *chat)
{
    chat_say(chat, "! ", meshchat_last_error());
}

void chat_say_three(struct chat *chat, const char *first, const char *second, const char *third)
{
    struct buffer line = {NULL, 0, 0};
    buffer_add_text(&line, first);
    buffer_add_text(&line, second);
    buffer_add_text(&line, third);
    chat_say_bytes(chat, "! ", line.data, line.len);
    buffer_free(&line);
}

void chat_say_pair(struct chat *chat, const char *first, const char *second)
{
    chat_say_three(chat, first, second, "");
}

static const char *short_name(const char *id)
{
    return id + strlen(id) - SHORT_LEN;
}

void chat_add_name(struct buffer *out, const char *nickname, const char *id)
{
    const char *name = nickname != NULL ? nickname : short_name(id);
    add_safe(out, name, strlen(name));
}

void chat_add_name_from(const meshchat_node_list *list, struct buffer *out, const char *id)
{
    const char *nickname = NULL;
    size_t count = 0;
    size_t i;
    (void)meshchat_node_list_count(list, &count);
    for (i = 0; i < count; i++) {
        char other[MESHCHAT_ID_TEXT_SIZE];
        if (meshchat_node_list_id(list, i, other) == MESHCHAT_OK && strcmp(other, id) == 0)
            (void)meshchat_node_list_nickname(list, i, &nickname);
    }
    chat_add_name(out, nickname, id);
}

/* Adds the nickname of a known node, else its short name; a node of AlexMesh v1 is marked. */
void chat_add_name_of(struct chat *chat, struct buffer *out, const char *id)
{
    meshchat_node_list *list = NULL;
    if (insecure_is_meant(id)) {
        buffer_add_text(out, "insecure ");
        buffer_add_text(out, id);
        return;
    }
    (void)meshchat_node_nodes(chat->node, &list);
    chat_add_name_from(list, out, id);
    meshchat_node_list_free(list);
}

static bool means(struct chat *chat, const char *query, const char *id)
{
    char found[MESHCHAT_ID_TEXT_SIZE];
    return meshchat_node_resolve(chat->node, query, found) == MESHCHAT_OK && strcmp(found, id) == 0;
}

/* Adds what `@` needs to mean exactly this node: the name that is shown, or a beginning of its id. */
void chat_add_unique_name(struct chat *chat, struct buffer *out, const char *id)
{
    struct buffer name = {NULL, 0, 0};
    size_t len;
    if (insecure_is_meant(id)) {
        buffer_add_text(out, id);
        return;
    }
    chat_add_name_of(chat, &name, id);
    buffer_add(&name, "", 1);
    /* What looks like the address of a v1 node is taken for one. */
    if (!insecure_is_meant(name.data) && means(chat, name.data, id)) {
        buffer_add_text(out, name.data);
    } else {
        char query[MESHCHAT_ID_TEXT_SIZE] = "";
        for (len = PREFIX_LEN; len < sizeof query; len++) {
            memcpy(query, id, len);
            if (means(chat, query, id))
                break;
        }
        buffer_add_text(out, len < sizeof query ? query : id);
    }
    buffer_free(&name);
}

void chat_hint(struct chat *chat, const char *from)
{
    struct buffer line = {NULL, 0, 0};
    size_t i;
    for (i = 0; i < chat->hinted_count; i++) {
        if (strcmp(chat->hinted[i], from) == 0)
            return;
    }
    if (chat->hinted_count == MAX_HINTED)
        chat->hinted_count = 0;
    chat->hinted = grow(chat->hinted, (chat->hinted_count + 1) * sizeof *chat->hinted);
    memcpy(chat->hinted[chat->hinted_count++], from, strlen(from) + 1);
    if (rooms_is_meant(from)) {
        buffer_add_text(&line, "* /room ");
        rooms_add_name(chat, &line, from);
        buffer_add_text(&line, " opens the room\n");
    } else {
        buffer_add_text(&line, "* answer with @");
        chat_add_unique_name(chat, &line, from);
        buffer_add_text(&line, " text\n");
    }
    chat_show(chat, &line);
}

void chat_prompt(struct chat *chat)
{
    struct buffer prompt = {NULL, 0, 0};
    if (rooms_is_meant(chat->partner))
        rooms_add_name(chat, &prompt, chat->partner);
    else if (chat->partner[0] != '\0')
        chat_add_name_of(chat, &prompt, chat->partner);
    buffer_add_text(&prompt, "> ");
    terminal_set_prompt(&prompt);
    buffer_free(&prompt);
}

static void change_partner(struct chat *chat, const char *id, const char *banner)
{
    memmove(chat->partner, id, strlen(id) + 1);
    chat->hinted_count = 0;
    chat_prompt(chat);
    chat_say(chat, banner, "");
}

void chat_open(struct chat *chat, const char *id)
{
    if (strcmp(chat->partner, id) != 0)
        change_partner(chat, id,
                       insecure_is_meant(id) ? INSECURE_NEW : "================= NEW =================");
}

void chat_close(struct chat *chat)
{
    if (chat->partner[0] == '\0')
        chat_say(chat, "! ", NO_CONVERSATION);
    else
        change_partner(chat, "", "================= END =================");
}

void chat_say_state(struct chat *chat, size_t number, const char *state)
{
    char line[64];
    snprintf(line, sizeof line, "* [%zu] %s", number, state);
    chat_say(chat, line, "");
}

size_t chat_number(struct chat *chat, const char *id)
{
    chat->own = grow(chat->own, (chat->own_count + 1) * sizeof *chat->own);
    chat->own[chat->own_count].to_room = false;
    memcpy(chat->own[chat->own_count].id, id, strlen(id) + 1);
    return ++chat->own_count;
}

/* The number of a message of this run; 0 when it is none. */
static size_t number_of(const struct chat *chat, const char *id)
{
    size_t i;
    /* The newest are the likeliest. */
    for (i = chat->own_count; i > 0; i--) {
        if (strcmp(chat->own[i - 1].id, id) == 0)
            return i;
    }
    return 0;
}

void chat_say_fate(struct chat *chat, const char *id, const char *state)
{
    char line[64];
    size_t number = number_of(chat, id);
    if (number > 0) {
        chat_say_state(chat, number, state);
        return;
    }
    snprintf(line, sizeof line, "* [%.8s] %s", id, state);
    chat_say(chat, line, "");
}

static void handle_presence(struct chat *chat, const meshchat_event *event, const char *prefix)
{
    char id[MESHCHAT_ID_TEXT_SIZE];
    const char *nickname = NULL;
    struct buffer line = {NULL, 0, 0};
    if (meshchat_event_node_id(event, id) != MESHCHAT_OK ||
        meshchat_event_nickname(event, &nickname) != MESHCHAT_OK) {
        chat_say_error(chat);
        return;
    }
    buffer_add_text(&line, prefix);
    chat_add_name(&line, nickname, id);
    buffer_add_text(&line, " ");
    buffer_add_text(&line, id);
    buffer_add_text(&line, "\n");
    chat_show(chat, &line);
}

/* Shows what a node says, in a room unless `room` is empty; `from` becomes its id. Whether there was something to
 * show. */
static bool show_words(struct chat *chat, const meshchat_event *event, const char *room, const char *separator,
                       char *from)
{
    const char *text = NULL;
    size_t len = 0;
    struct buffer line = {NULL, 0, 0};
    if (meshchat_event_node_id(event, from) != MESHCHAT_OK ||
        meshchat_event_text(event, &text, &len) != MESHCHAT_OK) {
        chat_say_error(chat);
        return false;
    }
    if (room[0] != '\0')
        rooms_add_label(chat, &line, room);
    chat_add_name_of(chat, &line, from);
    buffer_add_text(&line, separator);
    add_safe(&line, text, len);
    buffer_add_text(&line, "\n");
    chat_show(chat, &line);
    return true;
}

static void handle_message(struct chat *chat, const meshchat_event *event)
{
    char from[MESHCHAT_ID_TEXT_SIZE];
    char room[MESHCHAT_ROOM_ID_TEXT_SIZE] = "";
    const char *place;
    (void)meshchat_event_room_id(event, room);
    if (room[0] != '\0')
        rooms_meet(chat, room);
    if (!show_words(chat, event, room, ": ", from))
        return;
    /* What was not shown is not confirmed: it comes again at the next start. */
    if (chat->output_failed)
        return;
    if (meshchat_node_confirm(chat->node, event) != MESHCHAT_OK ||
        meshchat_node_mark_read(chat->node, event) != MESHCHAT_OK)
        chat_say_error(chat);
    place = room[0] != '\0' ? room : from;
    if (strcmp(place, chat->partner) != 0)
        chat_hint(chat, place);
}

static void handle_broadcast(struct chat *chat, const meshchat_event *event)
{
    char from[MESHCHAT_ID_TEXT_SIZE];
    (void)show_words(chat, event, "", " to all: ", from);
}

static void handle_status(struct chat *chat, const meshchat_event *event)
{
    char id[MESHCHAT_MESSAGE_ID_TEXT_SIZE];
    char to[MESHCHAT_ID_TEXT_SIZE];
    int32_t status;
    size_t number;
    if (meshchat_event_message_id(event, id) != MESHCHAT_OK || meshchat_event_node_id(event, to) != MESHCHAT_OK ||
        meshchat_event_message_status(event, &status) != MESHCHAT_OK) {
        chat_say_error(chat);
        return;
    }
    /* That it is queued is told when the message is accepted. */
    if (status == MESHCHAT_MESSAGE_QUEUED)
        return;
    number = number_of(chat, id);
    if (number > 0 && chat->own[number - 1].to_room)
        rooms_say_fate(chat, number, to, status);
    else
        chat_say_fate(chat, id, meshchat_message_status_text(status));
}

static void handle_warning(struct chat *chat, const meshchat_event *event)
{
    const char *text = NULL;
    size_t len = 0;
    if (meshchat_event_text(event, &text, &len) == MESHCHAT_OK)
        chat_say_bytes(chat, "! ", text, len);
}

static void handle_event(struct chat *chat, const meshchat_event *event)
{
    int32_t type = MESHCHAT_EVENT_OTHER;
    (void)meshchat_event_type(event, &type);
    switch (type) {
    case MESHCHAT_EVENT_NODE_FOUND:
        handle_presence(chat, event, "* found ");
        break;
    case MESHCHAT_EVENT_NODE_LOST:
        handle_presence(chat, event, "* lost ");
        break;
    case MESHCHAT_EVENT_MESSAGE:
        handle_message(chat, event);
        break;
    case MESHCHAT_EVENT_STATUS:
        handle_status(chat, event);
        break;
    case MESHCHAT_EVENT_BROADCAST:
        handle_broadcast(chat, event);
        break;
    case MESHCHAT_EVENT_ROOM:
        rooms_handle_event(chat, event);
        break;
    case MESHCHAT_EVENT_FILE_OFFERED:
    case MESHCHAT_EVENT_FILE_PROGRESS:
    case MESHCHAT_EVENT_FILE_DONE:
    case MESHCHAT_EVENT_FILE_FAILED:
        files_handle_event(chat, event, type);
        break;
    case MESHCHAT_EVENT_WARNING:
        handle_warning(chat, event);
        break;
    case MESHCHAT_EVENT_NICKNAME_TAKEN:
        people_handle_impostor(chat, event);
        break;
    default:
        insecure_handle_event(chat, event, type);
        break;
    }
}

bool chat_handle_events(struct chat *chat)
{
    int i;
    for (i = 0; i < EVENTS_AT_ONCE && !chat->output_failed; i++) {
        meshchat_event *event = NULL;
        int32_t status = meshchat_node_next_event(chat->node, &event);
        if (status == MESHCHAT_STOPPED)
            chat_fail("the node has stopped; start the chat again");
        else if (status != MESHCHAT_OK)
            chat_fail(meshchat_last_error());
        if (status != MESHCHAT_OK)
            return false;
        if (event == NULL)
            return true;
        handle_event(chat, event);
        meshchat_event_free(event);
    }
    return !chat->output_failed;
}

void chat_fail(const char *text)
{
    fprintf(stderr, "meshchat-chat-c: error: %s\n", text);
}

void chat_free(struct chat *chat)
{
    size_t i;
    for (i = 0; i < chat->room_count; i++)
        buffer_free(&chat->rooms[i].name);
    free(chat->rooms);
    free(chat->own);
    free(chat->hinted);
    free(chat->streams);
    buffer_free(&chat->called);
    free(chat->files);
}
