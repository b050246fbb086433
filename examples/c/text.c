#include "text.h"

size_t utf8_next(const char *text, size_t len, uint32_t *code)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned char lead = (unsigned char)text[0];
    size_t size = lead < 0x80 ? 1 : lead < 0xC0 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF8 ? 4 : 0;
    uint32_t value = size <= 1 ? lead : lead & (0x7Fu >> size);
    size_t i;

    *code = REPLACEMENT;
    if (size == 0 || size > len)
        return 1;
    for (i = 1; i < size; i++) {
        unsigned char next = (unsigned char)text[i];
        if ((next & 0xC0) != 0x80)
            return 1;
        value = value << 6 | (next & 0x3F);
    }
    if (value < smallest[size] || value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF))
        return 1;
    *code = value;
    return size;
}

bool is_utf8(const char *text, size_t len)
{
    while (len > 0) {
        uint32_t code;
        size_t size = utf8_next(text, len, &code);
        if (code == REPLACEMENT && size == 1)
            return false;
        text += size;
        len -= size;
    }
    return true;
}

bool is_space(char c)
{
    return c == ' ' || c == '\t';
}

void add_trimmed(struct buffer *out, const char *text, size_t len)
{
    while (len > 0 && is_space(text[0])) {
        text++;
        len--;
    }
    while (len > 0 && is_space(text[len - 1]))
        len--;
    buffer_add(out, text, len);
    buffer_add(out, "", 1);
}

static bool is_safe(uint32_t code)
{
    bool control = (code < 0x20 && code != '\t') || (code >= 0x7F && code < 0xA0);
    bool separator = code == 0x2028 || code == 0x2029;
    bool bidirectional = code == 0x061C || code == 0x200E || code == 0x200F ||
                         (code >= 0x202A && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069);
    return !control && !separator && !bidirectional && code != REPLACEMENT;
}

void add_safe(struct buffer *out, const char *text, size_t len)
{
    while (len > 0) {
        uint32_t code;
        size_t size = utf8_next(text, len, &code);
        if (code == '\r' && len > 1 && text[1] == '\n')
            ; /* The newline comes next. */
        else if (code == '\n')
            buffer_add(out, "\n  ", 3);
        else if (is_safe(code))
            buffer_add(out, text, size);
        else
            buffer_add(out, "\xEF\xBF\xBD", 3);
        text += size;
        len -= size;
    }
}
