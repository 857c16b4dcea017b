/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes after the client preface as a gRPC connection: no crash, and no call is left when the
 * connection has ended.
 */
#include "engine/rpc/grpc.h"
#include "tests/fuzz/fuzz_stream.h"

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

static const struct grpc_method METHODS[] = {
    {"/t.E/U", GRPC_UNARY, 0, false},
    {"/t.E/B", GRPC_BIDI, 1, true},
    {"/t.E/P", GRPC_BIDI, 2, true},
};

static void on_message(void *ctx, struct grpc_call *call, struct bytes message)
{
    (void)ctx;
    switch (grpc_call_method(call)->id) {
    case 0:
        grpc_call_send(call, message);
        grpc_call_finish(call, GRPC_OK, NULL);
        break;
    case 1:
        grpc_call_send(call, message);
        break;
    default:
        grpc_call_pause(call);
        break;
    }
}

static void on_half_close(void *ctx, struct grpc_call *call)
{
    (void)ctx;
    grpc_call_finish(call, GRPC_ABORTED, grpc_call_metadata(call, "token"));
}

static void on_cancel(void *ctx, struct grpc_call *call, enum grpc_cancel why)
{
    (void)ctx;
    (void)call;
    (void)why;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_transport fuzz;
    struct loop *loop = NULL;
    if (loop_new(&loop, NULL) != 0) {
        return 0;
    }
    struct grpc_server_config config = {.loop = loop,
                                        .methods = METHODS,
                                        .method_count = ARRAY_COUNT(METHODS),
                                        .message_bytes_max = 4096,
                                        .on_message = on_message,
                                        .on_half_close = on_half_close,
                                        .on_cancel = on_cancel};
    struct grpc_server *server = grpc_server_new(&config);
    struct stream *stream = fuzz_stream_open(loop, &fuzz, data, size);
    grpc_server_adopt(server, stream, bytes_of_str(PREFACE), fuzz_stop, loop);
    loop_run(loop);
    struct grpc_stats stats;
    grpc_server_stats(server, &stats);
    ASSERT(stats.open_calls == 0 && stats.open_connections == 0);
    grpc_server_free(server);
    loop_free(loop);
    return 0;
}
