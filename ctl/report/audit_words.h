/* SPDX-License-Identifier: Apache-2.0 */
/* Names from a file, which may hold any bytes, as words for a terminal. Pure. */
#ifndef CTL_REPORT_AUDIT_WORDS_H
#define CTL_REPORT_AUDIT_WORDS_H

#include "base/bytes.h"

#define AUDIT_WORDS_BYTES 96u

struct audit_words {
    char text[AUDIT_WORDS_BYTES];
};

/* Quoted; what is not printable becomes \xNN, what is long is cut. Borrowed from words. */
const char *audit_words_of(struct bytes name, struct audit_words *words);

#endif
