/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Notices that a peer's process has ended. Its host closes all its connections then and refuses new
 * ones, so this is known within a redial, long before anything times out. A cut network looks
 * different: connections stay open, or attempts end in silence. A host that went down with its
 * processes is not noticed here.
 */
#include "base/log.h"
#include "engine/peer/internal.h"

#define REFUSALS_PER_URL 2u /* of both streams */

static bool has_stream(const struct peer *peer)
{
    for (int kind = 0; kind < STREAM_KINDS; kind++) {
        if (peer->dials[kind].up || peer->out[kind] != NULL) {
            return true;
        }
    }
    return false;
}

void peer_note_dial(struct peer *peer, int code)
{
    const struct peer_transport_config *config = &peer->transport->config;
    peer->refusals = code == E_REFUSED ? peer->refusals + 1 : 0;
    if (!peer->was_there || peer->refusals < REFUSALS_PER_URL * peer->url_count ||
        has_stream(peer)) {
        return;
    }
    peer->was_there = false;
    LOG_WARN("a peer's process has ended: nobody listens at its URLs",
             LOG_HEX("peer-id", peer->id));
    if (config->on_gone != NULL) {
        config->on_gone(config->ctx, peer->id);
    }
}
