/* Joins standard input and output with a stream between two nodes, as nc does with a connection of TCP. The other end may
 * be this program, or `meshchat listen` and `meshchat connect`. */
#define _XOPEN_SOURCE 700
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <meshchat.h>

enum {
    EXIT_USAGE = 2,
    /* No exit status yet. */
    GO_ON = -1,
    CHUNK_SIZE = 65536,
    /* Connections that have not opened their first stream; then the oldest goes. */
    MAX_WAITING = 32
};

static const char usage[] =
    "Usage: meshchat-netcat-c [OPTION]... listen\n"
    "       meshchat-netcat-c [OPTION]... connect NODE_ID\n"
    "Join standard input and output with an encrypted stream to another node, until both directions have ended. On a\n"
    "terminal the end of what comes is the end. listen shows its NODE_ID on standard error.\n"
    "\n"
    "  --home DIR       folder of the key (default: $MESHCHAT_HOME, else the XDG data directory)\n"
    "  --temporary      use a new key, and forget it at the end\n"
    "  --link SPEC      udp, udp:HOST:PORT or ethernet:IFACE; may be given several times (default: udp)\n"
    "  --network-key-file FILE\n"
    "                   be part of the private mesh with the key in FILE\n"
    "  --wait SECONDS   time until the node must be in reach (default: 5)\n"
    "  --help           show this\n"
    "\n"
    "The passphrase of a protected key is taken from $MESHCHAT_PASSPHRASE.\n"
    "Exit status: 0 when everything has arrived at both ends, 1 when not, 2 after invalid use, 128 and the signal's\n"
    "number when a signal ended it.\n";

struct options {
    const char *home;
    const char *network_key_file;
    const char **links;
    size_t link_count;
    /* Seconds until the other node must be in reach. */
    double patience;
    /* Whom to connect; NULL: listen. */
    const char *to;
    bool temporary;
    bool help;
};

struct buffer {
    char data[CHUNK_SIZE];
    size_t start;
    size_t len;
};

struct netcat {
    meshchat_node *node;
    meshchat_listener *listener;
    meshchat_connection *connection;
    meshchat_stream *stream;
    /* The empty stream by which the one who opened the first tells that it has taken everything. */
    meshchat_stream *question;
    /* Whether this end has opened the stream. */
    bool opened;
    struct buffer input;
    struct buffer output;
    /* What this end sends has ended. */
    bool sent;
    /* Why the peer took not all of it; "": nothing known. */
    char refusal[256];
    /* What the peer sends has ended. */
    bool received;
    /* The connection is over. */
    bool over;
};

/* -- signals and errors ------------------------------------------------------------------------------------------- */

static volatile sig_atomic_t ended_by;
static int signal_pipe[2] = {-1, -1};

static void on_signal(int number)
{
    int before = errno;
    ended_by = number;
    /* A full pipe is readable already. */
    if (write(signal_pipe[1], "", 1) <= 0)
        errno = before;
}

static bool catch_signals(void)
{
    static const int caught[] = {SIGHUP, SIGINT, SIGTERM};
    struct sigaction action;
    size_t i;
    if (pipe(signal_pipe) != 0 || fcntl(signal_pipe[1], F_SETFL, O_NONBLOCK) != 0)
        return false;
    memset(&action, 0, sizeof action);
    sigemptyset(&action.sa_mask);
    action.sa_handler = on_signal;
    for (i = 0; i < sizeof caught / sizeof caught[0]; i++) {
        if (sigaction(caught[i], &action, NULL) != 0)
            return false;
    }
    /* A reader of our output that is gone is an error of write(). */
    action.sa_handler = SIG_IGN;
    return sigaction(SIGPIPE, &action, NULL) == 0;
}

static int fail(const char *what, const char *why)
{
    fprintf(stderr, "meshchat-netcat-c: error: %s%s\n", what, why);
    return EXIT_FAILURE;
}

/* The status that the latest failed call of the library leads to. */
static int fail_call(int32_t status)
{
    (void)fail("", meshchat_last_error());
    return status == MESHCHAT_INVALID_ARGUMENT || status == MESHCHAT_NOT_UTF8 ? EXIT_USAGE : EXIT_FAILURE;
}

/* -- waiting ------------------------------------------------------------------------------------------------------ */

/* Nothing of what happens in the mesh is of interest; messages wait on disk for a chat. */
static int drop_events(meshchat_node *node)
{
    meshchat_event *event;
    do {
        int32_t status;
        event = NULL;
        status = meshchat_node_next_event(node, &event);
        if (status != MESHCHAT_OK)
            return fail_call(status);
        meshchat_event_free(event);
    } while (event != NULL);
    return GO_ON;
}

/* Waits for one of the descriptors, of which the first two are those of signals and of the node, at most so many
 * milliseconds, or forever: -1. GO_ON, or the exit status. */
static int wait_for(struct netcat *nc, struct pollfd *waits, nfds_t count, int timeout)
{
    waits[0].fd = signal_pipe[0];
    waits[0].events = waits[1].events = POLLIN;
    if (meshchat_node_fd(nc->node, &waits[1].fd) != MESHCHAT_OK)
        return fail_call(MESHCHAT_INTERNAL);
    if (ended_by == 0 && poll(waits, count, timeout) < 0 && errno != EINTR)
        return fail("poll: ", strerror(errno));
    if (ended_by != 0)
        return 128 + ended_by;
    return (waits[1].revents & POLLIN) != 0 ? drop_events(nc->node) : GO_ON;
}

/* Waits until the stream, or else the connection, shows the event. */
static int wait_on(struct netcat *nc, const meshchat_stream *stream, short event)
{
    struct pollfd waits[3];
    int32_t status;
    memset(waits, 0, sizeof waits);
    waits[2].events = event;
    status = stream != NULL ? meshchat_stream_fd(stream, &waits[2].fd)
                            : meshchat_connection_fd(nc->connection, &waits[2].fd);
    return status == MESHCHAT_OK ? wait_for(nc, waits, 3, -1) : fail_call(status);
}

static double seconds_now(void)
{
    struct timespec now = {0, 0};
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* -- the stream --------------------------------------------------------------------------------------------------- */

/* Connects as soon as the node is in reach, and opens a stream. */
static int open_stream(struct netcat *nc, const char *to, double patience)
{
    double deadline = seconds_now() + patience;
    int32_t status;
    nc->opened = true;
    while ((status = meshchat_node_connect(nc->node, to, &nc->connection)) == MESHCHAT_OUT_OF_REACH) {
        double left = deadline - seconds_now();
        struct pollfd waits[2];
        int result;
        if (left <= 0)
            break;
        memset(waits, 0, sizeof waits);
        result = wait_for(nc, waits, 2, left > 1000 ? 1000000 : (int)(left * 1000) + 1);
        if (result != GO_ON)
            return result;
    }
    if (status == MESHCHAT_OK)
        status = meshchat_connection_open(nc->connection, &nc->stream);
    return status == MESHCHAT_OK ? GO_ON : fail_call(status);
}

static void forget(meshchat_connection **waiting, size_t *count, size_t which)
{
    meshchat_connection_free(waiting[which]);
    *count -= 1;
    memmove(waiting + which, waiting + which + 1, (*count - which) * sizeof *waiting);
}

/* Takes the connections that have come. */
static int take_connections(struct netcat *nc, meshchat_connection **waiting, size_t *count)
{
    for (;;) {
        meshchat_connection *connection = NULL;
        int32_t status = meshchat_listener_accept(nc->listener, &connection);
        if (status != MESHCHAT_OK)
            return status == MESHCHAT_WOULD_BLOCK ? GO_ON : fail_call(status);
        if (*count == MAX_WAITING)
            forget(waiting, count, 0);
        waiting[(*count)++] = connection;
    }
}

/* Takes the first stream that any of the connections has opened; those that are over are forgotten. */
static void take_stream(struct netcat *nc, meshchat_connection **waiting, size_t *count)
{
    size_t i = 0;
    while (nc->stream == NULL && i < *count) {
        int32_t status = meshchat_connection_accept(waiting[i], &nc->stream);
        if (status == MESHCHAT_OK) {
            nc->connection = waiting[i];
            *count -= 1;
            waiting[i] = waiting[*count];
        } else if (status == MESHCHAT_WOULD_BLOCK) {
            i++;
        } else {
            forget(waiting, count, i);
        }
    }
}

/* Waits for a stream. Who connects and opens none keeps nobody waiting. */
static int await_stream(struct netcat *nc)
{
    meshchat_connection *waiting[MAX_WAITING];
    size_t count = 0;
    int result = GO_ON;
    while (result == GO_ON && nc->stream == NULL) {
        struct pollfd waits[3 + MAX_WAITING];
        size_t i;
        memset(waits, 0, sizeof waits);
        for (i = 0; i <= count; i++) {
            struct pollfd *wait = &waits[2 + i];
            int32_t status = i == count ? meshchat_listener_fd(nc->listener, &wait->fd)
                                        : meshchat_connection_fd(waiting[i], &wait->fd);
            if (status != MESHCHAT_OK)
                return fail_call(status);
            wait->events = POLLIN;
        }
        result = wait_for(nc, waits, 3 + count, -1);
        if (result == GO_ON)
            result = take_connections(nc, waiting, &count);
        if (result == GO_ON)
            take_stream(nc, waiting, &count);
    }
    while (count > 0)
        forget(waiting, &count, count - 1);
    /* Others are refused from now on. */
    meshchat_listener_free(nc->listener);
    nc->listener = NULL;
    return result;
}

/* -- both ways ---------------------------------------------------------------------------------------------------- */

static bool is_passing(void)
{
    return errno == EINTR || errno == EAGAIN;
}

static void end_sending(struct netcat *nc, int32_t status)
{
    nc->sent = true;
    nc->input.len = 0;
    if (status != MESHCHAT_OK && status != MESHCHAT_WOULD_BLOCK)
        (void)snprintf(nc->refusal, sizeof nc->refusal, "%s", meshchat_last_error());
}

/* Reads what poll() has found: no more than once, for standard input keeps its blocking mode, which other processes
 * share. */
static int read_input(struct netcat *nc)
{
    ssize_t len = read(STDIN_FILENO, nc->input.data, sizeof nc->input.data);
    if (len > 0) {
        nc->input.start = 0;
        nc->input.len = (size_t)len;
    } else if (len == 0) {
        end_sending(nc, meshchat_stream_finish(nc->stream));
    } else if (!is_passing()) {
        return fail("standard input: ", strerror(errno));
    }
    return GO_ON;
}

static void send_input(struct netcat *nc)
{
    size_t len = 0;
    int32_t status = meshchat_stream_write(nc->stream, nc->input.data + nc->input.start, nc->input.len, &len);
    if (status == MESHCHAT_OK) {
        nc->input.start += len;
        nc->input.len -= len;
    } else if (status != MESHCHAT_WOULD_BLOCK) {
        /* What comes from the peer is still to be read. */
        end_sending(nc, status);
    }
}

static int receive(struct netcat *nc)
{
    size_t len = 0;
    int32_t status = meshchat_stream_read(nc->stream, nc->output.data, sizeof nc->output.data, &len);
    if (status != MESHCHAT_OK)
        return status == MESHCHAT_WOULD_BLOCK ? GO_ON : fail_call(status);
    nc->output.start = 0;
    nc->output.len = len;
    nc->received = len == 0;
    return GO_ON;
}

/* Writes no more than what is taken without blocking. */
static int write_output(struct netcat *nc)
{
    size_t most = nc->output.len < PIPE_BUF ? nc->output.len : PIPE_BUF;
    ssize_t len = write(STDOUT_FILENO, nc->output.data + nc->output.start, most);
    if (len >= 0) {
        nc->output.start += (size_t)len;
        nc->output.len -= (size_t)len;
    } else if (!is_passing()) {
        return fail("standard output: ", strerror(errno));
    }
    return GO_ON;
}

/* Looks whether the connection is over, or the peer asks whether everything has arrived. */
static void look(struct netcat *nc)
{
    meshchat_stream *stream = NULL;
    int32_t status = meshchat_connection_accept(nc->connection, &stream);
    if (nc->question == NULL && !nc->opened)
        nc->question = stream;
    else
        meshchat_stream_free(stream);
    nc->over |= status != MESHCHAT_OK && status != MESHCHAT_WOULD_BLOCK;
}

enum { INPUT = 2, OUTPUT, STREAM, CONNECTION, WAITS };

/* What is waited for; a descriptor of -1 is not. */
static int32_t choose(struct netcat *nc, struct pollfd *waits)
{
    int32_t status = meshchat_stream_fd(nc->stream, &waits[STREAM].fd);
    waits[INPUT].fd = nc->sent || nc->input.len > 0 ? -1 : STDIN_FILENO;
    waits[INPUT].events = POLLIN;
    waits[OUTPUT].fd = nc->output.len > 0 ? STDOUT_FILENO : -1;
    waits[OUTPUT].events = POLLOUT;
    waits[STREAM].events = (short)((nc->input.len > 0 ? POLLOUT : 0) |
                                   (nc->received || nc->output.len > 0 ? 0 : POLLIN));
    waits[CONNECTION].events = POLLIN;
    if (nc->over)
        waits[CONNECTION].fd = -1;
    else if (status == MESHCHAT_OK)
        status = meshchat_connection_fd(nc->connection, &waits[CONNECTION].fd);
    return status;
}

/* Until both directions have ended, or whoever sits at a terminal has no more to hear. */
static int pass_both_ways(struct netcat *nc)
{
    bool is_terminal = isatty(STDIN_FILENO) != 0;
    int result = GO_ON;
    while (result == GO_ON && !(nc->received && (nc->sent || nc->over || is_terminal))) {
        struct pollfd waits[WAITS];
        int32_t status;
        memset(waits, 0, sizeof waits);
        status = choose(nc, waits);
        if (status != MESHCHAT_OK)
            return fail_call(status);
        result = wait_for(nc, waits, WAITS, -1);
        if (result == GO_ON && waits[CONNECTION].revents != 0)
            look(nc);
        if (result == GO_ON && (waits[STREAM].revents & POLLOUT) != 0)
            send_input(nc);
        if (result == GO_ON && (waits[STREAM].revents & POLLIN) != 0)
            result = receive(nc);
        if (result == GO_ON && waits[OUTPUT].revents != 0)
            result = write_output(nc);
        if (result == GO_ON && waits[INPUT].revents != 0)
            result = read_input(nc);
    }
    if (result == GO_ON && nc->refusal[0] != '\0')
        return fail("", nc->refusal);
    return result;
}

/* -- the end ------------------------------------------------------------------------------------------------------ */

/* Waits until the peer's node has everything: a program of another kind has closed the connection, or is about to. */
static int confirm(struct netcat *nc)
{
    int32_t status;
    int result = GO_ON;
    while (result == GO_ON && (status = meshchat_stream_finish(nc->stream)) != MESHCHAT_OK)
        result = status == MESHCHAT_WOULD_BLOCK ? wait_on(nc, nc->stream, POLLOUT) : fail_call(status);
    return result == GO_ON ? EXIT_SUCCESS : result;
}

/* Tells that this end has taken everything, and waits until the other one has. */
static int ask(struct netcat *nc)
{
    char byte;
    size_t len = 0;
    int32_t status = meshchat_connection_open(nc->connection, &nc->question);
    if (status == MESHCHAT_OK)
        (void)meshchat_stream_finish(nc->question);
    while (status == MESHCHAT_OK || status == MESHCHAT_WOULD_BLOCK) {
        status = meshchat_stream_read(nc->question, &byte, 1, &len);
        if (status == MESHCHAT_OK && len == 0)
            return EXIT_SUCCESS;
        if (status == MESHCHAT_WOULD_BLOCK) {
            int result = wait_on(nc, nc->question, POLLIN);
            if (result != GO_ON)
                return result;
        }
    }
    return confirm(nc);
}

/* Answers that this end has taken everything, and leaves the close to the other one. */
static int answer(struct netcat *nc)
{
    while (!nc->over) {
        int result;
        if (nc->question != NULL)
            (void)meshchat_stream_finish(nc->question);
        result = wait_on(nc, NULL, POLLIN);
        if (result != GO_ON)
            return result;
        look(nc);
    }
    return nc->question != NULL ? EXIT_SUCCESS : confirm(nc);
}

/* Closing discards what is on its way (RFC 9000, section 10.2): so nobody closes before both have taken everything. */
static int join(struct netcat *nc)
{
    int result = pass_both_ways(nc);
    if (result != GO_ON)
        return result;
    if (!nc->sent)
        end_sending(nc, meshchat_stream_finish(nc->stream));
    return nc->opened ? ask(nc) : answer(nc);
}

/* -- the program -------------------------------------------------------------------------------------------------- */

static int32_t start(struct netcat *nc, const struct options *options)
{
    meshchat_config *config = meshchat_config_new();
    const char *passphrase = getenv("MESHCHAT_PASSPHRASE");
    int32_t status = MESHCHAT_OK;
    size_t i;
    if (options->temporary)
        status = meshchat_config_set_temporary(config);
    else if (options->home != NULL)
        status = meshchat_config_set_home(config, options->home);
    if (status == MESHCHAT_OK && passphrase != NULL && !options->temporary)
        status = meshchat_config_set_passphrase(config, passphrase);
    if (status == MESHCHAT_OK && options->network_key_file != NULL)
        status = meshchat_config_set_network_key_file(config, options->network_key_file);
    if (status == MESHCHAT_OK && options->link_count == 0)
        status = meshchat_config_add_link(config, "udp");
    for (i = 0; status == MESHCHAT_OK && i < options->link_count; i++)
        status = meshchat_config_add_link(config, options->links[i]);
    if (status == MESHCHAT_OK)
        status = meshchat_node_start(config, &nc->node);
    meshchat_config_free(config);
    return status;
}

static int listen_here(struct netcat *nc)
{
    char id[MESHCHAT_ID_TEXT_SIZE];
    int32_t status = meshchat_node_id(nc->node, id);
    if (status == MESHCHAT_OK)
        status = meshchat_node_listen(nc->node, &nc->listener);
    if (status != MESHCHAT_OK)
        return fail_call(status);
    fprintf(stderr, "NODE_ID: %s\n", id);
    return await_stream(nc);
}

static int run(const struct options *options)
{
    static struct netcat nc;
    int32_t status = start(&nc, options);
    int result = status == MESHCHAT_OK ? GO_ON : fail_call(status);
    if (result == GO_ON && options->to != NULL)
        result = open_stream(&nc, options->to, options->patience);
    else if (result == GO_ON)
        result = listen_here(&nc);
    if (result == GO_ON)
        result = join(&nc);
    /* Freeing alone would end the stream, as if the input had ended. */
    if (result != EXIT_SUCCESS && nc.connection != NULL)
        (void)meshchat_connection_close(nc.connection, 1, "the other end did not come to its end");
    meshchat_stream_free(nc.question);
    meshchat_stream_free(nc.stream);
    meshchat_connection_free(nc.connection);
    meshchat_listener_free(nc.listener);
    meshchat_node_free(nc.node);
    return result;
}

/* Takes an option with its value, which may be missing. */
static bool set(struct options *options, const char *option, const char *value)
{
    char *end = NULL;
    if (value == NULL)
        return false;
    if (strcmp(option, "--home") == 0) {
        options->home = value;
    } else if (strcmp(option, "--network-key-file") == 0) {
        options->network_key_file = value;
    } else if (strcmp(option, "--link") == 0) {
        options->links[options->link_count++] = value;
    } else if (strcmp(option, "--wait") == 0) {
        options->patience = strtod(value, &end);
        return end != value && *end == '\0' && options->patience >= 0;
    } else {
        return false;
    }
    return true;
}

static bool parse(int argc, char **argv, struct options *options)
{
    const char *mode = "";
    int i;
    for (i = 1; i < argc; i++) {
        const char *argument = argv[i];
        if (strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0)
            return options->help = true;
        if (strcmp(argument, "--temporary") == 0)
            options->temporary = true;
        else if (mode[0] == '\0' && argument[0] != '-')
            mode = argument;
        else if (strcmp(mode, "connect") == 0 && options->to == NULL && argument[0] != '-')
            options->to = argument;
        else if (!set(options, argument, argv[++i]))
            return false;
    }
    return strcmp(mode, options->to != NULL ? "connect" : "listen") == 0;
}

/* Opens the standard streams that the caller closed, lest the database becomes standard output. */
static bool open_standard_streams(void)
{
    int fd;
    do {
        fd = open("/dev/null", O_RDWR);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    return fd > STDERR_FILENO && close(fd) == 0;
}

int main(int argc, char **argv)
{
    struct options options;
    int status = EXIT_USAGE;
    memset(&options, 0, sizeof options);
    options.patience = 5;
    if (!open_standard_streams() || !catch_signals())
        return EXIT_FAILURE;
    if (meshchat_abi_version() != MESHCHAT_ABI_VERSION)
        return fail("libmeshchat is of another version; install the one it was made for, not ", meshchat_version());
    options.links = (const char **)calloc((size_t)argc + 1, sizeof *options.links);
    if (options.links == NULL)
        return fail("out of memory", "");
    if (!parse(argc, argv, &options))
        fputs(usage, stderr);
    else if (options.help)
        status = fputs(usage, stdout) == EOF || fflush(stdout) == EOF ? EXIT_FAILURE : EXIT_SUCCESS;
    else
        status = run(&options);
    free(options.links);
    return status;
}
