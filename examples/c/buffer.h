/* Bytes that grow. */
#ifndef BUFFER_H
#define BUFFER_H

#include <stddef.h>

/* Starts as {NULL, 0, 0}. */
struct buffer {
    char *data;
    size_t len;
    size_t capacity;
};

/* Like realloc; ends the program when there is no memory. */
void *grow(void *memory, size_t size);

void buffer_add(struct buffer *buffer, const char *bytes, size_t len);
void buffer_add_text(struct buffer *buffer, const char *text);

/* Takes away the first `len` bytes. */
void buffer_drop(struct buffer *buffer, size_t len);

void buffer_free(struct buffer *buffer);

#endif
