/* History, trust and contacts. Usage: people FOLDER, with the homes FOLDER/ada and FOLDER/bob. */
#include "check.h"

#define UNKNOWN_ID "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static void id_of(const meshchat_node *node, char *id)
{
    EXPECT(MESHCHAT_OK, meshchat_node_id(node, id));
}

static void send_text(meshchat_node *node, const char *to, const char *text)
{
    char message_id[MESHCHAT_MESSAGE_ID_TEXT_SIZE];
    EXPECT(MESHCHAT_OK, meshchat_node_send(node, to, text, strlen(text), message_id));
}

static void keep(void)
{
    meshchat_config *config = meshchat_config_new();
    EXPECT_NULL("config", meshchat_config_keep_history_for(NULL, 1));
    EXPECT_NULL("config", meshchat_config_keep_messages(NULL, 1));
    EXPECT(MESHCHAT_OK, meshchat_config_keep_history_for(config, 3600));
    EXPECT(MESHCHAT_OK, meshchat_config_keep_messages(config, UINT64_MAX));
    meshchat_config_free(config);
}

static void check_query(void)
{
    meshchat_history_query *query = meshchat_history_query_new();
    CHECK(query != NULL);
    EXPECT_NULL("query", meshchat_history_query_set_with(NULL, UNKNOWN_ID));
    EXPECT_NULL("node", meshchat_history_query_set_with(query, NULL));
    EXPECT(MESHCHAT_INVALID_ARGUMENT, meshchat_history_query_set_with(query, "bob"));
    EXPECT_NULL("query", meshchat_history_query_set_search(NULL, "x"));
    EXPECT_NULL("words", meshchat_history_query_set_search(query, NULL));
    EXPECT_NULL("query", meshchat_history_query_set_since(NULL, 0));
    EXPECT_NULL("query", meshchat_history_query_set_until(NULL, 0));
    EXPECT_NULL("query", meshchat_history_query_set_limit(NULL, 0));
    EXPECT_NULL("query", meshchat_history_query_set_before(NULL, 0));
    EXPECT_NULL("query", meshchat_history_query_set_after(NULL, 0));
    meshchat_history_query_free(query);
    meshchat_history_query_free(NULL);
    meshchat_history_list_free(NULL);
}

/* The first message of the list is ada's own, which has arrived. */
static void check_entry(const meshchat_history_list *list, const char *bob_id)
{
    char peer[MESHCHAT_ID_TEXT_SIZE];
    char message_id[MESHCHAT_MESSAGE_ID_TEXT_SIZE];
    const char *text = NULL;
    const char *nickname = NULL;
    size_t len = 0;
    uint64_t number = 0;
    int32_t status = -2;
    bool is_own = false;
    EXPECT(MESHCHAT_OK, meshchat_history_list_position(list, 0, &number));
    CHECK(number == 1);
    EXPECT(MESHCHAT_OK, meshchat_history_list_is_own(list, 0, &is_own));
    CHECK(is_own);
    EXPECT(MESHCHAT_OK, meshchat_history_list_peer(list, 0, peer));
    CHECK(strcmp(peer, bob_id) == 0);
    EXPECT(MESHCHAT_OK, meshchat_history_list_nickname(list, 0, &nickname));
    CHECK(strcmp(nickname, "bob") == 0);
    EXPECT(MESHCHAT_OK, meshchat_history_list_message_id(list, 0, message_id));
    CHECK(strlen(message_id) == MESHCHAT_MESSAGE_ID_TEXT_SIZE - 1);
    EXPECT(MESHCHAT_OK, meshchat_history_list_text(list, 0, &text, &len));
    CHECK(strcmp(text, "under the oak") == 0 && len == strlen(text));
    EXPECT(MESHCHAT_OK, meshchat_history_list_sent_at(list, 0, &number));
    CHECK(number > 0);
    EXPECT(MESHCHAT_OK, meshchat_history_list_received_at(list, 0, &number));
    CHECK(number > 0);
    EXPECT(MESHCHAT_OK, meshchat_history_list_message_status(list, 0, &status));
    CHECK(status == MESHCHAT_MESSAGE_DELIVERED);

    EXPECT(MESHCHAT_INVALID_ARGUMENT, meshchat_history_list_peer(list, 1, peer));
    EXPECT_NULL("list", meshchat_history_list_position(NULL, 0, &number));
    EXPECT_NULL("position", meshchat_history_list_position(list, 0, NULL));
    EXPECT_NULL("list", meshchat_history_list_is_own(NULL, 0, &is_own));
    EXPECT_NULL("list", meshchat_history_list_peer(NULL, 0, peer));
    EXPECT_NULL("list", meshchat_history_list_nickname(NULL, 0, &nickname));
    EXPECT_NULL("list", meshchat_history_list_message_id(NULL, 0, message_id));
    EXPECT_NULL("list", meshchat_history_list_text(NULL, 0, &text, &len));
    EXPECT_NULL("text_len", meshchat_history_list_text(list, 0, &text, NULL));
    EXPECT_NULL("list", meshchat_history_list_sent_at(NULL, 0, &number));
    EXPECT_NULL("list", meshchat_history_list_received_at(NULL, 0, &number));
    EXPECT_NULL("list", meshchat_history_list_message_status(NULL, 0, &status));
}

static void history(const meshchat_node *ada, const char *home, const char *bob_id)
{
    meshchat_history_query *query = meshchat_history_query_new();
    meshchat_history_list *list = NULL;
    size_t count = 99;
    bool more = true;
    EXPECT_NULL("node", meshchat_node_history(NULL, query, &list));
    EXPECT_NULL("query", meshchat_node_history(ada, NULL, &list));
    EXPECT_NULL("list", meshchat_node_history(ada, query, NULL));
    EXPECT_NULL("query", meshchat_history_read(home, NULL, &list));
    EXPECT(MESHCHAT_STORAGE, meshchat_history_read("/nowhere", query, &list));
    EXPECT(MESHCHAT_OK, meshchat_history_query_set_limit(query, 0));
    EXPECT(MESHCHAT_INVALID_ARGUMENT, meshchat_node_history(ada, query, &list));
    EXPECT(MESHCHAT_OK, meshchat_history_query_set_limit(query, 10));
    EXPECT(MESHCHAT_OK, meshchat_history_query_set_search(query, "?"));
    EXPECT(MESHCHAT_INVALID_ARGUMENT, meshchat_node_history(ada, query, &list));
    CHECK(list == NULL);

    EXPECT(MESHCHAT_OK, meshchat_history_query_set_search(query, "OA"));
    EXPECT(MESHCHAT_OK, meshchat_history_query_set_with(query, bob_id));
    EXPECT(MESHCHAT_OK, meshchat_history_query_set_since(query, 1));
    EXPECT(MESHCHAT_OK, meshchat_history_query_set_until(query, UINT64_MAX));
    EXPECT(MESHCHAT_OK, meshchat_node_history(ada, query, &list));
    EXPECT(MESHCHAT_OK, meshchat_history_list_count(list, &count));
    EXPECT(MESHCHAT_OK, meshchat_history_list_more(list, &more));
    CHECK(count == 1 && !more);
    EXPECT_NULL("list", meshchat_history_list_count(NULL, &count));
    EXPECT_NULL("list", meshchat_history_list_more(NULL, &more));
    check_entry(list, bob_id);
    meshchat_history_list_free(list);

    EXPECT(MESHCHAT_OK, meshchat_history_query_set_before(query, 1));
    EXPECT(MESHCHAT_OK, meshchat_history_read(home, query, &list));
    EXPECT(MESHCHAT_OK, meshchat_history_list_count(list, &count));
    CHECK(count == 0);
    meshchat_history_list_free(list);
    meshchat_history_query_free(query);
    query = meshchat_history_query_new();
    EXPECT(MESHCHAT_OK, meshchat_history_query_set_after(query, 1));
    EXPECT(MESHCHAT_OK, meshchat_history_read(home, query, &list));
    EXPECT(MESHCHAT_OK, meshchat_history_list_count(list, &count));
    CHECK(count == 0);
    meshchat_history_list_free(list);
    meshchat_history_query_free(query);
}

/* The trust of the only node that `node` knows. */
static int32_t trust_of_the_other(const meshchat_node *node, char *contact)
{
    meshchat_node_list *list = NULL;
    int32_t trust = -1;
    bool is_contact = false;
    EXPECT(MESHCHAT_OK, meshchat_node_nodes(node, &list));
    EXPECT_NULL("list", meshchat_node_list_trust(NULL, 0, &trust));
    EXPECT_NULL("trust", meshchat_node_list_trust(list, 0, NULL));
    EXPECT_NULL("list", meshchat_node_list_is_contact(NULL, 0, &is_contact));
    EXPECT_NULL("list", meshchat_node_list_contact(NULL, 0, contact));
    EXPECT(MESHCHAT_INVALID_ARGUMENT, meshchat_node_list_trust(list, 1, &trust));
    EXPECT(MESHCHAT_OK, meshchat_node_list_trust(list, 0, &trust));
    EXPECT(MESHCHAT_OK, meshchat_node_list_is_contact(list, 0, &is_contact));
    CHECK(is_contact);
    EXPECT(MESHCHAT_OK, meshchat_node_list_contact(list, 0, contact));
    meshchat_node_list_free(list);
    return trust;
}

static void trust(meshchat_node *ada, meshchat_node *bob, const char *ada_id, const char *bob_id)
{
    char words[MESHCHAT_SAFETY_WORDS_SIZE] = "untouched";
    char other_words[MESHCHAT_SAFETY_WORDS_SIZE];
    char contact[MESHCHAT_CONTACT_TEXT_SIZE];
    char message_id[MESHCHAT_MESSAGE_ID_TEXT_SIZE];
    EXPECT_NULL("node", meshchat_node_verify(NULL, bob_id));
    EXPECT_NULL("id", meshchat_node_verify(ada, NULL));
    EXPECT_NULL("node", meshchat_node_unverify(NULL, bob_id));
    EXPECT_NULL("node", meshchat_node_block(NULL, bob_id));
    EXPECT_NULL("node", meshchat_node_unblock(NULL, bob_id));
    EXPECT(MESHCHAT_INVALID_ARGUMENT, meshchat_node_verify(ada, "bob"));
    EXPECT(MESHCHAT_INVALID_ARGUMENT, meshchat_node_block(ada, ada_id));
    EXPECT_NULL("node", meshchat_node_safety_words(NULL, bob_id, words, sizeof words));
    EXPECT(MESHCHAT_BUFFER_TOO_SMALL, meshchat_node_safety_words(ada, bob_id, words, 8));
    CHECK(strcmp(words, "untouched") == 0);
    EXPECT(MESHCHAT_OK, meshchat_node_safety_words(ada, bob_id, words, sizeof words));
    EXPECT(MESHCHAT_OK, meshchat_node_safety_words(bob, ada_id, other_words, sizeof other_words));
    CHECK(strcmp(words, other_words) == 0);

    EXPECT(MESHCHAT_OK, meshchat_node_verify(ada, bob_id));
    CHECK(trust_of_the_other(ada, contact) == MESHCHAT_TRUST_VERIFIED);
    EXPECT(MESHCHAT_OK, meshchat_node_unverify(ada, bob_id));
    CHECK(trust_of_the_other(ada, contact) == MESHCHAT_TRUST_SEEN);
    EXPECT(MESHCHAT_OK, meshchat_node_block(ada, bob_id));
    CHECK(trust_of_the_other(ada, contact) == MESHCHAT_TRUST_BLOCKED);
    EXPECT(MESHCHAT_BLOCKED, meshchat_node_verify(ada, bob_id));
    EXPECT(MESHCHAT_BLOCKED, meshchat_node_send(ada, bob_id, "x", 1, message_id));
    EXPECT(MESHCHAT_OK, meshchat_node_unblock(ada, bob_id));
    EXPECT(MESHCHAT_OK, meshchat_node_send_named(ada, bob_id, "bob", "x", 1, message_id));
    EXPECT_NULL("name", meshchat_node_send_named(ada, bob_id, NULL, "x", 1, message_id));
    EXPECT(MESHCHAT_EMPTY_MESSAGE, meshchat_node_send_named(ada, bob_id, "bob", "", 0, message_id));
}

static void contacts(meshchat_node *ada, meshchat_node *bob, const char *bob_id)
{
    char contact[MESHCHAT_CONTACT_TEXT_SIZE];
    char listed[MESHCHAT_CONTACT_TEXT_SIZE];
    char id[MESHCHAT_ID_TEXT_SIZE] = "untouched";
    EXPECT_NULL("node", meshchat_node_contact(NULL, contact));
    EXPECT(MESHCHAT_OK, meshchat_node_contact(bob, contact));
    (void)trust_of_the_other(ada, listed);
    CHECK(strcmp(contact, listed) == 0);
    EXPECT_NULL("contact", meshchat_contact_check(NULL));
    EXPECT(MESHCHAT_OK, meshchat_contact_check(contact));
    EXPECT_NULL("node", meshchat_node_import_contact(NULL, contact, id));
    EXPECT_NULL("contact", meshchat_node_import_contact(ada, NULL, id));
    EXPECT(MESHCHAT_OK, meshchat_node_import_contact(ada, contact, id));
    CHECK(strcmp(id, bob_id) == 0);
    contact[strlen(contact) - 1] = 'p';
    EXPECT(MESHCHAT_INVALID_ARGUMENT, meshchat_contact_check(contact));
    EXPECT(MESHCHAT_INVALID_ARGUMENT, meshchat_node_import_contact(ada, contact, id));
    CHECK(strcmp(id, bob_id) == 0);
}

int main(int argc, char **argv)
{
    char ada_id[MESHCHAT_ID_TEXT_SIZE];
    char bob_id[MESHCHAT_ID_TEXT_SIZE];
    meshchat_node *ada;
    meshchat_node *bob;
    meshchat_event *event;
    char *home;
    int32_t status;
    CHECK(argc == 2);
    keep();
    check_query();
    home = in_folder(argv[1], "ada");
    ada = start(argv[1], "ada");
    bob = start(argv[1], "bob");
    id_of(ada, ada_id);
    id_of(bob, bob_id);
    meshchat_event_free(wait_for(ada, MESHCHAT_EVENT_NODE_FOUND));
    meshchat_event_free(wait_for(bob, MESHCHAT_EVENT_NODE_FOUND));
    send_text(ada, bob_id, "under the oak");
    do {
        event = wait_for(ada, MESHCHAT_EVENT_STATUS);
        EXPECT(MESHCHAT_OK, meshchat_event_message_status(event, &status));
        meshchat_event_free(event);
    } while (status != MESHCHAT_MESSAGE_DELIVERED);
    history(ada, home, bob_id);
    trust(ada, bob, ada_id, bob_id);
    contacts(ada, bob, bob_id);
    meshchat_node_free(ada);
    meshchat_node_free(bob);
    free(home);
    return 0;
}
