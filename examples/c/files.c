#include "files.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buffer.h"
#include "insecure.h"
#include "rooms.h"
#include "text.h"

/* A file under way is told of when it has passed so many quarters. */
#define QUARTERS 4
#define NO_QUARTER UINT64_MAX
#define MAX_DIGITS 9

/* What the library tells of a file. */
struct file {
    char id[MESHCHAT_FILE_ID_TEXT_SIZE];
    char peer[MESHCHAT_ID_TEXT_SIZE];
    const char *name;
    const char *reason;
    const char *path;
    uint64_t size;
    uint64_t done;
    int32_t state;
    bool incoming;
};

static bool read_file(const meshchat_file *handle, struct file *file)
{
    return meshchat_file_id(handle, file->id) == MESHCHAT_OK && meshchat_file_peer(handle, file->peer) == MESHCHAT_OK &&
           meshchat_file_name(handle, &file->name) == MESHCHAT_OK &&
           meshchat_file_reason(handle, &file->reason) == MESHCHAT_OK &&
           meshchat_file_path(handle, &file->path) == MESHCHAT_OK &&
           meshchat_file_size(handle, &file->size, &file->done) == MESHCHAT_OK &&
           meshchat_file_state(handle, &file->state) == MESHCHAT_OK &&
           meshchat_file_incoming(handle, &file->incoming) == MESHCHAT_OK;
}

/* The file's entry, which has its number; a new one if need be. */
static struct known_file *known(struct chat *chat, const struct file *file)
{
    struct known_file *entry;
    size_t i;
    for (i = chat->file_count; i > 0; i--) {
        if (strcmp(chat->files[i - 1].id, file->id) == 0)
            return &chat->files[i - 1];
    }
    chat->files = grow(chat->files, (chat->file_count + 1) * sizeof *chat->files);
    entry = &chat->files[chat->file_count++];
    memcpy(entry->id, file->id, sizeof entry->id);
    entry->quarter = NO_QUARTER;
    return entry;
}

static size_t number_of(struct chat *chat, const struct file *file)
{
    return (size_t)(known(chat, file) - chat->files) + 1;
}

static void add_number(struct buffer *out, unsigned long long number)
{
    char text[32];
    snprintf(text, sizeof text, "%llu", number);
    buffer_add_text(out, text);
}

/* Like `[1] name`. */
static void add_label(struct chat *chat, struct buffer *out, const struct file *file)
{
    buffer_add_text(out, "[");
    add_number(out, number_of(chat, file));
    buffer_add_text(out, "] ");
    add_safe(out, file->name, strlen(file->name));
}

/* A size for people; the last digit is not rounded up. */
static void add_size(struct buffer *out, uint64_t size)
{
    static const char *const units[] = {" kB", " MB", " GB", " TB", " PB"};
    uint64_t unit = 1000;
    size_t i = 0;
    if (size < 1000) {
        add_number(out, size);
        buffer_add_text(out, size == 1 ? " byte" : " bytes");
        return;
    }
    while (i + 1 < sizeof units / sizeof *units && size / 1000 >= unit) {
        unit *= 1000;
        i++;
    }
    add_number(out, size / unit);
    buffer_add_text(out, ".");
    add_number(out, size % unit / (unit / 10));
    buffer_add_text(out, units[i]);
}

static void show(struct chat *chat, struct buffer *line)
{
    buffer_add_text(line, "\n");
    chat_show(chat, line);
}

static void add_reason(struct buffer *out, const struct file *file)
{
    const char *reason = file->reason != NULL ? file->reason : "failed";
    add_safe(out, reason, strlen(reason));
}

static void add_row(struct chat *chat, struct buffer *out, const struct file *file)
{
    add_label(chat, out, file);
    buffer_add_text(out, "  ");
    add_size(out, file->size);
    buffer_add_text(out, file->incoming ? "  from " : "  to ");
    chat_add_name_of(chat, out, file->peer);
    buffer_add_text(out, "  ");
    if (file->state == MESHCHAT_FILE_WAITING) {
        buffer_add_text(out, "waiting");
    } else if (file->state == MESHCHAT_FILE_ACCEPTED) {
        add_number(out, file->size == 0 ? 100 : file->done * 100 / file->size);
        buffer_add_text(out, " %");
    } else if (file->state == MESHCHAT_FILE_DONE) {
        buffer_add_text(out, "done");
    } else {
        add_reason(out, file);
    }
    buffer_add_text(out, "\n");
}

/* The list of files; NULL when there is none, which is said. */
static meshchat_file_list *take_list(struct chat *chat, size_t *count)
{
    meshchat_file_list *list = NULL;
    if (meshchat_node_files(chat->node, &list) == MESHCHAT_OK && meshchat_file_list_count(list, count) == MESHCHAT_OK)
        return list;
    chat_say_error(chat);
    meshchat_file_list_free(list);
    return NULL;
}

static bool list_get(const meshchat_file_list *list, size_t index, struct file *file)
{
    const meshchat_file *handle = NULL;
    return meshchat_file_list_get(list, index, &handle) == MESHCHAT_OK && read_file(handle, file);
}

void files_list(struct chat *chat)
{
    struct buffer lines = {NULL, 0, 0};
    struct file file;
    size_t count = 0;
    size_t i;
    meshchat_file_list *list = take_list(chat, &count);
    if (list == NULL)
        return;
    for (i = 0; i < count; i++) {
        if (list_get(list, i, &file))
            add_row(chat, &lines, &file);
    }
    if (lines.len == 0)
        buffer_add_text(&lines, "* no file has been sent or offered yet\n");
    chat_show(chat, &lines);
    meshchat_file_list_free(list);
}

/* Says that a file of this node was taken to be sent. */
static void say_offering(struct chat *chat, const char *id)
{
    struct file file;
    size_t count = 0;
    size_t i;
    meshchat_file_list *list = take_list(chat, &count);
    if (list == NULL)
        return;
    for (i = count; i > 0; i--) {
        if (list_get(list, i - 1, &file) && strcmp(file.id, id) == 0) {
            struct buffer line = {NULL, 0, 0};
            buffer_add_text(&line, "* offering ");
            add_label(chat, &line, &file);
            buffer_add_text(&line, " (");
            add_size(&line, file.size);
            buffer_add_text(&line, ") to ");
            chat_add_name_of(chat, &line, file.peer);
            show(chat, &line);
            break;
        }
    }
    meshchat_file_list_free(list);
}

void files_send(struct chat *chat, const char *path, size_t len)
{
    char id[MESHCHAT_FILE_ID_TEXT_SIZE];
    const char *home = getenv("HOME");
    struct buffer full = {NULL, 0, 0};
    if (chat->partner[0] == '\0') {
        chat_say(chat, "! files go to the partner of a conversation: start one with @<name or id>", "");
        return;
    }
    if (rooms_is_meant(chat->partner)) {
        chat_say(chat, "! files go to one node: start a conversation with @<name or id>", "");
        return;
    }
    if (insecure_is_meant(chat->partner)) {
        chat_say(chat, "! files go to nodes of MeshChat only, not to insecure ones", "");
        return;
    }
    if (home != NULL && path[0] == '~' && (len == 1 || path[1] == '/')) {
        buffer_add_text(&full, home);
        path++;
        len--;
    }
    buffer_add(&full, path, len);
    buffer_add(&full, "", 1);
    if (strlen(full.data) + 1 != full.len)
        chat_say(chat, "! ", "a path contains no NUL");
    else if (meshchat_node_send_file_named(chat->node, chat->partner, chat->called.data, full.data, id) == MESHCHAT_OK)
        say_offering(chat, id);
    else
        chat_say_error(chat);
    buffer_free(&full);
}

/* The number that stands there; false when it is none. */
static bool parse_number(const char *text, size_t len, size_t *number)
{
    size_t i;
    *number = 0;
    for (i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        *number = *number * 10 + (size_t)(text[i] - '0');
    }
    return len > 0 && len <= MAX_DIGITS;
}

/* The only file that is offered; false when there is none or several, which is said. */
static bool only_offer(struct chat *chat, const meshchat_file_list *list, size_t count, struct file *chosen)
{
    struct file file;
    size_t offered = 0;
    size_t i;
    for (i = 0; i < count; i++) {
        if (list_get(list, i, &file) && file.incoming && file.state == MESHCHAT_FILE_WAITING) {
            *chosen = file;
            offered++;
        }
    }
    if (offered == 0)
        chat_say(chat, "! no file is offered", "");
    else if (offered > 1)
        chat_say(chat, "! several files are offered: name one by its number, as /files shows it", "");
    return offered == 1;
}

static bool numbered(struct chat *chat, const meshchat_file_list *list, size_t count, size_t number, struct file *chosen)
{
    char line[80];
    size_t i;
    for (i = 0; i < count; i++) {
        if (list_get(list, i, chosen))
            (void)known(chat, chosen);
    }
    for (i = 0; i < count; i++) {
        if (list_get(list, i, chosen) && number_of(chat, chosen) == number)
            return true;
    }
    snprintf(line, sizeof line, "! there is no file [%zu]; /files lists them", number);
    chat_say(chat, line, "");
    return false;
}

static void decide(struct chat *chat, bool accept, const struct file *file)
{
    struct buffer line = {NULL, 0, 0};
    /* That a file is over is told by an event. */
    int32_t status = accept ? meshchat_node_accept_file(chat->node, file->id, NULL)
                            : meshchat_node_cancel_file(chat->node, file->id);
    if (status != MESHCHAT_OK) {
        chat_say_error(chat);
        return;
    }
    if (!accept)
        return;
    buffer_add_text(&line, "* accepted ");
    add_label(chat, &line, file);
    show(chat, &line);
}

void files_decide(struct chat *chat, bool accept, const char *text, size_t len)
{
    struct file file;
    size_t number = 0;
    size_t count = 0;
    meshchat_file_list *list;
    if (len > 0 && !parse_number(text, len, &number)) {
        chat_say(chat, accept ? "! name a file by its number: /accept NUMBER; /files shows the numbers"
                              : "! name a file by its number: /refuse NUMBER; /files shows the numbers", "");
        return;
    }
    list = take_list(chat, &count);
    if (list == NULL)
        return;
    if (len > 0 ? numbered(chat, list, count, number, &file) : only_offer(chat, list, count, &file))
        decide(chat, accept, &file);
    meshchat_file_list_free(list);
}

static void handle_progress(struct chat *chat, const struct file *file)
{
    struct buffer line = {NULL, 0, 0};
    struct known_file *entry = known(chat, file);
    uint64_t quarter = file->size == 0 ? 0 : file->done * QUARTERS / file->size;
    uint64_t passed = entry->quarter;
    entry->quarter = quarter;
    /* Where it goes on after a pause is no news. */
    if (passed == NO_QUARTER || passed >= quarter || quarter >= QUARTERS)
        return;
    buffer_add_text(&line, "* ");
    add_label(chat, &line, file);
    buffer_add_text(&line, ": ");
    add_number(&line, quarter * 100 / QUARTERS);
    buffer_add_text(&line, " %");
    show(chat, &line);
}

static void handle_offered(struct chat *chat, const struct file *file)
{
    struct buffer line = {NULL, 0, 0};
    size_t number = number_of(chat, file);
    buffer_add_text(&line, "* ");
    chat_add_name_of(chat, &line, file->peer);
    buffer_add_text(&line, " offers ");
    add_label(chat, &line, file);
    buffer_add_text(&line, " (");
    add_size(&line, file->size);
    buffer_add_text(&line, "): /accept ");
    add_number(&line, number);
    buffer_add_text(&line, " or /refuse ");
    add_number(&line, number);
    show(chat, &line);
}

static void handle_end(struct chat *chat, const struct file *file, bool done)
{
    struct buffer line = {NULL, 0, 0};
    known(chat, file)->quarter = NO_QUARTER;
    buffer_add_text(&line, "* ");
    add_label(chat, &line, file);
    if (!done) {
        buffer_add_text(&line, ": ");
        add_reason(&line, file);
    } else if (file->incoming) {
        const char *path = file->path != NULL ? file->path : "";
        buffer_add_text(&line, " is here, whole and verified: ");
        add_safe(&line, path, strlen(path));
    } else {
        buffer_add_text(&line, " has arrived at ");
        chat_add_name_of(chat, &line, file->peer);
        buffer_add_text(&line, ", whole and verified");
    }
    show(chat, &line);
}

void files_handle_event(struct chat *chat, const meshchat_event *event, int32_t type)
{
    const meshchat_file *handle = NULL;
    struct file file;
    if (meshchat_event_file(event, &handle) != MESHCHAT_OK || !read_file(handle, &file)) {
        chat_say_error(chat);
        return;
    }
    if (type == MESHCHAT_EVENT_FILE_OFFERED)
        handle_offered(chat, &file);
    else if (type == MESHCHAT_EVENT_FILE_PROGRESS)
        handle_progress(chat, &file);
    else
        handle_end(chat, &file, type == MESHCHAT_EVENT_FILE_DONE);
}
