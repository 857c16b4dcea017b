/* SPDX-License-Identifier: Apache-2.0 */
/* No byte of a hostile file reaches a terminal as it is. */
#include "ctl/report/audit_words.h"

#include <stdio.h>

#define TAIL_BYTES 8u /* an escaped byte, dots, a quote, NUL */

const char *audit_words_of(struct bytes name, struct audit_words *words)
{
    size_t at = 0;
    words->text[at++] = '"';
    for (size_t i = 0; i < name.size; i++) {
        if (at + TAIL_BYTES + 1 > sizeof(words->text)) {
            at += (size_t)snprintf(words->text + at, sizeof(words->text) - at, "...");
            break;
        }
        uint8_t byte = name.data[i];
        bool is_plain = byte >= 0x20 && byte < 0x7f && byte != '"' && byte != '\\';
        at += (size_t)snprintf(words->text + at, sizeof(words->text) - at,
                               is_plain ? "%c" : "\\x%02x", byte);
    }
    words->text[at++] = '"';
    words->text[at] = '\0';
    return words->text;
}
