/* SPDX-License-Identifier: Apache-2.0 */
/* The words of the text form. */
#include "tests/check/words.h"

const char *const WORDS_KIND[WORDS_KINDS] = {"put",   "del",    "get",       "txn", "compact",
                                             "grant", "revoke", "keepalive", "ttl"};
const char *const WORDS_ERROR[WORDS_ERRORS] = {"failed",   "compacted",    "future", "no-key",
                                               "no-lease", "lease-exists", "failed"};
const char *const WORDS_TARGET[WORDS_TARGETS] = {"version", "create", "mod", "value", "lease"};
const char *const WORDS_RESULT[WORDS_RESULTS] = {"=", ">", "<", "!="};
const char *const WORDS_SORT[WORDS_SORTS] = {"key", "version", "create", "mod", "value"};
const char *const WORDS_ORDER[WORDS_ORDERS] = {"none", "asc", "desc"};
