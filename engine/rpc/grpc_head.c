/* SPDX-License-Identifier: Apache-2.0 */
/* Heads checked, statuses written. */
#include "engine/rpc/grpc_head.h"

#include <stdio.h>
#include <string.h>

#define GRPC_TIMEOUT_DIGITS_MAX 8u

/* Writes message percent-encoded as grpc-message wants it; cut at the limit. */
static size_t status_encode(const char *message, char *out, size_t out_size)
{
    static const char HEX[] = "0123456789ABCDEF";
    size_t used = 0;
    for (const unsigned char *c = (const unsigned char *)message; *c != '\0'; c++) {
        if (used + 4 > out_size) {
            break;
        }
        if (*c >= 0x20 && *c <= 0x7e && *c != '%') {
            out[used++] = (char)*c;
        } else {
            out[used++] = '%';
            out[used++] = HEX[*c >> 4];
            out[used++] = HEX[*c & 15];
        }
    }
    return used;
}

struct http2_header grpc_header(const char *name, const char *value)
{
    return (struct http2_header){bytes_of_str(name), bytes_of_str(value)};
}

size_t grpc_status_headers(enum grpc_code code, const char *message, struct http2_header *out,
                           char *text, size_t text_size)
{
    int code_size = snprintf(text, text_size, "%d", (int)code);
    out[0] = (struct http2_header){bytes_of_str("grpc-status"), bytes_of(text, (size_t)code_size)};
    if (message == NULL || message[0] == '\0') {
        return 1;
    }
    char *encoded = text + code_size;
    size_t size = status_encode(message, encoded, text_size - (size_t)code_size);
    out[1] = (struct http2_header){bytes_of_str("grpc-message"), bytes_of(encoded, size)};
    return 2;
}

/* Answers a stream that never became a call: headers only. */
static void stream_reject(struct http2_stream *stream, const char *http_status, enum grpc_code code,
                          const char *message)
{
    char text[GRPC_STATUS_MESSAGE_MAX];
    struct http2_header headers[4];
    headers[0] = grpc_header(":status", http_status);
    headers[1] = grpc_header("content-type", GRPC_CONTENT_TYPE);
    size_t extra = grpc_status_headers(code, message, headers + 2, text, sizeof(text));
    http2_stream_respond(stream, headers, 2 + extra, true);
}

/* Parses grpc-timeout into milliseconds, rounded up; false when malformed. */
static bool timeout_parse(const char *text, uint64_t *out_ms)
{
    uint64_t value = 0;
    size_t digits = 0;
    while (text[digits] >= '0' && text[digits] <= '9' && digits < GRPC_TIMEOUT_DIGITS_MAX) {
        value = value * 10 + (uint64_t)(text[digits] - '0');
        digits++;
    }
    if (digits == 0 || text[digits] == '\0' || text[digits + 1] != '\0') {
        return false;
    }
    switch (text[digits]) {
    case 'H':
        *out_ms = value * 3600000u;
        return true;
    case 'M':
        *out_ms = value * 60000u;
        return true;
    case 'S':
        *out_ms = value * 1000u;
        return true;
    case 'm':
        *out_ms = value;
        return true;
    case 'u':
        *out_ms = (value + 999u) / 1000u;
        return true;
    case 'n':
        *out_ms = (value + 999999u) / 1000000u;
        return true;
    default:
        return false;
    }
}

static bool content_type_is_grpc(const char *type)
{
    size_t size = strlen(GRPC_CONTENT_TYPE);
    return type != NULL && strncmp(type, GRPC_CONTENT_TYPE, size) == 0 &&
           (type[size] == '\0' || type[size] == '+' || type[size] == ';');
}

void grpc_reject_unknown(const struct map *services, struct http2_stream *stream)
{
    char message[512];
    const char *path = (const char *)http2_stream_path(stream).data;
    const char *name = path[0] == '/' ? path + 1 : path;
    const char *slash = strrchr(name, '/');
    if (slash == NULL) {
        snprintf(message, sizeof(message), "malformed method name: \"%.200s\"", path);
    } else if (map_get(services, bytes_of(name, (size_t)(slash - name))) != NULL) {
        snprintf(message, sizeof(message), "unknown method %.200s for service %.*s", slash + 1,
                 (int)(slash - name), name);
    } else {
        snprintf(message, sizeof(message), "unknown service %.*s", (int)BASE_MIN(slash - name, 200),
                 name);
    }
    stream_reject(stream, "200", GRPC_UNIMPLEMENTED, message);
}

bool grpc_head_is_grpc(const struct http2_stream *stream)
{
    return content_type_is_grpc(http2_stream_header(stream, "content-type"));
}

bool grpc_head_check(struct http2_stream *stream, uint64_t *out_timeout_ms)
{
    char message[256];
    const char *type = http2_stream_header(stream, "content-type");
    if (!content_type_is_grpc(type)) {
        snprintf(message, sizeof(message), "invalid gRPC request content-type \"%.100s\"",
                 type == NULL ? "" : type);
        stream_reject(stream, "415", GRPC_INVALID_ARGUMENT, message);
        return false;
    }
    const char *method = (const char *)http2_stream_method(stream).data;
    if (strcmp(method, "POST") != 0) {
        snprintf(message, sizeof(message),
                 "Received a HEADERS frame with :method \"%.50s\" which should be POST", method);
        stream_reject(stream, "405", GRPC_INTERNAL, message);
        return false;
    }
    const char *timeout = http2_stream_header(stream, "grpc-timeout");
    *out_timeout_ms = UINT64_MAX;
    if (timeout != NULL && !timeout_parse(timeout, out_timeout_ms)) {
        snprintf(message, sizeof(message), "malformed grpc-timeout: \"%.50s\"", timeout);
        stream_reject(stream, "400", GRPC_INTERNAL, message);
        return false;
    }
    const char *encoding = http2_stream_header(stream, "grpc-encoding");
    if (encoding != NULL && strcmp(encoding, "identity") != 0) {
        snprintf(message, sizeof(message),
                 "grpc: Decompressor is not installed for grpc-encoding \"%.50s\"", encoding);
        stream_reject(stream, "200", GRPC_UNIMPLEMENTED, message);
        return false;
    }
    return true;
}
