/* Two nodes in one process that talk over udp. Usage: talk FOLDER, with the homes FOLDER/ada and FOLDER/bob. */
#include "check.h"

/* A text with two NUL, which only its length tells. */
static const char greeting[] = "Gr\xc3\xbc\xc3\x9f dich,\n\0Bob\0!";
#define GREETING_LEN (sizeof greeting - 1)

/* The way to a node on the same wire. */
static void check_route(const meshchat_route *route, const char *id)
{
    char next_hop[MESHCHAT_ID_TEXT_SIZE];
    const char *link = NULL;
    uint32_t hops = 0;
    uint32_t metric = 0;
    size_t mtu = 0;

    CHECK(route != NULL);
    EXPECT_NULL("route", meshchat_route_next_hop(NULL, next_hop));
    EXPECT_NULL("id", meshchat_route_next_hop(route, NULL));
    EXPECT_NULL("route", meshchat_route_hops(NULL, &hops));
    EXPECT_NULL("hops", meshchat_route_hops(route, NULL));
    EXPECT_NULL("route", meshchat_route_metric(NULL, &metric));
    EXPECT_NULL("metric", meshchat_route_metric(route, NULL));
    EXPECT_NULL("route", meshchat_route_mtu(NULL, &mtu));
    EXPECT_NULL("mtu", meshchat_route_mtu(route, NULL));
    EXPECT_NULL("route", meshchat_route_link(NULL, &link));
    EXPECT_NULL("link", meshchat_route_link(route, NULL));
    CHECK(hops == 0 && metric == 0 && mtu == 0 && link == NULL);

    EXPECT(MESHCHAT_OK, meshchat_route_next_hop(route, next_hop));
    CHECK(strcmp(next_hop, id) == 0);
    EXPECT(MESHCHAT_OK, meshchat_route_hops(route, &hops));
    CHECK(hops == 1);
    EXPECT(MESHCHAT_OK, meshchat_route_metric(route, &metric));
    CHECK(metric >= 96);
    EXPECT(MESHCHAT_OK, meshchat_route_mtu(route, &mtu));
    CHECK(mtu >= 1200 && mtu <= 65536);
    EXPECT(MESHCHAT_OK, meshchat_route_link(route, &link));
    CHECK(strcmp(link, "udp") == 0);
}

/* A node was found, or lost: then there is no way to it any more. */
static void check_found(const meshchat_event *event, const char *id, const char *nickname)
{
    char found[MESHCHAT_ID_TEXT_SIZE];
    const meshchat_route *route = NULL;
    char message_id[MESHCHAT_MESSAGE_ID_TEXT_SIZE];
    const char *text = NULL;
    uint64_t time = 0;
    size_t len = 0;
    int32_t status = -1;

    EXPECT(MESHCHAT_OK, meshchat_event_node_id(event, found));
    CHECK(strcmp(found, id) == 0);
    EXPECT(MESHCHAT_OK, meshchat_event_nickname(event, &text));
    CHECK(strcmp(text, nickname) == 0);
    EXPECT(MESHCHAT_OK, meshchat_event_last_seen(event, &time));
    CHECK(time > 0);
    EXPECT(MESHCHAT_OK, meshchat_event_route(event, &route));
    if (type_of(event) == MESHCHAT_EVENT_NODE_LOST)
        CHECK(route == NULL);
    else
        check_route(route, id);

    EXPECT(MESHCHAT_WRONG_EVENT, meshchat_event_text(event, &text, &len));
    EXPECT(MESHCHAT_WRONG_EVENT, meshchat_event_message_id(event, message_id));
    EXPECT(MESHCHAT_WRONG_EVENT, meshchat_event_message_status(event, &status));
    EXPECT(MESHCHAT_WRONG_EVENT, meshchat_event_sent_at(event, &time));
    EXPECT(MESHCHAT_WRONG_EVENT, meshchat_event_received_at(event, &time));
    CHECK(strcmp(text, nickname) == 0 && len == 0 && status == -1);
}

static void check_message(const meshchat_event *event, const char *from, const char *message_id)
{
    char id[MESHCHAT_ID_TEXT_SIZE];
    char own_id[MESHCHAT_MESSAGE_ID_TEXT_SIZE];
    const char *text = NULL;
    const char *nickname = NULL;
    const meshchat_route *route = NULL;
    size_t len = 0;
    uint64_t sent_at = 0;
    uint64_t received_at = 0;

    EXPECT(MESHCHAT_OK, meshchat_event_node_id(event, id));
    CHECK(strcmp(id, from) == 0);
    EXPECT(MESHCHAT_OK, meshchat_event_message_id(event, own_id));
    CHECK(strcmp(own_id, message_id) == 0);
    EXPECT(MESHCHAT_OK, meshchat_event_text(event, &text, &len));
    CHECK(len == GREETING_LEN && memcmp(text, greeting, GREETING_LEN + 1) == 0);
    EXPECT(MESHCHAT_OK, meshchat_event_sent_at(event, &sent_at));
    EXPECT(MESHCHAT_OK, meshchat_event_received_at(event, &received_at));
    CHECK(sent_at > 0 && received_at > 0);
    EXPECT(MESHCHAT_WRONG_EVENT, meshchat_event_nickname(event, &nickname));
    EXPECT(MESHCHAT_WRONG_EVENT, meshchat_event_last_seen(event, &sent_at));
    EXPECT(MESHCHAT_WRONG_EVENT, meshchat_event_route(event, &route));
    CHECK(nickname == NULL && route == NULL);
}

static void check_null(const meshchat_event *event)
{
    char id[MESHCHAT_ID_TEXT_SIZE];
    char message_id[MESHCHAT_MESSAGE_ID_TEXT_SIZE];
    const meshchat_route *route;
    const char *text;
    size_t len;
    uint64_t time;
    int32_t number;

    EXPECT_NULL("event", meshchat_event_type(NULL, &number));
    EXPECT_NULL("event_type", meshchat_event_type(event, NULL));
    EXPECT_NULL("event", meshchat_event_node_id(NULL, id));
    EXPECT_NULL("id", meshchat_event_node_id(event, NULL));
    EXPECT_NULL("event", meshchat_event_nickname(NULL, &text));
    EXPECT_NULL("nickname", meshchat_event_nickname(event, NULL));
    EXPECT_NULL("event", meshchat_event_last_seen(NULL, &time));
    EXPECT_NULL("last_seen", meshchat_event_last_seen(event, NULL));
    EXPECT_NULL("event", meshchat_event_route(NULL, &route));
    EXPECT_NULL("route", meshchat_event_route(event, NULL));
    EXPECT_NULL("event", meshchat_event_text(NULL, &text, &len));
    EXPECT_NULL("text", meshchat_event_text(event, NULL, &len));
    EXPECT_NULL("text_len", meshchat_event_text(event, &text, NULL));
    EXPECT_NULL("event", meshchat_event_message_id(NULL, message_id));
    EXPECT_NULL("message_id", meshchat_event_message_id(event, NULL));
    EXPECT_NULL("event", meshchat_event_message_status(NULL, &number));
    EXPECT_NULL("message_status", meshchat_event_message_status(event, NULL));
    EXPECT_NULL("event", meshchat_event_sent_at(NULL, &time));
    EXPECT_NULL("sent_at", meshchat_event_sent_at(event, NULL));
    EXPECT_NULL("event", meshchat_event_received_at(NULL, &time));
    EXPECT_NULL("received_at", meshchat_event_received_at(event, NULL));
    EXPECT_NULL("node", meshchat_node_confirm(NULL, event));
}

static void check_list(const meshchat_node *node, const char *peer)
{
    meshchat_node_list *list = NULL;
    const meshchat_route *route = NULL;
    char id[MESHCHAT_ID_TEXT_SIZE];
    const char *nickname = NULL;
    size_t count = 0;
    uint64_t last_seen = 0;
    bool present = false;
    bool mailbox = false;

    EXPECT(MESHCHAT_OK, meshchat_node_nodes(node, &list));
    EXPECT_NULL("list", meshchat_node_list_count(NULL, &count));
    EXPECT_NULL("count", meshchat_node_list_count(list, NULL));
    EXPECT_NULL("list", meshchat_node_list_id(NULL, 0, id));
    EXPECT_NULL("id", meshchat_node_list_id(list, 0, NULL));
    EXPECT_NULL("list", meshchat_node_list_nickname(NULL, 0, &nickname));
    EXPECT_NULL("nickname", meshchat_node_list_nickname(list, 0, NULL));
    EXPECT_NULL("list", meshchat_node_list_present(NULL, 0, &present));
    EXPECT_NULL("present", meshchat_node_list_present(list, 0, NULL));
    EXPECT_NULL("list", meshchat_node_list_mailbox(NULL, 0, &mailbox));
    EXPECT_NULL("mailbox", meshchat_node_list_mailbox(list, 0, NULL));
    EXPECT_NULL("list", meshchat_node_list_last_seen(NULL, 0, &last_seen));
    EXPECT_NULL("last_seen", meshchat_node_list_last_seen(list, 0, NULL));
    EXPECT_NULL("list", meshchat_node_list_route(NULL, 0, &route));
    EXPECT_NULL("route", meshchat_node_list_route(list, 0, NULL));

    EXPECT(MESHCHAT_OK, meshchat_node_list_count(list, &count));
    CHECK(count == 1);
    EXPECT(MESHCHAT_INVALID_ARGUMENT, meshchat_node_list_id(list, count, id));
    EXPECT(MESHCHAT_INVALID_ARGUMENT, meshchat_node_list_nickname(list, count, &nickname));
    EXPECT(MESHCHAT_INVALID_ARGUMENT, meshchat_node_list_present(list, count, &present));
    EXPECT(MESHCHAT_INVALID_ARGUMENT, meshchat_node_list_mailbox(list, count, &mailbox));
    EXPECT(MESHCHAT_INVALID_ARGUMENT, meshchat_node_list_last_seen(list, count, &last_seen));
    EXPECT(MESHCHAT_INVALID_ARGUMENT, meshchat_node_list_route(list, count, &route));
    EXPECT(MESHCHAT_OK, meshchat_node_list_id(list, 0, id));
    CHECK(strcmp(id, peer) == 0);
    EXPECT(MESHCHAT_OK, meshchat_node_list_nickname(list, 0, &nickname));
    CHECK(strcmp(nickname, "bob") == 0);
    EXPECT(MESHCHAT_OK, meshchat_node_list_present(list, 0, &present));
    CHECK(present);
    EXPECT(MESHCHAT_OK, meshchat_node_list_mailbox(list, 0, &mailbox));
    CHECK(mailbox);
    EXPECT(MESHCHAT_OK, meshchat_node_list_last_seen(list, 0, &last_seen));
    CHECK(last_seen > 0);
    EXPECT(MESHCHAT_OK, meshchat_node_list_route(list, 0, &route));
    check_route(route, peer);
    meshchat_node_list_free(list);
}

/* Ping and trace a node on the same wire. */
static void check_echoes(const meshchat_node *node, const char *peer)
{
    meshchat_trace *trace = NULL;
    char id[MESHCHAT_ID_TEXT_SIZE];
    uint64_t rtt = 0;
    size_t count = 0;
    int32_t status;
    bool answered = false;

    EXPECT(MESHCHAT_OK, meshchat_node_ping(node, peer, 10000, &rtt));
    CHECK(rtt > 0 && rtt <= 10 * 1000 * 1000);
    /* Whether an answer comes in no time is a matter of luck. */
    status = meshchat_node_ping(node, peer, 0, &rtt);
    CHECK(status == MESHCHAT_OK || status == MESHCHAT_TIMED_OUT);

    EXPECT(MESHCHAT_OK, meshchat_node_trace(node, peer, &trace));
    EXPECT_NULL("trace", meshchat_trace_count(NULL, &count));
    EXPECT_NULL("count", meshchat_trace_count(trace, NULL));
    EXPECT_NULL("trace", meshchat_trace_rtt(NULL, 0, &answered, &rtt));
    EXPECT_NULL("answered", meshchat_trace_rtt(trace, 0, NULL, &rtt));
    EXPECT_NULL("rtt_us", meshchat_trace_rtt(trace, 0, &answered, NULL));
    EXPECT_NULL("trace", meshchat_trace_node_id(NULL, 0, id));
    EXPECT_NULL("id", meshchat_trace_node_id(trace, 0, NULL));

    EXPECT(MESHCHAT_OK, meshchat_trace_count(trace, &count));
    CHECK(count == 1);
    EXPECT(MESHCHAT_INVALID_ARGUMENT, meshchat_trace_rtt(trace, count, &answered, &rtt));
    EXPECT(MESHCHAT_INVALID_ARGUMENT, meshchat_trace_node_id(trace, count, id));
    rtt = 0;
    EXPECT(MESHCHAT_OK, meshchat_trace_rtt(trace, 0, &answered, &rtt));
    CHECK(answered && rtt > 0);
    EXPECT(MESHCHAT_OK, meshchat_trace_node_id(trace, 0, id));
    CHECK(strcmp(id, peer) == 0);
    meshchat_trace_free(trace);
}

/* Nobody answers from far away. */
static void check_no_echoes(const meshchat_node *node, const char *peer)
{
    meshchat_trace *trace = NULL;
    uint64_t rtt = 0;
    EXPECT(MESHCHAT_OUT_OF_REACH, meshchat_node_ping(node, peer, 1000, &rtt));
    EXPECT(MESHCHAT_OUT_OF_REACH, meshchat_node_trace(node, peer, &trace));
    CHECK(rtt == 0 && trace == NULL);
}

static void check_broadcast(meshchat_node *from, const char *from_id, meshchat_node *to)
{
    meshchat_event *event;
    char id[MESHCHAT_ID_TEXT_SIZE];
    char message_id[MESHCHAT_MESSAGE_ID_TEXT_SIZE];
    const char *text = NULL;
    size_t len = 0;

    EXPECT(MESHCHAT_OK, meshchat_node_broadcast(from, greeting, GREETING_LEN));
    event = wait_for(to, MESHCHAT_EVENT_BROADCAST);
    EXPECT(MESHCHAT_OK, meshchat_event_node_id(event, id));
    CHECK(strcmp(id, from_id) == 0);
    EXPECT(MESHCHAT_OK, meshchat_event_text(event, &text, &len));
    CHECK(len == GREETING_LEN && memcmp(text, greeting, GREETING_LEN + 1) == 0);
    EXPECT(MESHCHAT_WRONG_EVENT, meshchat_event_message_id(event, message_id));
    EXPECT(MESHCHAT_WRONG_EVENT, meshchat_node_confirm(to, event));
    meshchat_event_free(event);
}

/* Waits until the message has come so far; no step is told twice or backwards. */
static void wait_until(meshchat_node *node, const char *to, const char *message_id, int32_t wanted)
{
    int32_t last = -1;
    while (last < wanted) {
        meshchat_event *event = wait_for(node, MESHCHAT_EVENT_STATUS);
        char id[MESHCHAT_ID_TEXT_SIZE];
        char about[MESHCHAT_MESSAGE_ID_TEXT_SIZE];
        int32_t now = -1;
        EXPECT(MESHCHAT_OK, meshchat_event_node_id(event, id));
        EXPECT(MESHCHAT_OK, meshchat_event_message_id(event, about));
        EXPECT(MESHCHAT_OK, meshchat_event_message_status(event, &now));
        CHECK(strcmp(id, to) == 0 && strcmp(about, message_id) == 0);
        CHECK(now > last);
        last = now;
        meshchat_event_free(event);
    }
}

int main(int argc, char **argv)
{
    meshchat_node *ada;
    meshchat_node *bob;
    meshchat_event *event;
    char ada_id[MESHCHAT_ID_TEXT_SIZE];
    char bob_id[MESHCHAT_ID_TEXT_SIZE];
    char resolved[MESHCHAT_ID_TEXT_SIZE];
    char prefix[12] = "";
    char message_id[MESHCHAT_MESSAGE_ID_TEXT_SIZE];

    CHECK(argc == 2);
    ada = start(argv[1], "ada");
    bob = start(argv[1], "bob");
    EXPECT(MESHCHAT_OK, meshchat_node_id(ada, ada_id));
    EXPECT(MESHCHAT_OK, meshchat_node_id(bob, bob_id));

    event = wait_for(ada, MESHCHAT_EVENT_NODE_FOUND);
    check_found(event, bob_id, "bob");
    meshchat_event_free(event);
    check_list(ada, bob_id);
    /* Each knows the other: then an answer finds its way back. */
    meshchat_event_free(wait_for(bob, MESHCHAT_EVENT_NODE_FOUND));
    check_echoes(ada, bob_id);
    memcpy(prefix, bob_id, sizeof prefix - 1);
    EXPECT(MESHCHAT_OK, meshchat_node_resolve(ada, prefix, resolved));
    CHECK(strcmp(resolved, bob_id) == 0);
    EXPECT(MESHCHAT_OK, meshchat_node_resolve(ada, "bob", resolved));
    CHECK(strcmp(resolved, bob_id) == 0);

    check_broadcast(ada, ada_id, bob);
    EXPECT(MESHCHAT_OK, meshchat_node_send(ada, bob_id, greeting, GREETING_LEN, message_id));
    event = wait_for(bob, MESHCHAT_EVENT_MESSAGE);
    check_message(event, ada_id, message_id);
    check_null(event);
    EXPECT(MESHCHAT_OK, meshchat_node_confirm(bob, event));
    EXPECT(MESHCHAT_OK, meshchat_node_confirm(bob, event));
    wait_until(ada, bob_id, message_id, MESHCHAT_MESSAGE_DELIVERED);
    EXPECT_NULL("node", meshchat_node_mark_read(NULL, event));
    EXPECT_NULL("event", meshchat_node_mark_read(bob, NULL));
    EXPECT(MESHCHAT_OK, meshchat_node_mark_read(bob, event));
    wait_until(ada, bob_id, message_id, MESHCHAT_MESSAGE_READ);

    /* Without bob a message waits. */
    meshchat_node_free(bob);
    meshchat_event_free(event);
    event = wait_for(ada, MESHCHAT_EVENT_NODE_LOST);
    check_found(event, bob_id, "bob");
    EXPECT(MESHCHAT_WRONG_EVENT, meshchat_node_confirm(ada, event));
    EXPECT(MESHCHAT_WRONG_EVENT, meshchat_node_mark_read(ada, event));
    meshchat_event_free(event);
    check_no_echoes(ada, bob_id);
    EXPECT(MESHCHAT_OK, meshchat_node_send_for(ada, bob_id, greeting, GREETING_LEN, 3600, message_id));

    /* What was confirmed does not come again. */
    bob = start(argv[1], "bob");
    event = wait_for(bob, MESHCHAT_EVENT_MESSAGE);
    check_message(event, ada_id, message_id);
    EXPECT(MESHCHAT_OK, meshchat_node_confirm(bob, event));
    wait_until(ada, bob_id, message_id, MESHCHAT_MESSAGE_DELIVERED);

    EXPECT(MESHCHAT_OK, meshchat_node_stop(bob));
    EXPECT(MESHCHAT_STOPPED, meshchat_node_confirm(bob, event));
    meshchat_node_free(ada);
    meshchat_node_free(bob);
    meshchat_event_free(event);
    return 0;
}
