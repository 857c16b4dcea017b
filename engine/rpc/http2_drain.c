/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a session ends without losing a request (RFC 9113, 6.8; as grpc-go does): a GOAWAY that asks
 * for no new streams and refuses none, a ping, and when that comes back, by which time the client
 * has seen the first, a GOAWAY with the last stream that is answered.
 */
#include <string.h>

#include "engine/rpc/http2.h"
#include "engine/rpc/http2_internal.h"

#define DRAIN_REASON "graceful_stop"

static const uint8_t DRAIN_PING[8] = {'g', 'o', 'o', 'd', ' ', 'b', 'y', 'e'};

void http2_session_drain(struct http2_session *session)
{
    if (session->is_draining || session->is_closing || session->is_dead) {
        return;
    }
    session->is_draining = true;
    nghttp2_submit_shutdown_notice(session->ng);
    nghttp2_submit_ping(session->ng, NGHTTP2_FLAG_NONE, DRAIN_PING);
    http2_session_wake(session);
}

void http2_session_on_pong(struct http2_session *session, const uint8_t payload[8])
{
    if (!session->is_draining || session->is_drained ||
        memcmp(payload, DRAIN_PING, sizeof(DRAIN_PING)) != 0) {
        return;
    }
    session->is_drained = true;
    int32_t last = nghttp2_session_get_last_proc_stream_id(session->ng);
    nghttp2_submit_goaway(session->ng, NGHTTP2_FLAG_NONE, last, HTTP2_NO_ERROR,
                          (const uint8_t *)DRAIN_REASON, strlen(DRAIN_REASON));
    http2_session_wake(session);
}

bool http2_session_is_drained(const struct http2_session *session)
{
    if (!session->is_drained && !session->is_closing) {
        return false;
    }
    return session->queued_bytes == 0 && nghttp2_session_want_write(session->ng) == 0 &&
           stream_queued_bytes(session->stream) == 0;
}
