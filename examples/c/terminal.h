/* Lines in and lines out. On a terminal the line that is being typed stays below what is printed. */
#ifndef TERMINAL_H
#define TERMINAL_H

#include <stdbool.h>
#include <stddef.h>

#include "buffer.h"

/* Called with each line that was read, without its newline. False: read no more. */
typedef bool line_handler(void *context, const char *line, size_t len);

/* Prepares terminal and signals; false with a message when that fails. The terminal is restored by terminal_close and
 * whenever the program exits. */
bool terminal_open(void);
void terminal_close(void);

/* Readable when a signal has come. */
int terminal_signal_fd(void);

/* After a signal: does what it asks for; false when it asks for the end. */
bool terminal_handle_signals(void);

/* Reads once what standard input has. False: it has ended, or a handler returned false. */
bool terminal_read(line_handler *handle, void *context);

/* Writes whole lines; false when standard output does not take them. */
bool terminal_print(const struct buffer *lines);

#endif
