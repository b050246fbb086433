/* What the test programs share. Each function is used by at least one of them. */
#ifndef CHECK_H
#define CHECK_H

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "meshchat.h"

/* Longest time that a test waits for an event: much, for it runs in valgrind, too. */
#define PATIENCE_MS 120000

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);                        \
            exit(1);                                                                                         \
        }                                                                                                    \
    } while (0)

/* The call gives this status, and in case of a failure a text. */
#define EXPECT(status, call) expect(__FILE__, __LINE__, #call, (status), (call))

/* The call fails because of a NULL argument, whose name the text tells. */
#define EXPECT_NULL(name, call)                                                                              \
    do {                                                                                                     \
        EXPECT(MESHCHAT_NULL_ARGUMENT, call);                                                                \
        CHECK(strstr(meshchat_last_error(), "'" name "'") != NULL);                                          \
    } while (0)

static inline void expect(const char *file, int line, const char *call, int32_t wanted, int32_t got)
{
    if (got != wanted) {
        fprintf(stderr, "%s:%d: %s gave %s, not %s; last error: %s\n", file, line, call,
                meshchat_status_name(got), meshchat_status_name(wanted), meshchat_last_error());
        exit(1);
    }
    if (got != MESHCHAT_OK && meshchat_last_error()[0] == '\0') {
        fprintf(stderr, "%s:%d: %s failed without a text\n", file, line, call);
        exit(1);
    }
}

/* `<folder>/<name>`, to be freed. */
static inline char *in_folder(const char *folder, const char *name)
{
    size_t size = strlen(folder) + strlen(name) + 2;
    char *path = malloc(size);
    CHECK(path != NULL);
    snprintf(path, size, "%s/%s", folder, name);
    return path;
}

/* A node on the link "udp" with the home `<folder>/<name>` and that nickname. */
static inline meshchat_node *start(const char *folder, const char *name)
{
    char *home = in_folder(folder, name);
    meshchat_config *config = meshchat_config_new();
    meshchat_node *node = NULL;
    CHECK(config != NULL);
    EXPECT(MESHCHAT_OK, meshchat_config_set_home(config, home));
    EXPECT(MESHCHAT_OK, meshchat_config_set_nickname(config, name));
    EXPECT(MESHCHAT_OK, meshchat_config_set_mailbox(config, 1 << 20, 0, 0));
    EXPECT(MESHCHAT_OK, meshchat_config_add_link(config, "udp"));
    EXPECT(MESHCHAT_OK, meshchat_node_start(config, &node));
    CHECK(node != NULL);
    meshchat_config_free(config);
    free(home);
    return node;
}

static inline int32_t type_of(const meshchat_event *event)
{
    int32_t type = -1;
    EXPECT(MESHCHAT_OK, meshchat_event_type(event, &type));
    return type;
}

/* The next event of that type, to be freed; others are dropped. */
static inline meshchat_event *wait_for(meshchat_node *node, int32_t type)
{
    struct pollfd readable = {-1, POLLIN, 0};
    EXPECT(MESHCHAT_OK, meshchat_node_fd(node, &readable.fd));
    for (;;) {
        meshchat_event *event = NULL;
        EXPECT(MESHCHAT_OK, meshchat_node_next_event(node, &event));
        if (event == NULL) {
            CHECK(poll(&readable, 1, PATIENCE_MS) == 1);
        } else if (type_of(event) == type) {
            return event;
        } else {
            meshchat_event_free(event);
        }
    }
}

#endif
