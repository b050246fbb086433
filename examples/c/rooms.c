#include "rooms.h"

#include <stdio.h>
#include <string.h>

#include "text.h"

#define NO_ROOM "! no room is open: /room NAME opens one, or makes it"
/* Digits of the id of a room whose name is not known. */
#define PREFIX_LEN 8

bool rooms_is_meant(const char *id)
{
    return strlen(id) == MESHCHAT_ROOM_ID_TEXT_SIZE - 1;
}

/* -- names -------------------------------------------------------------------------------------------------------- */

static struct known_room *known(struct chat *chat, const char *id)
{
    size_t i;
    for (i = 0; i < chat->room_count; i++) {
        if (strcmp(chat->rooms[i].id, id) == 0)
            return &chat->rooms[i];
    }
    return NULL;
}

static void note(struct chat *chat, const char *id, const char *name)
{
    struct known_room *room = known(chat, id);
    if (room == NULL) {
        chat->rooms = grow(chat->rooms, (chat->room_count + 1) * sizeof *chat->rooms);
        room = &chat->rooms[chat->room_count++];
        *room = (struct known_room){.id = ""};
        memcpy(room->id, id, sizeof room->id);
    }
    room->name.len = 0;
    buffer_add(&room->name, name, strlen(name) + 1);
}

/* All rooms, whose names are taken note of; NULL when that fails, which is said. */
static meshchat_room_list *all_rooms(struct chat *chat, size_t *count)
{
    meshchat_room_list *list = NULL;
    size_t i;
    if (meshchat_node_rooms(chat->node, &list) != MESHCHAT_OK || meshchat_room_list_count(list, count) != MESHCHAT_OK) {
        chat_say_error(chat);
        meshchat_room_list_free(list);
        return NULL;
    }
    for (i = 0; i < *count; i++) {
        char id[MESHCHAT_ROOM_ID_TEXT_SIZE];
        const char *name = NULL;
        if (meshchat_room_list_id(list, i, id) == MESHCHAT_OK && meshchat_room_list_name(list, i, &name) == MESHCHAT_OK)
            note(chat, id, name);
    }
    return list;
}

void rooms_learn(struct chat *chat)
{
    size_t count = 0;
    meshchat_room_list_free(all_rooms(chat, &count));
}

void rooms_meet(struct chat *chat, const char *id)
{
    if (known(chat, id) == NULL)
        rooms_learn(chat);
}

void rooms_add_name(struct chat *chat, struct buffer *out, const char *id)
{
    const struct known_room *room = known(chat, id);
    if (room != NULL)
        add_safe(out, room->name.data, strlen(room->name.data));
    else
        buffer_add(out, id, PREFIX_LEN);
}

void rooms_add_label(struct chat *chat, struct buffer *out, const char *id)
{
    buffer_add_text(out, "[");
    rooms_add_name(chat, out, id);
    buffer_add_text(out, "] ");
}

/* A line in which {room} and {node} stand for their names. */
static void say(struct chat *chat, const char *pattern, const char *room, const char *node)
{
    static const char room_mark[] = "{room}";
    static const char node_mark[] = "{node}";
    struct buffer line = {NULL, 0, 0};
    while (*pattern != '\0') {
        if (strncmp(pattern, room_mark, strlen(room_mark)) == 0) {
            rooms_add_name(chat, &line, room);
            pattern += strlen(room_mark);
        } else if (strncmp(pattern, node_mark, strlen(node_mark)) == 0) {
            chat_add_name_of(chat, &line, node);
            pattern += strlen(node_mark);
        } else {
            buffer_add(&line, pattern++, 1);
        }
    }
    buffer_add_text(&line, "\n");
    chat_show(chat, &line);
}

/* -- the list ----------------------------------------------------------------------------------------------------- */

/* What rows of rooms are made from. */
struct rows {
    const meshchat_room_list *rooms;
    const meshchat_node_list *nodes;
    char own[MESHCHAT_ID_TEXT_SIZE];
};

static bool is_over(int32_t standing)
{
    return standing == MESHCHAT_ROOM_LEFT || standing == MESHCHAT_ROOM_REMOVED || standing == MESHCHAT_ROOM_CLOSED;
}

/* NULL for a member, of whom nothing needs to be said. */
static const char *standing_text(int32_t standing)
{
    switch (standing) {
    case MESHCHAT_ROOM_INVITED:
        return "you are invited";
    case MESHCHAT_ROOM_JOINING:
        return "you have asked to join";
    case MESHCHAT_ROOM_LEFT:
        return "you have left";
    case MESHCHAT_ROOM_REMOVED:
        return "you were removed";
    case MESHCHAT_ROOM_CLOSED:
        return "closed";
    default:
        return NULL;
    }
}

static void add_who(struct buffer *out, const struct rows *rows, const char *id)
{
    if (strcmp(id, rows->own) == 0)
        buffer_add_text(out, "you");
    else
        chat_add_name_from(rows->nodes, out, id);
}

/* The nodes of a room from number `first` up to `end`. */
static void add_nodes(struct buffer *out, const struct rows *rows, size_t index, size_t first, size_t end)
{
    size_t i;
    for (i = first; i < end; i++) {
        char id[MESHCHAT_ID_TEXT_SIZE];
        if (meshchat_room_list_node(rows->rooms, index, i, id) != MESHCHAT_OK)
            continue;
        if (i > first)
            buffer_add_text(out, ", ");
        add_who(out, rows, id);
    }
}

/* A room, with who belongs to it. */
static void add_row(struct buffer *out, const struct rows *rows, size_t index)
{
    char id[MESHCHAT_ROOM_ID_TEXT_SIZE];
    char owner[MESHCHAT_ID_TEXT_SIZE];
    const char *name = NULL;
    const char *own_part;
    int32_t standing = MESHCHAT_ROOM_MEMBER;
    size_t members = 0;
    size_t invited = 0;
    if (meshchat_room_list_id(rows->rooms, index, id) != MESHCHAT_OK ||
        meshchat_room_list_name(rows->rooms, index, &name) != MESHCHAT_OK ||
        meshchat_room_list_owner(rows->rooms, index, owner) != MESHCHAT_OK ||
        meshchat_room_list_standing(rows->rooms, index, &standing) != MESHCHAT_OK ||
        meshchat_room_list_size(rows->rooms, index, &members, &invited) != MESHCHAT_OK)
        return;
    buffer_add_text(out, id);
    buffer_add_text(out, "  ");
    add_safe(out, name, strlen(name));
    buffer_add_text(out, "  ");
    own_part = standing_text(standing);
    if (own_part != NULL)
        buffer_add_text(out, own_part);
    if (!is_over(standing)) {
        buffer_add_text(out, own_part != NULL ? "; made by " : "made by ");
        add_who(out, rows, owner);
        buffer_add_text(out, "; members: ");
        add_nodes(out, rows, index, 0, members);
        if (invited > 0)
            buffer_add_text(out, "; invited: ");
        add_nodes(out, rows, index, members, members + invited);
    }
    buffer_add_text(out, "\n");
}

/* A row for the room with this id, or for each when it is NULL. */
static void show_rows(struct chat *chat, const char *only)
{
    struct buffer lines = {NULL, 0, 0};
    struct rows rows = {.own = ""};
    meshchat_room_list *rooms;
    meshchat_node_list *nodes = NULL;
    size_t count = 0;
    size_t i;
    rooms = all_rooms(chat, &count);
    if (rooms == NULL)
        return;
    if (meshchat_node_nodes(chat->node, &nodes) != MESHCHAT_OK ||
        meshchat_node_id(chat->node, rows.own) != MESHCHAT_OK) {
        chat_say_error(chat);
    } else {
        rows.rooms = rooms;
        rows.nodes = nodes;
        for (i = 0; i < count; i++) {
            char id[MESHCHAT_ROOM_ID_TEXT_SIZE];
            if (only == NULL || (meshchat_room_list_id(rooms, i, id) == MESHCHAT_OK && strcmp(id, only) == 0))
                add_row(&lines, &rows, i);
        }
        if (lines.len == 0 && only == NULL)
            buffer_add_text(&lines, "* no rooms yet: /room NAME makes one\n");
        chat_show(chat, &lines);
    }
    meshchat_node_list_free(nodes);
    meshchat_room_list_free(rooms);
}

/* -- what the user does ------------------------------------------------------------------------------------------- */

/* The room that is meant, whose name is known then; false when there is none, which is said. */
static bool find(struct chat *chat, const char *query, char *id)
{
    if (meshchat_node_resolve_room(chat->node, query, id) != MESHCHAT_OK) {
        chat_say_error(chat);
        return false;
    }
    rooms_meet(chat, id);
    return true;
}

static void enter(struct chat *chat, const char *name)
{
    char id[MESHCHAT_ROOM_ID_TEXT_SIZE];
    int32_t status = meshchat_node_resolve_room(chat->node, name, id);
    bool is_new = status == MESHCHAT_UNKNOWN_ROOM;
    if (is_new)
        status = meshchat_node_create_room(chat->node, name, id);
    if (status != MESHCHAT_OK) {
        chat_say_error(chat);
        return;
    }
    rooms_meet(chat, id);
    if (is_new)
        say(chat, "* made the room {room}: /invite <name or id> brings others in", id, NULL);
    chat_open(chat, id);
    show_rows(chat, id);
}

static void join(struct chat *chat, const char *query)
{
    char id[MESHCHAT_ROOM_ID_TEXT_SIZE];
    if (query[0] == '\0')
        chat_say(chat, "! name a room: /join ROOM", "");
    else if (!find(chat, query, id))
        return;
    else if (meshchat_node_join_room(chat->node, id) != MESHCHAT_OK)
        chat_say_error(chat);
    else
        say(chat, "* asked to join the room {room}", id, NULL);
}

/* The room that is meant, or the open one. */
static void leave(struct chat *chat, const char *query)
{
    char id[MESHCHAT_ROOM_ID_TEXT_SIZE];
    if (query[0] == '\0') {
        if (!rooms_is_meant(chat->partner)) {
            chat_say(chat, NO_ROOM, "");
            return;
        }
        memcpy(id, chat->partner, sizeof id);
    } else if (!find(chat, query, id)) {
        return;
    }
    if (meshchat_node_leave_room(chat->node, id) != MESHCHAT_OK) {
        chat_say_error(chat);
        return;
    }
    say(chat, "* left the room {room}", id, NULL);
    if (strcmp(chat->partner, id) == 0)
        chat_close(chat);
}

static void admit(struct chat *chat, bool invites, const char *query)
{
    char id[MESHCHAT_ID_TEXT_SIZE];
    int32_t status;
    if (query[0] == '\0') {
        chat_say(chat, invites ? "! name a node: /invite <name or id>" : "! name a node: /remove <name or id>", "");
        return;
    }
    if (!rooms_is_meant(chat->partner)) {
        chat_say(chat, NO_ROOM, "");
        return;
    }
    status = meshchat_node_resolve(chat->node, query, id);
    if (status == MESHCHAT_OK)
        status = invites ? meshchat_node_invite_to_room(chat->node, chat->partner, id)
                         : meshchat_node_remove_from_room(chat->node, chat->partner, id);
    if (status != MESHCHAT_OK)
        chat_say_error(chat);
    else if (invites)
        say(chat, "* [{room}] {node} is invited", chat->partner, id);
    /* That a node is out is told by an event. */
}

bool rooms_command(struct chat *chat, const char *word, const char *rest, size_t len)
{
    static const char *const words[] = {"/room", "/join", "/leave", "/invite", "/remove"};
    enum { ROOM, JOIN, LEAVE, INVITE, REMOVE, COUNT };
    struct buffer name = {NULL, 0, 0};
    size_t which = 0;
    while (which < COUNT && strcmp(word, words[which]) != 0)
        which++;
    if (which == COUNT)
        return false;
    add_trimmed(&name, rest, len);
    if (strlen(name.data) + 1 != name.len)
        chat_say(chat, "! ", "a name contains no NUL");
    else if (which == ROOM && name.data[0] == '\0')
        show_rows(chat, NULL);
    else if (which == ROOM)
        enter(chat, name.data);
    else if (which == JOIN)
        join(chat, name.data);
    else if (which == LEAVE)
        leave(chat, name.data);
    else
        admit(chat, which == INVITE, name.data);
    buffer_free(&name);
    return true;
}

void rooms_send(struct chat *chat, const char *text, size_t len)
{
    char id[MESHCHAT_MESSAGE_ID_TEXT_SIZE];
    struct buffer line = {NULL, 0, 0};
    size_t number;
    if (meshchat_node_send_to_room(chat->node, chat->partner, text, len, 0, id) != MESHCHAT_OK) {
        chat_say_error(chat);
        return;
    }
    rooms_add_label(chat, &line, chat->partner);
    buffer_add_text(&line, "You: ");
    add_safe(&line, text, len);
    buffer_add_text(&line, "\n");
    chat_show(chat, &line);
    number = chat_number(chat, id);
    chat->own[number - 1].to_room = true;
    chat_say_state(chat, number, "queued");
}

/* -- what others do ----------------------------------------------------------------------------------------------- */

void rooms_say_fate(struct chat *chat, size_t number, const char *to, int32_t status)
{
    struct buffer line = {NULL, 0, 0};
    char start[64];
    /* Of each member one hears once. */
    if (status != MESHCHAT_MESSAGE_DELIVERED && status != MESHCHAT_MESSAGE_EXPIRED)
        return;
    snprintf(start, sizeof start, "* [%zu] %s to ", number, meshchat_message_status_text(status));
    buffer_add_text(&line, start);
    chat_add_name_of(chat, &line, to);
    buffer_add_text(&line, "\n");
    chat_show(chat, &line);
}

void rooms_handle_event(struct chat *chat, const meshchat_event *event)
{
    char room[MESHCHAT_ROOM_ID_TEXT_SIZE];
    char own[MESHCHAT_ID_TEXT_SIZE];
    /* Stays empty when it is about nobody. */
    char node[MESHCHAT_ID_TEXT_SIZE] = "";
    const char *name = NULL;
    int32_t change = 0;
    bool is_own;
    if (meshchat_event_room_id(event, room) != MESHCHAT_OK || meshchat_event_room_name(event, &name) != MESHCHAT_OK ||
        meshchat_event_room_change(event, &change) != MESHCHAT_OK || meshchat_node_id(chat->node, own) != MESHCHAT_OK) {
        chat_say_error(chat);
        return;
    }
    (void)meshchat_event_node_id(event, node);
    is_own = strcmp(node, own) == 0;
    note(chat, room, name);
    if (change == MESHCHAT_ROOM_CHANGE_INVITED)
        say(chat, "* you are invited to the room {room}: /join {room} or /leave {room}", room, node);
    else if (change == MESHCHAT_ROOM_CHANGE_JOINED)
        say(chat, is_own ? "* you are in the room {room}: /room {room} opens it" : "* [{room}] {node} has joined", room,
            node);
    else if (change == MESHCHAT_ROOM_CHANGE_REMOVED)
        say(chat, is_own ? "* you were removed from the room {room}" : "* [{room}] {node} was removed", room, node);
    else if (change == MESHCHAT_ROOM_CHANGE_LEFT)
        say(chat, "* [{room}] {node} has left", room, node);
    else if (change == MESHCHAT_ROOM_CHANGE_CLOSED)
        say(chat, "* the room {room} is closed", room, node);
    if ((change == MESHCHAT_ROOM_CHANGE_CLOSED || (change == MESHCHAT_ROOM_CHANGE_REMOVED && is_own)) &&
        strcmp(chat->partner, room) == 0)
        chat_close(chat);
}
