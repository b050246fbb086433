/* Rooms. Usage: rooms FOLDER, with the homes FOLDER/ada and FOLDER/bob. */
#include "check.h"

#define UNKNOWN_ID "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define UNKNOWN_ROOM "00112233445566778899aabbccddeeff"

/* Waits until the room changes so, at the node `who` or, when that is NULL, at nobody. */
static void wait_for_change(meshchat_node *node, const char *room, int32_t change, const char *who)
{
    char room_id[MESHCHAT_ROOM_ID_TEXT_SIZE];
    char id[MESHCHAT_ID_TEXT_SIZE];
    const char *name = NULL;
    int32_t found = -1;
    meshchat_event *event = wait_for(node, MESHCHAT_EVENT_ROOM);
    EXPECT(MESHCHAT_OK, meshchat_event_room_change(event, &found));
    CHECK(found == change);
    EXPECT(MESHCHAT_OK, meshchat_event_room_id(event, room_id));
    CHECK(strcmp(room_id, room) == 0);
    EXPECT(MESHCHAT_OK, meshchat_event_room_name(event, &name));
    CHECK(strcmp(name, "hikers") == 0);
    if (who != NULL) {
        EXPECT(MESHCHAT_OK, meshchat_event_node_id(event, id));
        CHECK(strcmp(id, who) == 0);
    } else {
        EXPECT(MESHCHAT_WRONG_EVENT, meshchat_event_node_id(event, id));
    }
    EXPECT_NULL("event", meshchat_event_room_id(NULL, room_id));
    EXPECT_NULL("room_id", meshchat_event_room_id(event, NULL));
    EXPECT_NULL("event", meshchat_event_room_name(NULL, &name));
    EXPECT_NULL("event", meshchat_event_room_change(NULL, &found));
    EXPECT(MESHCHAT_WRONG_EVENT, meshchat_event_sent_at(event, &(uint64_t){0}));
    meshchat_event_free(event);
}

/* Waits for a message, which was written to this room, or to none. */
static void wait_for_text(meshchat_node *node, const char *expected, const char *room)
{
    char room_id[MESHCHAT_ROOM_ID_TEXT_SIZE];
    const char *text = NULL;
    const char *name = NULL;
    size_t len = 0;
    int32_t change;
    meshchat_event *event = wait_for(node, MESHCHAT_EVENT_MESSAGE);
    EXPECT(MESHCHAT_OK, meshchat_event_text(event, &text, &len));
    CHECK(strcmp(text, expected) == 0);
    EXPECT(MESHCHAT_OK, meshchat_event_room_id(event, room_id));
    CHECK(strcmp(room_id, room) == 0);
    EXPECT(MESHCHAT_WRONG_EVENT, meshchat_event_room_name(event, &name));
    EXPECT(MESHCHAT_WRONG_EVENT, meshchat_event_room_change(event, &change));
    meshchat_event_free(event);
}

static void arguments(meshchat_node *ada, const char *bob_id, const char *room)
{
    char room_id[MESHCHAT_ROOM_ID_TEXT_SIZE] = "untouched";
    char message_id[MESHCHAT_MESSAGE_ID_TEXT_SIZE];
    EXPECT_NULL("node", meshchat_node_create_room(NULL, "x", room_id));
    EXPECT_NULL("name", meshchat_node_create_room(ada, NULL, room_id));
    EXPECT_NULL("room_id", meshchat_node_create_room(ada, "x", NULL));
    EXPECT(MESHCHAT_INVALID_ARGUMENT, meshchat_node_create_room(ada, "two words", room_id));
    EXPECT_NULL("node", meshchat_node_resolve_room(NULL, "x", room_id));
    EXPECT_NULL("query", meshchat_node_resolve_room(ada, NULL, room_id));
    EXPECT(MESHCHAT_UNKNOWN_ROOM, meshchat_node_resolve_room(ada, "cooks", room_id));
    CHECK(strcmp(room_id, "untouched") == 0);
    EXPECT(MESHCHAT_OK, meshchat_node_resolve_room(ada, "hikers", room_id));
    CHECK(strcmp(room_id, room) == 0);
    EXPECT_NULL("node", meshchat_node_invite_to_room(NULL, room, bob_id));
    EXPECT_NULL("room_id", meshchat_node_invite_to_room(ada, NULL, bob_id));
    EXPECT(MESHCHAT_INVALID_ARGUMENT, meshchat_node_invite_to_room(ada, "hikers", bob_id));
    EXPECT(MESHCHAT_UNKNOWN_NODE, meshchat_node_invite_to_room(ada, room, UNKNOWN_ID));
    EXPECT(MESHCHAT_UNKNOWN_ROOM, meshchat_node_invite_to_room(ada, UNKNOWN_ROOM, bob_id));
    EXPECT_NULL("node", meshchat_node_remove_from_room(NULL, room, bob_id));
    EXPECT(MESHCHAT_ROOM_REFUSED, meshchat_node_remove_from_room(ada, room, bob_id));
    EXPECT_NULL("node", meshchat_node_join_room(NULL, room));
    EXPECT(MESHCHAT_ROOM_REFUSED, meshchat_node_join_room(ada, room));
    EXPECT_NULL("node", meshchat_node_leave_room(NULL, room));
    EXPECT(MESHCHAT_UNKNOWN_ROOM, meshchat_node_leave_room(ada, UNKNOWN_ROOM));
    EXPECT_NULL("node", meshchat_node_send_to_room(NULL, room, "x", 1, 0, message_id));
    EXPECT_NULL("text", meshchat_node_send_to_room(ada, room, NULL, 1, 0, message_id));
    EXPECT(MESHCHAT_EMPTY_MESSAGE, meshchat_node_send_to_room(ada, room, "", 0, 0, message_id));
    EXPECT(MESHCHAT_ROOM_REFUSED, meshchat_node_send_to_room(ada, room, "x", 1, 0, message_id));
}

/* The list of ada, who has made the one room, in which bob is. */
static void lists(const meshchat_node *ada, const char *ada_id, const char *bob_id, const char *room)
{
    meshchat_room_list *list = NULL;
    char room_id[MESHCHAT_ROOM_ID_TEXT_SIZE];
    char ids[2][MESHCHAT_ID_TEXT_SIZE];
    const char *name = NULL;
    size_t count = 0;
    size_t members = 0;
    size_t invited = 9;
    uint64_t version = 0;
    int32_t standing = 0;
    EXPECT_NULL("node", meshchat_node_rooms(NULL, &list));
    EXPECT_NULL("list", meshchat_node_rooms(ada, NULL));
    EXPECT(MESHCHAT_OK, meshchat_node_rooms(ada, &list));
    EXPECT_NULL("list", meshchat_room_list_count(NULL, &count));
    EXPECT(MESHCHAT_OK, meshchat_room_list_count(list, &count));
    CHECK(count == 1);
    EXPECT_NULL("list", meshchat_room_list_id(NULL, 0, room_id));
    EXPECT(MESHCHAT_OK, meshchat_room_list_id(list, 0, room_id));
    CHECK(strcmp(room_id, room) == 0);
    EXPECT(MESHCHAT_INVALID_ARGUMENT, meshchat_room_list_id(list, 1, room_id));
    EXPECT_NULL("list", meshchat_room_list_name(NULL, 0, &name));
    EXPECT(MESHCHAT_OK, meshchat_room_list_name(list, 0, &name));
    CHECK(strcmp(name, "hikers") == 0);
    EXPECT_NULL("list", meshchat_room_list_owner(NULL, 0, ids[0]));
    EXPECT(MESHCHAT_OK, meshchat_room_list_owner(list, 0, ids[0]));
    CHECK(strcmp(ids[0], ada_id) == 0);
    EXPECT_NULL("list", meshchat_room_list_standing(NULL, 0, &standing));
    EXPECT(MESHCHAT_OK, meshchat_room_list_standing(list, 0, &standing));
    CHECK(standing == MESHCHAT_ROOM_MEMBER);
    EXPECT_NULL("list", meshchat_room_list_version(NULL, 0, &version));
    EXPECT(MESHCHAT_OK, meshchat_room_list_version(list, 0, &version));
    CHECK(version > 1);
    EXPECT_NULL("list", meshchat_room_list_size(NULL, 0, &members, &invited));
    EXPECT_NULL("members", meshchat_room_list_size(list, 0, NULL, &invited));
    EXPECT(MESHCHAT_OK, meshchat_room_list_size(list, 0, &members, &invited));
    CHECK(members == 2 && invited == 0);
    EXPECT_NULL("list", meshchat_room_list_node(NULL, 0, 0, ids[0]));
    EXPECT(MESHCHAT_OK, meshchat_room_list_node(list, 0, 0, ids[0]));
    EXPECT(MESHCHAT_OK, meshchat_room_list_node(list, 0, 1, ids[1]));
    CHECK(strcmp(ids[0], ids[1]) < 0);
    CHECK(strcmp(ids[0], bob_id) == 0 || strcmp(ids[1], bob_id) == 0);
    EXPECT(MESHCHAT_INVALID_ARGUMENT, meshchat_room_list_node(list, 0, 2, ids[0]));
    meshchat_room_list_free(list);
    meshchat_room_list_free(NULL);
}

static void history(const meshchat_node *bob, const char *room)
{
    char room_id[MESHCHAT_ROOM_ID_TEXT_SIZE];
    const char *text = NULL;
    size_t len = 0;
    size_t count = 0;
    meshchat_history_list *list = NULL;
    meshchat_history_query *query = meshchat_history_query_new();
    EXPECT_NULL("query", meshchat_history_query_set_room(NULL, room));
    EXPECT_NULL("room_id", meshchat_history_query_set_room(query, NULL));
    EXPECT(MESHCHAT_INVALID_ARGUMENT, meshchat_history_query_set_room(query, "hikers"));
    EXPECT(MESHCHAT_OK, meshchat_history_query_set_room(query, room));
    EXPECT(MESHCHAT_OK, meshchat_node_history(bob, query, &list));
    EXPECT(MESHCHAT_OK, meshchat_history_list_count(list, &count));
    CHECK(count == 1);
    EXPECT(MESHCHAT_OK, meshchat_history_list_text(list, 0, &text, &len));
    CHECK(strcmp(text, "to all") == 0);
    EXPECT_NULL("list", meshchat_history_list_room_id(NULL, 0, room_id));
    EXPECT(MESHCHAT_OK, meshchat_history_list_room_id(list, 0, room_id));
    CHECK(strcmp(room_id, room) == 0);
    meshchat_history_list_free(list);
    meshchat_history_query_free(query);
}

int main(int argc, char **argv)
{
    char ada_id[MESHCHAT_ID_TEXT_SIZE];
    char bob_id[MESHCHAT_ID_TEXT_SIZE];
    char room[MESHCHAT_ROOM_ID_TEXT_SIZE];
    char message_id[MESHCHAT_MESSAGE_ID_TEXT_SIZE];
    meshchat_node *ada;
    meshchat_node *bob;
    CHECK(argc == 2);
    ada = start(argv[1], "ada");
    bob = start(argv[1], "bob");
    EXPECT(MESHCHAT_OK, meshchat_node_id(ada, ada_id));
    EXPECT(MESHCHAT_OK, meshchat_node_id(bob, bob_id));
    meshchat_event_free(wait_for(ada, MESHCHAT_EVENT_NODE_FOUND));
    meshchat_event_free(wait_for(bob, MESHCHAT_EVENT_NODE_FOUND));
    EXPECT(MESHCHAT_OK, meshchat_node_create_room(ada, "hikers", room));
    arguments(ada, bob_id, room);

    EXPECT(MESHCHAT_OK, meshchat_node_invite_to_room(ada, room, bob_id));
    wait_for_change(bob, room, MESHCHAT_ROOM_CHANGE_INVITED, NULL);
    EXPECT(MESHCHAT_ROOM_REFUSED, meshchat_node_invite_to_room(bob, room, ada_id));
    EXPECT(MESHCHAT_OK, meshchat_node_join_room(bob, room));
    wait_for_change(bob, room, MESHCHAT_ROOM_CHANGE_JOINED, bob_id);
    wait_for_change(ada, room, MESHCHAT_ROOM_CHANGE_JOINED, bob_id);
    EXPECT(MESHCHAT_OK, meshchat_node_send_to_room(ada, room, "to all", 6, 3600, message_id));
    wait_for_text(bob, "to all", room);
    EXPECT(MESHCHAT_OK, meshchat_node_send(ada, bob_id, "to you", 6, message_id));
    wait_for_text(bob, "to you", "");
    lists(ada, ada_id, bob_id, room);
    history(bob, room);

    EXPECT(MESHCHAT_OK, meshchat_node_remove_from_room(ada, room, bob_id));
    wait_for_change(bob, room, MESHCHAT_ROOM_CHANGE_REMOVED, bob_id);
    wait_for_change(ada, room, MESHCHAT_ROOM_CHANGE_REMOVED, bob_id);
    EXPECT(MESHCHAT_OK, meshchat_node_leave_room(ada, room));
    wait_for_change(ada, room, MESHCHAT_ROOM_CHANGE_CLOSED, NULL);
    meshchat_node_free(ada);
    meshchat_node_free(bob);
    return 0;
}
