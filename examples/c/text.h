/* Text that comes from elsewhere: taken apart, and made safe for a terminal. */
#ifndef TEXT_H
#define TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buffer.h"

/* What is shown in place of a character that is not. */
#define REPLACEMENT 0xFFFD

/* Length of the UTF-8 character at `text`, which has `len` > 0 bytes, and its code. A byte that begins none is a
 * character of one byte with the code REPLACEMENT. */
size_t utf8_next(const char *text, size_t len, uint32_t *code);

bool is_utf8(const char *text, size_t len);

/* What words of a line are separated by. */
bool is_space(char c);

/* Adds a part of a line without the white space around it, and a NUL. */
void add_trimmed(struct buffer *out, const char *text, size_t len);

/* Adds the text. Control characters but tab, and characters that reorder a line, are replaced; a newline, CR LF included,
 * becomes a newline and two spaces, so that no text can look like a line of its own. */
void add_safe(struct buffer *out, const char *text, size_t len);

#endif
