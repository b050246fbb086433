/* One end of a measurement of streams through the C API, as a program of its own:

       application listen PART HOME LINK AMOUNT
       application connect PART HOME LINK AMOUNT NODE_ID

   The listening end prints its NODE_ID. PART is "bulk" or "messages": the listening end reads for AMOUNT seconds and prints
   {"count": bytes or messages, "seconds": time}; or "trips": the connecting end prints the times of AMOUNT round trips in
   seconds as a JSON array. */
#include <stdbool.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

#define BUFFER_SIZE (64 * 1024)
#define MESSAGE_LEN 100
#define PREFIX_LEN 4
#define QUESTION_LEN 64

/* Longest life of this program in seconds: whatever it waits for will not come. */
#define LIFE 120

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static meshchat_node *start_node(const char *home, const char *link)
{
    meshchat_config *config = meshchat_config_new();
    meshchat_node *node = NULL;
    CHECK(config != NULL);
    EXPECT(MESHCHAT_OK, meshchat_config_set_home(config, home));
    EXPECT(MESHCHAT_OK, meshchat_config_add_link(config, link));
    EXPECT(MESHCHAT_OK, meshchat_node_start(config, &node));
    meshchat_config_free(config);
    return node;
}

static void wait_until(int fd, short events)
{
    struct pollfd waiting = {fd, events, 0};
    CHECK(poll(&waiting, 1, -1) == 1);
}

static int stream_fd(const meshchat_stream *stream)
{
    int fd = -1;
    EXPECT(MESHCHAT_OK, meshchat_stream_fd(stream, &fd));
    return fd;
}

/* How many bytes have come, 0 when the other end is gone. */
static size_t read_some(meshchat_stream *stream, int fd, void *buffer, size_t size)
{
    size_t len = 0;
    int32_t status;
    while ((status = meshchat_stream_read(stream, buffer, size, &len)) == MESHCHAT_WOULD_BLOCK)
        wait_until(fd, POLLIN);
    return status == MESHCHAT_OK ? len : 0;
}

static bool read_exactly(meshchat_stream *stream, int fd, char *buffer, size_t wanted)
{
    size_t have = 0;
    while (have < wanted) {
        size_t len = read_some(stream, fd, buffer + have, wanted - have);
        if (len == 0)
            return false;
        have += len;
    }
    return true;
}

/* Whether the other end is still there. */
static bool write_all(meshchat_stream *stream, int fd, const char *data, size_t len)
{
    while (len > 0) {
        size_t written = 0;
        int32_t status = meshchat_stream_write(stream, data, len, &written);
        if (status == MESHCHAT_WOULD_BLOCK)
            wait_until(fd, POLLOUT);
        else if (status != MESHCHAT_OK)
            return false;
        data += written;
        len -= written;
    }
    return true;
}

/* A stream that the other end has heard of, by a first byte. */
static meshchat_stream *connect_to(meshchat_node *node, const char *id)
{
    meshchat_connection *connection = NULL;
    meshchat_stream *stream = NULL;
    meshchat_event_free(wait_for(node, MESHCHAT_EVENT_NODE_FOUND));
    EXPECT(MESHCHAT_OK, meshchat_node_connect(node, id, &connection));
    EXPECT(MESHCHAT_OK, meshchat_connection_open(connection, &stream));
    CHECK(write_all(stream, stream_fd(stream), "", 1));
    return stream;
}

static meshchat_stream *listen_on(meshchat_node *node)
{
    char id[MESHCHAT_ID_TEXT_SIZE];
    char first = '\0';
    meshchat_listener *listener = NULL;
    meshchat_connection *connection = NULL;
    meshchat_stream *stream = NULL;
    int fd = -1;

    EXPECT(MESHCHAT_OK, meshchat_node_listen(node, &listener));
    EXPECT(MESHCHAT_OK, meshchat_node_id(node, id));
    printf("%s\n", id);
    fflush(stdout);
    EXPECT(MESHCHAT_OK, meshchat_listener_fd(listener, &fd));
    while (meshchat_listener_accept(listener, &connection) == MESHCHAT_WOULD_BLOCK)
        wait_until(fd, POLLIN);
    CHECK(connection != NULL);
    EXPECT(MESHCHAT_OK, meshchat_connection_fd(connection, &fd));
    while (meshchat_connection_accept(connection, &stream) == MESHCHAT_WOULD_BLOCK)
        wait_until(fd, POLLIN);
    CHECK(stream != NULL);
    CHECK(read_exactly(stream, stream_fd(stream), &first, 1));
    return stream;
}

/* What an application does with a message. */
static uint64_t messages;

static void on_message(const unsigned char *message, size_t len)
{
    CHECK(len == MESSAGE_LEN && message[0] == 7);
    messages++;
}

/* Hands over the whole messages of `data`; how many bytes they take. */
static size_t take_messages(const unsigned char *data, size_t len)
{
    size_t at = 0;
    while (len - at >= PREFIX_LEN) {
        const unsigned char *prefix = data + at;
        size_t message_len = (size_t)prefix[0] << 24 | (size_t)prefix[1] << 16 | (size_t)prefix[2] << 8 | prefix[3];
        CHECK(message_len <= BUFFER_SIZE - PREFIX_LEN);
        if (len - at - PREFIX_LEN < message_len)
            break;
        on_message(prefix + PREFIX_LEN, message_len);
        at += PREFIX_LEN + message_len;
    }
    return at;
}

static void print_rate(uint64_t count, double begin)
{
    printf("{\"count\": %llu, \"seconds\": %.9f}\n", (unsigned long long)count, now() - begin);
}

static void read_messages(meshchat_stream *stream, double seconds)
{
    static unsigned char buffer[BUFFER_SIZE];
    int fd = stream_fd(stream);
    size_t have = 0;
    double begin = now();
    while (now() - begin < seconds) {
        size_t len = read_some(stream, fd, buffer + have, sizeof buffer - have);
        size_t taken;
        CHECK(len > 0);
        have += len;
        taken = take_messages(buffer, have);
        have -= taken;
        memmove(buffer, buffer + taken, have);
    }
    print_rate(messages, begin);
}

static void read_bulk(meshchat_stream *stream, double seconds)
{
    static char buffer[BUFFER_SIZE];
    int fd = stream_fd(stream);
    uint64_t count = 0;
    double begin = now();
    while (now() - begin < seconds) {
        size_t len = read_some(stream, fd, buffer, sizeof buffer);
        CHECK(len > 0);
        count += len;
    }
    print_rate(count, begin);
}

/* Writes the same, piece by piece, until the other end is gone. */
static void write_on(meshchat_stream *stream, const char *piece, size_t len)
{
    int fd = stream_fd(stream);
    while (write_all(stream, fd, piece, len)) {
    }
}

static void answer(meshchat_stream *stream)
{
    char question[QUESTION_LEN];
    int fd = stream_fd(stream);
    while (read_exactly(stream, fd, question, sizeof question))
        CHECK(write_all(stream, fd, question, sizeof question));
}

static void ask(meshchat_stream *stream, size_t trips)
{
    char question[QUESTION_LEN] = {7};
    int fd = stream_fd(stream);
    double *times = calloc(trips, sizeof *times);
    CHECK(times != NULL && trips > 0);
    for (size_t trip = 0; trip < trips; trip++) {
        double begin = now();
        CHECK(write_all(stream, fd, question, sizeof question));
        CHECK(read_exactly(stream, fd, question, sizeof question));
        times[trip] = now() - begin;
    }
    for (size_t trip = 0; trip < trips; trip++)
        printf("%c%.9f", trip == 0 ? '[' : ',', times[trip]);
    printf("]\n");
    free(times);
}

static void write_part(meshchat_stream *stream, const char *part)
{
    static char bulk[BUFFER_SIZE];
    char message[PREFIX_LEN + MESSAGE_LEN] = {0, 0, 0, MESSAGE_LEN};
    memset(bulk, 7, sizeof bulk);
    memset(message + PREFIX_LEN, 7, MESSAGE_LEN);
    if (strcmp(part, "bulk") == 0)
        write_on(stream, bulk, sizeof bulk);
    else
        write_on(stream, message, sizeof message);
}

int main(int argc, char **argv)
{
    bool connects, trips;
    const char *part;
    meshchat_node *node;
    meshchat_stream *stream;

    CHECK(argc >= 6);
    connects = strcmp(argv[1], "connect") == 0;
    CHECK(argc == (connects ? 7 : 6));
    part = argv[2];
    trips = strcmp(part, "trips") == 0;
    alarm(LIFE);
    node = start_node(argv[3], argv[4]);
    stream = connects ? connect_to(node, argv[6]) : listen_on(node);
    if (connects && trips)
        ask(stream, strtoul(argv[5], NULL, 10));
    else if (connects)
        write_part(stream, part);
    else if (trips)
        answer(stream);
    else if (strcmp(part, "bulk") == 0)
        read_bulk(stream, atof(argv[5]));
    else
        read_messages(stream, atof(argv[5]));
    fflush(stdout);
    return 0;
}
