#include "insecure.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "text.h"

bool insecure_is_meant(const char *query)
{
    return (query[0] == 'v' || query[0] == 'V') && query[1] == '1' && query[2] == ':';
}

/* Whether v1 was asked for. */
static bool is_spoken(struct chat *chat)
{
    const char *spec = NULL;
    size_t count = 0;
    size_t i;
    (void)meshchat_node_link_count(chat->node, &count);
    for (i = 0; i < count; i++) {
        if (meshchat_node_link_spec(chat->node, i, &spec) == MESHCHAT_OK && insecure_is_meant(spec))
            return true;
    }
    return false;
}

bool insecure_resolve(struct chat *chat, const char *query, char *address)
{
    if (!is_spoken(chat)) {
        chat_say(chat, "! ", "AlexMesh v1 was not asked for: start the chat with --v1 IFACE");
        return false;
    }
    if (meshchat_insecure_address(query, address) == MESHCHAT_OK)
        return true;
    chat_say_error(chat);
    return false;
}

/* -- streams ---------------------------------------------------------------------------------------------------- */

static struct stream *stream_with(struct chat *chat, const char *peer)
{
    size_t i;
    for (i = 0; i < chat->stream_count; i++) {
        if (strcmp(chat->streams[i].peer, peer) == 0)
            return &chat->streams[i];
    }
    return NULL;
}

static void add_stream(struct chat *chat, const char *peer, uint64_t number)
{
    struct stream *stream = stream_with(chat, peer);
    if (stream == NULL) {
        chat->streams = grow(chat->streams, (chat->stream_count + 1) * sizeof *chat->streams);
        stream = &chat->streams[chat->stream_count++];
        memcpy(stream->peer, peer, sizeof stream->peer);
    }
    stream->number = number;
}

/* Whether it was the stream with this node. */
static bool remove_stream(struct chat *chat, const char *peer, uint64_t number)
{
    struct stream *stream = stream_with(chat, peer);
    if (stream == NULL || stream->number != number)
        return false;
    *stream = chat->streams[--chat->stream_count];
    return true;
}

/* -- what the user does ----------------------------------------------------------------------------------------- */

static void write_line(struct chat *chat, uint64_t stream, const char *text, size_t len)
{
    struct buffer line = {NULL, 0, 0};
    buffer_add(&line, text, len);
    buffer_add_text(&line, "\n");
    if (meshchat_node_write_insecure(chat->node, stream, line.data, line.len) == MESHCHAT_OK)
        chat_say_bytes(chat, "You (insecure): ", text, len);
    else
        chat_say_error(chat);
    buffer_free(&line);
}

/* What names a v1 message among all messages of this node. */
static void message_key(char *key, size_t size, uint64_t message)
{
    snprintf(key, size, "v1:%" PRIu64, message);
}

void insecure_send(struct chat *chat, const char *text, size_t len)
{
    struct stream *stream = stream_with(chat, chat->partner);
    char key[MESHCHAT_MESSAGE_ID_TEXT_SIZE];
    uint64_t message;
    if (stream != NULL) {
        write_line(chat, stream->number, text, len);
        return;
    }
    if (meshchat_node_send_insecure(chat->node, chat->partner, text, len, &message) != MESHCHAT_OK) {
        chat_say_error(chat);
        return;
    }
    message_key(key, sizeof key, message);
    chat_say_bytes(chat, "You (insecure): ", text, len);
    chat_say_state(chat, chat_number(chat, key), "sent (insecure)");
}

void insecure_connect(struct chat *chat, const char *query)
{
    char address[MESHCHAT_INSECURE_ADDRESS_TEXT_SIZE];
    uint64_t stream;
    if (!insecure_resolve(chat, query, address))
        return;
    if (meshchat_node_connect_insecure(chat->node, address, &stream) != MESHCHAT_OK) {
        chat_say_error(chat);
        return;
    }
    add_stream(chat, address, stream);
    chat_open(chat, address);
    chat_say(chat, "* opening a stream to insecure ", address);
}

void insecure_end(struct chat *chat, const char *address)
{
    struct stream *stream = stream_with(chat, address);
    uint64_t number;
    if (stream == NULL)
        return;
    number = stream->number;
    (void)remove_stream(chat, address, number);
    if (meshchat_node_close_insecure(chat->node, number) != MESHCHAT_OK)
        chat_say_error(chat);
}

void insecure_list(struct chat *chat, struct buffer *lines)
{
    meshchat_insecure_list *list = NULL;
    size_t count = 0;
    size_t i;
    if (meshchat_node_insecure_nodes(chat->node, &list) == MESHCHAT_OK)
        (void)meshchat_insecure_list_count(list, &count);
    for (i = 0; i < count; i++) {
        char address[MESHCHAT_INSECURE_ADDRESS_TEXT_SIZE];
        if (meshchat_insecure_list_address(list, i, address) != MESHCHAT_OK)
            continue;
        buffer_add_text(lines, address);
        buffer_add_text(lines, "  insecure  here\n");
    }
    meshchat_insecure_list_free(list);
}

/* -- what others do --------------------------------------------------------------------------------------------- */

static void say_about(struct chat *chat, const char *before, const char *address, const char *after)
{
    struct buffer line = {NULL, 0, 0};
    buffer_add_text(&line, before);
    buffer_add_text(&line, address);
    buffer_add_text(&line, after);
    buffer_add_text(&line, "\n");
    chat_show(chat, &line);
}

/* A line of a v1 node, and how to answer. */
static void say_line(struct chat *chat, const char *from, const char *between, const char *text, size_t len)
{
    struct buffer line = {NULL, 0, 0};
    buffer_add_text(&line, "insecure ");
    buffer_add_text(&line, from);
    buffer_add_text(&line, between);
    add_safe(&line, text, len);
    buffer_add_text(&line, "\n");
    chat_show(chat, &line);
    if (strcmp(from, chat->partner) != 0)
        chat_hint(chat, from);
}

static void handle_message(struct chat *chat, const meshchat_event *event, const char *from)
{
    const char *text = NULL;
    size_t len = 0;
    bool to_all = false;
    if (meshchat_event_text(event, &text, &len) == MESHCHAT_OK &&
        meshchat_event_insecure_to_all(event, &to_all) == MESHCHAT_OK)
        say_line(chat, from, to_all ? " to all: " : ": ", text, len);
}

static void handle_fate(struct chat *chat, const meshchat_event *event, const char *state)
{
    char key[MESHCHAT_MESSAGE_ID_TEXT_SIZE];
    uint64_t message;
    if (meshchat_event_insecure_message(event, &message) != MESHCHAT_OK)
        return;
    message_key(key, sizeof key, message);
    chat_say_fate(chat, key, state);
}

static void handle_opened(struct chat *chat, const meshchat_event *event, const char *peer)
{
    uint64_t stream;
    bool by_peer = false;
    if (meshchat_event_insecure_stream(event, &stream) != MESHCHAT_OK ||
        meshchat_event_insecure_by_peer(event, &by_peer) != MESHCHAT_OK)
        return;
    add_stream(chat, peer, stream);
    say_about(chat, "* insecure ", peer, by_peer ? " opened a stream" : " answers: the stream is open");
    if (!by_peer)
        return;
    /* Nobody else decides to whom the user's next line goes. */
    if (chat->partner[0] == '\0')
        chat_open(chat, peer);
    else if (strcmp(peer, chat->partner) != 0)
        chat_hint(chat, peer);
}

static void handle_data(struct chat *chat, const meshchat_event *event, const char *peer)
{
    const char *data = NULL;
    size_t len = 0;
    if (meshchat_event_insecure_data(event, &data, &len) != MESHCHAT_OK)
        return;
    /* A line ends with what some programs end it with. */
    if (len > 0 && data[len - 1] == '\n')
        len--;
    if (len > 0 && data[len - 1] == '\r')
        len--;
    say_line(chat, peer, ": ", data, len);
}

static void handle_closed(struct chat *chat, const meshchat_event *event, const char *peer)
{
    struct buffer end = {NULL, 0, 0};
    const char *reason = NULL;
    size_t len = 0;
    uint64_t stream;
    if (meshchat_event_insecure_stream(event, &stream) != MESHCHAT_OK ||
        meshchat_event_text(event, &reason, &len) != MESHCHAT_OK)
        return;
    buffer_add_text(&end, " has ended: ");
    buffer_add_text(&end, reason);
    buffer_add(&end, "", 1);
    say_about(chat, "* the stream with insecure ", peer, end.data);
    buffer_free(&end);
    if (remove_stream(chat, peer, stream) && strcmp(peer, chat->partner) == 0)
        chat_close(chat);
}

void insecure_handle_event(struct chat *chat, const meshchat_event *event, int32_t type)
{
    char address[MESHCHAT_INSECURE_ADDRESS_TEXT_SIZE];
    if (meshchat_event_insecure_address(event, address) != MESHCHAT_OK)
        return;
    switch (type) {
    case MESHCHAT_EVENT_INSECURE_NODE_FOUND:
        say_about(chat, "* found insecure ", address, " (AlexMesh v1: anybody can read and forge)");
        break;
    case MESHCHAT_EVENT_INSECURE_NODE_LOST:
        say_about(chat, "* lost insecure ", address, "");
        break;
    case MESHCHAT_EVENT_INSECURE_MESSAGE:
        handle_message(chat, event, address);
        break;
    case MESHCHAT_EVENT_INSECURE_DELIVERED:
        handle_fate(chat, event, "delivered (insecure)");
        break;
    case MESHCHAT_EVENT_INSECURE_FAILED:
        handle_fate(chat, event, "failed (insecure)");
        break;
    case MESHCHAT_EVENT_INSECURE_STREAM_OPENED:
        handle_opened(chat, event, address);
        break;
    case MESHCHAT_EVENT_INSECURE_STREAM_DATA:
        handle_data(chat, event, address);
        break;
    case MESHCHAT_EVENT_INSECURE_STREAM_CLOSED:
        handle_closed(chat, event, address);
        break;
    default:
        break;
    }
}
