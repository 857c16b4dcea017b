/* SPDX-License-Identifier: Apache-2.0 */
/* Unary calls: one POST, one message each way, the outcome in the trailers. */
#include "controller/etcd/call.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "controller/etcd/frame.h"

struct etcd_call {
    struct http *http;
    struct http_transfer *transfer;
    char *what; /* "Status http://..." */
};

struct etcd_call *etcd_call_start(struct http *http, const struct etcd_endpoint *endpoint,
                                  const char *method, const ProtobufCMessage *request,
                                  uint64_t timeout_ms)
{
    struct buf body;
    buf_init(&body, ETCD_ANSWER_BYTES_MAX);
    etcd_frame_head(protobuf_c_message_get_packed_size(request), &body);
    (void)proto_pack_append(request, &body);
    char timeout[48];
    snprintf(timeout, sizeof(timeout), "grpc-timeout: %llum", (unsigned long long)timeout_ms);
    const char *headers[] = {"content-type: application/grpc", "te: trailers", timeout};
    char *url = str_printf("%s%s", endpoint->url, method);
    struct http_request http_request = {
        .method = "POST",
        .url = url,
        .headers = headers,
        .header_count = ARRAY_COUNT(headers),
        .body = buf_bytes(&body),
        .has_body = true,
        .version = HTTP_VERSION_2_ONLY,
        .tls = endpoint->tls,
        .connect_to = endpoint->connect_to,
        .timeout_ms = timeout_ms,
        .body_bytes_max = ETCD_ANSWER_BYTES_MAX,
    };
    struct etcd_call *call = mem_zalloc(sizeof(*call));
    call->http = http;
    call->transfer = http_start(http, &http_request);
    const char *slash = strrchr(method, '/');
    call->what = str_printf("%s %s", slash == NULL ? method : slash + 1, endpoint->url);
    mem_free(url);
    buf_free(&body);
    return call;
}

bool etcd_call_done(const struct etcd_call *call)
{
    return http_done(call->transfer);
}

static int result(const struct etcd_call *call, const ProtobufCMessageDescriptor *descriptor,
                  struct arena *arena, ProtobufCMessage **out_answer, struct err *err)
{
    int rc = http_result(call->transfer, err);
    if (rc != 0) {
        return rc;
    }
    int status = http_status(call->transfer);
    if (status != 200) {
        return err_set(err, status == 503 ? E_UNAVAILABLE : E_CORRUPT, "HTTP status %d", status);
    }
    enum grpc_code code;
    rc = etcd_trailers_parse(http_header(call->transfer, "grpc-status"),
                             http_header(call->transfer, "grpc-message"), &code, err);
    if (rc != 0) {
        return rc;
    }
    struct bytes message;
    rc = etcd_frame_parse(http_body(call->transfer), &message, err);
    if (rc != 0) {
        return rc;
    }
    rc = proto_unpack(descriptor, message, arena, out_answer);
    return rc == 0 ? 0 : err_set(err, E_CORRUPT, "answer cannot be read");
}

int etcd_call_result(const struct etcd_call *call, const ProtobufCMessageDescriptor *descriptor,
                     struct arena *arena, ProtobufCMessage **out_answer, struct err *err)
{
    int rc = result(call, descriptor, arena, out_answer, err);
    return rc == 0 ? 0 : err_wrap(err, rc, "%s", call->what);
}

void etcd_call_wait(struct etcd_call *call)
{
    http_wait(call->http, call->transfer);
}

void etcd_call_free(struct etcd_call *call)
{
    if (call == NULL) {
        return;
    }
    http_transfer_free(call->transfer);
    mem_free(call->what);
    mem_free(call);
}
