/* Two nodes in one process, one of which sends files to the other. Usage: files FOLDER, with the homes FOLDER/ada and
 * FOLDER/bob. */
#include "check.h"

#define UNKNOWN_FILE "00112233445566778899aabbccddeeff"
#define SIZE 300000

static void write_file(const char *path)
{
    FILE *file = fopen(path, "wb");
    int i;
    CHECK(file != NULL);
    for (i = 0; i < SIZE; i++)
        CHECK(fputc(i * 7 & 0xff, file) != EOF);
    CHECK(fclose(file) == 0);
}

/* Whether the file holds what write_file() wrote. */
static bool is_whole(const char *path)
{
    FILE *file = fopen(path, "rb");
    int i;
    bool whole = file != NULL;
    for (i = 0; whole && i < SIZE; i++)
        whole = fgetc(file) == (i * 7 & 0xff);
    whole = whole && fgetc(file) == EOF;
    if (file != NULL)
        (void)fclose(file);
    return whole;
}

static void check_arguments(meshchat_node *node, const char *path, const char *to)
{
    char id[MESHCHAT_FILE_ID_TEXT_SIZE] = "x";
    meshchat_config *config = meshchat_config_new();
    meshchat_file_list *list = NULL;
    const meshchat_file *file = NULL;
    size_t count = 0;
    EXPECT_NULL("config", meshchat_config_set_downloads(NULL, "x"));
    EXPECT_NULL("folder", meshchat_config_set_downloads(config, NULL));
    EXPECT(MESHCHAT_INVALID_ARGUMENT, meshchat_config_set_downloads(config, ""));
    EXPECT(MESHCHAT_OK, meshchat_config_set_downloads(config, "x"));
    meshchat_config_free(config);
    EXPECT_NULL("node", meshchat_node_send_file(NULL, to, path, id));
    EXPECT_NULL("to", meshchat_node_send_file(node, NULL, path, id));
    EXPECT_NULL("path", meshchat_node_send_file(node, to, NULL, id));
    EXPECT_NULL("file_id", meshchat_node_send_file(node, to, path, NULL));
    EXPECT_NULL("node", meshchat_node_send_file_named(NULL, to, "bob", path, id));
    EXPECT_NULL("to", meshchat_node_send_file_named(node, NULL, "bob", path, id));
    EXPECT_NULL("name", meshchat_node_send_file_named(node, to, NULL, path, id));
    EXPECT_NULL("path", meshchat_node_send_file_named(node, to, "bob", NULL, id));
    EXPECT_NULL("file_id", meshchat_node_send_file_named(node, to, "bob", path, NULL));
    EXPECT(MESHCHAT_INVALID_ARGUMENT, meshchat_node_send_file_named(node, to, "bob", "/", id));
    EXPECT(MESHCHAT_INVALID_ARGUMENT, meshchat_node_send_file(node, to, "/", id));
    EXPECT(MESHCHAT_INVALID_ARGUMENT, meshchat_node_send_file(node, to, "/nowhere/at all", id));
    EXPECT_NULL("node", meshchat_node_accept_file(NULL, UNKNOWN_FILE, NULL));
    EXPECT_NULL("file_id", meshchat_node_accept_file(node, NULL, NULL));
    EXPECT(MESHCHAT_UNKNOWN_FILE, meshchat_node_accept_file(node, UNKNOWN_FILE, NULL));
    EXPECT(MESHCHAT_INVALID_ARGUMENT, meshchat_node_accept_file(node, "x", NULL));
    EXPECT_NULL("node", meshchat_node_refuse_file(NULL, UNKNOWN_FILE));
    EXPECT_NULL("file_id", meshchat_node_refuse_file(node, NULL));
    EXPECT(MESHCHAT_UNKNOWN_FILE, meshchat_node_refuse_file(node, UNKNOWN_FILE));
    EXPECT_NULL("node", meshchat_node_cancel_file(NULL, UNKNOWN_FILE));
    EXPECT_NULL("file_id", meshchat_node_cancel_file(node, NULL));
    EXPECT(MESHCHAT_UNKNOWN_FILE, meshchat_node_cancel_file(node, UNKNOWN_FILE));
    EXPECT_NULL("node", meshchat_node_files(NULL, &list));
    EXPECT_NULL("list", meshchat_node_files(node, NULL));
    EXPECT(MESHCHAT_OK, meshchat_node_files(node, &list));
    EXPECT_NULL("list", meshchat_file_list_count(NULL, &count));
    EXPECT_NULL("count", meshchat_file_list_count(list, NULL));
    EXPECT(MESHCHAT_OK, meshchat_file_list_count(list, &count));
    CHECK(count == 0);
    EXPECT_NULL("list", meshchat_file_list_get(NULL, 0, &file));
    EXPECT_NULL("file", meshchat_file_list_get(list, 0, NULL));
    EXPECT(MESHCHAT_INVALID_ARGUMENT, meshchat_file_list_get(list, 0, &file));
    CHECK(file == NULL && strcmp(id, "x") == 0);
    meshchat_file_list_free(list);
    meshchat_file_list_free(NULL);
}

static void check_null(const meshchat_file *file)
{
    char text[MESHCHAT_ID_TEXT_SIZE];
    const char *name = NULL;
    uint64_t number = 0;
    int32_t state = -1;
    bool incoming = false;
    const meshchat_file *event_file = NULL;
    EXPECT_NULL("file", meshchat_file_id(NULL, text));
    EXPECT_NULL("file_id", meshchat_file_id(file, NULL));
    EXPECT_NULL("file", meshchat_file_peer(NULL, text));
    EXPECT_NULL("id", meshchat_file_peer(file, NULL));
    EXPECT_NULL("file", meshchat_file_incoming(NULL, &incoming));
    EXPECT_NULL("incoming", meshchat_file_incoming(file, NULL));
    EXPECT_NULL("file", meshchat_file_name(NULL, &name));
    EXPECT_NULL("name", meshchat_file_name(file, NULL));
    EXPECT_NULL("file", meshchat_file_size(NULL, &number, &number));
    EXPECT_NULL("size", meshchat_file_size(file, NULL, &number));
    EXPECT_NULL("done", meshchat_file_size(file, &number, NULL));
    EXPECT_NULL("file", meshchat_file_state(NULL, &state));
    EXPECT_NULL("state", meshchat_file_state(file, NULL));
    EXPECT_NULL("file", meshchat_file_reason(NULL, &name));
    EXPECT_NULL("reason", meshchat_file_reason(file, NULL));
    EXPECT_NULL("file", meshchat_file_path(NULL, &name));
    EXPECT_NULL("path", meshchat_file_path(file, NULL));
    EXPECT_NULL("file", meshchat_file_offered_at(NULL, &number));
    EXPECT_NULL("offered_at", meshchat_file_offered_at(file, NULL));
    EXPECT_NULL("event", meshchat_event_file(NULL, &event_file));
    CHECK(name == NULL && number == 0 && state == -1 && event_file == NULL);
}

/* What the file is, and its path, if it has one. */
static const char *check_file(const meshchat_file *file, const char *peer, bool incoming, int32_t state)
{
    char id[MESHCHAT_ID_TEXT_SIZE];
    const char *name = NULL;
    const char *reason = "x";
    const char *path = NULL;
    uint64_t size = 0;
    uint64_t done = 1;
    uint64_t offered_at = 0;
    int32_t is_state = -1;
    bool is_incoming = !incoming;
    EXPECT(MESHCHAT_OK, meshchat_file_peer(file, id));
    EXPECT(MESHCHAT_OK, meshchat_file_name(file, &name));
    EXPECT(MESHCHAT_OK, meshchat_file_reason(file, &reason));
    EXPECT(MESHCHAT_OK, meshchat_file_path(file, &path));
    EXPECT(MESHCHAT_OK, meshchat_file_size(file, &size, &done));
    EXPECT(MESHCHAT_OK, meshchat_file_offered_at(file, &offered_at));
    EXPECT(MESHCHAT_OK, meshchat_file_state(file, &is_state));
    EXPECT(MESHCHAT_OK, meshchat_file_incoming(file, &is_incoming));
    CHECK(strcmp(id, peer) == 0 && strcmp(name, "letter.bin") == 0);
    CHECK(size == SIZE && done == (state == MESHCHAT_FILE_DONE ? SIZE : 0) && offered_at > 0);
    CHECK(is_state == state && is_incoming == incoming);
    CHECK((reason == NULL) == (state < MESHCHAT_FILE_REFUSED));
    CHECK((path == NULL) == (incoming && state != MESHCHAT_FILE_DONE));
    return path;
}

/* The next event of that type, about a file. */
static meshchat_event *wait_file(meshchat_node *node, int32_t type, const meshchat_file **file)
{
    meshchat_event *event = wait_for(node, type);
    char id[MESHCHAT_ID_TEXT_SIZE];
    char peer[MESHCHAT_ID_TEXT_SIZE];
    EXPECT(MESHCHAT_OK, meshchat_event_file(event, file));
    EXPECT(MESHCHAT_OK, meshchat_event_node_id(event, id));
    EXPECT(MESHCHAT_OK, meshchat_file_peer(*file, peer));
    CHECK(strcmp(id, peer) == 0);
    return event;
}

static void check_list(meshchat_node *node, size_t wanted, const char *peer, int32_t state)
{
    meshchat_file_list *list = NULL;
    const meshchat_file *file = NULL;
    size_t count = 0;
    EXPECT(MESHCHAT_OK, meshchat_node_files(node, &list));
    EXPECT(MESHCHAT_OK, meshchat_file_list_count(list, &count));
    CHECK(count == wanted);
    EXPECT(MESHCHAT_OK, meshchat_file_list_get(list, count - 1, &file));
    (void)check_file(file, peer, false, state);
    meshchat_file_list_free(list);
}

int main(int argc, char **argv)
{
    meshchat_node *ada;
    meshchat_node *bob;
    meshchat_event *event;
    const meshchat_file *file = NULL;
    char ada_id[MESHCHAT_ID_TEXT_SIZE];
    char bob_id[MESHCHAT_ID_TEXT_SIZE];
    char sent[MESHCHAT_FILE_ID_TEXT_SIZE];
    char offered[MESHCHAT_FILE_ID_TEXT_SIZE];
    char *path;
    char *folder;

    CHECK(argc == 2);
    path = in_folder(argv[1], "letter.bin");
    folder = in_folder(argv[1], "elsewhere");
    write_file(path);
    ada = start(argv[1], "ada");
    bob = start(argv[1], "bob");
    EXPECT(MESHCHAT_OK, meshchat_node_id(ada, ada_id));
    EXPECT(MESHCHAT_OK, meshchat_node_id(bob, bob_id));
    event = wait_for(ada, MESHCHAT_EVENT_NODE_FOUND);
    EXPECT(MESHCHAT_WRONG_EVENT, meshchat_event_file(event, &file));
    EXPECT_NULL("file", meshchat_event_file(event, NULL));
    meshchat_event_free(event);
    check_arguments(ada, path, bob_id);

    EXPECT(MESHCHAT_OK, meshchat_node_send_file(ada, bob_id, path, sent));
    check_list(ada, 1, bob_id, MESHCHAT_FILE_WAITING);
    event = wait_file(bob, MESHCHAT_EVENT_FILE_OFFERED, &file);
    CHECK(check_file(file, ada_id, true, MESHCHAT_FILE_WAITING) == NULL);
    check_null(file);
    EXPECT(MESHCHAT_OK, meshchat_file_id(file, offered));
    CHECK(strlen(offered) == 32 && strcmp(offered, sent) != 0);
    meshchat_event_free(event);
    EXPECT(MESHCHAT_INVALID_ARGUMENT, meshchat_node_accept_file(ada, sent, NULL));
    EXPECT(MESHCHAT_STORAGE, meshchat_node_accept_file(bob, offered, "/proc/nowhere"));
    EXPECT(MESHCHAT_INVALID_ARGUMENT, meshchat_node_accept_file(bob, offered, ""));
    EXPECT(MESHCHAT_OK, meshchat_node_accept_file(bob, offered, folder));
    event = wait_file(bob, MESHCHAT_EVENT_FILE_DONE, &file);
    CHECK(is_whole(check_file(file, ada_id, true, MESHCHAT_FILE_DONE)));
    meshchat_event_free(event);
    event = wait_file(ada, MESHCHAT_EVENT_FILE_DONE, &file);
    CHECK(strcmp(check_file(file, bob_id, false, MESHCHAT_FILE_DONE), path) == 0);
    meshchat_event_free(event);

    /* Refused by the one, taken back by the other. */
    EXPECT(MESHCHAT_OK, meshchat_node_send_file(ada, bob_id, path, sent));
    event = wait_file(bob, MESHCHAT_EVENT_FILE_OFFERED, &file);
    EXPECT(MESHCHAT_OK, meshchat_file_id(file, offered));
    meshchat_event_free(event);
    EXPECT(MESHCHAT_OK, meshchat_node_refuse_file(bob, offered));
    event = wait_file(ada, MESHCHAT_EVENT_FILE_FAILED, &file);
    (void)check_file(file, bob_id, false, MESHCHAT_FILE_REFUSED);
    meshchat_event_free(event);
    EXPECT(MESHCHAT_INVALID_ARGUMENT, meshchat_node_cancel_file(ada, sent));
    EXPECT(MESHCHAT_OK, meshchat_node_send_file(ada, bob_id, path, sent));
    EXPECT(MESHCHAT_OK, meshchat_node_cancel_file(ada, sent));
    check_list(ada, 3, bob_id, MESHCHAT_FILE_CANCELLED);

    EXPECT(MESHCHAT_OK, meshchat_node_stop(ada));
    EXPECT(MESHCHAT_STOPPED, meshchat_node_cancel_file(ada, sent));
    meshchat_node_free(ada);
    meshchat_node_free(bob);
    free(path);
    free(folder);
    return 0;
}
