/* SPDX-License-Identifier: Apache-2.0 */
/* The words of the text form, in the order of the enums of history.h. */
#ifndef TESTS_CHECK_WORDS_H
#define TESTS_CHECK_WORDS_H

#include "base/defs.h"

#define WORDS_KINDS   9
#define WORDS_ERRORS  7
#define WORDS_TARGETS 5
#define WORDS_RESULTS 4
#define WORDS_SORTS   5
#define WORDS_ORDERS  3

extern const char *const WORDS_KIND[WORDS_KINDS];
extern const char *const WORDS_ERROR[WORDS_ERRORS];
extern const char *const WORDS_TARGET[WORDS_TARGETS];
extern const char *const WORDS_RESULT[WORDS_RESULTS];
extern const char *const WORDS_SORT[WORDS_SORTS];
extern const char *const WORDS_ORDER[WORDS_ORDERS];

#endif
