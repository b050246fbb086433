/* POSIX with signals, and wcwidth(). */
#define _XOPEN_SOURCE 700

#include "terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>
#include <wchar.h>

#include "text.h"

#define ERASE_LINE "\r\033[K"

enum key { KEY_EOF = 0x04, KEY_BACKSPACE = 0x08, KEY_ERASE_ALL = 0x15, KEY_ESCAPE = 0x1B, KEY_DELETE = 0x7F };

/* Where in an escape sequence (of an arrow key, say) the input is. These are swallowed. */
enum escape { ESCAPE_NONE, ESCAPE_BEGUN, ESCAPE_SEQUENCE };

static struct {
    bool is_open;
    /* Standard input and output are terminals: lines are edited here. */
    bool editing;
    /* What is typed is not shown. */
    bool hidden;
    bool ended;
    int end_signal;
    enum escape escape;
    struct termios original;
    struct buffer prompt;
    /* What was read and does not make a line yet. */
    struct buffer input;
    /* How much of that is known to have no newline. */
    size_t searched;
    /* The beginning of the line was longer than MAX_LINE and is gone. */
    bool too_long;
    int signals[2];
    /* Signals that are caught now. */
    sigset_t caught;
} terminal = {.signals = {-1, -1}};

static bool write_all(const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t written = write(STDOUT_FILENO, bytes, len);
        if (written >= 0) {
            bytes += written;
            len -= (size_t)written;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            struct pollfd writable = {STDOUT_FILENO, POLLOUT, 0};
            (void)poll(&writable, 1, -1);
        } else if (errno != EINTR) {
            return false;
        }
    }
    return true;
}

/* Hands the terminal over to the line editor. ^C, ^Z and their like still are signals. */
static bool start_editing(void)
{
    struct termios raw = terminal.original;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO | IEXTEN);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    return tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) == 0;
}

static void stop_editing(void)
{
    (void)write_all(ERASE_LINE, strlen(ERASE_LINE));
    (void)tcsetattr(STDIN_FILENO, TCSADRAIN, &terminal.original);
}

static size_t columns_of(const char *text, size_t len)
{
    size_t columns = 0;
    while (len > 0) {
        uint32_t code;
        size_t size = utf8_next(text, len, &code);
        int width = wcwidth((wchar_t)code);
        columns += width < 0 ? 1 : (size_t)width;
        text += size;
        len -= size;
    }
    return columns;
}

/* Adds prompt and the end of the typed line, as much as fits into one line of the screen. */
static void add_prompt(struct buffer *out)
{
    struct winsize window;
    struct buffer typed = {NULL, 0, 0};
    size_t room = 80;
    size_t start = 0;
    size_t tail = terminal.hidden ? 0 : terminal.input.len;
    size_t taken = columns_of(terminal.prompt.data, terminal.prompt.len) + 1;

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 0)
        room = window.ws_col;
    room = room > taken ? room - taken : 1;
    if (tail > 4 * room)
        tail = 4 * room;
    if (tail > 0)
        add_safe(&typed, terminal.input.data + terminal.input.len - tail, tail);
    while (start < typed.len && columns_of(typed.data + start, typed.len - start) > room) {
        uint32_t code;
        start += utf8_next(typed.data + start, typed.len - start, &code);
    }
    buffer_add_text(out, ERASE_LINE);
    buffer_add(out, terminal.prompt.data, terminal.prompt.len);
    if (typed.len > start)
        buffer_add(out, typed.data + start, typed.len - start);
    buffer_free(&typed);
}

static bool redraw(void)
{
    struct buffer out = {NULL, 0, 0};
    bool written;
    add_prompt(&out);
    written = write_all(out.data, out.len);
    buffer_free(&out);
    return written;
}

void terminal_set_prompt(const struct buffer *prompt)
{
    terminal.prompt.len = 0;
    buffer_add(&terminal.prompt, prompt->data, prompt->len);
}

bool terminal_print(const struct buffer *lines)
{
    struct buffer out = {NULL, 0, 0};
    bool written;
    if (!terminal.editing)
        return write_all(lines->data, lines->len);
    buffer_add_text(&out, ERASE_LINE);
    buffer_add(&out, lines->data, lines->len);
    add_prompt(&out);
    written = write_all(out.data, out.len);
    buffer_free(&out);
    return written;
}

static void on_signal(int number)
{
    int saved = errno;
    unsigned char byte = (unsigned char)number;
    /* A full pipe tells already that something happened. */
    ssize_t written = write(terminal.signals[1], &byte, 1);
    (void)written;
    errno = saved;
}

static const int caught_signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT, SIGWINCH};
/* As many of them matter without a terminal, around which a stop would need care. */
#define CAUGHT_ALWAYS 4
#define CAUGHT_ALL (sizeof caught_signals / sizeof caught_signals[0])

static bool open_signal_pipe(void)
{
    size_t i;
    if (pipe(terminal.signals) != 0)
        return false;
    for (i = 0; i < 2; i++) {
        int flags = fcntl(terminal.signals[i], F_GETFL);
        if (flags < 0 || fcntl(terminal.signals[i], F_SETFL, flags | O_NONBLOCK) < 0)
            return false;
    }
    return true;
}

static bool catch_signals(void)
{
    size_t count = terminal.editing ? CAUGHT_ALL : CAUGHT_ALWAYS;
    struct sigaction action;
    struct sigaction before;
    size_t i;
    memset(&action, 0, sizeof action);
    sigemptyset(&action.sa_mask);
    /* That nobody reads any more is told by write(). */
    action.sa_handler = SIG_IGN;
    if (sigaction(SIGPIPE, &action, NULL) != 0 || !open_signal_pipe())
        return false;
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART;
    for (i = 0; i < count; i++) {
        int number = caught_signals[i];
        if (sigaction(number, NULL, &before) != 0)
            return false;
        /* Whoever started the program may have had it ignore a signal, as nohup does. */
        if (before.sa_handler == SIG_IGN)
            continue;
        if (sigaction(number, &action, NULL) != 0)
            return false;
        sigaddset(&terminal.caught, number);
    }
    return true;
}

/* From here on a signal ends the program at once again. */
static void release_signals(void)
{
    size_t i;
    for (i = 0; i < CAUGHT_ALL; i++) {
        if (sigismember(&terminal.caught, caught_signals[i]) == 1)
            (void)signal(caught_signals[i], SIG_DFL);
    }
    for (i = 0; i < 2; i++) {
        if (terminal.signals[i] >= 0)
            (void)close(terminal.signals[i]);
        terminal.signals[i] = -1;
    }
}

bool terminal_is_interactive(void)
{
    const char *kind = getenv("TERM");
    bool dumb = kind != NULL && strcmp(kind, "dumb") == 0;
    return !dumb && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
}

bool terminal_open(void)
{
    static bool registered = false;
    (void)setlocale(LC_CTYPE, "");
    terminal.editing = terminal_is_interactive() && tcgetattr(STDIN_FILENO, &terminal.original) == 0;
    if (!registered && atexit(terminal_close) != 0) {
        fputs("the terminal cannot be prepared\n", stderr);
        return false;
    }
    registered = true;
    terminal.is_open = true;
    terminal.ended = false;
    sigemptyset(&terminal.caught);
    if (!catch_signals() || (terminal.editing && !start_editing())) {
        perror("the terminal cannot be prepared");
        return false;
    }
    return !terminal.editing || redraw();
}

void terminal_close(void)
{
    if (!terminal.is_open)
        return;
    terminal.is_open = false;
    if (terminal.editing)
        stop_editing();
    terminal.editing = false;
    release_signals();
    buffer_free(&terminal.input);
    buffer_free(&terminal.prompt);
}

static bool keep_answer(void *context, const char *line, size_t len)
{
    if (line != NULL)
        buffer_add(context, line, len);
    buffer_add(context, "", 1);
    return false;
}

bool terminal_ask(const char *question, struct buffer *answer)
{
    bool more = true;
    terminal.hidden = true;
    terminal.prompt.len = 0;
    buffer_add_text(&terminal.prompt, question);
    if (!terminal_open())
        more = false;
    while (more) {
        struct pollfd waits[2] = {{STDIN_FILENO, POLLIN, 0}, {-1, POLLIN, 0}};
        waits[1].fd = terminal.signals[0];
        if (poll(waits, 2, -1) < 0)
            more = errno == EINTR;
        else if (waits[1].revents != 0)
            more = terminal_handle_signals();
        else if (waits[0].revents != 0)
            more = terminal_read(keep_answer, answer);
    }
    terminal_close();
    terminal.hidden = false;
    return answer->len > 0;
}

int terminal_signal_fd(void)
{
    return terminal.signals[0];
}

bool terminal_handle_signals(void)
{
    unsigned char numbers[64];
    ssize_t count = read(terminal.signals[0], numbers, sizeof numbers);
    ssize_t i;
    for (i = 0; i < count; i++) {
        switch (numbers[i]) {
        case SIGTSTP:
            stop_editing();
            (void)raise(SIGSTOP);
            /* Here it goes on after SIGCONT. */
            (void)start_editing();
            (void)redraw();
            break;
        case SIGCONT:
            (void)start_editing();
            (void)redraw();
            break;
        case SIGWINCH:
            (void)redraw();
            break;
        default:
            terminal.end_signal = numbers[i];
            return false;
        }
    }
    return true;
}

int terminal_end_signal(void)
{
    return terminal.end_signal;
}

static bool hand_over(line_handler *handle, void *context, const char *line, size_t len)
{
    bool too_long = terminal.too_long || len > MAX_LINE;
    terminal.too_long = false;
    return too_long ? handle(context, NULL, 0) : handle(context, line, len);
}

/* Hands the typed line over and begins a new one. */
static bool enter(line_handler *handle, void *context)
{
    struct buffer line = terminal.input;
    struct buffer none = {NULL, 0, 0};
    bool more;
    terminal.input = none;
    more = redraw() && hand_over(handle, context, line.len > 0 ? line.data : "", line.len);
    buffer_free(&line);
    return more;
}

static void backspace(void)
{
    struct buffer *input = &terminal.input;
    while (input->len > 0 && ((unsigned char)input->data[input->len - 1] & 0xC0) == 0x80)
        input->len--;
    if (input->len > 0)
        input->len--;
}

/* True when the byte belonged to an escape sequence. */
static bool swallow_escape(unsigned char byte)
{
    switch (terminal.escape) {
    case ESCAPE_BEGUN:
        terminal.escape = byte == '[' || byte == 'O' ? ESCAPE_SEQUENCE : ESCAPE_NONE;
        return true;
    case ESCAPE_SEQUENCE:
        if (byte >= 0x40 && byte <= 0x7E)
            terminal.escape = ESCAPE_NONE;
        return true;
    default:
        if (byte == KEY_ESCAPE)
            terminal.escape = ESCAPE_BEGUN;
        return byte == KEY_ESCAPE;
    }
}

static bool type(unsigned char byte, line_handler *handle, void *context)
{
    char character = (char)byte;
    if (swallow_escape(byte))
        return true;
    if (byte == '\n' || byte == '\r')
        return enter(handle, context);
    if (byte == KEY_EOF)
        return terminal.input.len > 0;
    if (byte == KEY_BACKSPACE || byte == KEY_DELETE)
        backspace();
    else if (byte == KEY_ERASE_ALL)
        terminal.input.len = 0;
    else if ((byte >= 0x20 || byte == '\t') && terminal.input.len <= MAX_LINE)
        buffer_add(&terminal.input, &character, 1);
    return true;
}

static bool edit(const char *bytes, size_t len, line_handler *handle, void *context)
{
    size_t i;
    for (i = 0; i < len; i++) {
        if (!type((unsigned char)bytes[i], handle, context))
            return false;
    }
    return redraw();
}

/* Hands over all whole lines of the input; at its end, what is left too. */
static bool split(line_handler *handle, void *context)
{
    struct buffer *input = &terminal.input;
    size_t start = 0;
    bool more = true;
    while (more && terminal.searched < input->len) {
        size_t left = input->len - terminal.searched;
        char *newline = memchr(input->data + terminal.searched, '\n', left);
        if (newline == NULL) {
            terminal.searched = input->len;
        } else {
            size_t end = (size_t)(newline - input->data);
            more = hand_over(handle, context, input->data + start, end - start);
            start = end + 1;
            terminal.searched = start;
        }
    }
    if (more && terminal.ended && (start < input->len || terminal.too_long))
        more = hand_over(handle, context, input->data + start, input->len - start);
    buffer_drop(input, start);
    terminal.searched -= start;
    if (input->len > MAX_LINE) {
        terminal.too_long = true;
        input->len = 0;
        terminal.searched = 0;
    }
    return more && !terminal.ended;
}

bool terminal_read(line_handler *handle, void *context)
{
    static char chunk[65536];
    ssize_t count = read(STDIN_FILENO, chunk, sizeof chunk);
    if (count < 0 && (errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK))
        return true;
    if (count <= 0)
        terminal.ended = true;
    if (terminal.editing)
        return !terminal.ended && edit(chunk, (size_t)count, handle, context);
    if (count > 0)
        buffer_add(&terminal.input, chunk, (size_t)count);
    return split(handle, context);
}
