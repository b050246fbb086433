#include "buffer.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *grow(void *memory, size_t size)
{
    void *grown = realloc(memory, size);
    if (grown == NULL) {
        fputs("out of memory\n", stderr);
        exit(1);
    }
    return grown;
}

void buffer_add(struct buffer *buffer, const char *bytes, size_t len)
{
    if (len == 0)
        return;
    if (len > buffer->capacity - buffer->len) {
        size_t capacity = buffer->capacity < 256 ? 256 : buffer->capacity;
        while (capacity - buffer->len < len)
            capacity = capacity > SIZE_MAX / 2 ? SIZE_MAX : 2 * capacity;
        buffer->data = grow(buffer->data, capacity);
        buffer->capacity = capacity;
    }
    memcpy(buffer->data + buffer->len, bytes, len);
    buffer->len += len;
}

void buffer_add_text(struct buffer *buffer, const char *text)
{
    buffer_add(buffer, text, strlen(text));
}

void buffer_drop(struct buffer *buffer, size_t len)
{
    if (len == 0)
        return;
    memmove(buffer->data, buffer->data + len, buffer->len - len);
    buffer->len -= len;
}

void buffer_free(struct buffer *buffer)
{
    free(buffer->data);
    buffer->data = NULL;
    buffer->len = 0;
    buffer->capacity = 0;
}
