/* SPDX-License-Identifier: Apache-2.0 */
/* gRPC frames and trailers. */
#include "controller/etcd/frame.h"

#include <stdlib.h>
#include <string.h>

#include "engine/proto/etcd_error.h"

#define MESSAGE_MAX 400u

void etcd_frame_head(size_t size, struct buf *out)
{
    uint8_t head[ETCD_FRAME_HEAD_BYTES] = {0};
    put_be32(head + 1, (uint32_t)size);
    buf_append(out, head, sizeof(head));
}

int etcd_frame_parse(struct bytes body, struct bytes *out_message, struct err *err)
{
    if (body.size < ETCD_FRAME_HEAD_BYTES) {
        return err_set(err, E_TRUNCATED, "answer of %zu bytes holds no message", body.size);
    }
    if (body.data[0] != 0) {
        return err_set(err, E_UNSUPPORTED, "answer is compressed");
    }
    size_t size = get_be32(body.data + 1);
    size_t there = body.size - ETCD_FRAME_HEAD_BYTES;
    if (there < size) {
        return err_set(err, E_TRUNCATED, "answer ends after %zu of %zu bytes", there, size);
    }
    if (there > size) {
        return err_set(err, E_CORRUPT, "answer holds more than one message");
    }
    *out_message = bytes_of(body.data + ETCD_FRAME_HEAD_BYTES, size);
    return 0;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

static void percent_decode(const char *text, char out[MESSAGE_MAX])
{
    size_t size = 0;
    for (const char *at = text; *at != 0 && size + 1 < MESSAGE_MAX; at++) {
        int high = at[0] == '%' ? hex_digit(at[1]) : -1;
        int low = high >= 0 ? hex_digit(at[2]) : -1;
        if (low >= 0) {
            out[size++] = (char)(high * 16 + low);
            at += 2;
        } else {
            out[size++] = *at;
        }
    }
    out[size] = 0;
}

/* Errors that matter to the operator by themselves; everything else goes by its gRPC code. */
static int code_of_text(const char *text)
{
    enum etcd_error error;
    if (!etcd_error_find(text, &error)) {
        return 0;
    }
    switch ((int)error) {
    case ETCD_ERR_MEMBER_EXIST:
    case ETCD_ERR_PEER_URL_EXIST:
    case ETCD_ERR_MEMBER_NOT_LEARNER:
        return E_EXISTS;
    case ETCD_ERR_LEARNER_NOT_READY:
    case ETCD_ERR_MEMBER_NOT_ENOUGH_STARTED:
    case ETCD_ERR_TOO_MANY_LEARNERS:
    case ETCD_ERR_UNHEALTHY: /* some members are not connected for long enough yet */
        return E_AGAIN;
    case ETCD_ERR_NOT_LEADER:
    case ETCD_ERR_BAD_LEADER_TRANSFEREE:
        return E_CONFLICT;
    default:
        return 0;
    }
}

static int code_of_grpc(enum grpc_code code)
{
    switch (code) {
    case GRPC_OK:
        return 0;
    case GRPC_NOT_FOUND:
        return E_NOT_FOUND;
    case GRPC_ALREADY_EXISTS:
        return E_EXISTS;
    case GRPC_DEADLINE_EXCEEDED:
        return E_TIMEOUT;
    case GRPC_UNAVAILABLE:
        return E_UNAVAILABLE;
    case GRPC_PERMISSION_DENIED:
    case GRPC_UNAUTHENTICATED:
        return E_PERMISSION;
    case GRPC_DATA_LOSS:
        return E_CORRUPT;
    case GRPC_UNIMPLEMENTED:
        return E_UNSUPPORTED;
    case GRPC_INVALID_ARGUMENT:
        return E_INVALID;
    case GRPC_CANCELED:
    case GRPC_UNKNOWN:
    case GRPC_RESOURCE_EXHAUSTED:
    case GRPC_FAILED_PRECONDITION:
    case GRPC_ABORTED:
    case GRPC_OUT_OF_RANGE:
    case GRPC_INTERNAL:
    default:
        return E_REFUSED;
    }
}

int etcd_trailers_parse(const char *status, const char *message, enum grpc_code *out_code,
                        struct err *err)
{
    char *end = NULL;
    unsigned long number = status == NULL ? 0 : strtoul(status, &end, 10);
    if (status == NULL || status[0] == 0 || *end != 0) {
        return err_set(err, E_CORRUPT, "answer has no grpc-status");
    }
    *out_code = number < GRPC_CODE_COUNT ? (enum grpc_code)number : GRPC_UNKNOWN;
    if (*out_code == GRPC_OK) {
        return 0;
    }
    char text[MESSAGE_MAX];
    percent_decode(message == NULL ? "" : message, text);
    int code = code_of_text(text);
    if (code == 0) {
        code = code_of_grpc(*out_code);
    }
    return err_set(err, code, "%s: %s", grpc_code_name(*out_code), text);
}
