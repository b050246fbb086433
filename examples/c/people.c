/* POSIX with local time. */
#define _XOPEN_SOURCE 700

#include "people.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "insecure.h"
#include "rooms.h"
#include "terminal.h"
#include "text.h"

/* Messages that /history shows unless it is told otherwise, and that a list has at the most. */
enum { DEFAULT_COUNT = 20, MOST = 1000 };

/* Longest file of contacts that is read, in bytes. */
#define MAX_FILE (1 << 20)
#define SCHEME "meshchat:"

/* Cuts the first word off: `rest` is what follows it, without the white space between them. */
static char *cut_word(char *text, char **rest)
{
    char *end = text + strcspn(text, " \t");
    *rest = end + strspn(end, " \t");
    *end = '\0';
    return text;
}

/* -- history ----------------------------------------------------------------------------------------------------- */

static void add_time(struct buffer *out, uint64_t millis)
{
    time_t seconds = (time_t)(millis / 1000);
    struct tm parts;
    char text[64];
    if (localtime_r(&seconds, &parts) != NULL && strftime(text, sizeof text, "%Y-%m-%d %H:%M", &parts) > 0)
        buffer_add_text(out, text);
}

static void add_entry(struct chat *chat, struct buffer *out, const meshchat_history_list *list, size_t i)
{
    char peer[MESHCHAT_ID_TEXT_SIZE];
    char room[MESHCHAT_ROOM_ID_TEXT_SIZE];
    const char *nickname = NULL;
    const char *text = NULL;
    size_t len = 0;
    uint64_t time = 0;
    int32_t status = -1;
    bool is_own = false;
    if (meshchat_history_list_peer(list, i, peer) != MESHCHAT_OK ||
        meshchat_history_list_room_id(list, i, room) != MESHCHAT_OK ||
        meshchat_history_list_nickname(list, i, &nickname) != MESHCHAT_OK ||
        meshchat_history_list_text(list, i, &text, &len) != MESHCHAT_OK ||
        meshchat_history_list_received_at(list, i, &time) != MESHCHAT_OK ||
        meshchat_history_list_is_own(list, i, &is_own) != MESHCHAT_OK ||
        meshchat_history_list_message_status(list, i, &status) != MESHCHAT_OK)
        return;
    add_time(out, time);
    buffer_add_text(out, "  ");
    if (room[0] != '\0')
        rooms_add_label(chat, out, room);
    if (is_own)
        buffer_add_text(out, room[0] != '\0' ? "You" : "You to ");
    if (!is_own || room[0] == '\0')
        chat_add_name(out, nickname, peer);
    buffer_add_text(out, ": ");
    add_safe(out, text, len);
    if (is_own) {
        buffer_add_text(out, " [");
        buffer_add_text(out, meshchat_message_status_text(status));
        buffer_add_text(out, "]");
    }
    buffer_add_text(out, "\n");
}

static void show_history(struct chat *chat, const meshchat_history_query *query)
{
    meshchat_history_list *list = NULL;
    struct buffer lines = {NULL, 0, 0};
    size_t count = 0;
    size_t i;
    if (meshchat_node_history(chat->node, query, &list) != MESHCHAT_OK ||
        meshchat_history_list_count(list, &count) != MESHCHAT_OK) {
        chat_say_error(chat);
        meshchat_history_list_free(list);
        return;
    }
    for (i = 0; i < count; i++)
        add_entry(chat, &lines, list, i);
    if (lines.len == 0)
        buffer_add_text(&lines, "* no message was found\n");
    chat_show(chat, &lines);
    meshchat_history_list_free(list);
}

/* How many messages the words ask for; `words` becomes what is to be searched for. */
static size_t count_of(char **words)
{
    char *end = *words + strspn(*words, "0123456789");
    size_t digits = (size_t)(end - *words);
    size_t count = DEFAULT_COUNT;
    if (digits == 0 || (*end != '\0' && !is_space(*end)))
        return count;
    count = digits <= 4 ? (size_t)strtoul(*words, NULL, 10) : MOST + 1;
    *words = end + strspn(end, " \t");
    return count > MOST + 1 ? MOST + 1 : count;
}

void people_history(struct chat *chat, const char *rest, size_t len)
{
    struct buffer text = {NULL, 0, 0};
    meshchat_history_query *query = meshchat_history_query_new();
    int32_t status;
    char *words;
    add_trimmed(&text, rest, len);
    words = text.data;
    status = meshchat_history_query_set_limit(query, count_of(&words));
    if (status == MESHCHAT_OK && words[0] != '\0')
        status = meshchat_history_query_set_search(query, words);
    if (status == MESHCHAT_OK && rooms_is_meant(chat->partner))
        status = meshchat_history_query_set_room(query, chat->partner);
    else if (status == MESHCHAT_OK && chat->partner[0] != '\0' && !insecure_is_meant(chat->partner))
        status = meshchat_history_query_set_with(query, chat->partner);
    if (status == MESHCHAT_OK)
        show_history(chat, query);
    else
        chat_say_error(chat);
    meshchat_history_query_free(query);
    buffer_free(&text);
}

/* -- trust ------------------------------------------------------------------------------------------------------- */

void people_add_trust(struct buffer *out, const meshchat_node_list *list, size_t index)
{
    int32_t trust = MESHCHAT_TRUST_SEEN;
    (void)meshchat_node_list_trust(list, index, &trust);
    if (trust == MESHCHAT_TRUST_VERIFIED)
        buffer_add_text(out, ", verified");
    else if (trust == MESHCHAT_TRUST_BLOCKED)
        buffer_add_text(out, ", blocked");
}

static const char *trust_name(int32_t trust)
{
    if (trust == MESHCHAT_TRUST_VERIFIED)
        return "verified";
    return trust == MESHCHAT_TRUST_BLOCKED ? "blocked" : "seen";
}

/* `name id what` */
static void say_of(struct chat *chat, const char *prefix, const char *id, const char *what)
{
    struct buffer line = {NULL, 0, 0};
    buffer_add_text(&line, prefix);
    chat_add_name_of(chat, &line, id);
    buffer_add_text(&line, " ");
    buffer_add_text(&line, id);
    buffer_add_text(&line, what);
    buffer_add_text(&line, "\n");
    chat_show(chat, &line);
}

static void show_words(struct chat *chat, const char *id)
{
    char words[MESHCHAT_SAFETY_WORDS_SIZE];
    struct buffer line = {NULL, 0, 0};
    if (meshchat_node_safety_words(chat->node, id, words, sizeof words) != MESHCHAT_OK) {
        chat_say_error(chat);
        return;
    }
    buffer_add_text(&line, "* safety words of you and ");
    chat_add_name_of(chat, &line, id);
    buffer_add_text(&line, " ");
    buffer_add_text(&line, id);
    buffer_add_text(&line, ": ");
    buffer_add_text(&line, words);
    buffer_add_text(&line, "\n* ");
    chat_add_name_of(chat, &line, id);
    buffer_add_text(&line, " sees the same words with /verify: read them to each other, by voice or face to face. "
                           "If they are the same, type /verify ");
    chat_add_unique_name(chat, &line, id);
    buffer_add_text(&line, " yes\n");
    chat_show(chat, &line);
}

/* Does what was asked for, and says so. */
static void judge(struct chat *chat, enum judgement judgement, const char *answer, const char *id)
{
    int32_t status;
    const char *what;
    if (judgement == BLOCK) {
        status = meshchat_node_block(chat->node, id);
        what = " is blocked";
    } else if (judgement == UNBLOCK) {
        status = meshchat_node_unblock(chat->node, id);
        what = " is not blocked";
    } else if (strcmp(answer, "yes") == 0) {
        status = meshchat_node_verify(chat->node, id);
        what = " is verified";
    } else {
        status = meshchat_node_unverify(chat->node, id);
        what = " is not verified";
    }
    if (status == MESHCHAT_OK)
        say_of(chat, "* ", id, what);
    else
        chat_say_error(chat);
}

/* A full id need not be known, but where its words are to be shown. */
static bool find(struct chat *chat, enum judgement judgement, const char *query, const char *answer, char *id)
{
    bool must_be_known = judgement == VERIFY && answer[0] == '\0';
    if (strlen(query) == MESHCHAT_ID_TEXT_SIZE - 1 && !must_be_known) {
        memcpy(id, query, MESHCHAT_ID_TEXT_SIZE);
        return true;
    }
    if (meshchat_node_resolve(chat->node, query, id) == MESHCHAT_OK)
        return true;
    chat_say_error(chat);
    return false;
}

void people_judge(struct chat *chat, enum judgement judgement, const char *rest, size_t len)
{
    static const char *const names[] = {"verify", "block", "unblock"};
    struct buffer text = {NULL, 0, 0};
    char id[MESHCHAT_ID_TEXT_SIZE];
    char line[96];
    char *answer;
    const char *query;
    bool is_answer;
    add_trimmed(&text, rest, len);
    query = cut_word(text.data, &answer);
    is_answer = judgement == VERIFY && (strcmp(answer, "yes") == 0 || strcmp(answer, "no") == 0);
    if (memchr(rest, '\0', len) != NULL) {
        chat_say(chat, "! ", "a name contains no NUL");
        buffer_free(&text);
        return;
    }
    if (query[0] == '\0' && judgement == VERIFY && !rooms_is_meant(chat->partner))
        query = chat->partner;
    if (query[0] == '\0' && judgement != VERIFY) {
        snprintf(line, sizeof line, "! name a node: /%s <name or id>", names[judgement]);
        chat_say(chat, line, "");
    } else if (answer[0] != '\0' && !is_answer) {
        snprintf(line, sizeof line, "! too many words: /%s <name or id>%s", names[judgement],
                 judgement == VERIFY ? " yes" : "");
        chat_say(chat, line, "");
    } else if (query[0] == '\0' || insecure_is_meant(query)) {
        chat_say(chat, "! name a node: /verify <name or id>", "");
    } else if (find(chat, judgement, query, answer, id)) {
        if (judgement == VERIFY && answer[0] == '\0')
            show_words(chat, id);
        else
            judge(chat, judgement, answer, id);
    }
    buffer_free(&text);
}

void people_handle_impostor(struct chat *chat, const meshchat_event *event)
{
    const char *text = NULL;
    size_t len = 0;
    struct buffer lines = {NULL, 0, 0};
    const char *no_color = getenv("NO_COLOR"); /* no-color.org */
    bool coloured = no_color == NULL || no_color[0] == '\0';
    if (meshchat_event_text(event, &text, &len) != MESHCHAT_OK)
        return;
    if (terminal_is_interactive())
        buffer_add_text(&lines, coloured ? "\a\x1b[1;31m" : "\a");
    buffer_add_text(&lines, "=============== WARNING ===============\n! ");
    add_safe(&lines, text, len);
    if (terminal_is_interactive() && coloured)
        buffer_add_text(&lines, "\x1b[0m");
    buffer_add_text(&lines, "\n");
    chat_show(chat, &lines);
}

/* -- contacts ---------------------------------------------------------------------------------------------------- */

static bool contact_at(const meshchat_node_list *list, size_t index, char *id, int32_t *trust)
{
    bool is_contact = false;
    return meshchat_node_list_is_contact(list, index, &is_contact) == MESHCHAT_OK && is_contact &&
           meshchat_node_list_id(list, index, id) == MESHCHAT_OK &&
           meshchat_node_list_trust(list, index, trust) == MESHCHAT_OK;
}

/* All nodes; NULL when that fails, which is said. */
static meshchat_node_list *all_nodes(struct chat *chat, size_t *count)
{
    meshchat_node_list *list = NULL;
    if (meshchat_node_nodes(chat->node, &list) == MESHCHAT_OK &&
        meshchat_node_list_count(list, count) == MESHCHAT_OK)
        return list;
    chat_say_error(chat);
    meshchat_node_list_free(list);
    return NULL;
}

static void list_contacts(struct chat *chat)
{
    struct buffer lines = {NULL, 0, 0};
    size_t count = 0;
    size_t i;
    meshchat_node_list *list = all_nodes(chat, &count);
    if (list == NULL)
        return;
    for (i = 0; i < count; i++) {
        char id[MESHCHAT_ID_TEXT_SIZE];
        const char *nickname = NULL;
        int32_t trust;
        if (!contact_at(list, i, id, &trust) || meshchat_node_list_nickname(list, i, &nickname) != MESHCHAT_OK)
            continue;
        buffer_add_text(&lines, id);
        buffer_add_text(&lines, "  ");
        chat_add_name(&lines, nickname, id);
        buffer_add_text(&lines, "  ");
        buffer_add_text(&lines, trust_name(trust));
        buffer_add_text(&lines, "\n");
    }
    if (lines.len == 0)
        buffer_add_text(&lines, "* no contacts yet: write to somebody, or import a contact\n");
    chat_show(chat, &lines);
    meshchat_node_list_free(list);
}

/* `path: why`, of the last call of the system. */
static void say_errno(struct chat *chat, const char *path)
{
    struct buffer line = {NULL, 0, 0};
    int error = errno;
    buffer_add_text(&line, path);
    buffer_add_text(&line, ": ");
    buffer_add_text(&line, strerror(error));
    buffer_add(&line, "", 1);
    chat_say(chat, "! ", line.data);
    buffer_free(&line);
}

static bool write_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t written = write(fd, data, len);
        if (written < 0)
            return false;
        data += written;
        len -= (size_t)written;
    }
    return true;
}

/* Writes a new file that nobody else may read; one that exists is not overwritten. */
static bool write_private(struct chat *chat, const char *path, const struct buffer *lines)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    bool written = fd >= 0 && write_all(fd, lines->data, lines->len);
    if (fd >= 0 && close(fd) != 0)
        written = false;
    if (!written) {
        say_errno(chat, path);
        if (fd >= 0)
            (void)unlink(path);
    }
    return written;
}

static void export_contacts(struct chat *chat, const char *path)
{
    struct buffer lines = {NULL, 0, 0};
    char text[64];
    size_t count = 0;
    size_t exported = 0;
    size_t i;
    meshchat_node_list *list = all_nodes(chat, &count);
    if (list == NULL)
        return;
    for (i = 0; i < count; i++) {
        char id[MESHCHAT_ID_TEXT_SIZE];
        char contact[MESHCHAT_CONTACT_TEXT_SIZE];
        int32_t trust;
        if (!contact_at(list, i, id, &trust) || trust == MESHCHAT_TRUST_BLOCKED ||
            meshchat_node_list_contact(list, i, contact) != MESHCHAT_OK)
            continue;
        buffer_add_text(&lines, contact);
        buffer_add_text(&lines, "\n");
        exported++;
    }
    meshchat_node_list_free(list);
    if (write_private(chat, path, &lines)) {
        snprintf(text, sizeof text, "* %zu contacts were written to ", exported);
        chat_say(chat, text, path);
    }
    buffer_free(&lines);
}

static bool import_one(struct chat *chat, const char *text)
{
    char id[MESHCHAT_ID_TEXT_SIZE];
    if (meshchat_node_import_contact(chat->node, text, id) != MESHCHAT_OK) {
        chat_say_error(chat);
        return false;
    }
    say_of(chat, "* imported ", id, "");
    return true;
}

/* Reads the whole file, with a NUL behind it. False, which is said, when it is none or cannot be read. */
static bool read_file(struct chat *chat, const char *path, struct buffer *data)
{
    char chunk[4096];
    struct stat facts;
    ssize_t count = -1;
    int fd = open(path, O_RDONLY | O_NONBLOCK);
    if (fd >= 0 && fstat(fd, &facts) == 0) {
        if (!S_ISREG(facts.st_mode)) {
            close(fd);
            chat_say_pair(chat, path, ": not a file");
            return false;
        }
        while (data->len <= MAX_FILE && (count = read(fd, chunk, sizeof chunk)) > 0)
            buffer_add(data, chunk, (size_t)count);
    }
    if (count < 0)
        say_errno(chat, path);
    if (fd >= 0)
        close(fd);
    if (data->len > MAX_FILE) {
        chat_say_pair(chat, path, ": longer than 1 MiB; that is no list of contacts");
        return false;
    }
    buffer_add(data, "", 1);
    return count == 0;
}

/* Goes through the lines of a file that mean something; `import` says whether to import or only to check them. How many
 * there are; -1 when one of them is wrong, which is said. */
static long each_contact(struct chat *chat, const char *path, char *text, bool import)
{
    long found = 0;
    size_t number = 0;
    while (text != NULL) {
        char *next = strchr(text, '\n');
        size_t len = next == NULL ? strlen(text) : (size_t)(next - text);
        struct buffer line = {NULL, 0, 0};
        number++;
        add_trimmed(&line, text, len > 0 && text[len - 1] == '\r' ? len - 1 : len);
        if (line.data[0] != '\0' && text[0] != '#') {
            char prefix[64];
            bool fine = import ? import_one(chat, line.data) : meshchat_contact_check(line.data) == MESHCHAT_OK;
            if (!fine && !import) {
                snprintf(prefix, sizeof prefix, ", line %zu: ", number);
                chat_say_three(chat, path, prefix, meshchat_last_error());
            }
            found = fine ? found + 1 : -1;
        }
        buffer_free(&line);
        if (found < 0)
            return -1;
        text = next == NULL ? NULL : next + 1;
    }
    return found;
}

static void import_contacts(struct chat *chat, const char *source)
{
    struct buffer data = {NULL, 0, 0};
    long count = -1;
    if (strncasecmp(source, SCHEME, strlen(SCHEME)) == 0) {
        count = import_one(chat, source) ? 1 : -1;
    } else if (read_file(chat, source, &data)) {
        /* All of them or none. */
        count = each_contact(chat, source, data.data, false);
        if (count > 0)
            count = each_contact(chat, source, data.data, true);
        else if (count == 0)
            chat_say_pair(chat, source, ": there is no contact in it");
    }
    if (count > 0)
        chat_say(chat, "* compare safety words (/verify) before you trust what was imported", "");
    buffer_free(&data);
}

void people_contacts(struct chat *chat, const char *rest, size_t len)
{
    struct buffer text = {NULL, 0, 0};
    char contact[MESHCHAT_CONTACT_TEXT_SIZE];
    char *argument;
    const char *action;
    add_trimmed(&text, rest, len);
    action = cut_word(text.data, &argument);
    if (memchr(rest, '\0', len) != NULL) {
        chat_say(chat, "! ", "a path contains no NUL");
    } else if (action[0] == '\0') {
        list_contacts(chat);
    } else if (strcmp(action, "export") != 0 && strcmp(action, "import") != 0) {
        chat_say(chat, "! unknown action; /contacts, /contacts export FILE or qr, /contacts import FILE or TEXT", "");
    } else if (argument[0] == '\0') {
        chat_say_pair(chat, "name a file: /contacts ", strcmp(action, "export") == 0 ? "export FILE" : "import FILE");
    } else if (strcmp(action, "import") == 0) {
        import_contacts(chat, argument);
    } else if (strcmp(argument, "qr") != 0) {
        export_contacts(chat, argument);
    } else if (meshchat_node_contact(chat->node, contact) == MESHCHAT_OK) {
        /* No picture here: its text. */
        chat_say(chat, contact, "");
    }
    buffer_free(&text);
}
