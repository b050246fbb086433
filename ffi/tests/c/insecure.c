/* Two nodes in one process that speak AlexMesh v1 to each other. Usage: insecure FOLDER, with the homes FOLDER/ada and
 * FOLDER/bob, and a cable between the interfaces a0 and b0. */
#include "check.h"

#define TEXT "ahoj"
#define TEXT_LEN (sizeof TEXT - 1)
#define NOBODY "v1:02:00:00:00:00:99"

static meshchat_node *start_v1(const char *folder, const char *name, const char *interface)
{
    char *home = in_folder(folder, name);
    meshchat_config *config = meshchat_config_new();
    meshchat_node *node = NULL;
    EXPECT(MESHCHAT_OK, meshchat_config_set_home(config, home));
    EXPECT_NULL("config", meshchat_config_add_v1(NULL, interface));
    EXPECT_NULL("interface", meshchat_config_add_v1(config, NULL));
    EXPECT(MESHCHAT_OK, meshchat_config_add_v1(config, interface));
    EXPECT(MESHCHAT_OK, meshchat_node_start(config, &node));
    meshchat_config_free(config);
    free(home);
    return node;
}

static void check_address(const meshchat_event *event, const char *address)
{
    char found[MESHCHAT_INSECURE_ADDRESS_TEXT_SIZE];
    EXPECT(MESHCHAT_OK, meshchat_event_insecure_address(event, found));
    CHECK(strcmp(found, address) == 0);
}

static void check_addresses(void)
{
    char address[MESHCHAT_INSECURE_ADDRESS_TEXT_SIZE] = "";
    EXPECT_NULL("text", meshchat_insecure_address(NULL, address));
    EXPECT_NULL("address", meshchat_insecure_address(NOBODY, NULL));
    EXPECT(MESHCHAT_INVALID_ARGUMENT, meshchat_insecure_address("v1:02:00", address));
    CHECK(address[0] == '\0');
    EXPECT(MESHCHAT_OK, meshchat_insecure_address("02-00-00-00-00-99", address));
    CHECK(strcmp(address, NOBODY) == 0);
}

/* Waits until the other node is found; its address. */
static void wait_found(meshchat_node *node, char *address)
{
    meshchat_event *event = wait_for(node, MESHCHAT_EVENT_INSECURE_NODE_FOUND);
    char id[MESHCHAT_ID_TEXT_SIZE];
    const char *text = NULL;
    size_t len = 0;
    uint64_t number = 0;
    int32_t reason = -1;
    bool flag = false;
    EXPECT_NULL("event", meshchat_event_insecure_address(NULL, address));
    EXPECT_NULL("address", meshchat_event_insecure_address(event, NULL));
    EXPECT(MESHCHAT_OK, meshchat_event_insecure_address(event, address));
    EXPECT(MESHCHAT_WRONG_EVENT, meshchat_event_node_id(event, id));
    EXPECT(MESHCHAT_WRONG_EVENT, meshchat_event_text(event, &text, &len));
    EXPECT(MESHCHAT_WRONG_EVENT, meshchat_event_insecure_to_all(event, &flag));
    EXPECT(MESHCHAT_WRONG_EVENT, meshchat_event_insecure_message(event, &number));
    EXPECT(MESHCHAT_WRONG_EVENT, meshchat_event_insecure_stream(event, &number));
    EXPECT(MESHCHAT_WRONG_EVENT, meshchat_event_insecure_by_peer(event, &flag));
    EXPECT(MESHCHAT_WRONG_EVENT, meshchat_event_insecure_data(event, &text, &len));
    EXPECT(MESHCHAT_WRONG_EVENT, meshchat_event_insecure_close_reason(event, &reason));
    CHECK(text == NULL && len == 0 && number == 0 && reason == -1 && !flag);
    meshchat_event_free(event);
}

static void check_list(const meshchat_node *node, const char *address)
{
    meshchat_insecure_list *list = NULL;
    char found[MESHCHAT_INSECURE_ADDRESS_TEXT_SIZE];
    size_t count = 0;
    bool direct = false;
    EXPECT_NULL("node", meshchat_node_insecure_nodes(NULL, &list));
    EXPECT_NULL("list", meshchat_node_insecure_nodes(node, NULL));
    EXPECT(MESHCHAT_OK, meshchat_node_insecure_nodes(node, &list));
    EXPECT_NULL("list", meshchat_insecure_list_count(NULL, &count));
    EXPECT_NULL("count", meshchat_insecure_list_count(list, NULL));
    EXPECT_NULL("list", meshchat_insecure_list_address(NULL, 0, found));
    EXPECT_NULL("address", meshchat_insecure_list_address(list, 0, NULL));
    EXPECT_NULL("list", meshchat_insecure_list_direct(NULL, 0, &direct));
    EXPECT_NULL("direct", meshchat_insecure_list_direct(list, 0, NULL));
    EXPECT(MESHCHAT_OK, meshchat_insecure_list_count(list, &count));
    CHECK(count == 1);
    EXPECT(MESHCHAT_INVALID_ARGUMENT, meshchat_insecure_list_address(list, 1, found));
    EXPECT(MESHCHAT_INVALID_ARGUMENT, meshchat_insecure_list_direct(list, 1, &direct));
    EXPECT(MESHCHAT_OK, meshchat_insecure_list_address(list, 0, found));
    EXPECT(MESHCHAT_OK, meshchat_insecure_list_direct(list, 0, &direct));
    CHECK(strcmp(found, address) == 0 && direct);
    meshchat_insecure_list_free(list);
    meshchat_insecure_list_free(NULL);
}

/* The event tells the fate of that message. */
static void check_fate(meshchat_node *node, int32_t type, uint64_t message, const char *to)
{
    meshchat_event *event = wait_for(node, type);
    uint64_t about = 0;
    EXPECT_NULL("event", meshchat_event_insecure_message(NULL, &about));
    EXPECT_NULL("message", meshchat_event_insecure_message(event, NULL));
    EXPECT(MESHCHAT_OK, meshchat_event_insecure_message(event, &about));
    CHECK(about == message);
    check_address(event, to);
    meshchat_event_free(event);
}

static void check_text(meshchat_node *node, const char *from, bool to_all)
{
    meshchat_event *event = wait_for(node, MESHCHAT_EVENT_INSECURE_MESSAGE);
    const char *text = NULL;
    size_t len = 0;
    bool all = !to_all;
    check_address(event, from);
    EXPECT(MESHCHAT_OK, meshchat_event_text(event, &text, &len));
    CHECK(len == TEXT_LEN && strcmp(text, TEXT) == 0);
    EXPECT_NULL("event", meshchat_event_insecure_to_all(NULL, &all));
    EXPECT_NULL("to_all", meshchat_event_insecure_to_all(event, NULL));
    EXPECT(MESHCHAT_OK, meshchat_event_insecure_to_all(event, &all));
    CHECK(all == to_all);
    meshchat_event_free(event);
}

static void check_messages(meshchat_node *ada, const char *ada_v1, meshchat_node *bob, const char *bob_v1)
{
    uint64_t message = 0;
    uint64_t other = 0;
    EXPECT_NULL("node", meshchat_node_send_insecure(NULL, bob_v1, TEXT, TEXT_LEN, &message));
    EXPECT_NULL("to", meshchat_node_send_insecure(ada, NULL, TEXT, TEXT_LEN, &message));
    EXPECT_NULL("text", meshchat_node_send_insecure(ada, bob_v1, NULL, TEXT_LEN, &message));
    EXPECT_NULL("message", meshchat_node_send_insecure(ada, bob_v1, TEXT, TEXT_LEN, NULL));
    EXPECT(MESHCHAT_INVALID_ARGUMENT, meshchat_node_send_insecure(ada, "bob", TEXT, TEXT_LEN, &message));
    EXPECT(MESHCHAT_INVALID_ARGUMENT, meshchat_node_send_insecure(ada, ada_v1, TEXT, TEXT_LEN, &message));
    EXPECT(MESHCHAT_INVALID_ARGUMENT, meshchat_node_send_insecure(ada, bob_v1, "\x01", 1, &message));
    EXPECT(MESHCHAT_NOT_UTF8, meshchat_node_send_insecure(ada, bob_v1, "\xff", 1, &message));
    EXPECT(MESHCHAT_EMPTY_MESSAGE, meshchat_node_send_insecure(ada, bob_v1, "", 0, &message));
    CHECK(message == 0);
    EXPECT(MESHCHAT_OK, meshchat_node_send_insecure(ada, NOBODY, TEXT, TEXT_LEN, &other));
    EXPECT(MESHCHAT_OK, meshchat_node_send_insecure(ada, bob_v1, TEXT, TEXT_LEN, &message));
    CHECK(message != other);
    check_text(bob, ada_v1, false);
    check_fate(ada, MESHCHAT_EVENT_INSECURE_DELIVERED, message, bob_v1);
    check_fate(ada, MESHCHAT_EVENT_INSECURE_FAILED, other, NOBODY);

    EXPECT_NULL("node", meshchat_node_broadcast_insecure(NULL, TEXT, TEXT_LEN));
    EXPECT_NULL("text", meshchat_node_broadcast_insecure(bob, NULL, TEXT_LEN));
    EXPECT(MESHCHAT_OK, meshchat_node_broadcast_insecure(bob, TEXT, TEXT_LEN));
    check_text(ada, bob_v1, true);
}

/* The number of the stream that was opened. */
static uint64_t wait_opened(meshchat_node *node, const char *peer, bool by_peer)
{
    meshchat_event *event = wait_for(node, MESHCHAT_EVENT_INSECURE_STREAM_OPENED);
    uint64_t stream = 0;
    bool by = !by_peer;
    check_address(event, peer);
    EXPECT_NULL("event", meshchat_event_insecure_stream(NULL, &stream));
    EXPECT_NULL("stream", meshchat_event_insecure_stream(event, NULL));
    EXPECT(MESHCHAT_OK, meshchat_event_insecure_stream(event, &stream));
    EXPECT_NULL("event", meshchat_event_insecure_by_peer(NULL, &by));
    EXPECT_NULL("by_peer", meshchat_event_insecure_by_peer(event, NULL));
    EXPECT(MESHCHAT_OK, meshchat_event_insecure_by_peer(event, &by));
    CHECK(by == by_peer);
    meshchat_event_free(event);
    return stream;
}

static void wait_closed(meshchat_node *node, uint64_t stream, int32_t reason, const char *words)
{
    meshchat_event *event = wait_for(node, MESHCHAT_EVENT_INSECURE_STREAM_CLOSED);
    const char *text = NULL;
    size_t len = 0;
    uint64_t closed = 0;
    int32_t why = -1;
    EXPECT(MESHCHAT_OK, meshchat_event_insecure_stream(event, &closed));
    EXPECT_NULL("event", meshchat_event_insecure_close_reason(NULL, &why));
    EXPECT_NULL("reason", meshchat_event_insecure_close_reason(event, NULL));
    EXPECT(MESHCHAT_OK, meshchat_event_insecure_close_reason(event, &why));
    EXPECT(MESHCHAT_OK, meshchat_event_text(event, &text, &len));
    CHECK(closed == stream && why == reason && strcmp(text, words) == 0);
    meshchat_event_free(event);
}

static void check_streams(meshchat_node *ada, const char *ada_v1, meshchat_node *bob, const char *bob_v1)
{
    meshchat_event *event;
    const char *data = NULL;
    uint64_t stream = 0;
    uint64_t there;
    size_t len = 0;
    EXPECT_NULL("node", meshchat_node_connect_insecure(NULL, bob_v1, &stream));
    EXPECT_NULL("to", meshchat_node_connect_insecure(ada, NULL, &stream));
    EXPECT_NULL("stream", meshchat_node_connect_insecure(ada, bob_v1, NULL));
    EXPECT(MESHCHAT_INVALID_ARGUMENT, meshchat_node_connect_insecure(ada, ada_v1, &stream));
    CHECK(stream == 0);
    EXPECT(MESHCHAT_OK, meshchat_node_connect_insecure(ada, bob_v1, &stream));
    CHECK(wait_opened(ada, bob_v1, false) == stream);
    there = wait_opened(bob, ada_v1, true);

    EXPECT_NULL("node", meshchat_node_write_insecure(NULL, stream, TEXT, TEXT_LEN));
    EXPECT_NULL("data", meshchat_node_write_insecure(ada, stream, NULL, TEXT_LEN));
    EXPECT(MESHCHAT_OK, meshchat_node_write_insecure(ada, stream, TEXT, TEXT_LEN));
    event = wait_for(bob, MESHCHAT_EVENT_INSECURE_STREAM_DATA);
    check_address(event, ada_v1);
    EXPECT_NULL("event", meshchat_event_insecure_data(NULL, &data, &len));
    EXPECT_NULL("data", meshchat_event_insecure_data(event, NULL, &len));
    EXPECT_NULL("data_len", meshchat_event_insecure_data(event, &data, NULL));
    EXPECT(MESHCHAT_OK, meshchat_event_insecure_data(event, &data, &len));
    CHECK(len == TEXT_LEN && memcmp(data, TEXT, len) == 0);
    meshchat_event_free(event);

    EXPECT_NULL("node", meshchat_node_close_insecure(NULL, stream));
    EXPECT(MESHCHAT_OK, meshchat_node_close_insecure(ada, stream));
    wait_closed(ada, stream, MESHCHAT_INSECURE_CLOSED_HERE, "closed here");
    wait_closed(bob, there, MESHCHAT_INSECURE_CLOSED_BY_PEER, "closed by the peer");
    EXPECT(MESHCHAT_STREAM_CLOSED, meshchat_node_write_insecure(ada, stream, TEXT, TEXT_LEN));
    EXPECT(MESHCHAT_STREAM_CLOSED, meshchat_node_close_insecure(bob, there));
}

int main(int argc, char **argv)
{
    char ada_v1[MESHCHAT_INSECURE_ADDRESS_TEXT_SIZE];
    char bob_v1[MESHCHAT_INSECURE_ADDRESS_TEXT_SIZE];
    const char *spec = NULL;
    meshchat_node *ada;
    meshchat_node *bob;
    meshchat_event *event;

    CHECK(argc == 2);
    check_addresses();
    ada = start_v1(argv[1], "ada", "a0");
    EXPECT(MESHCHAT_OK, meshchat_node_link_spec(ada, 1, &spec));
    CHECK(strcmp(spec, "v1:a0") == 0);
    bob = start_v1(argv[1], "bob", "b0");
    wait_found(ada, bob_v1);
    wait_found(bob, ada_v1);
    check_list(ada, bob_v1);
    check_messages(ada, ada_v1, bob, bob_v1);
    check_streams(ada, ada_v1, bob, bob_v1);

    CHECK(system("ip link set a0 down") == 0);
    event = wait_for(ada, MESHCHAT_EVENT_INSECURE_NODE_LOST);
    check_address(event, bob_v1);
    meshchat_event_free(event);
    meshchat_node_free(ada);
    meshchat_node_free(bob);
    return 0;
}
