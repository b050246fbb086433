/* Several threads use one node until another one stops it. Usage: threads FOLDER, with the home FOLDER/ada. */
#include <pthread.h>

#include "check.h"

#define UNKNOWN_ID "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define THREADS 4
/* Rounds of a thread before the stop may come. */
#define ROUNDS 20

struct shared {
    meshchat_node *node;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int ready;
};

static void tell_ready(struct shared *shared)
{
    CHECK(pthread_mutex_lock(&shared->lock) == 0);
    shared->ready++;
    CHECK(pthread_cond_signal(&shared->changed) == 0);
    CHECK(pthread_mutex_unlock(&shared->lock) == 0);
}

/* Calls until the node has stopped; what fails then is told to this thread, not to another. */
static void *work(void *argument)
{
    struct shared *shared = argument;
    char message_id[MESHCHAT_MESSAGE_ID_TEXT_SIZE];
    int round = 0;
    int32_t status;
    do {
        meshchat_event *event = NULL;
        meshchat_node_list *list = NULL;
        (void)meshchat_node_next_event(shared->node, &event);
        meshchat_event_free(event);
        if (meshchat_node_nodes(shared->node, &list) == MESHCHAT_OK)
            meshchat_node_list_free(list);
        status = meshchat_node_send(shared->node, UNKNOWN_ID, "x", 1, message_id);
        CHECK(strstr(meshchat_last_error(), status == MESHCHAT_STOPPED ? "stopped" : "never seen") != NULL);
        if (++round == ROUNDS)
            tell_ready(shared);
    } while (status == MESHCHAT_UNKNOWN_NODE || round < ROUNDS);
    CHECK(status == MESHCHAT_STOPPED);
    return NULL;
}

int main(int argc, char **argv)
{
    struct shared shared = {NULL, PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};
    pthread_t threads[THREADS];
    int i;

    CHECK(argc == 2);
    shared.node = start(argv[1], "ada");
    for (i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, work, &shared) == 0);
    CHECK(pthread_mutex_lock(&shared.lock) == 0);
    while (shared.ready < THREADS)
        CHECK(pthread_cond_wait(&shared.changed, &shared.lock) == 0);
    CHECK(pthread_mutex_unlock(&shared.lock) == 0);
    EXPECT(MESHCHAT_OK, meshchat_node_stop(shared.node));
    for (i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(strcmp(meshchat_last_error(), "") == 0);
    meshchat_node_free(shared.node);
    return 0;
}
