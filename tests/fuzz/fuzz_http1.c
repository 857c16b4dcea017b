/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a HTTP/1.1 connection: no crash, and each request that was seen is over exactly
 * once. What a handler may do with a request depends on its path.
 */
#include "base/net/http1.h"
#include "tests/fuzz/fuzz_stream.h"

struct seen {
    size_t requests;
    size_t over;
};

static void on_body(void *ctx, struct http1_request *request, struct bytes part, bool at_end)
{
    (void)ctx;
    (void)part;
    if (at_end) {
        http1_respond(request, 200, NULL, bytes_of_str("uploaded"));
    }
}

static void on_head(void *ctx, struct http1_request *request)
{
    struct seen *seen = ctx;
    seen->requests++;
    if (http1_path(request)[1] == 'u') {
        http1_stream_body(request, on_body);
    } else if (http1_path(request)[1] == 'e') {
        http1_respond_error(request, 412, "early");
    } else if (http1_path(request)[1] == 'x') {
        http1_abort(request);
    }
}

static void on_request(void *ctx, struct http1_request *request)
{
    char value[32];
    (void)ctx;
    http1_query_value(request, "key", value, sizeof(value));
    if (http1_path(request)[1] == 'c') {
        http1_respond_start(request, 200, "text/plain");
        http1_respond_write(request, http1_query(request), strlen(http1_query(request)));
        http1_respond_end(request);
    } else {
        http1_respond(request, 200, http1_header(request, "accept") == NULL ? NULL : "text/plain",
                      http1_body(request));
    }
}

static void on_over(void *ctx, struct http1_request *request, bool completed)
{
    struct seen *seen = ctx;
    (void)request;
    (void)completed;
    seen->over++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct seen seen = {0};
    struct fuzz_transport fuzz;
    struct loop *loop = NULL;
    if (loop_new(&loop, NULL) != 0) {
        return 0;
    }
    struct http1_server_config config = {.loop = loop,
                                         .ctx = &seen,
                                         .body_bytes_max = 4096,
                                         .on_head = on_head,
                                         .on_request = on_request,
                                         .on_over = on_over};
    struct http1_server *server = http1_server_new(&config);
    struct stream *stream = fuzz_stream_open(loop, &fuzz, data, size);
    http1_server_adopt(server, stream, bytes_of(NULL, 0), fuzz_stop, loop);
    loop_run(loop);
    ASSERT(http1_server_connection_count(server) == 0);
    ASSERT(seen.over == seen.requests);
    http1_server_free(server);
    loop_free(loop);
    return 0;
}
