/* A console chat on libmeshchat. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <meshchat.h>

#include "buffer.h"
#include "commands.h"
#include "conversation.h"
#include "rooms.h"
#include "terminal.h"

enum { EXIT_USAGE = 2 };

struct options {
    const char *home;
    const char *nickname;
    const char *network_key_file;
    const char *keep_history;
    const char *downloads;
    /* Room for as many as there are arguments, here and there. */
    const char **links;
    size_t link_count;
    const char **v1;
    size_t v1_count;
    bool temporary;
    bool help;
};

static const char usage[] =
    "Usage: meshchat-chat-c [OPTION]...\n"
    "Chat with the nodes on the same wire. Nothing needs to be configured.\n"
    "\n"
    "  --home DIR       folder of key, outbox and history (default: $MESHCHAT_HOME, else the XDG data directory)\n"
    "  --link SPEC      udp, udp:HOST:PORT or ethernet:IFACE; may be given several times (default: udp)\n"
    "  --v1 IFACE       talk to programs that speak only AlexMesh v1 on this interface: insecure, anybody there can\n"
    "                   read and forge; may be given several times\n"
    "  --network-key-file FILE\n"
    "                   be part of the private mesh with the key in FILE\n"
    "  --keep-history TIME|N\n"
    "                   forget messages after a time (12h, 30d, 8w), or but for the newest N (default: keep all)\n"
    "  --nickname NAME  the name shown to others (default: that of last time)\n"
    "  --downloads DIR  folder of the files that are accepted (default: downloads in the home)\n"
    "  --help           show this\n"
    "\n"
    "The passphrase of a protected key is taken from $MESHCHAT_PASSPHRASE, else asked for on a terminal.\n"
    "Exit status: 0 after /exit or the end of input, 1 when something failed, 2 after invalid use, 128 and the\n"
    "signal's number when a signal ended the chat.\n";

/* The value of the option `name` at argv[*i], given as `--name VALUE` or `--name=VALUE`; NULL when it is another
 * option. A value that is missing is "". */
static const char *value_of(const char *name, char **argv, int *i)
{
    const char *argument = argv[*i];
    size_t len = strlen(name);
    if (strncmp(argument, name, len) != 0)
        return NULL;
    if (argument[len] == '=')
        return argument + len + 1;
    if (argument[len] != '\0')
        return NULL;
    if (argv[*i + 1] == NULL)
        return "";
    *i += 1;
    return argv[*i];
}

/* The seconds in `12h`, `30d` or `8w`, or a number of messages; false when it is none of these. */
static bool parse_kept(const char *text, uint64_t *number, bool *is_time)
{
    const char *unit = text + strspn(text, "0123456789");
    size_t digits = (size_t)(unit - text);
    *is_time = *unit != '\0';
    if (digits == 0 || digits > (*is_time ? 6u : 9u))
        return false;
    *number = strtoul(text, NULL, 10);
    if (!*is_time)
        return true;
    *number *= unit[0] == 'h' ? 3600 : unit[0] == 'd' ? 86400 : 604800;
    return unit[1] == '\0' && strchr("hdw", unit[0]) != NULL;
}

static bool is_keep_history(const char *text)
{
    uint64_t number;
    bool is_time;
    return parse_kept(text, &number, &is_time);
}

static int32_t set_keep_history(meshchat_config *config, const char *text)
{
    uint64_t number;
    bool is_time;
    if (!parse_kept(text, &number, &is_time))
        return MESHCHAT_INVALID_ARGUMENT;
    if (is_time)
        return meshchat_config_keep_history_for(config, number);
    return meshchat_config_keep_messages(config, number);
}

static bool parse(int argc, char **argv, struct options *options)
{
    int i;
    for (i = 1; i < argc; i++) {
        const char *argument = argv[i];
        const char *value;
        if (strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0) {
            options->help = true;
            continue;
        }
        if ((value = value_of("--home", argv, &i)) != NULL) {
            options->home = value;
        } else if ((value = value_of("--nickname", argv, &i)) != NULL) {
            options->nickname = value;
        } else if ((value = value_of("--network-key-file", argv, &i)) != NULL) {
            options->network_key_file = value;
        } else if ((value = value_of("--downloads", argv, &i)) != NULL) {
            options->downloads = value;
        } else if ((value = value_of("--keep-history", argv, &i)) != NULL) {
            options->keep_history = value;
        } else if ((value = value_of("--link", argv, &i)) != NULL) {
            options->links[options->link_count++] = value;
        } else if ((value = value_of("--v1", argv, &i)) != NULL) {
            options->v1[options->v1_count++] = value;
        } else {
            fprintf(stderr, "meshchat-chat-c: error: unknown argument '%s'; --help lists the options\n", argument);
            return false;
        }
        if (value[0] == '\0') {
            fprintf(stderr, "meshchat-chat-c: error: '%s' needs a value\n", argument);
            return false;
        }
        if (value == options->keep_history && !is_keep_history(value)) {
            fprintf(stderr, "meshchat-chat-c: error: '%s' is neither a time (12h, 30d, 8w) nor a number of messages\n",
                    value);
            return false;
        }
    }
    return true;
}

static int32_t configure(meshchat_config *config, const struct options *options, const char *passphrase)
{
    int32_t status = MESHCHAT_OK;
    size_t i;
    if (options->temporary)
        status = meshchat_config_set_temporary(config);
    else if (options->home != NULL)
        status = meshchat_config_set_home(config, options->home);
    if (status == MESHCHAT_OK && options->nickname != NULL)
        status = meshchat_config_set_nickname(config, options->nickname);
    if (status == MESHCHAT_OK && options->network_key_file != NULL)
        status = meshchat_config_set_network_key_file(config, options->network_key_file);
    if (status == MESHCHAT_OK && options->downloads != NULL)
        status = meshchat_config_set_downloads(config, options->downloads);
    if (status == MESHCHAT_OK && passphrase != NULL)
        status = meshchat_config_set_passphrase(config, passphrase);
    if (status == MESHCHAT_OK && options->keep_history != NULL)
        status = set_keep_history(config, options->keep_history);
    for (i = 0; status == MESHCHAT_OK && i < options->link_count; i++)
        status = meshchat_config_add_link(config, options->links[i]);
    for (i = 0; status == MESHCHAT_OK && i < options->v1_count; i++)
        status = meshchat_config_add_v1(config, options->v1[i]);
    return status;
}

static int32_t start(struct chat *chat, const struct options *options, const char *passphrase)
{
    meshchat_config *config;
    int32_t status;
    bool exists = true;
    if (options->temporary)
        exists = false;
    else
        (void)meshchat_identity_exists(options->home, &exists);
    if (!exists)
        chat_say(chat, "* making a key; this takes some seconds", "");
    config = meshchat_config_new();
    status = configure(config, options, passphrase);
    if (status == MESHCHAT_OK)
        status = meshchat_node_start(config, &chat->node);
    meshchat_config_free(config);
    return status;
}

/* Starts with the passphrase of the environment, or the one that is typed when the key needs one. */
static int32_t start_at_home(struct chat *chat, const struct options *options)
{
    const char *given = getenv("MESHCHAT_PASSPHRASE");
    struct buffer typed = {NULL, 0, 0};
    int32_t status = start(chat, options, given != NULL && given[0] != '\0' ? given : NULL);
    if (status != MESHCHAT_PASSPHRASE_NEEDED || !terminal_is_interactive())
        return status;
    if (terminal_ask("Passphrase of the key: ", &typed))
        status = start(chat, options, typed.data);
    buffer_free(&typed);
    return status;
}

static void say_home_in_use(struct chat *chat, const char *home)
{
    char place[4096] = "";
    struct buffer line = {NULL, 0, 0};
    if (home == NULL && meshchat_default_home(place, sizeof place) == MESHCHAT_OK)
        home = place;
    buffer_add_text(&line, home != NULL ? home : "");
    buffer_add_text(&line, " is in use by a running chat or node; going on with a temporary identity");
    buffer_add(&line, "", 1);
    chat_say(chat, "* the home ", line.data);
    buffer_free(&line);
}

/* Starts the node. The exit status should that fail, else 0. */
static int start_node(struct chat *chat, struct options *options)
{
    int32_t status = start_at_home(chat, options);
    if (status == MESHCHAT_HOME_IN_USE) {
        say_home_in_use(chat, options->home);
        options->temporary = true;
        status = start(chat, options, NULL);
    }
    if (status == MESHCHAT_OK)
        return EXIT_SUCCESS;
    if (status == MESHCHAT_PASSPHRASE_NEEDED && terminal_is_interactive())
        /* It was asked for, and this is the answer. */
        return terminal_end_signal() != 0 ? 128 + terminal_end_signal() : 128 + SIGINT;
    chat_fail(meshchat_last_error());
    return status == MESHCHAT_INVALID_ARGUMENT || status == MESHCHAT_NOT_UTF8 ? EXIT_USAGE : EXIT_FAILURE;
}

/* Says that a link could not be opened, and why. */
static void say_link(struct chat *chat, size_t index)
{
    const char *spec = NULL;
    const char *error = NULL;
    struct buffer line = {NULL, 0, 0};
    int32_t status;
    if (meshchat_node_link_spec(chat->node, index, &spec) != MESHCHAT_OK ||
        meshchat_node_link_status(chat->node, index, &status, &error) != MESHCHAT_OK || error == NULL)
        return;
    buffer_add_text(&line, spec);
    buffer_add_text(&line, ": ");
    buffer_add_text(&line, error);
    buffer_add(&line, "", 1);
    chat_say(chat, "! link ", line.data);
    buffer_free(&line);
}

/* Says who this node is, and which links could not be opened. */
static void introduce(struct chat *chat)
{
    char id[MESHCHAT_ID_TEXT_SIZE];
    size_t count = 0;
    size_t i;
    rooms_learn(chat);
    if (meshchat_node_id(chat->node, id) == MESHCHAT_OK)
        chat_say(chat, "NODE_ID: ", id);
    (void)meshchat_node_link_count(chat->node, &count);
    for (i = 0; i < count; i++)
        say_link(chat, i);
}

static bool on_line(void *context, const char *line, size_t len)
{
    return chat_handle_line(context, line, len);
}

/* Until the user, a signal or an error ends it. The exit status. */
static int run(struct chat *chat)
{
    struct pollfd waits[3] = {{STDIN_FILENO, POLLIN, 0}, {-1, POLLIN, 0}, {-1, POLLIN, 0}};
    bool more = true;
    waits[1].fd = terminal_signal_fd();
    if (meshchat_node_fd(chat->node, &waits[2].fd) != MESHCHAT_OK)
        return EXIT_FAILURE;
    while (more) {
        if (poll(waits, 3, -1) < 0) {
            if (errno != EINTR)
                return EXIT_FAILURE;
            continue;
        }
        if (waits[1].revents != 0)
            more = terminal_handle_signals();
        if (more && waits[2].revents != 0 && !chat_handle_events(chat))
            return EXIT_FAILURE;
        if (more && waits[0].revents != 0)
            more = terminal_read(on_line, chat);
    }
    if (terminal_end_signal() != 0)
        return 128 + terminal_end_signal();
    return chat->output_failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int chat_with(struct options *options)
{
    struct chat chat = {.node = NULL};
    int status = start_node(&chat, options);
    if (status == EXIT_SUCCESS) {
        status = EXIT_FAILURE;
        chat_prompt(&chat);
        if (terminal_open()) {
            introduce(&chat);
            status = chat.output_failed ? EXIT_FAILURE : run(&chat);
        }
        terminal_close();
    }
    meshchat_node_free(chat.node);
    chat_free(&chat);
    return status;
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
    struct options options = {.home = NULL};
    int status = EXIT_USAGE;
    if (!open_standard_streams())
        return EXIT_FAILURE;
    if (meshchat_abi_version() != MESHCHAT_ABI_VERSION) {
        fprintf(stderr, "meshchat-chat-c: error: libmeshchat %s is of another version; install the one it was made for\n",
                meshchat_version());
        return EXIT_FAILURE;
    }
    options.links = calloc((size_t)argc + 1, sizeof *options.links);
    options.v1 = calloc((size_t)argc + 1, sizeof *options.v1);
    if (options.links != NULL && options.v1 != NULL && parse(argc, argv, &options)) {
        if (options.help)
            status = fputs(usage, stdout) == EOF || fflush(stdout) == EOF ? EXIT_FAILURE : EXIT_SUCCESS;
        else
            status = chat_with(&options);
    }
    free(options.links);
    free(options.v1);
    return status;
}
