/* SPDX-License-Identifier: Apache-2.0 */
/* Error codes and messages. */
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *err_code_text(int code)
{
    switch (code) {
#define X(name, value, text)                                                                       \
    case value:                                                                                    \
        return text;
        ERR_CODES(X)
#undef X
    default:
        return "unknown error";
    }
}

int err_set(struct err *err, int code, const char *format, ...)
{
    if (err != NULL) {
        va_list args;
        va_start(args, format);
        vsnprintf(err->text, sizeof(err->text), format, args);
        va_end(args);
    }
    return code;
}

int err_wrap(struct err *err, int code, const char *format, ...)
{
    if (err == NULL) {
        return code;
    }
    char inner[ERR_TEXT_MAX];
    memcpy(inner, err->text, sizeof(inner));
    inner[sizeof(inner) - 1] = '\0';
    va_list args;
    va_start(args, format);
    int size = vsnprintf(err->text, sizeof(err->text), format, args);
    va_end(args);
    if (size >= 0 && (size_t)size + 3 < sizeof(err->text)) {
        size_t at = (size_t)size;
        size_t room = sizeof(err->text) - at - 3;
        size_t length = strnlen(inner, room);
        memcpy(err->text + at, ": ", 2);
        memcpy(err->text + at + 2, inner, length); /* a text that is too long ends early */
        err->text[at + 2 + length] = '\0';
    }
    return code;
}

int err_from_errno(int errnum)
{
    switch (errnum) {
    case 0:
        return E_OK;
    case ENOSPC:
    case EDQUOT:
        return E_NO_SPACE;
    case ENOENT:
        return E_NOT_FOUND;
    case EEXIST:
        return E_EXISTS;
    case EACCES:
    case EPERM:
    case EROFS:
        return E_PERMISSION;
    case EADDRINUSE:
        return E_IN_USE;
    case EAGAIN:
        return E_AGAIN;
    case EINVAL:
        return E_INVALID;
    default:
        return E_IO;
    }
}
