/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two stream codecs of etcd's peer protocol. msgappv2: a type byte (0 link heartbeat, 1 entries
 * that follow the last message, 2 a whole message), big-endian lengths, and a running term and
 * index on both sides. message: a big-endian length and a raftpb.Message; a heartbeat from and to
 * nobody keeps the link.
 */
#ifndef ENGINE_PEER_CODEC_H
#define ENGINE_PEER_CODEC_H

#include "base/buf.h"
#include "engine/raft/types.h"

#define CODEC_MSGAPP_HEARTBEAT 0u
#define CODEC_MSGAPP_ENTRIES   1u
#define CODEC_MSGAPP_MESSAGE   2u
#define CODEC_ENTRIES_MAX      1048576u

struct msgapp_encoder {
    uint64_t term, index;
};

struct msgapp_decoder {
    uint64_t local_id, remote_id;
    uint64_t term, index;
};

void codec_msgapp_encode(struct msgapp_encoder *encoder, const struct raft_message *message,
                         struct buf *out);
void codec_msgapp_heartbeat(struct buf *out);
void codec_message_encode(const struct raft_message *message, struct buf *out);
void codec_message_heartbeat(struct buf *out);

/*
 * Decodes one message from the front of data. 0: *out_message (owned, raft_message_clear) and the
 * bytes used; *out_is_heartbeat true: there is no message. E_AGAIN: more bytes are needed.
 * E_CORRUPT, E_TOO_BIG: the stream cannot go on.
 */
BASE_MUST_CHECK int codec_msgapp_decode(struct msgapp_decoder *decoder, struct bytes data,
                                        size_t *out_used, struct raft_message *out_message,
                                        bool *out_is_heartbeat);
BASE_MUST_CHECK int codec_message_decode(struct bytes data, size_t *out_used,
                                         struct raft_message *out_message, bool *out_is_heartbeat);

#endif
