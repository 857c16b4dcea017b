/* SPDX-License-Identifier: Apache-2.0 */
/*
 * raftpb as etcd writes it (proto2; fields that Go holds by value are written even when zero) to
 * and from engine/raft/types.h. Encoders append to a buf and report overflow through
 * buf.overflowed. Decoders skip unknown fields, enforce the limits below, never read outside the
 * given bytes and write their output only on success: 0, E_INVALID (malformed), E_TOO_BIG (past a
 * limit) or E_UNSUPPORTED (well-formed, but something that this engine does not speak: joint
 * consensus, unknown message types).
 */
#ifndef ENGINE_PROTO_RAFTPB_H
#define ENGINE_PROTO_RAFTPB_H

#include "base/buf.h"
#include "base/bytes.h"
#include "base/defs.h"
#include "base/err.h"
#include "engine/raft/types.h"

#define RAFTPB_MESSAGE_ENTRIES_MAX 1048576u
#define RAFTPB_ENTRY_BYTES_MAX     (512u * 1024u * 1024u)

/* What stands before the payload bytes of an encoded entry: three varint fields, tag and length. */
#define RAFTPB_ENTRY_HEAD_BYTES_MAX 48u

/* raftpb.ConfChange. context (the member as JSON) is borrowed. */
struct raftpb_conf_change {
    uint64_t id;
    enum raft_conf_change_type type;
    uint64_t node_id;
    struct bytes context;
};

/* raftpb.Snapshot, borrowed: what a .snap file holds. */
struct raftpb_snapshot {
    struct raft_snapshot_mark mark;
    struct bytes data;
};

/*
 * An entry in two parts, so that the payload is copied once: the head is written to out_head (room
 * for RAFTPB_ENTRY_HEAD_BYTES_MAX), its size is given; the payload's bytes follow it unchanged.
 */
size_t raftpb_entry_head_write(const struct raft_entry *entry, uint8_t *out_head);
size_t raftpb_entry_size(const struct raft_entry *entry);
void raftpb_entry_encode(const struct raft_entry *entry, struct buf *out);

/* Gives the entry one payload reference (raft_payload_unref); empty data gives payload NULL. */
BASE_MUST_CHECK int raftpb_entry_decode(struct bytes wire, struct raft_entry *out_entry);

void raftpb_hard_state_encode(const struct raft_hard_state *state, struct buf *out);
BASE_MUST_CHECK int raftpb_hard_state_decode(struct bytes wire, struct raft_hard_state *out_state);

/* Ids come out sorted. A configuration in joint consensus is E_UNSUPPORTED. */
void raftpb_conf_state_encode(const struct raft_conf_state *state, struct buf *out);
BASE_MUST_CHECK int raftpb_conf_state_decode(struct bytes wire, struct raft_conf_state *out_state);

void raftpb_conf_change_encode(const struct raftpb_conf_change *change, struct buf *out);
BASE_MUST_CHECK int raftpb_conf_change_decode(struct bytes wire,
                                              struct raftpb_conf_change *out_change);

/* SnapshotMetadata. */
void raftpb_mark_encode(const struct raft_snapshot_mark *mark, struct buf *out);
BASE_MUST_CHECK int raftpb_mark_decode(struct bytes wire, struct raft_snapshot_mark *out_mark);

void raftpb_snapshot_encode(const struct raft_snapshot_mark *mark, struct bytes data,
                            struct buf *out);
BASE_MUST_CHECK int raftpb_snapshot_decode(struct bytes wire, struct raftpb_snapshot *out_snapshot);

/*
 * A whole message. The context of READ_INDEX and READ_INDEX_RESP travels as the data of one entry.
 * The snapshot field is written when message->snapshot is set, and read only into RAFT_MSG_SNAP
 * (older members put an empty one in every message). The decoded message is owned by the caller
 * (raft_message_clear).
 */
void raftpb_message_encode(const struct raft_message *message, struct buf *out);
size_t raftpb_message_size(const struct raft_message *message);
BASE_MUST_CHECK int raftpb_message_decode(struct bytes wire, struct raft_message *out_message);

#endif
