/* Bad arguments of everything that needs no second node. Usage: arguments FOLDER, with the home FOLDER/ada. */
#include "check.h"

#define UNKNOWN_ID "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define TOO_LONG (1024 * 1024 + 1)

/* A Latin-1 text. */
static const char not_utf8[] = {'c', 'a', 'f', '\xe9', '\0'};

static void constants(void)
{
    CHECK(meshchat_abi_version() == MESHCHAT_ABI_VERSION);
    CHECK(strlen(meshchat_version()) >= 5);
    CHECK(strcmp(meshchat_last_error(), "") == 0);
    CHECK(strcmp(meshchat_status_name(MESHCHAT_OK), "MESHCHAT_OK") == 0);
    CHECK(strcmp(meshchat_status_name(MESHCHAT_HOME_IN_USE), "MESHCHAT_HOME_IN_USE") == 0);
    CHECK(strcmp(meshchat_status_name(-1), "unknown") == 0);
    CHECK(strcmp(meshchat_status_name(12345), "unknown") == 0);
}

static void free_nothing(void)
{
    meshchat_config_free(NULL);
    meshchat_node_free(NULL);
    meshchat_event_free(NULL);
    meshchat_node_list_free(NULL);
    meshchat_identity_free(NULL);
    meshchat_trace_free(NULL);
}

static void config(void)
{
    meshchat_config *config = meshchat_config_new();
    CHECK(config != NULL);
    EXPECT_NULL("config", meshchat_config_set_home(NULL, "x"));
    EXPECT_NULL("home", meshchat_config_set_home(config, NULL));
    EXPECT_NULL("config", meshchat_config_set_temporary(NULL));
    EXPECT_NULL("config", meshchat_config_set_nickname(NULL, "x"));
    EXPECT_NULL("nickname", meshchat_config_set_nickname(config, NULL));
    EXPECT_NULL("config", meshchat_config_set_passphrase(NULL, "x"));
    EXPECT_NULL("passphrase", meshchat_config_set_passphrase(config, NULL));
    EXPECT_NULL("config", meshchat_config_set_key_bits(NULL, 2048));
    EXPECT_NULL("config", meshchat_config_set_mailbox(NULL, 0, 0, 0));
    EXPECT_NULL("config", meshchat_config_set_network_key_file(NULL, "x"));
    EXPECT_NULL("file", meshchat_config_set_network_key_file(config, NULL));
    EXPECT_NULL("config", meshchat_config_add_link(NULL, "udp"));
    EXPECT_NULL("link", meshchat_config_add_link(config, NULL));

    EXPECT(MESHCHAT_INVALID_ARGUMENT, meshchat_config_set_home(config, ""));
    EXPECT(MESHCHAT_INVALID_ARGUMENT, meshchat_config_set_network_key_file(config, ""));
    EXPECT(MESHCHAT_INVALID_ARGUMENT, meshchat_config_set_nickname(config, ""));
    EXPECT(MESHCHAT_INVALID_ARGUMENT, meshchat_config_set_nickname(config, "two words"));
    EXPECT(MESHCHAT_INVALID_ARGUMENT, meshchat_config_set_nickname(config, "@ada"));
    EXPECT(MESHCHAT_NOT_UTF8, meshchat_config_set_nickname(config, not_utf8));
    EXPECT(MESHCHAT_NOT_UTF8, meshchat_config_set_passphrase(config, not_utf8));
    EXPECT(MESHCHAT_NOT_UTF8, meshchat_config_add_link(config, not_utf8));
    meshchat_config_free(config);
}

static void default_home(void)
{
    char place[256] = "untouched";
    CHECK(setenv("MESHCHAT_HOME", "/tmp/a home", 1) == 0);
    EXPECT_NULL("home", meshchat_default_home(NULL, sizeof place));
    EXPECT(MESHCHAT_BUFFER_TOO_SMALL, meshchat_default_home(place, strlen("/tmp/a home")));
    CHECK(strcmp(place, "untouched") == 0);
    EXPECT(MESHCHAT_OK, meshchat_default_home(place, strlen("/tmp/a home") + 1));
    CHECK(strcmp(place, "/tmp/a home") == 0);
}

static void network_key(const char *home, const char *file)
{
    meshchat_config *config = meshchat_config_new();
    meshchat_node *node = NULL;
    EXPECT(MESHCHAT_OK, meshchat_config_set_home(config, home));
    EXPECT(MESHCHAT_OK, meshchat_config_set_network_key_file(config, file));
    EXPECT(MESHCHAT_NO_KEY, meshchat_node_start(config, &node));
    CHECK(node == NULL);
    EXPECT_NULL("file", meshchat_network_key_create(NULL));
    EXPECT(MESHCHAT_INVALID_ARGUMENT, meshchat_network_key_create(""));
    EXPECT(MESHCHAT_OK, meshchat_network_key_create(file));
    EXPECT(MESHCHAT_KEY_EXISTS, meshchat_network_key_create(file));
    EXPECT(MESHCHAT_OK, meshchat_node_start(config, &node));
    meshchat_node_free(node);
    meshchat_config_free(config);
}

static void start_that_fails(const char *home)
{
    meshchat_node *untouched = (meshchat_node *)&untouched;
    meshchat_node *node = untouched;
    meshchat_config *config = meshchat_config_new();
    EXPECT(MESHCHAT_OK, meshchat_config_set_home(config, home));
    EXPECT_NULL("config", meshchat_node_start(NULL, &node));
    EXPECT_NULL("node", meshchat_node_start(config, NULL));
    EXPECT(MESHCHAT_OK, meshchat_config_set_key_bits(config, 1024));
    EXPECT(MESHCHAT_INVALID_ARGUMENT, meshchat_node_start(config, &node));
    EXPECT(MESHCHAT_OK, meshchat_config_set_key_bits(config, 2048));
    EXPECT(MESHCHAT_OK, meshchat_config_add_link(config, "carrier-pigeon"));
    EXPECT(MESHCHAT_INVALID_ARGUMENT, meshchat_node_start(config, &node));
    CHECK(node == untouched);
    meshchat_config_free(config);
}

static void identity(const char *home, const char *empty)
{
    meshchat_identity *untouched = (meshchat_identity *)&untouched;
    meshchat_identity *identity = untouched;
    const char *pem = NULL;
    char id[MESHCHAT_ID_TEXT_SIZE];
    char words[MESHCHAT_SAFETY_WORDS_SIZE] = "untouched";
    bool exists = true;

    EXPECT_NULL("exists", meshchat_identity_exists(home, NULL));
    EXPECT_NULL("identity", meshchat_identity_create(home, 2048, NULL, NULL));
    EXPECT_NULL("identity", meshchat_identity_load(home, NULL, NULL));
    EXPECT_NULL("identity", meshchat_identity_id(NULL, id));
    EXPECT_NULL("identity", meshchat_identity_public_pem(NULL, &pem));
    EXPECT_NULL("identity", meshchat_identity_safety_words(NULL, UNKNOWN_ID, words, sizeof words));

    EXPECT(MESHCHAT_OK, meshchat_identity_exists(empty, &exists));
    CHECK(!exists);
    EXPECT(MESHCHAT_NO_KEY, meshchat_identity_load(empty, NULL, &identity));
    EXPECT(MESHCHAT_INVALID_ARGUMENT, meshchat_identity_create(empty, 1, NULL, &identity));
    EXPECT(MESHCHAT_NOT_UTF8, meshchat_identity_load(home, not_utf8, &identity));
    EXPECT(MESHCHAT_KEY_EXISTS, meshchat_identity_create(home, 0, NULL, &identity));
    CHECK(identity == untouched);

    EXPECT(MESHCHAT_OK, meshchat_identity_exists(home, &exists));
    CHECK(exists);
    EXPECT(MESHCHAT_OK, meshchat_identity_load(home, NULL, &identity));
    EXPECT_NULL("id", meshchat_identity_id(identity, NULL));
    EXPECT_NULL("public_pem", meshchat_identity_public_pem(identity, NULL));
    EXPECT_NULL("peer_id", meshchat_identity_safety_words(identity, NULL, words, sizeof words));
    EXPECT_NULL("words", meshchat_identity_safety_words(identity, UNKNOWN_ID, NULL, sizeof words));
    EXPECT(MESHCHAT_INVALID_ARGUMENT, meshchat_identity_safety_words(identity, "ada", words, sizeof words));
    EXPECT(MESHCHAT_BUFFER_TOO_SMALL, meshchat_identity_safety_words(identity, UNKNOWN_ID, words, 8));
    CHECK(strcmp(words, "untouched") == 0);
    EXPECT(MESHCHAT_OK, meshchat_identity_safety_words(identity, UNKNOWN_ID, words, sizeof words));
    CHECK(strlen(words) >= 8 * 3 + 7);
    EXPECT(MESHCHAT_OK, meshchat_identity_id(identity, id));
    CHECK(strlen(id) == MESHCHAT_ID_TEXT_SIZE - 1);
    EXPECT(MESHCHAT_OK, meshchat_identity_public_pem(identity, &pem));
    CHECK(strncmp(pem, "-----BEGIN PUBLIC KEY-----", 26) == 0);
    meshchat_identity_free(identity);
}

static void node_getters(meshchat_node *node, const char *home)
{
    char id[MESHCHAT_ID_TEXT_SIZE];
    const char *text = NULL;
    size_t count = 0;
    int32_t status = -1;
    int fd = -1;

    EXPECT_NULL("node", meshchat_node_id(NULL, id));
    EXPECT_NULL("id", meshchat_node_id(node, NULL));
    EXPECT_NULL("node", meshchat_node_nickname(NULL, &text));
    EXPECT_NULL("nickname", meshchat_node_nickname(node, NULL));
    EXPECT_NULL("node", meshchat_node_home(NULL, &text));
    EXPECT_NULL("home", meshchat_node_home(node, NULL));
    EXPECT_NULL("node", meshchat_node_link_count(NULL, &count));
    EXPECT_NULL("count", meshchat_node_link_count(node, NULL));
    EXPECT_NULL("node", meshchat_node_link_spec(NULL, 0, &text));
    EXPECT_NULL("spec", meshchat_node_link_spec(node, 0, NULL));
    EXPECT_NULL("node", meshchat_node_link_status(NULL, 0, &status, &text));
    EXPECT_NULL("link_status", meshchat_node_link_status(node, 0, NULL, &text));
    EXPECT_NULL("error", meshchat_node_link_status(node, 0, &status, NULL));
    EXPECT_NULL("node", meshchat_node_fd(NULL, &fd));
    EXPECT_NULL("fd", meshchat_node_fd(node, NULL));
    CHECK(text == NULL && count == 0 && status == -1 && fd == -1);

    EXPECT(MESHCHAT_OK, meshchat_node_id(node, id));
    CHECK(strlen(id) == MESHCHAT_ID_TEXT_SIZE - 1);
    EXPECT(MESHCHAT_OK, meshchat_node_nickname(node, &text));
    CHECK(strcmp(text, "ada") == 0);
    EXPECT(MESHCHAT_OK, meshchat_node_home(node, &text));
    CHECK(strcmp(text, home) == 0);
    EXPECT(MESHCHAT_OK, meshchat_node_link_count(node, &count));
    CHECK(count == 1);
    EXPECT(MESHCHAT_OK, meshchat_node_link_spec(node, 0, &text));
    CHECK(strcmp(text, "udp") == 0);
    EXPECT(MESHCHAT_OK, meshchat_node_link_status(node, 0, &status, &text));
    CHECK(status == MESHCHAT_OK && text == NULL);
    EXPECT(MESHCHAT_INVALID_ARGUMENT, meshchat_node_link_spec(node, 1, &text));
    EXPECT(MESHCHAT_INVALID_ARGUMENT, meshchat_node_link_status(node, (size_t)-1, &status, &text));
    EXPECT(MESHCHAT_OK, meshchat_node_fd(node, &fd));
    CHECK(fd >= 0);
}

static void node_calls(meshchat_node *node)
{
    meshchat_node_list *list = NULL;
    meshchat_event *event = NULL;
    meshchat_trace *trace = NULL;
    uint64_t rtt = 0;
    char own_id[MESHCHAT_ID_TEXT_SIZE];
    char id[MESHCHAT_ID_TEXT_SIZE] = "untouched";
    char message_id[MESHCHAT_MESSAGE_ID_TEXT_SIZE] = "untouched";
    char *long_text = calloc(TOO_LONG, 1);
    CHECK(long_text != NULL);
    memset(long_text, 'x', TOO_LONG);

    EXPECT_NULL("node", meshchat_node_nodes(NULL, &list));
    EXPECT_NULL("list", meshchat_node_nodes(node, NULL));
    EXPECT_NULL("node", meshchat_node_resolve(NULL, "x", id));
    EXPECT_NULL("query", meshchat_node_resolve(node, NULL, id));
    EXPECT_NULL("id", meshchat_node_resolve(node, "x", NULL));
    EXPECT_NULL("node", meshchat_node_send(NULL, UNKNOWN_ID, "x", 1, message_id));
    EXPECT_NULL("to", meshchat_node_send(node, NULL, "x", 1, message_id));
    EXPECT_NULL("text", meshchat_node_send(node, UNKNOWN_ID, NULL, 0, message_id));
    EXPECT_NULL("message_id", meshchat_node_send(node, UNKNOWN_ID, "x", 1, NULL));
    EXPECT_NULL("node", meshchat_node_send_for(NULL, UNKNOWN_ID, "x", 1, 60, message_id));
    EXPECT_NULL("to", meshchat_node_send_for(node, NULL, "x", 1, 60, message_id));
    EXPECT_NULL("text", meshchat_node_send_for(node, UNKNOWN_ID, NULL, 0, 60, message_id));
    EXPECT_NULL("message_id", meshchat_node_send_for(node, UNKNOWN_ID, "x", 1, 60, NULL));
    EXPECT_NULL("node", meshchat_node_ping(NULL, UNKNOWN_ID, 1, &rtt));
    EXPECT_NULL("to", meshchat_node_ping(node, NULL, 1, &rtt));
    EXPECT_NULL("rtt_us", meshchat_node_ping(node, UNKNOWN_ID, 1, NULL));
    EXPECT_NULL("node", meshchat_node_trace(NULL, UNKNOWN_ID, &trace));
    EXPECT_NULL("to", meshchat_node_trace(node, NULL, &trace));
    EXPECT_NULL("trace", meshchat_node_trace(node, UNKNOWN_ID, NULL));
    EXPECT_NULL("node", meshchat_node_broadcast(NULL, "x", 1));
    EXPECT_NULL("text", meshchat_node_broadcast(node, NULL, 1));
    EXPECT_NULL("node", meshchat_node_next_event(NULL, &event));
    EXPECT_NULL("event", meshchat_node_next_event(node, NULL));
    EXPECT_NULL("event", meshchat_node_confirm(node, NULL));
    EXPECT_NULL("node", meshchat_node_stop(NULL));

    EXPECT(MESHCHAT_UNKNOWN_NODE, meshchat_node_resolve(node, "nobody", id));
    EXPECT(MESHCHAT_NOT_UTF8, meshchat_node_resolve(node, not_utf8, id));
    EXPECT(MESHCHAT_UNKNOWN_NODE, meshchat_node_send(node, UNKNOWN_ID, "x", 1, message_id));
    EXPECT(MESHCHAT_UNKNOWN_NODE, meshchat_node_send_for(node, UNKNOWN_ID, "x", 1, 60, message_id));
    CHECK(strcmp(meshchat_message_status_text(MESHCHAT_MESSAGE_STORED), "stored") == 0);
    CHECK(strcmp(meshchat_message_status_text(-1), "unknown") == 0);
    EXPECT(MESHCHAT_INVALID_ARGUMENT, meshchat_node_send(node, "nobody", "x", 1, message_id));
    EXPECT(MESHCHAT_NOT_UTF8, meshchat_node_send(node, UNKNOWN_ID, not_utf8, 4, message_id));
    EXPECT(MESHCHAT_INVALID_ARGUMENT, meshchat_node_send(node, UNKNOWN_ID, "x", (size_t)-1, message_id));
    EXPECT(MESHCHAT_EMPTY_MESSAGE, meshchat_node_send(node, UNKNOWN_ID, "x", 0, message_id));
    EXPECT(MESHCHAT_MESSAGE_TOO_LONG, meshchat_node_send(node, UNKNOWN_ID, long_text, TOO_LONG, message_id));
    EXPECT(MESHCHAT_NOT_UTF8, meshchat_node_broadcast(node, not_utf8, 4));
    EXPECT(MESHCHAT_EMPTY_MESSAGE, meshchat_node_broadcast(node, "", 0));
    EXPECT(MESHCHAT_MESSAGE_TOO_LONG, meshchat_node_broadcast(node, long_text, 1001));
    EXPECT(MESHCHAT_OK, meshchat_node_id(node, own_id));
    EXPECT(MESHCHAT_INVALID_ARGUMENT, meshchat_node_ping(node, own_id, 1, &rtt));
    EXPECT(MESHCHAT_INVALID_ARGUMENT, meshchat_node_ping(node, "nobody", 1, &rtt));
    EXPECT(MESHCHAT_OUT_OF_REACH, meshchat_node_ping(node, UNKNOWN_ID, UINT32_MAX, &rtt));
    EXPECT(MESHCHAT_INVALID_ARGUMENT, meshchat_node_trace(node, own_id, &trace));
    EXPECT(MESHCHAT_INVALID_ARGUMENT, meshchat_node_trace(node, "nobody", &trace));
    EXPECT(MESHCHAT_OUT_OF_REACH, meshchat_node_trace(node, UNKNOWN_ID, &trace));
    CHECK(rtt == 0 && trace == NULL);
    CHECK(strcmp(id, "untouched") == 0 && strcmp(message_id, "untouched") == 0);
    free(long_text);
}

static void home_in_use(const char *home)
{
    meshchat_config *config = meshchat_config_new();
    meshchat_node *node = NULL;
    EXPECT(MESHCHAT_OK, meshchat_config_set_home(config, home));
    EXPECT(MESHCHAT_HOME_IN_USE, meshchat_node_start(config, &node));
    CHECK(node == NULL);
    meshchat_config_free(config);
}

static void after_stop(meshchat_node *node)
{
    meshchat_node_list *list = NULL;
    meshchat_event *event = NULL;
    meshchat_trace *trace = NULL;
    uint64_t rtt = 0;
    char id[MESHCHAT_ID_TEXT_SIZE];
    char message_id[MESHCHAT_MESSAGE_ID_TEXT_SIZE];
    struct pollfd readable = {-1, POLLIN, 0};
    int32_t status;

    EXPECT(MESHCHAT_OK, meshchat_node_stop(node));
    EXPECT(MESHCHAT_OK, meshchat_node_stop(node));
    EXPECT(MESHCHAT_OK, meshchat_node_id(node, id));
    EXPECT(MESHCHAT_OK, meshchat_node_fd(node, &readable.fd));
    CHECK(poll(&readable, 1, 0) == 1);
    EXPECT(MESHCHAT_STOPPED, meshchat_node_nodes(node, &list));
    EXPECT(MESHCHAT_STOPPED, meshchat_node_resolve(node, "nobody", id));
    EXPECT(MESHCHAT_STOPPED, meshchat_node_send(node, UNKNOWN_ID, "x", 1, message_id));
    EXPECT(MESHCHAT_STOPPED, meshchat_node_broadcast(node, "x", 1));
    EXPECT(MESHCHAT_STOPPED, meshchat_node_ping(node, UNKNOWN_ID, 1, &rtt));
    EXPECT(MESHCHAT_STOPPED, meshchat_node_trace(node, UNKNOWN_ID, &trace));
    while ((status = meshchat_node_next_event(node, &event)) == MESHCHAT_OK) {
        CHECK(event != NULL);
        meshchat_event_free(event);
    }
    CHECK(status == MESHCHAT_STOPPED);
    EXPECT(MESHCHAT_STOPPED, meshchat_node_next_event(node, &event));
}

int main(int argc, char **argv)
{
    char *home;
    char *empty;
    char *key;
    meshchat_node *node;

    CHECK(argc == 2);
    home = in_folder(argv[1], "ada");
    empty = in_folder(argv[1], "empty");
    key = in_folder(argv[1], "network.key");
    constants();
    free_nothing();
    config();
    default_home();
    start_that_fails(home);
    identity(home, empty);
    network_key(home, key);
    node = start(argv[1], "ada");
    node_getters(node, home);
    node_calls(node);
    home_in_use(home);
    after_stop(node);
    meshchat_node_free(node);
    free(home);
    free(empty);
    free(key);
    return 0;
}
