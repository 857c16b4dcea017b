/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one return convention: 0 or a negative E_* code, and, where a person will read it, a text in
 * a struct err that gains context on its way out (err_wrap) and is logged once, at the top.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include "base/defs.h"

#define ERR_CODES(X)                                                                               \
    X(E_OK, 0, "ok")                                                                               \
    X(E_INVALID, -1, "invalid argument")                                                           \
    X(E_NOT_FOUND, -2, "not found")                                                                \
    X(E_EXISTS, -3, "already exists")                                                              \
    X(E_IO, -4, "input/output error")                                                              \
    X(E_NO_SPACE, -5, "no space left")                                                             \
    X(E_CORRUPT, -6, "data is corrupt")                                                            \
    X(E_TRUNCATED, -7, "data ends too early")                                                      \
    X(E_TOO_BIG, -8, "larger than its limit")                                                      \
    X(E_AGAIN, -9, "not ready, try again")                                                         \
    X(E_TIMEOUT, -10, "timed out")                                                                 \
    X(E_CLOSED, -11, "closed")                                                                     \
    X(E_REFUSED, -12, "refused")                                                                   \
    X(E_CONFLICT, -13, "conflict")                                                                 \
    X(E_COMPACTED, -14, "compacted")                                                               \
    X(E_FUTURE, -15, "in the future")                                                              \
    X(E_UNSUPPORTED, -16, "not supported")                                                         \
    X(E_PERMISSION, -17, "permission denied")                                                      \
    X(E_IN_USE, -18, "in use")                                                                     \
    X(E_UNAVAILABLE, -19, "unavailable")

enum err_code {
#define X(name, value, text) name = value,
    ERR_CODES(X)
#undef X
};

#define ERR_TEXT_MAX 512u

/* A message for a person. Caller-allocated; functions that take one accept NULL. */
struct err {
    char text[ERR_TEXT_MAX];
};

/* The short English text of a code; never NULL. */
const char *err_code_text(int code);

/* Writes the message and returns code, so that callers can `return err_set(err, E_INVALID, ...)`.
 */
int err_set(struct err *err, int code, const char *format, ...) BASE_PRINTF(3, 4);

/* Puts "context: " before the message that is there and returns code. */
int err_wrap(struct err *err, int code, const char *format, ...) BASE_PRINTF(3, 4);

/* Maps errno to an E_* code (ENOSPC and EDQUOT: E_NO_SPACE; ENOENT: E_NOT_FOUND; else E_IO). */
int err_from_errno(int errnum);

#endif
