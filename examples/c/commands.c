#include "commands.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "buffer.h"
#include "files.h"
#include "insecure.h"
#include "people.h"
#include "rooms.h"
#include "text.h"

static const char help[] = "@<name or id> text   start a conversation with a node (the text may be left out)\n"
                           "text                 send a line to the partner of the open conversation\n"
                           "/all text            say something to every node in reach (signed, but everybody can read it)\n"
                           "/send FILE           offer a file to the partner of the open conversation\n"
                           "/accept [NUMBER]     take a file that is offered\n"
                           "/refuse [NUMBER]     refuse a file, or give up one that is on its way\n"
                           "/files               list the files that are sent and offered\n"
                           "/room [NAME]         open a room, or make it, to write to all who are in it; without a name: list the rooms\n"
                           "/invite <node>       invite a node to the open room, which you have made; /remove takes it out\n"
                           "/join ROOM           accept the invitation to a room\n"
                           "/leave [ROOM]        leave the open room, or another one; or decline an invitation\n"
                           "/connect v1:<addr>   open a stream to a node that speaks only AlexMesh v1 (insecure; needs --v1)\n"
                           "/nodes               list the nodes that are known\n"
                           "/history [N] [words] show the last messages of the conversation, or of all, that hold these words\n"
                           "/contacts            list the nodes that you have written to, imported, verified or blocked\n"
                           "/contacts export F   write them into the new file F; \"qr\" in place of F shows you yourself as a contact\n"
                           "/contacts import F   keep the contacts in the file F, or one that is given as text\n"
                           "/verify [node]       show the words that you and the other one compare; \"yes\" behind the node: they are the same\n"
                           "/block <node>        hear nothing of a node any more, and tell it nothing; /unblock takes it back\n"
                           "/bye                 end the conversation\n"
                           "/exit                end the chat\n"
                           "/help                show this text";

static void send_text(struct chat *chat, const char *text, size_t len)
{
    char id[MESHCHAT_MESSAGE_ID_TEXT_SIZE];
    if (chat->partner[0] == '\0') {
        chat_say(chat, "! ", NO_CONVERSATION);
        return;
    }
    if (rooms_is_meant(chat->partner)) {
        rooms_send(chat, text, len);
        return;
    }
    if (insecure_is_meant(chat->partner)) {
        insecure_send(chat, text, len);
        return;
    }
    if (meshchat_node_send_named(chat->node, chat->partner, chat->called.data, text, len, id) != MESHCHAT_OK) {
        chat_say_error(chat);
        return;
    }
    chat_say_bytes(chat, "You: ", text, len);
    chat_say_state(chat, chat_number(chat, id), "queued");
}

/* Bytes before the first white space. */
static size_t word_len(const char *line, size_t len)
{
    size_t word = 0;
    while (word < len && !is_space(line[word]))
        word++;
    return word;
}

/* `@name` or `@name text`, without the `@`. */
static void address(struct chat *chat, const char *line, size_t len)
{
    char id[MESHCHAT_ID_TEXT_SIZE];
    struct buffer name = {NULL, 0, 0};
    size_t end = word_len(line, len);
    bool found;
    if (end == 0) {
        chat_say(chat, "! name somebody: @<name or id> text", "");
        return;
    }
    buffer_add(&name, line, end);
    buffer_add(&name, "", 1);
    if (strlen(name.data) != end) {
        chat_say(chat, "! ", "a name contains no NUL");
        buffer_free(&name);
        return;
    }
    if (insecure_is_meant(name.data)) {
        found = insecure_resolve(chat, name.data, id);
    } else {
        found = meshchat_node_resolve(chat->node, name.data, id) == MESHCHAT_OK;
        if (!found)
            chat_say_error(chat);
    }
    if (!found) {
        buffer_free(&name);
        return;
    }
    while (end < len && is_space(line[end]))
        end++;
    buffer_free(&chat->called);
    chat->called = name;
    chat_open(chat, id);
    if (end < len)
        send_text(chat, line + end, len - end);
}

/* Adds "here", for a node that is further away also over whom, or "away". */
static void add_presence(struct chat *chat, struct buffer *out, const meshchat_node_list *list, size_t index)
{
    const meshchat_route *route = NULL;
    bool present = false;
    char next_hop[MESHCHAT_ID_TEXT_SIZE];
    char text[64];
    uint32_t hops = 0;
    (void)meshchat_node_list_present(list, index, &present);
    (void)meshchat_node_list_route(list, index, &route);
    buffer_add_text(out, present ? "  here" : "  away");
    if (present && route != NULL && meshchat_route_hops(route, &hops) == MESHCHAT_OK && hops > 1 &&
        meshchat_route_next_hop(route, next_hop) == MESHCHAT_OK) {
        snprintf(text, sizeof text, ", %lu hops through ", (unsigned long)hops);
        buffer_add_text(out, text);
        chat_add_name_of(chat, out, next_hop);
    }
    people_add_trust(out, list, index);
    buffer_add_text(out, "\n");
}

static void list_nodes(struct chat *chat)
{
    meshchat_node_list *list = NULL;
    struct buffer lines = {NULL, 0, 0};
    size_t count = 0;
    size_t i;
    if (meshchat_node_nodes(chat->node, &list) != MESHCHAT_OK ||
        meshchat_node_list_count(list, &count) != MESHCHAT_OK) {
        chat_say_error(chat);
        meshchat_node_list_free(list);
        return;
    }
    for (i = 0; i < count; i++) {
        char id[MESHCHAT_ID_TEXT_SIZE];
        const char *nickname = NULL;
        if (meshchat_node_list_id(list, i, id) != MESHCHAT_OK ||
            meshchat_node_list_nickname(list, i, &nickname) != MESHCHAT_OK)
            continue;
        buffer_add_text(&lines, id);
        buffer_add_text(&lines, "  ");
        chat_add_name(&lines, nickname, id);
        add_presence(chat, &lines, list, i);
    }
    insecure_list(chat, &lines);
    if (lines.len == 0)
        buffer_add_text(&lines, "* no node has been found yet\n");
    chat_show(chat, &lines);
    meshchat_node_list_free(list);
}

/* Ends the conversation, and the insecure stream that carried it. */
static void bye(struct chat *chat)
{
    char partner[MESHCHAT_ID_TEXT_SIZE];
    memcpy(partner, chat->partner, sizeof partner);
    chat_close(chat);
    if (insecure_is_meant(partner))
        insecure_end(chat, partner);
}

/* `/connect v1:<address>`, from behind its word on. */
static void connect_to(struct chat *chat, const char *line, size_t len)
{
    struct buffer name = {NULL, 0, 0};
    while (len > 0 && is_space(*line)) {
        line++;
        len--;
    }
    buffer_add(&name, line, len);
    buffer_add(&name, "", 1);
    if (len == 0)
        chat_say(chat, "! name a node: /connect v1:<address>", "");
    else if (strlen(name.data) != len)
        chat_say(chat, "! ", "a name contains no NUL");
    else
        insecure_connect(chat, name.data);
    buffer_free(&name);
}

/* `/all text`, from behind its word on. */
static void say_to_all(struct chat *chat, const char *line, size_t len)
{
    while (len > 0 && is_space(*line)) {
        line++;
        len--;
    }
    while (len > 0 && is_space(line[len - 1]))
        len--;
    if (len == 0)
        chat_say(chat, "! say something: /all text", "");
    else if (meshchat_node_broadcast(chat->node, line, len) != MESHCHAT_OK)
        chat_say_error(chat);
    else
        chat_say_bytes(chat, "You to all: ", line, len);
}

/* `/send FILE`, `/accept` and `/refuse`, from behind the word on. False: it is none of them. */
static bool file_command(struct chat *chat, const char *word, const char *line, size_t len)
{
    bool sends = strcmp(word, "/send") == 0;
    if (!sends && strcmp(word, "/accept") != 0 && strcmp(word, "/refuse") != 0)
        return false;
    while (len > 0 && is_space(*line)) {
        line++;
        len--;
    }
    if (!sends)
        files_decide(chat, strcmp(word, "/accept") == 0, line, len);
    else if (len == 0)
        chat_say(chat, "! name a file: /send FILE", "");
    else
        files_send(chat, line, len);
    return true;
}

/* The commands to which what follows their word means something. */
static bool command_with_words(struct chat *chat, const char *word, const char *rest, size_t len)
{
    if (strcmp(word, "/connect") == 0)
        connect_to(chat, rest, len);
    else if (strcmp(word, "/all") == 0)
        say_to_all(chat, rest, len);
    else if (strcmp(word, "/history") == 0)
        people_history(chat, rest, len);
    else if (strcmp(word, "/contacts") == 0)
        people_contacts(chat, rest, len);
    else if (strcmp(word, "/verify") == 0)
        people_judge(chat, VERIFY, rest, len);
    else if (strcmp(word, "/block") == 0)
        people_judge(chat, BLOCK, rest, len);
    else if (strcmp(word, "/unblock") == 0)
        people_judge(chat, UNBLOCK, rest, len);
    else
        return file_command(chat, word, rest, len) || rooms_command(chat, word, rest, len);
    return true;
}

/* `/command`. False: the end was asked for. */
static bool command(struct chat *chat, const char *line, size_t len)
{
    struct buffer word = {NULL, 0, 0};
    bool more = true;
    buffer_add(&word, line, word_len(line, len));
    buffer_add(&word, "", 1);
    if (strcmp(word.data, "/exit") == 0) {
        more = false;
    } else if (strcmp(word.data, "/nodes") == 0) {
        list_nodes(chat);
    } else if (strcmp(word.data, "/files") == 0) {
        files_list(chat);
    } else if (strcmp(word.data, "/bye") == 0) {
        bye(chat);
    } else if (strcmp(word.data, "/help") == 0) {
        chat_say(chat, help, "");
    } else if (!command_with_words(chat, word.data, line + word.len - 1, len + 1 - word.len)) {
        word.len--;
        buffer_add_text(&word, "; /help lists them");
        chat_say_bytes(chat, "! unknown command ", word.data, word.len);
    }
    buffer_free(&word);
    return more;
}

bool chat_handle_line(struct chat *chat, const char *line, size_t len)
{
    bool more = true;
    if (line == NULL) {
        chat_say(chat, "! ", "the line is longer than 1 MiB: nothing was sent");
        return !chat->output_failed;
    }
    /* White space at the end of a line means nothing. */
    while (len > 0 && (is_space(line[len - 1]) || line[len - 1] == '\r'))
        len--;
    if (!is_utf8(line, len))
        chat_say(chat, "! ", "the line is not UTF-8: nothing was sent");
    else if (len > 0 && line[0] == '/')
        more = command(chat, line, len);
    else if (len > 0 && line[0] == '@')
        address(chat, line + 1, len - 1);
    else if (len > 0)
        send_text(chat, line, len);
    return more && !chat->output_failed;
}
