/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What RFC 9113 (8.1 to 8.3) asks of a request's header fields, but for the value of :authority:
 * clients of etcd send a whole URL there. nghttp2 would refuse those, so its own checks are off.
 */
#include <string.h>

#include "engine/rpc/http2_internal.h"

enum { SEEN_METHOD = 1, SEEN_SCHEME = 2, SEEN_PATH = 4, SEEN_AUTHORITY = 8 };

#define SEEN_NEEDED (SEEN_METHOD | SEEN_SCHEME | SEEN_PATH)

#define CONTENT_LENGTH_DIGITS_MAX 18u

static bool is_name(struct bytes name, const char *text)
{
    return name.size == strlen(text) && memcmp(name.data, text, name.size) == 0;
}

static unsigned pseudo_of(struct bytes name)
{
    return is_name(name, ":method")      ? SEEN_METHOD
           : is_name(name, ":scheme")    ? SEEN_SCHEME
           : is_name(name, ":path")      ? SEEN_PATH
           : is_name(name, ":authority") ? SEEN_AUTHORITY
                                         : 0;
}

/* Fields that speak of an HTTP/1.1 connection. */
static bool is_of_connection(struct bytes name, struct bytes value)
{
    static const char *const NAMES[] = {"connection", "keep-alive", "proxy-connection",
                                        "transfer-encoding", "upgrade"};
    for (size_t i = 0; i < ARRAY_COUNT(NAMES); i++) {
        if (is_name(name, NAMES[i])) {
            return true;
        }
    }
    return is_name(name, "te") && !is_name(value, "trailers");
}

static bool take_content_length(struct http2_stream *stream, struct bytes value)
{
    uint64_t length = 0;
    if (stream->has_content_length || value.size == 0 || value.size > CONTENT_LENGTH_DIGITS_MAX) {
        return false;
    }
    for (size_t i = 0; i < value.size; i++) {
        if (value.data[i] < '0' || value.data[i] > '9') {
            return false;
        }
        length = length * 10 + (uint64_t)(value.data[i] - '0');
    }
    stream->has_content_length = true;
    stream->content_length = length;
    return true;
}

bool http2_head_takes(struct http2_stream *stream, bool is_trailer, struct bytes name,
                      struct bytes value)
{
    for (size_t i = 0; i < name.size; i++) {
        if (name.data[i] >= 'A' && name.data[i] <= 'Z') {
            return false;
        }
    }
    if (name.size > 0 && name.data[0] == ':') {
        unsigned pseudo = pseudo_of(name);
        bool fits = pseudo != 0 && !is_trailer && !stream->saw_regular &&
                    (stream->seen_pseudo & pseudo) == 0 && (pseudo != SEEN_PATH || value.size > 0);
        stream->seen_pseudo |= pseudo;
        return fits;
    }
    stream->saw_regular = true;
    if (name.size == 0 || is_of_connection(name, value)) {
        return false;
    }
    return is_trailer || !is_name(name, "content-length") || take_content_length(stream, value);
}

bool http2_head_is_whole(const struct http2_stream *stream)
{
    return (stream->seen_pseudo & SEEN_NEEDED) == SEEN_NEEDED;
}

bool http2_body_fits(const struct http2_stream *stream, bool at_end)
{
    return !stream->has_content_length || stream->body_bytes == stream->content_length ||
           (!at_end && stream->body_bytes < stream->content_length);
}
