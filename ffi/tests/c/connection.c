/* Two nodes in one process with connections between them. Usage: connection FOLDER, with the homes FOLDER/ada and
   FOLDER/bob. */
#include "check.h"

#define UNKNOWN_ID "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define BULK_LEN (2 * 1024 * 1024)
#define CHUNK_LEN 10007

/* A connection between the two nodes, from both ends. */
struct pair {
    meshchat_listener *listener;
    meshchat_connection *near_end;
    meshchat_connection *far_end;
};

/* What an accept, a read or a write gives once it need not wait, which only poll() does here. */
#define UNTIL_READY(status, fd_call, wanted, call)                                                           \
    do {                                                                                                     \
        struct pollfd waiting = {-1, (wanted), 0};                                                           \
        EXPECT(MESHCHAT_OK, fd_call);                                                                        \
        while (((status) = (call)) == MESHCHAT_WOULD_BLOCK)                                                  \
            CHECK(poll(&waiting, 1, PATIENCE_MS) == 1 && waiting.revents == (wanted));                       \
    } while (0)

static meshchat_connection *accept_connection(meshchat_listener *listener)
{
    meshchat_connection *connection = NULL;
    int32_t status;
    UNTIL_READY(status, meshchat_listener_fd(listener, &waiting.fd), POLLIN,
                meshchat_listener_accept(listener, &connection));
    EXPECT(MESHCHAT_OK, status);
    return connection;
}

static int32_t accept_stream(meshchat_connection *connection, meshchat_stream **stream)
{
    int32_t status;
    UNTIL_READY(status, meshchat_connection_fd(connection, &waiting.fd), POLLIN,
                meshchat_connection_accept(connection, stream));
    return status;
}

static int32_t read_some(meshchat_stream *stream, void *buffer, size_t size, size_t *len)
{
    int32_t status;
    UNTIL_READY(status, meshchat_stream_fd(stream, &waiting.fd), POLLIN,
                meshchat_stream_read(stream, buffer, size, len));
    return status;
}

static int32_t finish(meshchat_stream *stream)
{
    int32_t status;
    UNTIL_READY(status, meshchat_stream_fd(stream, &waiting.fd), POLLOUT, meshchat_stream_finish(stream));
    return status;
}

static unsigned char pattern(size_t at)
{
    return (unsigned char)((at * 2654435761u) >> 13);
}

/* What `poll` says at once. */
static short now(meshchat_stream *stream)
{
    struct pollfd asked = {-1, POLLIN | POLLOUT, 0};
    EXPECT(MESHCHAT_OK, meshchat_stream_fd(stream, &asked.fd));
    CHECK(poll(&asked, 1, 0) >= 0);
    return asked.revents;
}

/* Two ends of a stream on which the near one has said "x". */
static void open_stream(const struct pair *pair, meshchat_stream **near_end, meshchat_stream **far_end)
{
    char byte = '\0';
    size_t len = 0;
    EXPECT(MESHCHAT_OK, meshchat_connection_open(pair->near_end, near_end));
    EXPECT(MESHCHAT_OK, meshchat_stream_write(*near_end, "x", 1, &len));
    CHECK(len == 1);
    EXPECT(MESHCHAT_OK, accept_stream(pair->far_end, far_end));
    EXPECT(MESHCHAT_OK, read_some(*far_end, &byte, 1, &len));
    CHECK(len == 1 && byte == 'x');
}

static void check_refusal(meshchat_node *ada, meshchat_node *bob, const char *bob_id)
{
    char id[MESHCHAT_ID_TEXT_SIZE];
    meshchat_connection *connection = NULL;
    meshchat_stream *stream = NULL;
    int32_t status;

    EXPECT_NULL("node", meshchat_node_connect(NULL, bob_id, &connection));
    EXPECT_NULL("to", meshchat_node_connect(ada, NULL, &connection));
    EXPECT_NULL("connection", meshchat_node_connect(ada, bob_id, NULL));
    EXPECT(MESHCHAT_INVALID_ARGUMENT, meshchat_node_connect(ada, "bob", &connection));
    EXPECT(MESHCHAT_INVALID_ARGUMENT, meshchat_node_connect(bob, bob_id, &connection));
    EXPECT(MESHCHAT_OUT_OF_REACH, meshchat_node_connect(ada, UNKNOWN_ID, &connection));
    CHECK(connection == NULL);

    /* Bob does not listen: ada hears of it at the end of the handshake, or just behind it. */
    status = meshchat_node_connect(ada, bob_id, &connection);
    if (status == MESHCHAT_OK) {
        EXPECT(MESHCHAT_OK, meshchat_connection_peer(connection, id));
        CHECK(strcmp(id, bob_id) == 0);
        EXPECT(MESHCHAT_DISCONNECTED, accept_stream(connection, &stream));
        if (strstr(meshchat_last_error(), "nobody takes connections") == NULL)
            fprintf(stderr, "another reason: %s\n", meshchat_last_error());
        CHECK(strstr(meshchat_last_error(), "nobody takes connections") != NULL && stream == NULL);
    } else {
        EXPECT(MESHCHAT_REFUSED, status);
    }
    meshchat_connection_free(connection);
}

static struct pair connect_both(meshchat_node *ada, meshchat_node *bob, const char *ada_id, const char *bob_id)
{
    struct pair pair = {NULL, NULL, NULL};
    char id[MESHCHAT_ID_TEXT_SIZE];
    int fd = -1;

    EXPECT_NULL("node", meshchat_node_listen(NULL, &pair.listener));
    EXPECT_NULL("listener", meshchat_node_listen(bob, NULL));
    EXPECT(MESHCHAT_OK, meshchat_node_listen(bob, &pair.listener));
    EXPECT_NULL("listener", meshchat_listener_accept(NULL, &pair.far_end));
    EXPECT_NULL("connection", meshchat_listener_accept(pair.listener, NULL));
    EXPECT_NULL("listener", meshchat_listener_fd(NULL, &fd));
    EXPECT_NULL("fd", meshchat_listener_fd(pair.listener, NULL));
    EXPECT(MESHCHAT_WOULD_BLOCK, meshchat_listener_accept(pair.listener, &pair.far_end));
    CHECK(pair.far_end == NULL && fd == -1);

    EXPECT(MESHCHAT_OK, meshchat_node_connect(ada, bob_id, &pair.near_end));
    pair.far_end = accept_connection(pair.listener);
    EXPECT_NULL("connection", meshchat_connection_peer(NULL, id));
    EXPECT_NULL("id", meshchat_connection_peer(pair.near_end, NULL));
    EXPECT(MESHCHAT_OK, meshchat_connection_peer(pair.near_end, id));
    CHECK(strcmp(id, bob_id) == 0);
    EXPECT(MESHCHAT_OK, meshchat_connection_peer(pair.far_end, id));
    CHECK(strcmp(id, ada_id) == 0);
    return pair;
}

static void check_arguments(const struct pair *pair)
{
    meshchat_stream *stream = NULL;
    meshchat_stream *far_end = NULL;
    meshchat_statistics *statistics = NULL;
    char buffer[4] = "abc";
    size_t len = 99;
    int fd = -1;

    EXPECT_NULL("connection", meshchat_connection_open(NULL, &stream));
    EXPECT_NULL("stream", meshchat_connection_open(pair->near_end, NULL));
    EXPECT_NULL("connection", meshchat_connection_accept(NULL, &stream));
    EXPECT_NULL("stream", meshchat_connection_accept(pair->near_end, NULL));
    EXPECT_NULL("connection", meshchat_connection_fd(NULL, &fd));
    EXPECT_NULL("fd", meshchat_connection_fd(pair->near_end, NULL));
    EXPECT_NULL("connection", meshchat_connection_statistics(NULL, &statistics));
    EXPECT_NULL("statistics", meshchat_connection_statistics(pair->near_end, NULL));
    EXPECT_NULL("connection", meshchat_connection_close(NULL, 0, ""));
    EXPECT_NULL("reason", meshchat_connection_close(pair->near_end, 0, NULL));
    EXPECT(MESHCHAT_NOT_UTF8, meshchat_connection_close(pair->near_end, 0, "\xff"));
    EXPECT(MESHCHAT_INVALID_ARGUMENT, meshchat_connection_close(pair->near_end, MESHCHAT_CODE_MAX + 1, ""));
    CHECK(stream == NULL && statistics == NULL);

    EXPECT(MESHCHAT_OK, meshchat_connection_open(pair->near_end, &stream));
    EXPECT_NULL("stream", meshchat_stream_read(NULL, buffer, sizeof buffer, &len));
    EXPECT_NULL("buffer", meshchat_stream_read(stream, NULL, sizeof buffer, &len));
    EXPECT_NULL("read_len", meshchat_stream_read(stream, buffer, sizeof buffer, NULL));
    EXPECT(MESHCHAT_INVALID_ARGUMENT, meshchat_stream_read(stream, buffer, 0, &len));
    EXPECT(MESHCHAT_INVALID_ARGUMENT, meshchat_stream_read(stream, buffer, SIZE_MAX, &len));
    EXPECT(MESHCHAT_WOULD_BLOCK, meshchat_stream_read(stream, buffer, sizeof buffer, &len));
    EXPECT_NULL("stream", meshchat_stream_write(NULL, "x", 1, &len));
    EXPECT_NULL("data", meshchat_stream_write(stream, NULL, 1, &len));
    EXPECT_NULL("written_len", meshchat_stream_write(stream, "x", 1, NULL));
    EXPECT(MESHCHAT_INVALID_ARGUMENT, meshchat_stream_write(stream, "x", SIZE_MAX, &len));
    EXPECT_NULL("stream", meshchat_stream_finish(NULL));
    EXPECT_NULL("stream", meshchat_stream_reset(NULL, 0));
    EXPECT(MESHCHAT_INVALID_ARGUMENT, meshchat_stream_reset(stream, UINT64_MAX));
    EXPECT_NULL("stream", meshchat_stream_stop_reading(NULL, 0));
    EXPECT(MESHCHAT_INVALID_ARGUMENT, meshchat_stream_stop_reading(stream, UINT64_MAX));
    EXPECT_NULL("stream", meshchat_stream_set_priority(NULL, 0));
    EXPECT(MESHCHAT_INVALID_ARGUMENT, meshchat_stream_set_priority(stream, MESHCHAT_PRIORITY_MAX + 1));
    EXPECT(MESHCHAT_OK, meshchat_stream_set_priority(stream, 0));
    EXPECT_NULL("stream", meshchat_stream_fd(NULL, &fd));
    EXPECT_NULL("fd", meshchat_stream_fd(stream, NULL));
    CHECK(len == 99 && fd == -1 && strcmp(buffer, "abc") == 0);
    EXPECT(MESHCHAT_OK, meshchat_stream_write(stream, "", 0, &len));
    CHECK(len == 0);
    /* An end is the first that the peer hears of it. */
    EXPECT(MESHCHAT_OK, meshchat_stream_reset(stream, 0));
    meshchat_stream_free(stream);
    EXPECT(MESHCHAT_OK, accept_stream(pair->far_end, &far_end));
    EXPECT(MESHCHAT_STREAM_RESET, read_some(far_end, buffer, sizeof buffer, &len));
    meshchat_stream_free(far_end);

    meshchat_listener_free(NULL);
    meshchat_connection_free(NULL);
    meshchat_stream_free(NULL);
    meshchat_statistics_free(NULL);
}

/* Both ends of a stream send as much as goes and read what comes, in one loop around poll(). */
struct end {
    meshchat_stream *stream;
    size_t sent;
    size_t got;
    bool finished;
    bool ended;
};

static void send_what_goes(struct end *end)
{
    unsigned char chunk[CHUNK_LEN];
    size_t len = BULK_LEN - end->sent < sizeof chunk ? BULK_LEN - end->sent : sizeof chunk;
    size_t i;
    int32_t status;
    if (len == 0) {
        status = meshchat_stream_finish(end->stream);
        CHECK(status == MESHCHAT_OK || status == MESHCHAT_WOULD_BLOCK);
        end->finished = status == MESHCHAT_OK;
        return;
    }
    for (i = 0; i < len; i++)
        chunk[i] = pattern(end->sent + i);
    status = meshchat_stream_write(end->stream, chunk, len, &len);
    if (status == MESHCHAT_WOULD_BLOCK)
        return;
    EXPECT(MESHCHAT_OK, status);
    end->sent += len;
}

static void read_what_comes(struct end *end)
{
    unsigned char chunk[CHUNK_LEN];
    size_t len = 0;
    size_t i;
    int32_t status = meshchat_stream_read(end->stream, chunk, sizeof chunk, &len);
    if (status == MESHCHAT_WOULD_BLOCK)
        return;
    EXPECT(MESHCHAT_OK, status);
    for (i = 0; i < len; i++)
        CHECK(chunk[i] == pattern(end->got + i));
    end->got += len;
    end->ended = len == 0;
}

static void check_bulk(const struct pair *pair)
{
    struct end ends[2] = {{NULL, 1, 0, false, false}, {NULL, 0, 1, false, false}};
    struct pollfd fds[2] = {{-1, 0, 0}, {-1, 0, 0}};
    unsigned char first = pattern(0);
    size_t len = 0;
    int i;

    EXPECT(MESHCHAT_OK, meshchat_connection_open(pair->near_end, &ends[0].stream));
    EXPECT(MESHCHAT_OK, meshchat_stream_write(ends[0].stream, &first, 1, &len));
    EXPECT(MESHCHAT_OK, accept_stream(pair->far_end, &ends[1].stream));
    EXPECT(MESHCHAT_OK, read_some(ends[1].stream, &first, 1, &len));
    CHECK(len == 1 && first == pattern(0));
    for (i = 0; i < 2; i++)
        EXPECT(MESHCHAT_OK, meshchat_stream_fd(ends[i].stream, &fds[i].fd));
    while (!(ends[0].finished && ends[0].ended && ends[1].finished && ends[1].ended)) {
        for (i = 0; i < 2; i++)
            fds[i].events = (short)((ends[i].finished ? 0 : POLLOUT) | (ends[i].ended ? 0 : POLLIN));
        CHECK(poll(fds, 2, PATIENCE_MS) > 0);
        for (i = 0; i < 2; i++) {
            if (fds[i].revents & POLLOUT)
                send_what_goes(&ends[i]);
            if (fds[i].revents & POLLIN)
                read_what_comes(&ends[i]);
        }
    }
    CHECK(ends[0].got == BULK_LEN && ends[1].got == BULK_LEN);
    /* The end stays. */
    EXPECT(MESHCHAT_OK, meshchat_stream_read(ends[0].stream, &first, 1, &len));
    CHECK(len == 0);
    EXPECT(MESHCHAT_STREAM_CLOSED, meshchat_stream_write(ends[0].stream, "x", 1, &len));
    for (i = 0; i < 2; i++)
        meshchat_stream_free(ends[i].stream);
}

/* Nobody reads: writing stops, and goes on when somebody does. */
static void check_slow_reader(const struct pair *pair)
{
    static unsigned char chunk[65536];
    meshchat_stream *near_end = NULL;
    meshchat_stream *far_end = NULL;
    struct pollfd writable = {-1, POLLOUT, 0};
    size_t written = 0;
    size_t got = 0;
    size_t len = 0;
    int32_t status;
    open_stream(pair, &near_end, &far_end);
    EXPECT(MESHCHAT_OK, meshchat_stream_fd(near_end, &writable.fd));
    while ((status = meshchat_stream_write(near_end, chunk, sizeof chunk, &len)) == MESHCHAT_OK) {
        written += len;
        CHECK(written < 64 * 1024 * 1024);
    }
    EXPECT(MESHCHAT_WOULD_BLOCK, status);
    while (got < written) {
        EXPECT(MESHCHAT_OK, read_some(far_end, chunk, sizeof chunk, &len));
        got += len;
    }
    CHECK(got == written);
    CHECK(poll(&writable, 1, PATIENCE_MS) == 1);
    EXPECT(MESHCHAT_OK, meshchat_stream_write(near_end, "x", 1, &len));
    meshchat_stream_free(near_end);
    meshchat_stream_free(far_end);
}

/* One direction ends, the other goes on. */
static void check_half_close(const struct pair *pair)
{
    meshchat_stream *near_end = NULL;
    meshchat_stream *far_end = NULL;
    char answer[8] = "";
    size_t len = 99;
    open_stream(pair, &near_end, &far_end);
    EXPECT(MESHCHAT_OK, finish(near_end));
    EXPECT(MESHCHAT_OK, meshchat_stream_finish(near_end));
    EXPECT(MESHCHAT_OK, read_some(far_end, answer, sizeof answer, &len));
    CHECK(len == 0);
    EXPECT(MESHCHAT_WOULD_BLOCK, meshchat_stream_read(near_end, answer, sizeof answer, &len));
    CHECK(now(near_end) == POLLOUT);
    EXPECT(MESHCHAT_OK, meshchat_stream_write(far_end, "answer", 6, &len));
    EXPECT(MESHCHAT_OK, read_some(near_end, answer, 3, &len));
    CHECK(len == 3 && now(near_end) == (POLLIN | POLLOUT));
    EXPECT(MESHCHAT_OK, read_some(near_end, answer + 3, 5, &len));
    CHECK(len == 3 && memcmp(answer, "answer", 6) == 0);
    meshchat_stream_free(far_end);
    EXPECT(MESHCHAT_OK, read_some(near_end, answer, sizeof answer, &len));
    CHECK(len == 0);
    meshchat_stream_free(near_end);
}

static void check_reset(const struct pair *pair)
{
    meshchat_stream *near_end = NULL;
    meshchat_stream *far_end = NULL;
    char byte = '\0';
    size_t len = 99;
    int32_t status;
    open_stream(pair, &near_end, &far_end);
    EXPECT(MESHCHAT_OK, meshchat_stream_reset(near_end, 7));
    EXPECT(MESHCHAT_OK, meshchat_stream_reset(near_end, 8));
    EXPECT(MESHCHAT_STREAM_CLOSED, meshchat_stream_write(near_end, "x", 1, &len));
    EXPECT(MESHCHAT_STREAM_CLOSED, meshchat_stream_finish(near_end));
    EXPECT(MESHCHAT_STREAM_RESET, read_some(far_end, &byte, 1, &len));
    CHECK(strstr(meshchat_last_error(), "code 7") != NULL && len == 99);
    /* The other direction is unharmed. */
    EXPECT(MESHCHAT_OK, meshchat_stream_write(far_end, "y", 1, &len));
    EXPECT(MESHCHAT_OK, read_some(near_end, &byte, 1, &len));
    CHECK(byte == 'y');

    EXPECT(MESHCHAT_OK, meshchat_stream_stop_reading(near_end, MESHCHAT_CODE_MAX));
    EXPECT(MESHCHAT_OK, meshchat_stream_stop_reading(near_end, 9));
    EXPECT(MESHCHAT_STREAM_CLOSED, meshchat_stream_read(near_end, &byte, 1, &len));
    do {
        UNTIL_READY(status, meshchat_stream_fd(far_end, &waiting.fd), POLLOUT,
                    meshchat_stream_write(far_end, "more and more", 13, &len));
    } while (status == MESHCHAT_OK);
    EXPECT(MESHCHAT_STREAM_RESET, status);
    CHECK(strstr(meshchat_last_error(), "code 4611686018427387903") != NULL);
    EXPECT(MESHCHAT_STREAM_RESET, meshchat_stream_finish(far_end));
    meshchat_stream_free(near_end);
    meshchat_stream_free(far_end);
}

static int32_t read_datagram(meshchat_connection *connection, void *buffer, size_t size, size_t *len)
{
    int32_t status;
    UNTIL_READY(status, meshchat_connection_datagram_fd(connection, &waiting.fd), POLLIN,
                meshchat_connection_read_datagram(connection, buffer, size, len));
    return status;
}

static void check_datagram_arguments(const struct pair *pair)
{
    char buffer[4] = "abc";
    size_t len = 99;
    int fd = -1;
    EXPECT_NULL("connection", meshchat_connection_send_datagram(NULL, "x", 1));
    EXPECT_NULL("data", meshchat_connection_send_datagram(pair->near_end, NULL, 1));
    EXPECT(MESHCHAT_INVALID_ARGUMENT, meshchat_connection_send_datagram(pair->near_end, "x", SIZE_MAX));
    EXPECT_NULL("connection", meshchat_connection_read_datagram(NULL, buffer, sizeof buffer, &len));
    EXPECT_NULL("buffer", meshchat_connection_read_datagram(pair->near_end, NULL, sizeof buffer, &len));
    EXPECT_NULL("read_len", meshchat_connection_read_datagram(pair->near_end, buffer, sizeof buffer, NULL));
    EXPECT(MESHCHAT_INVALID_ARGUMENT,
           meshchat_connection_read_datagram(pair->near_end, buffer, SIZE_MAX, &len));
    EXPECT_NULL("connection", meshchat_connection_datagram_fd(NULL, &fd));
    EXPECT_NULL("fd", meshchat_connection_datagram_fd(pair->near_end, NULL));
    EXPECT(MESHCHAT_WOULD_BLOCK,
           meshchat_connection_read_datagram(pair->near_end, buffer, sizeof buffer, &len));
    CHECK(len == 99 && fd == -1 && strcmp(buffer, "abc") == 0);
}

static void check_datagrams(const struct pair *pair)
{
    static unsigned char long_one[65536];
    unsigned char got[65536];
    struct pollfd accepting = {-1, POLLIN, 0};
    struct pollfd arriving = {-1, POLLIN, 0};
    meshchat_stream *none = NULL;
    const char *limit;
    size_t longest;
    size_t len = 99;
    check_datagram_arguments(pair);

    /* Accepting has a descriptor of its own, which datagrams do not wake. */
    EXPECT(MESHCHAT_OK, meshchat_connection_fd(pair->far_end, &accepting.fd));
    EXPECT(MESHCHAT_OK, meshchat_connection_datagram_fd(pair->far_end, &arriving.fd));
    CHECK(accepting.fd != arriving.fd);
    EXPECT(MESHCHAT_WOULD_BLOCK, meshchat_connection_accept(pair->far_end, &none));
    EXPECT(MESHCHAT_WOULD_BLOCK, meshchat_connection_read_datagram(pair->far_end, got, sizeof got, &len));
    CHECK(poll(&arriving, 1, 0) == 0 && len == 99);

    EXPECT(MESHCHAT_OK, meshchat_connection_send_datagram(pair->near_end, "first", 5));
    CHECK(poll(&arriving, 1, PATIENCE_MS) == 1 && poll(&accepting, 1, 0) == 0);
    /* One that does not fit stays, unharmed. */
    memset(got, 'z', 8);
    EXPECT(MESHCHAT_BUFFER_TOO_SMALL, meshchat_connection_read_datagram(pair->far_end, got, 4, &len));
    CHECK(strstr(meshchat_last_error(), "the datagram 5") != NULL && len == 99 && got[0] == 'z');
    EXPECT(MESHCHAT_BUFFER_TOO_SMALL, meshchat_connection_read_datagram(pair->far_end, got, 0, &len));
    EXPECT(MESHCHAT_OK, read_datagram(pair->far_end, got, 5, &len));
    CHECK(len == 5 && memcmp(got, "firstz", 6) == 0);
    EXPECT(MESHCHAT_WOULD_BLOCK, meshchat_connection_read_datagram(pair->far_end, got, sizeof got, &len));

    /* None, and the longest one. */
    EXPECT(MESHCHAT_OK, meshchat_connection_send_datagram(pair->near_end, "", 0));
    EXPECT(MESHCHAT_OK, read_datagram(pair->far_end, got, 0, &len));
    CHECK(len == 0);
    EXPECT(MESHCHAT_INVALID_ARGUMENT,
           meshchat_connection_send_datagram(pair->near_end, long_one, sizeof long_one));
    limit = meshchat_last_error() + strcspn(meshchat_last_error(), "0123456789");
    longest = (size_t)strtoul(limit, NULL, 10);
    CHECK(longest >= 1168 && longest < 65536);
    for (len = 0; len < longest; len++)
        long_one[len] = pattern(len);
    EXPECT(MESHCHAT_OK, meshchat_connection_send_datagram(pair->near_end, long_one, longest));
    EXPECT(MESHCHAT_OK, read_datagram(pair->far_end, got, sizeof got, &len));
    CHECK(len == longest && memcmp(got, long_one, longest) == 0);
    /* The other way as well. */
    EXPECT(MESHCHAT_OK, meshchat_connection_send_datagram(pair->far_end, "answer", 6));
    EXPECT(MESHCHAT_OK, read_datagram(pair->near_end, got, sizeof got, &len));
    CHECK(len == 6 && memcmp(got, "answer", 6) == 0 && none == NULL);
}

static uint64_t value_of(const meshchat_statistics *statistics, int32_t statistic)
{
    uint64_t value = 0;
    EXPECT(MESHCHAT_OK, meshchat_statistics_value(statistics, statistic, &value));
    return value;
}

static void check_statistics(const struct pair *pair)
{
    static const int32_t all[] = {
        MESHCHAT_STATISTIC_RTT_US,           MESHCHAT_STATISTIC_LATEST_RTT_US,
        MESHCHAT_STATISTIC_MIN_RTT_US,       MESHCHAT_STATISTIC_RTT_VARIATION_US,
        MESHCHAT_STATISTIC_CONGESTION_WINDOW, MESHCHAT_STATISTIC_SLOW_START_THRESHOLD,
        MESHCHAT_STATISTIC_CONGESTION_EVENTS, MESHCHAT_STATISTIC_BYTES_IN_FLIGHT,
        MESHCHAT_STATISTIC_BYTES_SENT,       MESHCHAT_STATISTIC_BYTES_RECEIVED,
        MESHCHAT_STATISTIC_BYTES_RETRANSMITTED, MESHCHAT_STATISTIC_PACKETS_SENT,
        MESHCHAT_STATISTIC_PACKETS_RECEIVED, MESHCHAT_STATISTIC_PACKETS_LOST,
        MESHCHAT_STATISTIC_PACKETS_SPURIOUS, MESHCHAT_STATISTIC_STREAMS,
        MESHCHAT_STATISTIC_MTU,              MESHCHAT_STATISTIC_KEY_UPDATES,
    };
    meshchat_statistics *statistics = NULL;
    uint64_t value = 99;
    size_t i;
    EXPECT(MESHCHAT_OK, meshchat_connection_statistics(pair->near_end, &statistics));
    EXPECT_NULL("statistics", meshchat_statistics_value(NULL, MESHCHAT_STATISTIC_MTU, &value));
    EXPECT_NULL("value", meshchat_statistics_value(statistics, MESHCHAT_STATISTIC_MTU, NULL));
    EXPECT(MESHCHAT_INVALID_ARGUMENT, meshchat_statistics_value(statistics, -1, &value));
    EXPECT(MESHCHAT_INVALID_ARGUMENT, meshchat_statistics_value(statistics, 19, &value));
    CHECK(value == 99);
    for (i = 0; i < sizeof all / sizeof all[0]; i++)
        (void)value_of(statistics, all[i]);
    CHECK(value_of(statistics, MESHCHAT_STATISTIC_BYTES_SENT) > BULK_LEN);
    CHECK(value_of(statistics, MESHCHAT_STATISTIC_BYTES_RECEIVED) > BULK_LEN);
    CHECK(value_of(statistics, MESHCHAT_STATISTIC_PACKETS_SENT) > 100);
    CHECK(value_of(statistics, MESHCHAT_STATISTIC_RTT_US) > 0);
    CHECK(value_of(statistics, MESHCHAT_STATISTIC_MIN_RTT_US) <=
          value_of(statistics, MESHCHAT_STATISTIC_LATEST_RTT_US));
    CHECK(value_of(statistics, MESHCHAT_STATISTIC_MTU) >= 1200);
    CHECK(value_of(statistics, MESHCHAT_STATISTIC_CONGESTION_WINDOW) > 1200);
    meshchat_statistics_free(statistics);
}

static void check_close(const struct pair *pair)
{
    meshchat_stream *near_end = NULL;
    meshchat_stream *far_end = NULL;
    meshchat_stream *none = NULL;
    meshchat_statistics *statistics = NULL;
    struct pollfd arriving = {-1, POLLIN, 0};
    char byte;
    char text[5] = "";
    size_t len = 99;
    open_stream(pair, &near_end, &far_end);
    EXPECT(MESHCHAT_WOULD_BLOCK, meshchat_connection_read_datagram(pair->far_end, text, sizeof text, &len));
    EXPECT(MESHCHAT_OK, meshchat_connection_send_datagram(pair->near_end, "late", 4));
    EXPECT(MESHCHAT_OK, meshchat_connection_datagram_fd(pair->far_end, &arriving.fd));
    CHECK(poll(&arriving, 1, PATIENCE_MS) == 1);
    EXPECT(MESHCHAT_OK, meshchat_connection_close(pair->far_end, 3, "that is all"));
    EXPECT(MESHCHAT_OK, meshchat_connection_close(pair->far_end, 4, "a second time"));
    EXPECT(MESHCHAT_DISCONNECTED, read_some(near_end, &byte, 1, &len));
    CHECK(strstr(meshchat_last_error(), "that is all") != NULL);
    EXPECT(MESHCHAT_DISCONNECTED, meshchat_stream_write(near_end, "x", 1, &len));
    EXPECT(MESHCHAT_DISCONNECTED, meshchat_stream_finish(near_end));
    EXPECT(MESHCHAT_DISCONNECTED, accept_stream(pair->near_end, &none));
    CHECK(strstr(meshchat_last_error(), "that is all") != NULL);
    EXPECT(MESHCHAT_DISCONNECTED, accept_stream(pair->near_end, &none));
    EXPECT(MESHCHAT_DISCONNECTED, accept_stream(pair->far_end, &none));
    EXPECT(MESHCHAT_DISCONNECTED, meshchat_connection_open(pair->near_end, &none));
    EXPECT(MESHCHAT_DISCONNECTED, meshchat_connection_open(pair->far_end, &none));
    CHECK(none == NULL && len == 99);
    EXPECT(MESHCHAT_OK, read_datagram(pair->far_end, text, sizeof text, &len));
    CHECK(len == 4 && strcmp(text, "late") == 0);
    EXPECT(MESHCHAT_DISCONNECTED, read_datagram(pair->far_end, text, sizeof text, &len));
    EXPECT(MESHCHAT_DISCONNECTED, read_datagram(pair->near_end, text, sizeof text, &len));
    CHECK(strstr(meshchat_last_error(), "that is all") != NULL);
    EXPECT(MESHCHAT_DISCONNECTED, meshchat_connection_send_datagram(pair->near_end, "x", 1));
    /* The numbers are kept for a while. */
    if (meshchat_connection_statistics(pair->far_end, &statistics) != MESHCHAT_OK)
        CHECK(strstr(meshchat_last_error(), "over") != NULL && statistics == NULL);
    meshchat_statistics_free(statistics);
    meshchat_stream_free(near_end);
    meshchat_stream_free(far_end);
    meshchat_connection_free(pair->near_end);
    meshchat_connection_free(pair->far_end);
}

/* Handles outlive the node that they came from. */
static void check_stop(meshchat_node *ada, meshchat_node *bob, meshchat_listener *listener, const char *bob_id)
{
    struct pair pair = {listener, NULL, NULL};
    meshchat_listener *other = NULL;
    meshchat_stream *near_end = NULL;
    meshchat_stream *far_end = NULL;
    meshchat_stream *none = NULL;
    meshchat_connection *nobody = NULL;
    struct pollfd readable = {-1, POLLIN, 0};
    char byte;
    size_t len = 0;
    EXPECT(MESHCHAT_OK, meshchat_node_connect(ada, bob_id, &pair.near_end));
    pair.far_end = accept_connection(listener);
    open_stream(&pair, &near_end, &far_end);
    EXPECT(MESHCHAT_WOULD_BLOCK, meshchat_listener_accept(listener, &nobody));
    EXPECT(MESHCHAT_OK, meshchat_node_listen(bob, &other));
    EXPECT(MESHCHAT_OK, meshchat_listener_fd(listener, &readable.fd));
    CHECK(poll(&readable, 1, PATIENCE_MS) == 1);
    EXPECT(MESHCHAT_STOPPED, meshchat_listener_accept(listener, &nobody));

    meshchat_node_free(bob);
    EXPECT(MESHCHAT_STOPPED, meshchat_listener_accept(other, &nobody));
    EXPECT(MESHCHAT_DISCONNECTED, read_some(far_end, &byte, 1, &len));
    EXPECT(MESHCHAT_DISCONNECTED, accept_stream(pair.far_end, &none));
    EXPECT(MESHCHAT_STOPPED, meshchat_connection_open(pair.far_end, &none));
    EXPECT(MESHCHAT_DISCONNECTED, read_some(near_end, &byte, 1, &len));
    CHECK(nobody == NULL && none == NULL);
    EXPECT(MESHCHAT_OK, meshchat_node_stop(ada));
    EXPECT(MESHCHAT_STOPPED, meshchat_node_listen(ada, &other));
    EXPECT(MESHCHAT_STOPPED, meshchat_node_connect(ada, bob_id, &nobody));
    meshchat_node_free(ada);
    meshchat_stream_free(near_end);
    meshchat_stream_free(far_end);
    meshchat_connection_free(pair.near_end);
    meshchat_connection_free(pair.far_end);
    meshchat_listener_free(listener);
    meshchat_listener_free(other);
}

int main(int argc, char **argv)
{
    char ada_id[MESHCHAT_ID_TEXT_SIZE];
    char bob_id[MESHCHAT_ID_TEXT_SIZE];
    meshchat_node *ada;
    meshchat_node *bob;
    struct pair pair;

    CHECK(argc == 2);
    ada = start(argv[1], "ada");
    bob = start(argv[1], "bob");
    EXPECT(MESHCHAT_OK, meshchat_node_id(ada, ada_id));
    EXPECT(MESHCHAT_OK, meshchat_node_id(bob, bob_id));
    meshchat_event_free(wait_for(ada, MESHCHAT_EVENT_NODE_FOUND));
    meshchat_event_free(wait_for(bob, MESHCHAT_EVENT_NODE_FOUND));

    check_refusal(ada, bob, bob_id);
    pair = connect_both(ada, bob, ada_id, bob_id);
    check_arguments(&pair);
    check_bulk(&pair);
    check_slow_reader(&pair);
    check_half_close(&pair);
    check_reset(&pair);
    check_datagrams(&pair);
    check_statistics(&pair);
    check_close(&pair);
    check_stop(ada, bob, pair.listener, bob_id);
    return 0;
}
