/* Lines in and lines out. On a terminal the line that is being typed stays below what is printed. */
#ifndef TERMINAL_H
#define TERMINAL_H

#include <stdbool.h>
#include <stddef.h>

#include "buffer.h"

/* The longest message (1 MiB), a name before it, and some more so that a longer text is refused by the library itself. */
enum { MAX_LINE = (1 << 20) + 4096 };

/* Called with each line that was read, without its newline; NULL stands for one longer than MAX_LINE. False: read no
 * more. */
typedef bool line_handler(void *context, const char *line, size_t len);

/* Whether a person is there: standard input and output are a terminal on which lines can be edited. */
bool terminal_is_interactive(void);

/* Asks for a line, which is not shown; it is kept with a NUL. False: a signal or the end of input came instead. */
bool terminal_ask(const char *question, struct buffer *answer);

/* Prepares terminal and signals; false with a message when that fails. The terminal is restored by terminal_close and
 * whenever the program exits. */
bool terminal_open(void);
void terminal_close(void);

/* Readable when a signal has come. */
int terminal_signal_fd(void);

/* After a signal: does what it asks for; false when it asks for the end. */
bool terminal_handle_signals(void);

/* The signal that asked for the end, 0 when none did. */
int terminal_end_signal(void);

/* What stands before the line that is typed. */
void terminal_set_prompt(const struct buffer *prompt);

/* Reads once what standard input has. False: it has ended, or a handler returned false. */
bool terminal_read(line_handler *handle, void *context);

/* Writes whole lines; false when standard output does not take them. */
bool terminal_print(const struct buffer *lines);

#endif
