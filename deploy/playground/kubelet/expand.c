/* SPDX-License-Identifier: Apache-2.0 */
/* $(VAR) references. PURE. */
#include "expand.h"

#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"

char *expand_text(const char *text, expand_fn lookup, void *ctx)
{
    struct buf out;
    buf_init(&out, BUF_NO_LIMIT);
    while (*text != '\0') {
        const char *end = text[0] == '$' && text[1] == '(' ? strchr(text, ')') : NULL;
        if (text[0] == '$' && text[1] == '$') {
            buf_append_byte(&out, '$');
            text += 2;
        } else if (end != NULL) {
            char *name = str_from(text + 2, (size_t)(end - text) - 2);
            const char *value = lookup(ctx, name);
            mem_free(name);
            size_t size = (size_t)(end - text) + 1;
            if (value != NULL) {
                buf_append_str(&out, value);
            } else {
                buf_append(&out, text, size);
            }
            text += size;
        } else {
            buf_append_byte(&out, (uint8_t)*text);
            text++;
        }
    }
    char *result = str_dup(buf_cstr(&out));
    buf_free(&out);
    return result;
}
